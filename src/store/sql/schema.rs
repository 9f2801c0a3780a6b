//! The tables: which version of them there is, and how they are brought up to date. Only [`migrate`] changes them.

use std::time::Duration;

use super::{
    connection::{Connection, Driver, Statement},
    failure,
    session::{Sessions, create_sqlite_file},
};
use crate::store::{contract::StoreError, database_url::DatabaseUrl};

/// A step from one version of the tables to the next.
struct Migration {
    name: &'static str,
    /// In the words of PostgreSQL; see the head of the first.
    statements: &'static str,
}

/// In their order; the first makes version 1. What was released is never altered.
const MIGRATIONS: &[Migration] = &[
    Migration { name: "0001_tables", statements: include_str!("migrations/0001_tables.sql") },
    Migration { name: "0002_console", statements: include_str!("migrations/0002_console.sql") },
    Migration { name: "0003_limits", statements: include_str!("migrations/0003_limits.sql") },
];

/// How long all migrations may take.
const PATIENCE: Duration = Duration::from_mins(10);

const VERSION: &str = "SELECT coalesce(max(version), 0) FROM schema_version";

/// What [`migrate`] found and did: the names of migrations in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationReport {
    /// What was there before.
    pub present: Vec<&'static str>,
    /// What was applied now.
    pub applied: Vec<&'static str>,
    /// What would be applied, were this no dry run.
    pub pending: Vec<&'static str>,
}

/// Brings the tables of a database up to date, and makes the file of an SQLite database that is not there. All is done
/// or nothing; of several that do it at once, one does it and the others find it done.
///
/// # Errors
/// [`StoreError::WrongSchema`] where a newer Keygate made the tables; [`StoreError::NotPermitted`] where the role may
/// not make tables.
pub async fn migrate(url: &DatabaseUrl, dry_run: bool) -> Result<MigrationReport, StoreError> {
    if let DatabaseUrl::Sqlite(path) = url {
        if dry_run && !path.exists() {
            return Ok(report(0, true));
        }
        create_sqlite_file(path)?;
    }
    let mut connection = Sessions::new(url)?.connect_to_any_schema().await?;
    connection.batch(begin(&connection.driver, dry_run), PATIENCE).await?;
    let version = found(&mut connection).await?;
    let report = report(version, dry_run);
    if report.applied.is_empty() {
        connection.batch("ROLLBACK", PATIENCE).await?;
    } else {
        apply(&mut connection, version).await?;
        connection.batch("COMMIT", PATIENCE).await?;
    }
    Ok(report)
}

/// Whether the tables are those that this version knows.
pub(super) async fn check(connection: &mut Connection) -> Result<(), StoreError> {
    connection.batch("BEGIN", super::connection::PATIENCE).await?;
    let version = match connection.first(VERSION, Vec::new()).await? {
        Some(row) => row.get(0)?,
        None => 0,
    };
    connection.batch("ROLLBACK", super::connection::PATIENCE).await?;
    if is_known(&connection.name, version)? < MIGRATIONS.len() {
        return Err(failure::no_tables(&connection.name));
    }
    Ok(())
}

fn begin(driver: &Driver, dry_run: bool) -> &'static str {
    match driver {
        Driver::Sqlite(_) if dry_run => "BEGIN",
        Driver::Sqlite(_) => "BEGIN IMMEDIATE",
        Driver::Postgres(_) if dry_run => "BEGIN READ ONLY",
        // The number is that of this lock alone: the word keygate in ASCII.
        Driver::Postgres(_) => "BEGIN; SELECT pg_advisory_xact_lock(30226701410530405)",
    }
}

/// How many migrations were applied before.
async fn found(connection: &mut Connection) -> Result<usize, StoreError> {
    let table = match connection.driver {
        Driver::Postgres(_) => {
            "SELECT count(*) FROM pg_tables WHERE tablename = 'schema_version' AND schemaname = current_schema()"
        }
        Driver::Sqlite(_) => {
            "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'schema_version'"
        }
    };
    let has_table = connection.first(table, Vec::new()).await?.map_or(Ok(0), |row| row.get::<i64>(0))? > 0;
    if !has_table {
        return Ok(0);
    }
    let version = connection.first(VERSION, Vec::new()).await?.map_or(Ok(0), |row| row.get(0))?;
    is_known(&connection.name, version)
}

fn is_known(name: &str, version: i64) -> Result<usize, StoreError> {
    usize::try_from(version).ok().filter(|version| *version <= MIGRATIONS.len()).ok_or_else(|| {
        StoreError::WrongSchema(format!(
            "{name}: its tables are of version {version}, and this Keygate knows version {} at most: run a newer one",
            MIGRATIONS.len()
        ))
    })
}

fn report(version: usize, dry_run: bool) -> MigrationReport {
    let names = |migrations: &[Migration]| migrations.iter().map(|migration| migration.name).collect();
    let (present, missing) = MIGRATIONS.split_at(version);
    let (applied, pending) = if dry_run { (&[][..], missing) } else { (missing, &[][..]) };
    MigrationReport { present: names(present), applied: names(applied), pending: names(pending) }
}

async fn apply(connection: &mut Connection, version: usize) -> Result<(), StoreError> {
    connection
        .batch(
            "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY, name TEXT NOT NULL)",
            PATIENCE,
        )
        .await?;
    for (number, migration) in (1_u64..).zip(MIGRATIONS).skip(version) {
        connection.batch(in_words_of(&connection.driver, migration.statements), PATIENCE).await?;
        connection
            .execute(
                "INSERT INTO schema_version (version, name) VALUES ($1, $2)",
                vec![number.into(), migration.name.into()],
            )
            .await?;
    }
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|error| StoreError::Failed(format!("the operating system gives no randomness: {error}")))?;
    let instance = uuid::Builder::from_random_bytes(random).into_uuid();
    connection
        .execute(
            "INSERT INTO head (one, instance, revision, committed_at) VALUES (1, $1, 0, 0) ON CONFLICT DO NOTHING",
            vec![instance.to_string().into()],
        )
        .await?;
    Ok(())
}

fn in_words_of(driver: &Driver, statements: &'static str) -> Statement {
    match driver {
        Driver::Postgres(_) => statements.into(),
        Driver::Sqlite(_) => {
            statements.replace("BYTEA", "BLOB").replace(" COLLATE \"C\"", "").replace("UNLOGGED ", "").into()
        }
    }
}
