//! Where a database is: `sqlite:PATH` or `postgres://…`. What is shown of it never holds a password.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr as _,
};

use sqlx::postgres::PgConnectOptions;

const UNKNOWN_KIND: &str = "this is no database that is known, which are those of SQLite and PostgreSQL; write sqlite:PATH \
                            or postgres://USER:PASSWORD@HOST/DATABASE";

const NO_POSTGRES_URL: &str = "this is no URL of PostgreSQL; write \
                               postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full, with % for special \
                               characters in the password: %40 for @, %2F for /, %3F for ?, %23 for #, %25 for %";

const LOOSE_AT: &str = "an @ stands behind the first /, ? or #, as where one of these is in a password; write them \
                        there as %40 for @, %2F for /, %3F for ?, %23 for #, %25 for %";

/// Where a database is.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A file of SQLite.
    Sqlite(PathBuf),
    /// A PostgreSQL database.
    Postgres(PostgresUrl),
}

/// Where a PostgreSQL database is, and how to sign in there.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    text: Box<str>,
    shown: Box<str>,
}

impl DatabaseUrl {
    /// The database that `text` names.
    ///
    /// # Errors
    /// What is wrong, then `"; "` and what would be right. Nothing of `text` is shown: it may hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("sqlite", path)) => sqlite(path),
            Some(("postgres" | "postgresql", _)) => PostgresUrl::parse(text).map(Self::Postgres),
            Some(_) | None => Err(UNKNOWN_KIND.to_owned()),
        }
    }

    /// The same database, where a relative path begins at `folder`.
    pub fn within(self, folder: &Path) -> Self {
        match self {
            Self::Sqlite(path) => Self::Sqlite(folder.join(path)),
            Self::Postgres(_) => self,
        }
    }
}

fn sqlite(path: &str) -> Result<DatabaseUrl, String> {
    if path.is_empty() || path.starts_with("//") || path.contains(['\0', '?']) || path == ":memory:" {
        return Err(
            "this is no path of a database; write sqlite:keygate.db or sqlite:/var/lib/keygate/keygate.db"
                .to_owned(),
        );
    }
    Ok(DatabaseUrl::Sqlite(PathBuf::from(path)))
}

impl PostgresUrl {
    /// The database that `text` names.
    ///
    /// # Errors
    /// As [`DatabaseUrl::parse`].
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((_, behind_scheme)) = text.split_once("://") else { return Err(NO_POSTGRES_URL.to_owned()) };
        // The rest of the password would be taken for the name of the database, and shown.
        if behind_scheme.find(['/', '?', '#']).is_some_and(|end| behind_scheme[end..].contains('@')) {
            return Err(LOOSE_AT.to_owned());
        }
        // The cause may quote a part of the password: it is not told.
        let options = PgConnectOptions::from_str(text).map_err(|_| NO_POSTGRES_URL.to_owned())?;
        let database = options.get_database().unwrap_or_else(|| options.get_username());
        let host = options.get_socket().map_or_else(
            || format!("{}:{}", options.get_host(), options.get_port()),
            |socket| socket.display().to_string(),
        );
        Ok(Self { text: text.into(), shown: format!("postgres://{host}/{database}").into() })
    }

    /// As it was written, with the password: for the driver alone.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(formatter, "sqlite:{}", path.display()),
            Self::Postgres(url) => url.fmt(formatter),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DatabaseUrl({self})")
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.shown)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PostgresUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_shown_without_password() {
        for (text, shown) in [
            ("sqlite:keygate.db", "sqlite:keygate.db"),
            ("sqlite:/var/lib/k.db", "sqlite:/var/lib/k.db"),
            (
                "postgres://ada:s3cret@db.internal/keygate?sslmode=verify-full",
                "postgres://db.internal:5432/keygate",
            ),
            ("postgresql://ada:s3cret@[::1]:5433/k", "postgres://[::1]:5433/k"),
        ] {
            let url = DatabaseUrl::parse(text).unwrap();
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("s3cret"));
        }
        for wrong in [
            "",
            "sqlite:",
            "sqlite::memory:",
            "sqlite:///x",
            "mysql://x",
            "keys.yaml",
            "postgres://ada:s3cret@host:port/x",
            "postgres://h/d?sslmode=maybe-s3cret",
            "postgres://ada:p@s3cret/w@127.0.0.1/keygate",
            "postgres://ada:5432/s3cret@127.0.0.1/keygate",
            "postgres://ada:5432?s3cret@127.0.0.1/keygate",
            "postgres://ada:5432#s3cret@127.0.0.1/keygate",
            "postgres:///ada:s3cret@127.0.0.1/keygate",
            "postgres:ada:s3cret@127.0.0.1/keygate",
            "postgres:/ada:s3cret@127.0.0.1/keygate",
        ] {
            let problem = DatabaseUrl::parse(wrong).unwrap_err();
            assert!(problem.contains("; ") && !problem.contains("s3cret"), "{wrong}: {problem}");
            if wrong.ends_with("@127.0.0.1/keygate") {
                assert!(problem.contains("%40 for @"), "{wrong}: {problem}");
            }
        }
    }
}
