//! Signing in with a key that may manage: the only way where keys are files.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Begun, Origin, SignIn, SignInError, throttle::Try};
use crate::{
    control::{
        administration::Kept,
        managing_key::{self, ManagingKey, NoKey},
    },
    keys::{
        digest::KeyDigest,
        record::{KeyId, KeyRecord},
        secret::KeySecret,
    },
    store::contract::{OwnedKey, StoreError},
};

impl SignIn {
    /// Begins a session of the owner of the key with this secret, which lasts no longer than the key is good.
    ///
    /// # Errors
    /// [`SignInError::Wrong`] where there is none, it is not good from there, it may not manage, or its owner is neither
    /// owner nor admin.
    pub async fn with_key(&self, secret: &KeySecret, from: &Origin) -> Result<Begun, SignInError> {
        let attempt = Try::unnamed(from.address);
        self.throttle().begin(attempt, self.now())?;
        let digest = KeyDigest::of(secret.expose().as_bytes());
        match self.managing_key(digest, from.address).await {
            Ok(Ok(ManagingKey { key, person })) => {
                self.throttle().succeeded(attempt, self.now());
                self.begin(&person.id, Some((key, digest)), &format!("key {key}"), from).await
            }
            Ok(Err(known)) => {
                let by = known.map_or_else(|| "key".to_owned(), |key| format!("key {key}"));
                self.tell_failure(None, &by, from).await;
                Err(SignInError::Wrong)
            }
            Err(error) => {
                self.throttle().forgive(attempt);
                Err(error.into())
            }
        }
    }

    /// What to put into the key files where no key of them can sign in now; `None` where one can, and with a database.
    /// It names no file. Cost: a look at every key.
    pub fn missing_in_files(&self) -> Option<&'static str> {
        let Kept::Served(served) = &self.parts.kept else { return None };
        let (records, now) = (served.files.records(), self.now());
        let can_sign_in = |key: &KeyRecord| {
            let owner = key.owner.as_ref().and_then(|owner| records.person(owner));
            // Nobody is here yet: from wherever it may be used.
            let somewhere = key.addresses.first().map(IpNet::addr);
            managing_key::judge(key, owner, somewhere, now).is_ok()
        };
        (!records.keys().any(can_sign_in)).then_some(NO_MANAGER)
    }

    /// The key whose secret has this digest, if it manages from `address`; else the key that it is or was the secret of.
    async fn managing_key(
        &self,
        digest: KeyDigest,
        address: Option<IpAddr>,
    ) -> Result<Result<ManagingKey, Option<KeyId>>, StoreError> {
        let (mut transaction, now) = (self.look().await?, self.now());
        let found = managing_key::with_secret(&mut *transaction, digest, now).await?;
        Ok(match found {
            Ok(OwnedKey { key, owner }) => {
                managing_key::judge(&key, owner.as_ref(), address, now).map_err(|_| Some(key.id))
            }
            Err(NoKey { was_of }) => Err(was_of),
        })
    }
}

/// What to do where keys are in files, and none of them can sign in.
const NO_MANAGER: &str = "Nobody can sign in yet: no key in the key files carries keygate:manage and belongs to an owner or \
    admin. Put one into the file: a person (people: [{id: ada, email: ada@example.com, role: owner}]), and a key of theirs \
    (keygate keys create --name Console --owner ada --scope keygate:manage --all-projects --expires 90d). Its secret is \
    what signs in here.";
