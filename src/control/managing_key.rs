//! Keys that manage: a key that carries `keygate:manage`, and whose owner is owner or admin, speaks to the admin API for
//! that person, within the key's own projects.

use std::net::IpAddr;

use jiff::Timestamp;

use super::{
    actor::Actor,
    administration::{AdminError, Administration},
};
use crate::{
    keys::{
        digest::KeyDigest,
        record::{KeyId, KeyRecord, KeyStatus, Person},
    },
    policy::scope::MANAGE,
    store::contract::OwnedKey,
};

/// A key that manages, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagingKey {
    /// Its id.
    pub key: KeyId,
    /// Its owner.
    pub person: Person,
}

impl ManagingKey {
    /// Who acts by it.
    pub fn actor(&self) -> Actor {
        Actor::Key(self.person.id.clone(), self.key)
    }
}

/// Why a key does not manage.
#[derive(Debug)]
pub enum Unfit {
    /// There is no such key.
    Unknown,
    /// It does not work now, or not from there.
    Ended(KeyStatus),
    /// It may not be used from that address.
    Address,
    /// It does not carry the scope.
    Scope,
    /// It belongs to nobody, or to somebody who manages nothing.
    Owner,
    /// The store cannot tell.
    Store(AdminError),
}

impl From<AdminError> for Unfit {
    fn from(error: AdminError) -> Self {
        Self::Store(error)
    }
}

/// The key with this secret, if it manages. `by` is whoever looks on behalf of the listener: an operator.
///
/// # Errors
/// [`Unfit`].
pub async fn of_secret(
    by: &Administration,
    secret: &[u8],
    address: Option<IpAddr>,
    now: Timestamp,
) -> Result<ManagingKey, Unfit> {
    let mut work = by.look().await?;
    let digest = KeyDigest::of(secret);
    let taken = work.transaction.taken(&[], &[digest]).await.map_err(AdminError::from)?;
    let Some((_, id)) = taken.digests.first() else { return Err(Unfit::Unknown) };
    let key = work.transaction.key(id).await.map_err(AdminError::from)?.ok_or(Unfit::Unknown)?;
    let is_current = key.digest == digest
        || key.previous.as_ref().is_some_and(|previous| previous.digest == digest && now < previous.until);
    if !is_current {
        return Err(Unfit::Unknown);
    }
    let owner = work.owner(&key).await?;
    fit(OwnedKey { key, owner }, address, now)
}

/// The key `id`, if it still manages.
///
/// # Errors
/// [`Unfit`].
pub async fn of_id(
    by: &Administration,
    id: &KeyId,
    address: Option<IpAddr>,
    now: Timestamp,
) -> Result<ManagingKey, Unfit> {
    let mut work = by.look().await?;
    let key = work.transaction.key(id).await.map_err(AdminError::from)?.ok_or(Unfit::Unknown)?;
    let owner = work.owner(&key).await?;
    fit(OwnedKey { key, owner }, address, now)
}

fn fit(owned: OwnedKey, address: Option<IpAddr>, now: Timestamp) -> Result<ManagingKey, Unfit> {
    let OwnedKey { key, owner } = owned;
    match key.status(now, owner.as_ref()) {
        KeyStatus::Active => {}
        status @ (KeyStatus::NotYetValid
        | KeyStatus::Expired
        | KeyStatus::Revoked
        | KeyStatus::OwnerDisabled) => return Err(Unfit::Ended(status)),
    }
    if !is_used_from(&key, address) {
        return Err(Unfit::Address);
    }
    if !key.scopes.iter().any(|scope| scope == MANAGE) {
        return Err(Unfit::Scope);
    }
    let person = owner.filter(|owner| owner.role.manages()).ok_or(Unfit::Owner)?;
    Ok(ManagingKey { key: key.id, person })
}

/// A Unix socket has no address: it is within no network.
fn is_used_from(key: &KeyRecord, address: Option<IpAddr>) -> bool {
    key.addresses.is_empty()
        || address.is_some_and(|address| key.addresses.iter().any(|network| network.contains(&address)))
}
