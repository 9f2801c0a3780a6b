//! Keys and people that are asked for, page by page, and how many there are.

use std::collections::HashMap;

use super::{
    connection::{Connection, Driver, Row, Value, placeholders},
    record_row::{self, KEY_COLUMN_COUNT, KEY_COLUMNS, PERSON_COLUMNS, floor_us},
    transaction::escaped,
};
use crate::{
    keys::record::{KeyStatus, Organization, OrganizationId, Person, PersonId},
    policy::plan::is_plan_name,
    store::{
        contract::{KeyQuery, KeyTally, OwnedKey, PersonQuery, StoreError},
        query::{Membership, SearchText},
    },
};

/// Of a key whose beginning is not known; as in the index `keys_newest`.
const CREATED: &str = "coalesce(keys.created_at, -1000000000000000000)";
const UNKNOWN_US: i64 = -1_000_000_000_000_000_000;

const KEYS_AND_OWNERS: &str = "keys LEFT JOIN people ON people.id = keys.owner";

/// See [`Transaction::keys_matching`](crate::store::contract::Transaction::keys_matching).
pub(super) async fn keys_matching(
    connection: &mut Connection,
    query: &KeyQuery,
    organizations: &[Organization],
) -> Result<Vec<OwnedKey>, StoreError> {
    let mut conditions = Conditions::of_keys(&connection.driver, query, organizations);
    if let Some(after) = query.after {
        let created = conditions.value(after.created_at.map_or(UNKNOWN_US, floor_us));
        let id = conditions.value(after.id.as_str().to_owned());
        conditions.clauses.push(format!("({CREATED}, keys.id) < ({created}, {id})"));
    }
    let limit = conditions.value(query.limit as u64);
    let statement = format!(
        "SELECT {}, {} FROM {KEYS_AND_OWNERS} WHERE {} ORDER BY {CREATED} DESC, keys.id DESC LIMIT {limit}",
        of_table("keys", KEY_COLUMNS),
        of_table("people", PERSON_COLUMNS),
        conditions.all()
    );
    connection.rows(statement, conditions.values).await?.iter().map(owned_key).collect()
}

fn owned_key(row: &Row) -> Result<OwnedKey, StoreError> {
    let has_owner = row.get::<Option<&str>>(KEY_COLUMN_COUNT)?.is_some();
    let owner = has_owner.then(|| record_row::person_from(row, KEY_COLUMN_COUNT)).transpose()?;
    Ok(OwnedKey { key: record_row::key(row)?, owner })
}

/// See [`Transaction::count_keys_matching`](crate::store::contract::Transaction::count_keys_matching).
pub(super) async fn count_keys_matching(
    connection: &mut Connection,
    query: &KeyQuery,
    at_most: u64,
    organizations: &[Organization],
) -> Result<u64, StoreError> {
    let mut conditions = Conditions::of_keys(&connection.driver, query, organizations);
    let at_most = conditions.value(at_most);
    let statement = format!(
        "SELECT count(*) FROM (SELECT 1 FROM {KEYS_AND_OWNERS} WHERE {} LIMIT {at_most}) AS admitted",
        conditions.all()
    );
    let row = connection.first(statement, conditions.values).await?;
    row.map_or(Ok(0), |row| row.number(0))
}

/// See [`Transaction::key_tally`](crate::store::contract::Transaction::key_tally).
pub(super) async fn key_tally(
    connection: &mut Connection,
    query: &KeyQuery,
    organizations: &[Organization],
) -> Result<KeyTally, StoreError> {
    let mut conditions = Conditions::of_keys(&connection.driver, query, organizations);
    let status = conditions.status(query);
    let with = |wanted: KeyStatus| format!("count(CASE WHEN status = '{}' THEN 1 END)", wanted.as_str());
    let statement = format!(
        "SELECT {}, {}, {}, {}, {} FROM (SELECT {status} AS status FROM {KEYS_AND_OWNERS} WHERE {}) AS admitted",
        with(KeyStatus::Active),
        with(KeyStatus::NotYetValid),
        with(KeyStatus::Expired),
        with(KeyStatus::Revoked),
        with(KeyStatus::OwnerDisabled),
        conditions.all()
    );
    let row = connection.first(statement, conditions.values).await?;
    row.map_or(Ok(KeyTally::default()), |row| {
        Ok(KeyTally {
            active: row.number(0)?,
            not_yet_valid: row.number(1)?,
            expired: row.number(2)?,
            revoked: row.number(3)?,
            owner_disabled: row.number(4)?,
        })
    })
}

/// See [`Transaction::people_matching`](crate::store::contract::Transaction::people_matching).
pub(super) async fn people_matching(
    connection: &mut Connection,
    query: &PersonQuery,
    organizations: &[Organization],
) -> Result<Vec<Person>, StoreError> {
    let mut conditions = Conditions::new(&connection.driver);
    conditions.member("people.organization", query.organization.as_ref(), organizations);
    conditions.text(query.text.as_deref(), &["people.id", "people.email", "people.name"]);
    if let Some(after) = &query.after {
        conditions.compare("people.id >", after.as_str());
    }
    let limit = conditions.value(query.limit as u64);
    let statement =
        format!("SELECT {PERSON_COLUMNS} FROM people WHERE {} ORDER BY id LIMIT {limit}", conditions.all());
    connection.rows(statement, conditions.values).await?.iter().map(record_row::person).collect()
}

/// See [`Transaction::key_counts`](crate::store::contract::Transaction::key_counts).
pub(super) async fn key_counts(
    connection: &mut Connection,
    owners: &[PersonId],
) -> Result<HashMap<PersonId, u64>, StoreError> {
    let mut counts = HashMap::new();
    let at_once = connection.rows_at_once(1);
    for owners in owners.chunks(at_once) {
        let list = placeholders(1, owners.len());
        let statement = format!("SELECT owner, count(*) FROM keys WHERE owner IN {list} GROUP BY owner");
        let values = owners.iter().map(|owner| owner.as_str().into()).collect();
        for row in connection.rows(statement, values).await? {
            counts.insert(record_row::owner(&row)?, row.number(1)?);
        }
    }
    Ok(counts)
}

/// See [`Transaction::people_with_email`](crate::store::contract::Transaction::people_with_email).
pub(super) async fn people_with_email(
    connection: &mut Connection,
    email: &str,
) -> Result<Vec<Person>, StoreError> {
    if email.contains('\0') {
        return Ok(Vec::new());
    }
    let statement = format!(
        "SELECT {PERSON_COLUMNS} FROM people WHERE {} = $1 ORDER BY id LIMIT 2",
        match connection.driver {
            Driver::Postgres(_) => "lower(email COLLATE \"C\")",
            Driver::Sqlite(_) => "lower(email)",
        }
    );
    let values = vec![email.to_ascii_lowercase().into()];
    connection.rows(statement, values).await?.iter().map(record_row::person).collect()
}

/// What a row must fulfil, and the parameters of the statement.
pub(super) struct Conditions<'q> {
    is_sqlite: bool,
    pub(super) clauses: Vec<String>,
    pub(super) values: Vec<Value<'q>>,
}

impl<'q> Conditions<'q> {
    pub(super) fn new(driver: &Driver) -> Self {
        let is_sqlite = matches!(driver, Driver::Sqlite(_));
        Self { is_sqlite, clauses: Vec::new(), values: Vec::new() }
    }

    /// Those of `query`, whatever its page.
    fn of_keys(driver: &Driver, query: &'q KeyQuery, organizations: &[Organization]) -> Self {
        let mut conditions = Self::new(driver);
        conditions.member_by_owner(query.organization.as_ref(), organizations);
        if let Some(owner) = &query.owner {
            conditions.compare("keys.owner =", PersonId::as_str(owner));
        }
        if let Some(project) = &query.project {
            conditions.project(project);
        }
        if let Some(plan) = &query.plan {
            conditions.plan(plan);
        }
        if let Some(status) = query.status {
            conditions.has_status(status, query);
        }
        conditions.text(query.text.as_deref(), &["keys.name", "keys.id", "keys.prefix", "keys.owner"]);
        conditions
    }

    /// All of them together.
    pub(super) fn all(&self) -> String {
        if self.clauses.is_empty() { "TRUE".to_owned() } else { self.clauses.join(" AND ") }
    }

    /// A parameter, as a statement names it.
    pub(super) fn value(&mut self, value: impl Into<Value<'q>>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    /// That `comparison`, as `id =`, holds for `value`.
    pub(super) fn compare<V: Into<Value<'q>>>(&mut self, comparison: &str, value: V) {
        let value = self.value(value);
        self.clauses.push(format!("{comparison} {value}"));
    }

    /// That a record whose organization is in `column` belongs to the one that is asked for.
    pub(super) fn member(
        &mut self,
        column: &str,
        wanted: Option<&OrganizationId>,
        organizations: &[Organization],
    ) {
        match Membership::new(wanted, organizations) {
            Membership::Any => {}
            Membership::Nobody => self.clauses.push("FALSE".to_owned()),
            Membership::Named(id) => self.compare(&format!("{column} ="), id.as_str().to_owned()),
            Membership::NamedOrUnnamed(id) => {
                let id = self.value(id.as_str().to_owned());
                self.clauses.push(format!("coalesce({column}, {id}) = {id}"));
            }
        }
    }

    /// As [`Conditions::member`] of a key: its own organization or else its owner's. Written so that PostgreSQL knows how
    /// many keys name one, and looks at the newest first.
    fn member_by_owner(&mut self, wanted: Option<&OrganizationId>, organizations: &[Organization]) {
        let (id, owners) = match Membership::new(wanted, organizations) {
            Membership::Any => return,
            Membership::Nobody => return self.clauses.push("FALSE".to_owned()),
            Membership::Named(id) => (self.value(id.as_str().to_owned()), "people.organization".to_owned()),
            Membership::NamedOrUnnamed(id) => {
                let id = self.value(id.as_str().to_owned());
                (id.clone(), format!("coalesce(people.organization, {id})"))
            }
        };
        let by_owner = format!("keys.organization IS NULL AND {owners} = {id}");
        self.clauses.push(format!("(keys.organization = {id} OR ({by_owner}))"));
    }

    /// That the key has this status, in the order of [`Conditions::status`].
    fn has_status(&mut self, status: KeyStatus, query: &KeyQuery) {
        let now = self.value(floor_us(query.now));
        let reasons = [
            (
                KeyStatus::Revoked,
                "keys.revoked_at IS NOT NULL".to_owned(),
                "keys.revoked_at IS NULL".to_owned(),
            ),
            (
                KeyStatus::Expired,
                format!("keys.expires_at <= {now}"),
                format!("(keys.expires_at IS NULL OR keys.expires_at > {now})"),
            ),
            (
                KeyStatus::NotYetValid,
                format!("keys.not_before > {now}"),
                format!("(keys.not_before IS NULL OR keys.not_before <= {now})"),
            ),
            (
                KeyStatus::OwnerDisabled,
                "people.disabled IS TRUE".to_owned(),
                "people.disabled IS NOT TRUE".to_owned(),
            ),
        ];
        for (reason, holds, holds_not) in reasons {
            if reason == status {
                return self.clauses.push(holds);
            }
            self.clauses.push(holds_not);
        }
    }

    /// That the key was given `plan`.
    fn plan(&mut self, plan: &'q str) {
        // What is no name may be something that a database does not take.
        if is_plan_name(plan) {
            self.compare("keys.plan =", plan);
        } else {
            self.clauses.push("FALSE".to_owned());
        }
    }

    /// That the key was granted `project`.
    fn project(&mut self, project: &'q str) {
        if project.contains('\0') {
            self.clauses.push("keys.projects IS NULL".to_owned());
            return;
        }
        let project = self.value(project);
        let is_listed = if self.is_sqlite {
            format!("{project} IN (SELECT value FROM json_each(keys.projects))")
        } else {
            format!("jsonb_exists(CAST(keys.projects AS jsonb), {project})")
        };
        self.clauses.push(format!("(keys.projects IS NULL OR {is_listed})"));
    }

    /// That `text`, if any, is in one of `columns`.
    fn text(&mut self, text: Option<&str>, columns: &[&str]) {
        let Some(text) = text else { return };
        if text.is_ascii() && !text.contains('\0') && !self.is_sqlite {
            return self.ascii_text(text, columns);
        }
        let Some(text) = SearchText::new(text) else {
            self.clauses.push("FALSE".to_owned());
            return;
        };
        let (pattern, operator) = if self.is_sqlite {
            (format!("*{}*", written(&text, GLOB)), "GLOB")
        } else {
            (written(&text, REGEX), "~")
        };
        let pattern = self.value(pattern);
        let is_in: Vec<_> = columns.iter().map(|column| format!("{column} {operator} {pattern}")).collect();
        self.clauses.push(format!("({})", is_in.join(" OR ")));
    }

    /// As [`Conditions::text`] in PostgreSQL, where this is six times as fast as a regular expression.
    fn ascii_text(&mut self, text: &str, columns: &[&str]) {
        let pattern = self.value(format!("%{}%", escaped(&text.to_ascii_lowercase())));
        let is_in = |column: &&str| format!("lower({column} COLLATE \"C\") LIKE {pattern} ESCAPE '!'");
        let is_in: Vec<_> = columns.iter().map(is_in).collect();
        self.clauses.push(format!("({})", is_in.join(" OR ")));
    }

    /// What [`KeyRecord::status`](crate::keys::record::KeyRecord::status) says at the instant of `query`.
    fn status(&mut self, query: &KeyQuery) -> String {
        let now = self.value(floor_us(query.now));
        format!(
            "CASE WHEN keys.revoked_at IS NOT NULL THEN '{}' WHEN keys.expires_at <= {now} THEN '{}' \
             WHEN keys.not_before > {now} THEN '{}' WHEN people.disabled THEN '{}' ELSE '{}' END",
            KeyStatus::Revoked.as_str(),
            KeyStatus::Expired.as_str(),
            KeyStatus::NotYetValid.as_str(),
            KeyStatus::OwnerDisabled.as_str(),
            KeyStatus::Active.as_str()
        )
    }
}

/// Characters that mean something in a pattern, and what takes their meaning away.
type Escapes = fn(char) -> Option<String>;

/// Of GLOB.
const GLOB: Escapes = |character| "*?[".contains(character).then(|| format!("[{character}]"));

/// Of regular expressions of PostgreSQL (section 9.7.3).
const REGEX: Escapes = |character| character.is_ascii_punctuation().then(|| format!("\\{character}"));

/// The pattern of a text: letters in brackets, in all their cases.
fn written(text: &SearchText, escapes: Escapes) -> String {
    let character = |cases: &[char; 3]| {
        let [itself, lower, upper] = *cases;
        match (lower == itself, upper == itself) {
            (true, true) => escapes(itself).unwrap_or_else(|| itself.to_string()),
            (true, false) | (false, true) => format!("[{lower}{upper}]"),
            (false, false) => format!("[{itself}{lower}{upper}]"),
        }
    };
    text.characters().iter().map(character).collect()
}

fn of_table(table: &str, columns: &str) -> String {
    let columns: Vec<_> = columns.split(", ").map(|column| format!("{table}.{column}")).collect();
    columns.join(", ")
}
