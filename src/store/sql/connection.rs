//! A connection to either kind of database, for statements that both understand: `$1` for parameters, values and rows
//! of a few types. Each statement is over within [`PATIENCE`], or the connection is not used again.

use std::{borrow::Cow, sync::Arc, time::Duration};

use futures_util::{Stream, TryStreamExt as _};
use sqlx::{
    AssertSqlSafe, Connection as _, Decode, Executor as _, Postgres, Row as _, Sqlite, Type,
    postgres::{PgConnection, PgRow},
    query::Query,
    sqlite::{SqliteConnection, SqliteRow},
};
use tokio::time::timeout;

use super::failure;
use crate::store::contract::StoreError;

/// How long a statement may take, or its next row.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// A statement's text. What a caller or user says is never part of it: that goes in [`Value`]s.
pub(super) type Statement = Cow<'static, str>;

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) driver: Driver,
    /// What operators call the database.
    pub(super) name: Arc<str>,
    /// Whether an answer is outstanding, or may be.
    pub(super) is_busy: bool,
}

/// What knows how to speak with the database.
#[derive(Debug)]
pub(super) enum Driver {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

/// A parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value<'v> {
    Bool(bool),
    Int(Option<i64>),
    Text(Option<Cow<'v, str>>),
    Bytes(Option<&'v [u8]>),
}

/// A row of an answer.
#[derive(Debug)]
pub(super) enum Row {
    Postgres(PgRow),
    Sqlite(SqliteRow),
}

impl Connection {
    /// Runs a statement and gives how many rows it touched.
    pub(super) async fn execute(
        &mut self,
        statement: impl Into<Statement>,
        values: Vec<Value<'_>>,
    ) -> Result<u64, StoreError> {
        let statement = statement.into();
        self.is_busy = true;
        let running = async {
            match &mut self.driver {
                Driver::Postgres(connection) => {
                    let touched = connection.execute(postgres_query(statement, values)).await?;
                    Ok(touched.rows_affected())
                }
                Driver::Sqlite(connection) => {
                    Ok(connection.execute(sqlite_query(statement, values)).await?.rows_affected())
                }
            }
        };
        let done = timeout(PATIENCE, running).await;
        self.ended(done)
    }

    /// Runs statements without parameters, separated by semicolons, in one exchange. Waits for `patience`.
    pub(super) async fn batch(
        &mut self,
        statements: impl Into<Statement>,
        patience: Duration,
    ) -> Result<(), StoreError> {
        let statements = sqlx::raw_sql(AssertSqlSafe(statements.into()));
        self.is_busy = true;
        let running = async {
            match &mut self.driver {
                Driver::Postgres(connection) => connection.execute(statements).await.map(drop),
                Driver::Sqlite(connection) => connection.execute(statements).await.map(drop),
            }
        };
        let done = timeout(patience, running).await;
        self.ended(done)
    }

    /// All rows of an answer that is known to be small.
    pub(super) async fn rows(
        &mut self,
        statement: impl Into<Statement>,
        values: Vec<Value<'_>>,
    ) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        let mut keep = |row| {
            rows.push(row);
            Ok(())
        };
        self.each(statement, values, PATIENCE, &mut keep).await?;
        Ok(rows)
    }

    /// The first row, if there is one.
    pub(super) async fn first(
        &mut self,
        statement: impl Into<Statement>,
        values: Vec<Value<'_>>,
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(statement, values).await?.into_iter().next())
    }

    /// Gives each row of an answer as it comes, of which none is waited for longer than `patience`.
    pub(super) async fn each(
        &mut self,
        statement: impl Into<Statement>,
        values: Vec<Value<'_>>,
        patience: Duration,
        take: &mut (dyn FnMut(Row) -> Result<(), StoreError> + Send),
    ) -> Result<(), StoreError> {
        let statement = statement.into();
        self.is_busy = true;
        let name = &self.name;
        match &mut self.driver {
            Driver::Postgres(connection) => {
                let rows = connection.fetch(postgres_query(statement, values)).map_ok(Row::Postgres);
                hand_over(name, rows, patience, take).await
            }
            Driver::Sqlite(connection) => {
                let rows = connection.fetch(sqlite_query(statement, values)).map_ok(Row::Sqlite);
                hand_over(name, rows, patience, take).await
            }
        }?;
        self.is_busy = false;
        Ok(())
    }

    /// How many rows of so many columns one statement puts or names. SQLite looks for each numbered parameter among all before
    /// it, so that it takes long over many.
    pub(super) fn rows_at_once(&self, columns: usize) -> usize {
        match self.driver {
            Driver::Postgres(_) => 9_000 / columns,
            Driver::Sqlite(_) => 720 / columns,
        }
    }

    /// Whether the other side answers, within `patience`.
    pub(super) async fn is_alive(&mut self, patience: Duration) -> bool {
        let answer = match &mut self.driver {
            Driver::Postgres(connection) => timeout(patience, connection.ping()).await,
            Driver::Sqlite(connection) => timeout(patience, connection.ping()).await,
        };
        matches!(answer, Ok(Ok(())))
    }

    /// A connection whose answer came, right or wrong, can be used again; the others cannot.
    fn ended<T>(
        &mut self,
        done: Result<Result<T, sqlx::Error>, tokio::time::error::Elapsed>,
    ) -> Result<T, StoreError> {
        let done = done.map_err(|_| failure::late(&self.name))?;
        self.is_busy = !matches!(done, Ok(_) | Err(sqlx::Error::Database(_)));
        done.map_err(|error| failure::of(&self.name, &error))
    }
}

async fn hand_over(
    name: &str,
    rows: impl Stream<Item = Result<Row, sqlx::Error>> + Send,
    patience: Duration,
    take: &mut (dyn FnMut(Row) -> Result<(), StoreError> + Send),
) -> Result<(), StoreError> {
    let mut rows = std::pin::pin!(rows);
    loop {
        let next = timeout(patience, rows.try_next()).await.map_err(|_| failure::late(name))?;
        match next.map_err(|error| failure::of(name, &error))? {
            Some(row) => take(row)?,
            None => return Ok(()),
        }
    }
}

/// Not kept prepared: behind a transaction pooler the next transaction may meet a server that does not know it.
fn postgres_query(
    statement: Statement,
    values: Vec<Value<'_>>,
) -> Query<'static, Postgres, sqlx::postgres::PgArguments> {
    let query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
    values.into_iter().fold(query, |query, value| match value {
        Value::Bool(value) => query.bind(value),
        Value::Int(value) => query.bind(value),
        Value::Text(value) => query.bind(value),
        Value::Bytes(value) => query.bind(value),
    })
}

fn sqlite_query(
    statement: Statement,
    values: Vec<Value<'_>>,
) -> Query<'static, Sqlite, sqlx::sqlite::SqliteArguments> {
    let query = sqlx::query(AssertSqlSafe(statement));
    values.into_iter().fold(query, |query, value| match value {
        Value::Bool(value) => query.bind(value),
        Value::Int(value) => query.bind(value),
        Value::Text(value) => query.bind(value.map(Cow::into_owned)),
        Value::Bytes(value) => query.bind(value.map(<[u8]>::to_vec)),
    })
}

impl Row {
    /// The value of a column, counted from 0.
    pub(super) fn get<'r, T>(&'r self, column: usize) -> Result<T, StoreError>
    where
        T: Decode<'r, Postgres> + Type<Postgres> + Decode<'r, Sqlite> + Type<Sqlite>,
    {
        match self {
            Self::Postgres(row) => row.try_get(column),
            Self::Sqlite(row) => row.try_get(column),
        }
        .map_err(|error| {
            StoreError::Failed(format!("the database holds another type than it should: {error}"))
        })
    }

    /// A number that is never negative.
    pub(super) fn number(&self, column: usize) -> Result<u64, StoreError> {
        Ok(u64::try_from(self.get::<i64>(column)?).unwrap_or(0))
    }
}

/// `($4, $5, $6)` for three parameters of which the first is the fourth.
pub(super) fn placeholders(first: usize, count: usize) -> String {
    let numbers: Vec<_> = (first..first + count).map(|number| format!("${number}")).collect();
    format!("({})", numbers.join(", "))
}

/// What stands behind `VALUES` for `rows` rows of `columns` columns.
pub(super) fn rows_of_placeholders(rows: usize, columns: usize) -> String {
    let rows: Vec<_> = (0..rows).map(|row| placeholders(row * columns + 1, columns)).collect();
    rows.join(", ")
}

macro_rules! value_from {
    ($($from:ty => $variant:ident($make:expr)),* $(,)?) => {
        $(impl<'v> From<$from> for Value<'v> {
            fn from(value: $from) -> Self {
                let make: fn($from) -> _ = $make;
                Self::$variant(make(value))
            }
        })*
    };
}

value_from! {
    bool => Bool(|value| value),
    i64 => Int(Some),
    Option<i64> => Int(|value| value),
    u64 => Int(|value| Some(i64::try_from(value).unwrap_or(i64::MAX))),
    &'v str => Text(|value| Some(value.into())),
    Option<&'v str> => Text(|value| value.map(Into::into)),
    String => Text(|value| Some(value.into())),
    Option<String> => Text(|value| value.map(Into::into)),
    &'v [u8] => Bytes(Some),
    Option<&'v [u8]> => Bytes(|value| value),
}
