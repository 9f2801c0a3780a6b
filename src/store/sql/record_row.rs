//! Records as rows, and rows as records. What is read is checked as strictly as a key file: a row that somebody wrote
//! by hand is refused with its id, never half understood.

use std::{collections::BTreeMap, fmt::Display};

use ipnet::IpNet;
use jiff::Timestamp;

use super::connection::{Connection, Row, Value};
use crate::{
    keys::{
        digest::KeyDigest,
        record::{
            Email, KeyId, KeyRecord, Name, Organization, OrganizationId, Person, PersonId, PlanName,
            PreviousSecret, Revocation, TextError,
        },
    },
    policy::{principal::Role, project::ProjectSet},
    store::contract::StoreError,
};

pub(super) const ORGANIZATION_COLUMNS: &str = "id, name, projects";
pub(super) const PERSON_COLUMNS: &str = "id, email, name, organization, role, projects, disabled";
pub(super) const KEY_COLUMNS: &str = "id, name, labels, organization, owner, digest, previous_digest, \
     previous_until, prefix, scopes, projects, created_at, not_before, expires_at, addresses, revoked_at, revoked_by, \
     revoked_reason, plan";
pub(super) const KEY_COLUMN_COUNT: usize = 19;

/// The values of [`ORGANIZATION_COLUMNS`].
pub(super) fn organization_values(organization: &Organization) -> Vec<Value<'_>> {
    vec![
        organization.id.as_str().into(),
        organization.name.as_ref().map(Name::as_str).into(),
        organization.projects.as_ref().map(|projects| json(projects)).into(),
    ]
}

/// The values of [`PERSON_COLUMNS`].
pub(super) fn person_values(person: &Person) -> Vec<Value<'_>> {
    vec![
        person.id.as_str().into(),
        person.email.as_str().into(),
        person.name.as_ref().map(Name::as_str).into(),
        person.organization.as_ref().map(OrganizationId::as_str).into(),
        person.role.as_str().into(),
        project_text(&person.projects).into(),
        person.disabled.into(),
    ]
}

/// The values of [`KEY_COLUMNS`].
pub(super) fn key_values(key: &KeyRecord) -> Vec<Value<'_>> {
    let previous = key.previous.as_ref();
    let revoked = key.revoked.as_ref();
    vec![
        key.id.as_str().into(),
        key.name.as_ref().map(Name::as_str).into(),
        label_text(&key.labels).into(),
        key.organization.as_ref().map(OrganizationId::as_str).into(),
        key.owner.as_ref().map(PersonId::as_str).into(),
        key.digest.as_bytes().as_slice().into(),
        previous.map(|previous| previous.digest.as_bytes().as_slice()).into(),
        previous.map(|previous| floor_us(previous.until)).into(),
        key.prefix.as_ref().map(Name::as_str).into(),
        json(&key.scopes).into(),
        project_text(&key.projects).into(),
        key.created_at.map(floor_us).into(),
        key.not_before.map(ceil_us).into(),
        key.expires_at.map(floor_us).into(),
        address_text(&key.addresses).into(),
        revoked.map(|revoked| floor_us(revoked.at)).into(),
        revoked.and_then(|revoked| revoked.by.as_ref()).map(Name::as_str).into(),
        revoked.and_then(|revoked| revoked.reason.as_ref()).map(Name::as_str).into(),
        key.plan.as_ref().map(PlanName::as_str).into(),
    ]
}

/// The record in a row of [`ORGANIZATION_COLUMNS`].
pub(super) fn organization(row: &Row) -> Result<Organization, StoreError> {
    let columns = Columns { row, first: 0, record: "organization" };
    Ok(Organization {
        id: columns.parsed(0, OrganizationId::parse)?,
        name: columns.optional(1, Name::parse)?,
        projects: columns.optional(2, strings)?,
    })
}

/// Every organization, by id.
pub(super) async fn organizations(connection: &mut Connection) -> Result<Vec<Organization>, StoreError> {
    let statement = format!("SELECT {ORGANIZATION_COLUMNS} FROM organizations ORDER BY id");
    connection.rows(statement, Vec::new()).await?.iter().map(organization).collect()
}

/// The record in a row of [`PERSON_COLUMNS`].
pub(super) fn person(row: &Row) -> Result<Person, StoreError> {
    person_from(row, 0)
}

/// The record in those columns of a row that begin at `first`.
pub(super) fn person_from(row: &Row, first: usize) -> Result<Person, StoreError> {
    let columns = Columns { row, first, record: "person" };
    Ok(Person {
        id: columns.parsed(0, PersonId::parse)?,
        email: columns.parsed(1, Email::parse)?,
        name: columns.optional(2, Name::parse)?,
        organization: columns.optional(3, OrganizationId::parse)?,
        role: columns.parsed(4, |name| Role::from_name(name).ok_or("there is no such role"))?,
        projects: columns.optional(5, strings)?.map_or(ProjectSet::All, ProjectSet::only),
        disabled: row.get(first + 6)?,
    })
}

/// The owner of a key, in the first column.
pub(super) fn owner(row: &Row) -> Result<PersonId, StoreError> {
    Columns { row, first: 0, record: "key" }.parsed(0, PersonId::parse)
}

/// The record in a row of [`KEY_COLUMNS`].
pub(super) fn key(row: &Row) -> Result<KeyRecord, StoreError> {
    let columns = Columns { row, first: 0, record: "key" };
    let previous = match columns.digest(6)? {
        Some(digest) => Some(PreviousSecret { digest, until: columns.required_instant(7)? }),
        None => None,
    };
    let revoked = match columns.instant(15)? {
        Some(at) => Some(Revocation {
            at,
            by: columns.optional(16, Name::parse)?,
            reason: columns.optional(17, Name::parse)?,
        }),
        None => None,
    };
    Ok(KeyRecord {
        id: columns.parsed(0, KeyId::parse)?,
        name: columns.optional(1, Name::parse)?,
        labels: columns.optional(2, labels)?.unwrap_or_default(),
        organization: columns.optional(3, OrganizationId::parse)?,
        owner: columns.optional(4, PersonId::parse)?,
        digest: columns.digest(5)?.ok_or_else(|| columns.wrong(5, &"there is no digest"))?,
        previous,
        prefix: columns.optional(8, Name::parse)?,
        scopes: columns.parsed(9, strings)?,
        projects: columns.optional(10, strings)?.map_or(ProjectSet::All, ProjectSet::only),
        created_at: columns.instant(11)?,
        not_before: columns.instant(12)?,
        expires_at: columns.instant(13)?,
        addresses: columns.optional(14, addresses)?.unwrap_or_default(),
        plan: columns.optional(18, PlanName::parse)?,
        revoked,
    })
}

/// A row, and what it holds.
struct Columns<'r> {
    row: &'r Row,
    /// The column of the row that the record begins with.
    first: usize,
    record: &'static str,
}

impl Columns<'_> {
    fn parsed<T, E: Display>(
        &self,
        column: usize,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<T, StoreError> {
        parse(self.row.get(self.first + column)?).map_err(|error| self.wrong(column, &error))
    }

    fn optional<T, E: Display>(
        &self,
        column: usize,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, StoreError> {
        let text: Option<&str> = self.row.get(self.first + column)?;
        text.map(parse).transpose().map_err(|error| self.wrong(column, &error))
    }

    fn digest(&self, column: usize) -> Result<Option<KeyDigest>, StoreError> {
        let bytes: Option<&[u8]> = self.row.get(self.first + column)?;
        bytes.map(digest).transpose().map_err(|error| self.wrong(column, &error))
    }

    fn instant(&self, column: usize) -> Result<Option<Timestamp>, StoreError> {
        let microseconds: Option<i64> = self.row.get(self.first + column)?;
        microseconds.map(Timestamp::from_microsecond).transpose().map_err(|error| self.wrong(column, &error))
    }

    fn required_instant(&self, column: usize) -> Result<Timestamp, StoreError> {
        self.instant(column)?.ok_or_else(|| self.wrong(column, &"there is no time"))
    }

    /// What is wrong; the value itself is not told, for it may be anything.
    fn wrong(&self, column: usize, error: &dyn Display) -> StoreError {
        let id = self.row.get::<&str>(self.first).unwrap_or("?");
        StoreError::Failed(format!(
            "the database holds a {} that makes no sense: {id:?}, column {}: {error}",
            self.record,
            column + 1
        ))
    }
}

/// 32 bytes.
pub(super) fn digest(bytes: &[u8]) -> Result<KeyDigest, &'static str> {
    bytes.try_into().map(KeyDigest::from_bytes).map_err(|_| "a digest has 32 bytes")
}

/// The instant of a column, or the nearest there is.
pub(super) fn instant(microseconds: i64) -> Timestamp {
    let limit = if microseconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_microsecond(microseconds).unwrap_or(limit)
}

/// Microseconds, rounded down: no end comes later than it was.
pub(super) fn floor_us(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond().div_euclid(1000)).unwrap_or(i64::MAX)
}

/// Microseconds, rounded up: no start comes earlier than it was.
fn ceil_us(at: Timestamp) -> i64 {
    i64::try_from(-(-at.as_nanosecond()).div_euclid(1000)).unwrap_or(i64::MAX)
}

fn json(strings: &[String]) -> String {
    serde_json::to_string(strings).unwrap_or_default()
}

fn project_text(projects: &ProjectSet) -> Option<String> {
    match projects {
        ProjectSet::All => None,
        ProjectSet::Only(ids) => serde_json::to_string(&**ids).ok(),
    }
}

fn label_text(labels: &BTreeMap<Name, Name>) -> Option<String> {
    let texts: BTreeMap<_, _> = labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    if texts.is_empty() { None } else { serde_json::to_string(&texts).ok() }
}

fn address_text(addresses: &[IpNet]) -> Option<String> {
    if addresses.is_empty() { None } else { serde_json::to_string(addresses).ok() }
}

fn strings(text: &str) -> Result<Vec<String>, serde_json::Error> {
    serde_json::from_str(text)
}

fn addresses(text: &str) -> Result<Vec<IpNet>, serde_json::Error> {
    serde_json::from_str(text)
}

fn labels(text: &str) -> Result<BTreeMap<Name, Name>, String> {
    let texts: BTreeMap<String, String> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let label = |(name, value): (String, String)| Ok((Name::parse(&name)?, Name::parse(&value)?));
    texts.into_iter().map(label).collect::<Result<_, TextError>>().map_err(|error| error.to_string())
}
