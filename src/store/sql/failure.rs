//! What went wrong with a database, and what to do about it. A password is in none of these messages: the drivers'
//! own say nothing of it, and what could not be read of a URL is not repeated.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use sqlx::error::DatabaseError;

use super::connection::PATIENCE;
use crate::{store::contract::StoreError, telemetry::operator::Operator};

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
        "28P01" => StoreError::NotPermitted(format!(
            "{name}: {said}; see user and password of its URL, and deploy/postgres/roles.sql, which makes the roles"
        )),
        "28000" => StoreError::NotPermitted(format!(
            "{name}: {said}; deploy/postgres/roles.sql makes the roles, and pg_hba.conf lets them in"
        )),
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
        8 => StoreError::NotPermitted(format!(
            "{name}: {said}; it and its folder must be writable{}",
            owner_of_sqlite(name)
        )),
        10 => StoreError::Unavailable(format!("{name}: {said}; see whether its disk is sound")),
        13 => StoreError::Unavailable(format!("{name}: {said}; make room on its disk")),
        14 => {
            let owner = owner_of_sqlite(name);
            StoreError::Unavailable(format!(
                "{name}: {said}; it and its folder must exist and be readable and writable{owner}"
            ))
        }
        11 | 26 => StoreError::Failed(format!("{name}: {said}; restore it from a backup")),
        19 => StoreError::Refused(vec![format!("{name}: {said}")]),
        _ => StoreError::Failed(format!("{name}: {said}")),
    }
}

/// Whose the file or else its folder is, where that is not the user of this process.
fn owner_of_sqlite(name: &str) -> String {
    let Some(path) = name.strip_prefix("sqlite:").map(Path::new) else { return String::new() };
    let own = rustix::process::geteuid().as_raw();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let owned = [(path, "it"), (folder, "its folder")].map(|(path, what)| {
        let owner = fs::metadata(path).ok()?.uid();
        (owner != own).then(|| format!("{what} belongs to {}", Operator::with_id(owner)))
    });
    let owned: Vec<_> = owned.into_iter().flatten().collect();
    if owned.is_empty() {
        return String::new();
    }
    format!(": {}, this runs as {}", owned.join(" and "), Operator::with_id(own))
}

/// The tables are missing or others.
pub(super) fn no_tables(name: &str) -> StoreError {
    StoreError::WrongSchema(format!(
        "{name}: there are no tables of Keygate, or older ones: run keygate migrate"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_user_is_told_with_both() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keygate.db");
        fs::write(&file, "").unwrap();
        let told = |path: &Path| owner_of_sqlite(&format!("sqlite:{}", path.display()));
        assert_eq!(told(&file), "");
        let own = Operator::with_id(rustix::process::geteuid().as_raw());
        // Only root can give a file away; everybody else finds one of root.
        let (path, owner) = match std::os::unix::fs::chown(&file, Some(54_321), None) {
            Ok(()) => (file.as_path(), "it belongs to uid 54321, this"),
            Err(_) => (Path::new("/etc/passwd"), "it belongs to root and its folder belongs to root, this"),
        };
        assert_eq!(told(path), format!(": {owner} runs as {own}"));
    }
}
