//! The secrets of the demo's keys, made when it starts.

use crate::keys::{
    digest::KeyDigest,
    secret::{Brand, Environment, KeySecret},
};

/// One of the demo's keys, by what it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    Admin,
    Write,
    Read,
    Alpha,
    Capped,
    Expired,
    Revoked,
    Future,
    Disabled,
    Elsewhere,
    Leaving,
    Demoted,
    Manage,
    Forgotten,
    Ending,
    Rotating,
    /// The secret that Rotating had before.
    RotatingBefore,
    /// Of the right form, and nobody's.
    Stranger,
}

impl Holder {
    const ALL: [Self; 18] = [
        Self::Admin,
        Self::Write,
        Self::Read,
        Self::Alpha,
        Self::Capped,
        Self::Expired,
        Self::Revoked,
        Self::Future,
        Self::Disabled,
        Self::Elsewhere,
        Self::Leaving,
        Self::Demoted,
        Self::Manage,
        Self::Forgotten,
        Self::Ending,
        Self::Rotating,
        Self::RotatingBefore,
        Self::Stranger,
    ];

    /// The id of the key.
    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Admin => "demo-admin",
            Self::Write => "demo-write",
            Self::Read => "demo-read",
            Self::Alpha => "demo-alpha",
            Self::Capped => "demo-capped",
            Self::Expired => "demo-expired",
            Self::Revoked => "demo-revoked",
            Self::Future => "demo-future",
            Self::Disabled => "demo-disabled",
            Self::Elsewhere => "demo-elsewhere",
            Self::Leaving => "demo-leaving",
            Self::Demoted => "demo-demoted",
            Self::Manage => "demo-manage",
            Self::Forgotten => "demo-forgotten",
            Self::Ending => "demo-ending",
            Self::Rotating | Self::RotatingBefore => "demo-rotating",
            Self::Stranger => "demo-stranger",
        }
    }
}

/// A secret for each holder.
#[derive(Debug)]
pub(super) struct Keyring(Vec<KeySecret>);

impl Keyring {
    pub(super) fn generate() -> Result<Self, Box<dyn std::error::Error>> {
        let brand = Brand::parse("demo")?;
        let secrets = Holder::ALL.iter().map(|_| KeySecret::generate(&brand, Environment::Test));
        Ok(Self(secrets.collect::<Result<_, _>>()?))
    }

    pub(super) fn secret(&self, holder: Holder) -> &str {
        self.key(holder).expose()
    }

    pub(super) fn digest(&self, holder: Holder) -> KeyDigest {
        KeyDigest::of(self.secret(holder).as_bytes())
    }

    pub(super) fn prefix(&self, holder: Holder) -> &str {
        self.key(holder).prefix().unwrap_or_default()
    }

    fn key(&self, holder: Holder) -> &KeySecret {
        // `generate` made one for each, in the order of declaration, which is that of `ALL`.
        &self.0[holder as usize]
    }
}
