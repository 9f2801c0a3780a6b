//! What a gateway asks of its database beyond what every one may do.

/// What a database may or may not let this process do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// End keys.
    RevokeKeys,
    /// Whatever the admin listener does: change all records, and let people sign in.
    Administer,
}

impl Right {
    /// `revoke keys`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RevokeKeys => "revoke keys",
            Self::Administer => "serve admin",
        }
    }
}
