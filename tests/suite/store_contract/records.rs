//! Records to test with. Each number gives another one; the same number always the same.

use std::collections::BTreeMap;

use jiff::Timestamp;
use keygate::{
    keys::{
        digest::KeyDigest,
        record::{
            Email, KeyId, KeyRecord, Name, Organization, OrganizationId, Person, PersonId, PlanName,
            PreviousSecret, Revocation,
        },
    },
    policy::{principal::Role, project::ProjectSet},
    store::contract::{AuditRecord, Submission},
};

/// An instant that every store keeps as it is: seconds after a day in 2026.
pub(crate) fn instant(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_780_000_000 + seconds).unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(crate) fn email(text: &str) -> Email {
    Email::parse(text).unwrap()
}

pub(crate) fn key_id(number: usize) -> KeyId {
    KeyId::parse(&format!("key_{number:06}")).unwrap()
}

pub(crate) fn digest(text: &str) -> KeyDigest {
    KeyDigest::of(text.as_bytes())
}

/// A key with nothing but what it must have.
pub(crate) fn key(number: usize) -> KeyRecord {
    KeyRecord {
        scopes: vec!["read".to_owned()],
        projects: ProjectSet::All,
        ..KeyRecord::new(key_id(number), digest(&format!("secret {number}")))
    }
}

/// A key of Ada's with everything a key can have.
pub(crate) fn full_key(number: usize) -> KeyRecord {
    KeyRecord {
        name: Some(name("GitHub Actions \"staging\" 100 %")),
        labels: BTreeMap::from([(name("team"), name("ürün\\n")), (name("a b"), name("{}"))]),
        organization: Some(organization().id),
        owner: Some(ada().id),
        previous: Some(PreviousSecret { digest: digest(&format!("old {number}")), until: instant(3600) }),
        prefix: Some(name("kg_live_7Qd3")),
        scopes: vec!["write".to_owned(), "read".to_owned()],
        projects: ProjectSet::only(["alpha", "beta"]),
        created_at: Some(instant(0)),
        not_before: Some(instant(1)),
        expires_at: Some(instant(7200)),
        addresses: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
        plan: Some(PlanName::parse("gold.2").unwrap()),
        ..key(number)
    }
}

/// `key` with the secret `secret`, whose digest before stays good for an hour.
pub(crate) fn rotated(key: &KeyRecord, secret: &str) -> KeyRecord {
    let previous = Some(PreviousSecret { digest: key.digest, until: instant(3600) });
    KeyRecord { digest: digest(secret), previous, ..key.clone() }
}

pub(crate) fn organization() -> Organization {
    Organization {
        id: OrganizationId::default(),
        name: Some(name("Acme")),
        projects: Some(vec!["alpha".to_owned(), "beta".to_owned()]),
    }
}

pub(crate) fn ada() -> Person {
    Person {
        id: PersonId::parse("ada").unwrap(),
        email: Email::parse("ada@example.com").unwrap(),
        name: Some(name("Ada")),
        organization: Some(organization().id),
        role: Role::Admin,
        projects: ProjectSet::only(["alpha", "beta"]),
        disabled: false,
    }
}

pub(crate) fn revocation(seconds: i64) -> Revocation {
    Revocation { at: instant(seconds), by: Some(name("ada")), reason: Some(name("leaked")) }
}

/// What `actor` asks for under the name `key`.
pub(crate) fn submission(actor: &str, key: &str) -> Submission {
    Submission { actor: actor.to_owned(), key: key.to_owned(), request: [7; 32] }
}

pub(crate) fn audit(id: &str, what: &str) -> AuditRecord {
    AuditRecord {
        at: instant(0),
        revision: None,
        actor: "ada (uid 1000)".to_owned(),
        address: None,
        organization: None,
        command: "keys create".to_owned(),
        record: "key".to_owned(),
        id: id.to_owned(),
        what: what.to_owned(),
    }
}
