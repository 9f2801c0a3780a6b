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
    /// Of the right form, and in no key file.
    Stranger,
}

impl Holder {
    const ALL: [Self; 12] = [
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
        // `generate` made one for each, in the order of declaration, which is that of `ALL`.
        self.0[holder as usize].expose()
    }

    /// What the key file says of each key: id, digest and prefix.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'static str, String, &str)> {
        Holder::ALL.iter().zip(&self.0).map(|(holder, secret)| {
            let digest = KeyDigest::of(secret.expose().as_bytes()).to_text();
            (holder.id(), digest, secret.prefix().unwrap_or_default())
        })
    }
}
