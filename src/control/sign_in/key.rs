//! Signing in with a key that may manage: the only way where keys are files.

use std::net::IpAddr;

use jiff::Timestamp;

use super::{Begun, Origin, SignIn, SignInError, throttle::Try};
use crate::{
    control::administration::Kept,
    keys::{
        digest::KeyDigest,
        record::{KeyId, KeyRecord, KeyStatus, Person},
        secret::KeySecret,
    },
    policy::scope::MANAGE,
    store::contract::{StoreError, Transaction},
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
        match self.manager_with(digest, from.address).await {
            Ok(Ok((owner, key))) => {
                self.throttle().succeeded(attempt, self.now());
                self.begin(&owner.id, Some((key, digest)), &format!("key {key}"), from).await
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
            let manages = owner.is_some_and(|owner| owner.role.manages());
            manages && key.is_granted(MANAGE) && matches!(key.status(now, owner), KeyStatus::Active)
        };
        (!records.keys().any(can_sign_in)).then_some(NO_MANAGER)
    }

    /// Whoever owns the key of this secret and may manage with it; else the key, if there is one.
    async fn manager_with(
        &self,
        digest: KeyDigest,
        address: Option<IpAddr>,
    ) -> Result<Result<(Person, KeyId), Option<KeyId>>, StoreError> {
        let mut transaction = self.look().await?;
        let taken = transaction.taken(&[], &[digest]).await?;
        let Some((_, id)) = taken.digests.first() else { return Ok(Err(None)) };
        let Some(key) = transaction.key(id).await? else { return Ok(Err(None)) };
        let now = self.now();
        let is_current = secrets(&key, now).any(|good| good == digest);
        let owner = manager_of(&mut *transaction, &key, now, address).await?.filter(|_| is_current);
        Ok(owner.map(|owner| (owner, key.id)).ok_or(Some(key.id)))
    }
}

/// What to do where keys are in files, and none of them can sign in.
const NO_MANAGER: &str = "Nobody can sign in yet: no key in the key files carries keygate:manage and belongs to an owner or \
    admin. Put one into the file: a person (people: [{id: ada, email: ada@example.com, role: owner}]), and a key of theirs \
    (keygate keys create --name Console --owner ada --scope keygate:manage --all-projects --expires 90d). Its secret is \
    what signs in here.";

/// The digests of the secrets of `key` that are good at `now`.
pub(super) fn secrets(key: &KeyRecord, now: Timestamp) -> impl Iterator<Item = KeyDigest> {
    let previous = key.previous.as_ref().filter(|previous| now < previous.until);
    [Some(key.digest), previous.map(|previous| previous.digest)].into_iter().flatten()
}

/// The owner of `key`, if they may manage with it from `address` at `now`.
pub(super) async fn manager_of(
    transaction: &mut dyn Transaction,
    key: &KeyRecord,
    now: Timestamp,
    address: Option<IpAddr>,
) -> Result<Option<Person>, StoreError> {
    let Some(owner) = &key.owner else { return Ok(None) };
    let Some(owner) = transaction.person(owner).await? else { return Ok(None) };
    let is_active = match key.status(now, Some(&owner)) {
        KeyStatus::Active => true,
        KeyStatus::NotYetValid | KeyStatus::Expired | KeyStatus::Revoked | KeyStatus::OwnerDisabled => false,
    };
    let address = address.map(|address| address.to_canonical());
    let is_here = key.addresses.is_empty()
        || address.is_some_and(|address| key.addresses.iter().any(|net| net.contains(&address)));
    Ok((key.is_granted(MANAGE) && owner.role.manages() && is_active && is_here).then_some(owner))
}
