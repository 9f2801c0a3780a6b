//! What went wrong with a database, and what to do about it. A password is in none of these messages: the drivers'
//! own say nothing of it, and what could not be read of a URL is not repeated.

use sqlx::error::DatabaseError;

use super::connection::PATIENCE;
use crate::store::contract::StoreError;

/// The database called `name` did not answer in time.
pub(super) fn late(name: &str) -> StoreError {
    StoreError::Unavailable(format!("{name}: no answer within {} s", PATIENCE.as_secs()))
}

/// What the driver said of the database called `name`.
pub(super) fn of(name: &str, error: &sqlx::Error) -> StoreError {
    if let sqlx::Error::Database(error) = error {
        let code = error.code().unwrap_or_default();
        return if error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
            of_postgres(name, &code, error.as_ref())
        } else {
            of_sqlite(name, &code, error.as_ref())
        };
    }
    match error {
        sqlx::Error::Io(error) => StoreError::Unavailable(format!("{name}: {error}")),
        sqlx::Error::Tls(error) => {
            StoreError::Unavailable(format!("{name}: {error}; see sslmode and sslrootcert in its URL"))
        }
        sqlx::Error::WorkerCrashed | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
            StoreError::Unavailable(format!("{name}: the connection was lost"))
        }
        error => StoreError::Failed(format!("{name}: {error}")),
    }
}

/// By SQLSTATE (PostgreSQL 15, appendix A).
fn of_postgres(name: &str, code: &str, error: &dyn DatabaseError) -> StoreError {
    let said = error.message();
    match code {
        "42P01" | "42703" | "3F000" => no_tables(name),
        "42501" => StoreError::NotPermitted(format!(
            "{name}: {said}; this role may not do that: see deploy/postgres/roles.sql"
        )),
        "23505" => StoreError::Refused(vec![format!("{name}: {said}")]),
        "28P01" | "28000" => StoreError::NotPermitted(format!("{name}: {said}")),
        "3D000" => StoreError::Failed(format!("{name}: {said}; make it with createdb")),
        "25006" => {
            StoreError::Unavailable(format!("{name}: {said}; this is a standby: name the primary instead"))
        }
        "53100" => StoreError::Unavailable(format!("{name}: {said}; make room on its disk")),
        "53300" => {
            StoreError::Unavailable(format!("{name}: {said}; raise max_connections or put a pooler between"))
        }
        "55P03" => {
            StoreError::Unavailable(format!("{name}: another change is being made and did not end in time"))
        }
        "40001" | "40P01" | "57014" => StoreError::Unavailable(format!("{name}: {said}; try again")),
        code if ["08", "25", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => {
            StoreError::Unavailable(format!("{name}: {said}"))
        }
        _ => StoreError::Failed(format!("{name}: {said}")),
    }
}

/// Whether SQLite says that another process holds its file.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| matches!(code & 0xff, 5 | 6))
}

/// By result code (<https://sqlite.org/rescode.html>), of which the lower eight bits are the kind.
fn of_sqlite(name: &str, code: &str, error: &dyn DatabaseError) -> StoreError {
    let said = error.message();
    match code.parse::<u32>().unwrap_or(0) & 0xff {
        1 if said.starts_with("no such table") || said.starts_with("no such column") => no_tables(name),
        5 | 6 => StoreError::Unavailable(format!("{name}: another process is writing to it; try again")),
        8 => StoreError::NotPermitted(format!("{name}: {said}; it and its folder must be writable")),
        10 => StoreError::Unavailable(format!("{name}: {said}; see whether its disk is sound")),
        13 => StoreError::Unavailable(format!("{name}: {said}; make room on its disk")),
        14 => {
            StoreError::Unavailable(format!("{name}: {said}; it and its folder must exist and be readable"))
        }
        11 | 26 => StoreError::Failed(format!("{name}: {said}; restore it from a backup")),
        19 => StoreError::Refused(vec![format!("{name}: {said}")]),
        _ => StoreError::Failed(format!("{name}: {said}")),
    }
}

/// The tables are missing or others.
pub(super) fn no_tables(name: &str) -> StoreError {
    StoreError::WrongSchema(format!(
        "{name}: there are no tables of Keygate, or older ones: run keygate migrate"
    ))
}
