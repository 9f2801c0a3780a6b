//! Keys that manage: a key that carries `keygate:manage`, and whose owner is owner or admin, speaks to the admin API and
//! signs in for that person, within the key's own projects. Which key does is decided here alone, by [`judge`].

use std::net::IpAddr;

use jiff::Timestamp;

use super::actor::Actor;
use crate::{
    keys::{
        digest::KeyDigest,
        network::any_contains,
        record::{KeyId, KeyRecord, KeyStatus, Person},
    },
    policy::scope::MANAGE,
    store::contract::{OwnedKey, StoreError, Transaction},
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// It does not work now.
    Ended(KeyStatus),
    /// It may not be used from that address.
    Address,
    /// It does not carry the scope.
    Scope,
    /// It belongs to nobody, or to somebody who manages nothing.
    Owner,
}

/// No key has this secret now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoKey {
    /// The key whose secret it was before a rotation, if there is one.
    pub was_of: Option<KeyId>,
}

/// The key whose secret has this digest and is good at `now`.
///
/// # Errors
/// Where the store cannot be read; within, [`NoKey`].
pub async fn with_secret(
    transaction: &mut dyn Transaction,
    digest: KeyDigest,
    now: Timestamp,
) -> Result<Result<OwnedKey, NoKey>, StoreError> {
    let taken = transaction.taken(&[], &[digest]).await?;
    let Some((_, id)) = taken.digests.first() else { return Ok(Err(NoKey { was_of: None })) };
    let Some(found) = owned(transaction, id).await? else { return Ok(Err(NoKey { was_of: None })) };
    let is_good = secrets(&found.key, now).any(|good| good == digest);
    Ok(if is_good { Ok(found) } else { Err(NoKey { was_of: Some(found.key.id) }) })
}

/// The key `id` with its owner.
///
/// # Errors
/// Where the store cannot be read.
pub async fn owned(transaction: &mut dyn Transaction, id: &KeyId) -> Result<Option<OwnedKey>, StoreError> {
    let Some(key) = transaction.key(id).await? else { return Ok(None) };
    let owner = match &key.owner {
        Some(owner) => transaction.person(owner).await?,
        None => None,
    };
    Ok(Some(OwnedKey { key, owner }))
}

/// The digests of the secrets of `key` that are good at `now`.
pub fn secrets(key: &KeyRecord, now: Timestamp) -> impl Iterator<Item = KeyDigest> {
    let previous = key.previous.as_ref().filter(|previous| now < previous.until);
    [Some(key.digest), previous.map(|previous| previous.digest)].into_iter().flatten()
}

/// Whether `key` of `owner` manages at `now` from `address`; `None` is a Unix socket. That
/// whoever shows the key knows its secret is for the caller to see: [`with_secret`], [`secrets`].
///
/// # Errors
/// The first of [`Unfit`], in that order.
pub fn judge(
    key: &KeyRecord,
    owner: Option<&Person>,
    address: Option<IpAddr>,
    now: Timestamp,
) -> Result<ManagingKey, Unfit> {
    match key.status(now, owner) {
        KeyStatus::Active => {}
        status @ (KeyStatus::NotYetValid
        | KeyStatus::Expired
        | KeyStatus::Revoked
        | KeyStatus::OwnerDisabled) => return Err(Unfit::Ended(status)),
    }
    if !is_used_from(key, address) {
        return Err(Unfit::Address);
    }
    if !key.is_granted(MANAGE) {
        return Err(Unfit::Scope);
    }
    let person = owner.filter(|owner| owner.role.manages()).ok_or(Unfit::Owner)?;
    Ok(ManagingKey { key: key.id, person: person.clone() })
}

/// A Unix socket has no address: it is within no network.
fn is_used_from(key: &KeyRecord, address: Option<IpAddr>) -> bool {
    key.addresses.is_empty() || address.is_some_and(|address| any_contains(&key.addresses, address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        keys::record::{Email, PersonId, PreviousSecret, Revocation},
        policy::{principal::Role, project::ProjectSet},
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ada(role: Role) -> Person {
        Person {
            id: PersonId::parse("ada").unwrap(),
            email: Email::parse("ada@example.com").unwrap(),
            name: None,
            organization: None,
            role,
            projects: ProjectSet::All,
            disabled: false,
        }
    }

    fn key(granted: &[&str], owner: Option<&Person>) -> KeyRecord {
        KeyRecord {
            scopes: granted.iter().map(ToString::to_string).collect(),
            owner: owner.map(|owner| owner.id.clone()),
            ..KeyRecord::new(KeyId::parse("k1").unwrap(), KeyDigest::of(b"s1"))
        }
    }

    #[test]
    fn owners_and_admins_manage_by_keys_that_carry_the_scope() {
        let cases = [
            (Some(Role::Owner), &[MANAGE][..], Ok(())),
            (Some(Role::Admin), &[MANAGE], Ok(())),
            (Some(Role::Member), &[MANAGE], Err(Unfit::Owner)),
            (Some(Role::Viewer), &[MANAGE], Err(Unfit::Owner)),
            (None, &[MANAGE], Err(Unfit::Owner)),
            (Some(Role::Owner), &[MANAGE, "read"], Ok(())),
            (Some(Role::Owner), &["admin"], Err(Unfit::Scope)),
            (None, &["admin"], Err(Unfit::Scope)),
        ];
        for (role, granted, expected) in cases {
            let owner = role.map(ada);
            let key = key(granted, owner.as_ref());
            let expected = expected.map(|()| ManagingKey { key: key.id, person: owner.clone().unwrap() });
            assert_eq!(judge(&key, owner.as_ref(), None, at(1)), expected, "{role:?} {granted:?}");
        }
    }

    #[test]
    fn the_first_reason_is_told() {
        let owner = ada(Role::Owner);
        let good = || key(&[MANAGE], Some(&owner));
        let judged = |key: &KeyRecord, owner: &Person| judge(key, Some(owner), None, at(5)).map(drop);
        let mut key = good();
        (key.not_before, key.expires_at) = (Some(at(5)), Some(at(6)));
        assert_eq!(judged(&key, &owner), Ok(()));
        // What is wrong is added from the last reason to the first.
        let mut owner = ada(Role::Member);
        assert_eq!(judged(&key, &owner), Err(Unfit::Owner));
        key.scopes.clear();
        assert_eq!(judged(&key, &owner), Err(Unfit::Scope));
        key.addresses = vec!["192.0.2.0/24".parse().unwrap()];
        assert_eq!(judged(&key, &owner), Err(Unfit::Address));
        owner.disabled = true;
        assert_eq!(judged(&key, &owner), Err(Unfit::Ended(KeyStatus::OwnerDisabled)));
        key.not_before = Some(at(6));
        assert_eq!(judged(&key, &owner), Err(Unfit::Ended(KeyStatus::NotYetValid)));
        key.expires_at = Some(at(5));
        assert_eq!(judged(&key, &owner), Err(Unfit::Ended(KeyStatus::Expired)));
        key.revoked = Some(Revocation { at: at(1), by: None, reason: None });
        assert_eq!(judged(&key, &owner), Err(Unfit::Ended(KeyStatus::Revoked)));
    }

    #[test]
    fn a_key_manages_from_its_own_networks() {
        let owner = ada(Role::Owner);
        let cases = [
            (&[][..], None, true),
            (&[], Some("192.0.2.7"), true),
            (&["192.0.2.0/24"], None, false),
            (&["192.0.2.0/24"], Some("192.0.2.7"), true),
            (&["192.0.2.0/24"], Some("192.0.3.7"), false),
            (&["192.0.2.0/24", "2001:db8::/32"], Some("2001:db8::7"), true),
            (&["::ffff:192.0.2.0/120"], Some("192.0.2.7"), true),
            (&["::ffff:192.0.2.0/120"], Some("192.0.3.7"), false),
            (&["192.0.2.0/24"], Some("::ffff:192.0.2.7"), true),
        ];
        for (networks, address, is_here) in cases {
            let mut key = key(&[MANAGE], Some(&owner));
            key.addresses = networks.iter().map(|network| network.parse().unwrap()).collect();
            let address = address.map(|address| address.parse().unwrap());
            let judged = judge(&key, Some(&owner), address, at(1)).map(drop);
            let expected = if is_here { Ok(()) } else { Err(Unfit::Address) };
            assert_eq!(judged, expected, "{networks:?} {address:?}");
        }
    }

    #[test]
    fn the_secret_before_a_rotation_is_good_for_a_while() {
        let mut key = key(&[MANAGE], None);
        let (current, previous) = (key.digest, KeyDigest::of(b"s0"));
        key.previous = Some(PreviousSecret { digest: previous, until: at(5) });
        assert_eq!(secrets(&key, at(4)).collect::<Vec<_>>(), [current, previous]);
        assert_eq!(secrets(&key, at(5)).collect::<Vec<_>>(), [current]);
    }
}
