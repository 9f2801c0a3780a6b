//! How many keys there are of each status.

use super::record::KeyStatus;

/// How many keys there are of each status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyTally {
    /// [`KeyStatus::Active`].
    pub active: u64,
    /// [`KeyStatus::NotYetValid`].
    pub not_yet_valid: u64,
    /// [`KeyStatus::Expired`].
    pub expired: u64,
    /// [`KeyStatus::Revoked`].
    pub revoked: u64,
    /// [`KeyStatus::OwnerDisabled`].
    pub owner_disabled: u64,
}

impl KeyTally {
    /// Counts one more key.
    pub fn count(&mut self, status: KeyStatus) {
        *match status {
            KeyStatus::Active => &mut self.active,
            KeyStatus::NotYetValid => &mut self.not_yet_valid,
            KeyStatus::Expired => &mut self.expired,
            KeyStatus::Revoked => &mut self.revoked,
            KeyStatus::OwnerDisabled => &mut self.owner_disabled,
        } += 1;
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.active + self.not_yet_valid + self.expired + self.revoked + self.owner_disabled
    }
}
