//! Connections that are kept for the next use, and transactions on them. Behind a transaction pooler every statement
//! must stand in a transaction, so nothing here runs outside of one.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::{
    ConnectOptions as _,
    postgres::PgConnectOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout},
};

use super::{
    connection::{Connection, Driver, PATIENCE},
    failure, schema,
};
use crate::store::{contract::StoreError, database_url::DatabaseUrl};

const CONNECTIONS_MAX: usize = 8;
/// How long it may take to connect.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);
/// How soon a file that another process holds is tried again.
const BUSY_PAUSE: Duration = Duration::from_millis(10);
/// How long a writer waits for the one before.
const WRITER_PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take until a change is on disk: SQLite moves a large one within its file.
const COMMIT_PATIENCE: Duration = Duration::from_mins(1);
/// How long a connection that was not used for a second may take to say that it lives.
const PING_PATIENCE: Duration = Duration::from_secs(1);
const UNUSED: Duration = Duration::from_secs(1);

/// Where sessions come from.
#[derive(Debug)]
pub(super) struct Sessions {
    name: Arc<str>,
    target: Target,
    room: Arc<Semaphore>,
    /// SQLite lets its writers retry without order; here they wait in a line.
    writer: Arc<Semaphore>,
    idle: Mutex<Vec<(Connection, Instant)>>,
    /// Device and number of the file of SQLite at the last look.
    file: Mutex<Option<(u64, u64)>>,
}

#[derive(Debug)]
enum Target {
    Postgres(Box<PgConnectOptions>),
    Sqlite(Box<SqliteConnectOptions>),
}

/// What a transaction is for, which says how it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// To look at one state of everything.
    Read,
    /// To change records: one after the other.
    Change,
    /// To write rows that have no revision.
    Note,
}

/// A connection within a transaction. Dropped, the transaction is rolled back.
#[derive(Debug)]
pub(super) struct Session {
    connection: Option<Connection>,
    sessions: Arc<Sessions>,
    commit_patience: Duration,
    _room: OwnedSemaphorePermit,
    _turn: Option<OwnedSemaphorePermit>,
}

impl Sessions {
    pub(super) fn new(url: &DatabaseUrl) -> Result<Self, StoreError> {
        Ok(Self {
            name: url.to_string().into(),
            target: Target::new(url)?,
            room: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            writer: Arc::new(Semaphore::new(1)),
            idle: Mutex::default(),
            file: Mutex::default(),
        })
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn is_sqlite(&self) -> bool {
        matches!(self.target, Target::Sqlite(_))
    }

    /// Begins a transaction.
    pub(super) async fn begin(self: &Arc<Self>, begin: Begin) -> Result<Session, StoreError> {
        let turn = match begin {
            Begin::Change | Begin::Note if self.is_sqlite() => {
                Some(self.wait_for(&self.writer, WRITER_PATIENCE).await?)
            }
            Begin::Read | Begin::Change | Begin::Note => None,
        };
        let room = self.wait_for(&self.room, PATIENCE).await?;
        let asked = Instant::now();
        let connection = match self.kept().await {
            Some(kept) => match begun(kept, begin).await {
                // It ended since its last use, and nothing was said on it yet.
                Err(StoreError::Unavailable(_)) if asked.elapsed() < UNUSED => {
                    self.idle().clear();
                    begun(self.connect().await?, begin).await?
                }
                opened => opened?,
            },
            None => begun(self.connect().await?, begin).await?,
        };
        let commit_patience = if begin == Begin::Change { COMMIT_PATIENCE } else { PATIENCE };
        let sessions = Arc::clone(self);
        Ok(Session { connection: Some(connection), sessions, commit_patience, _room: room, _turn: turn })
    }

    /// A connection whose schema is not looked at.
    pub(super) async fn connect_to_any_schema(&self) -> Result<Connection, StoreError> {
        let connecting = async {
            match &self.target {
                Target::Postgres(options) => options.connect().await.map(Driver::Postgres),
                Target::Sqlite(options) => loop {
                    match options.connect().await {
                        // Who makes a file a WAL database waits for nobody: of several at once all but one are told so.
                        Err(error) if failure::is_busy(&error) => sleep(BUSY_PAUSE).await,
                        connected => break connected.map(Driver::Sqlite),
                    }
                },
            }
        };
        let name = Arc::clone(&self.name);
        match timeout(CONNECT_PATIENCE, connecting).await {
            Ok(Ok(driver)) => Ok(Connection { driver, name, is_busy: false }),
            Ok(Err(error)) => Err(failure::of(&name, &error)),
            Err(_) => Err(StoreError::Unavailable(format!(
                "{name}: no connection within {} s",
                CONNECT_PATIENCE.as_secs()
            ))),
        }
    }

    async fn connect(&self) -> Result<Connection, StoreError> {
        if let Target::Sqlite(options) = &self.target
            && !options.get_filename().exists()
        {
            return Err(StoreError::WrongSchema(format!(
                "{}: there is no such database: make it with keygate migrate",
                self.name
            )));
        }
        let mut connection = self.connect_to_any_schema().await?;
        schema::check(&mut connection).await?;
        Ok(connection)
    }

    async fn wait_for(
        &self,
        semaphore: &Arc<Semaphore>,
        patience: Duration,
    ) -> Result<OwnedSemaphorePermit, StoreError> {
        match timeout(patience, Arc::clone(semaphore).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(StoreError::Unavailable(format!(
                "{}: others were using it for {} s",
                self.name,
                patience.as_secs()
            ))),
        }
    }

    /// A connection from before that still lives.
    async fn kept(&self) -> Option<Connection> {
        if self.was_replaced() {
            self.idle().clear();
            return None;
        }
        let (mut connection, used) = self.idle().pop()?;
        if used.elapsed() < UNUSED || connection.is_alive(PING_PATIENCE).await {
            return Some(connection);
        }
        // What ended this one has most likely ended the others.
        self.idle().clear();
        None
    }

    /// Whether the file of SQLite is another than the one that was opened, as after a backup was moved over it: what is
    /// open still would be a database that nobody else sees.
    fn was_replaced(&self) -> bool {
        let Target::Sqlite(options) = &self.target else { return false };
        let now = fs::metadata(options.get_filename()).ok().map(|file| (file.dev(), file.ino()));
        let before = std::mem::replace(&mut *self.file.lock().unwrap_or_else(PoisonError::into_inner), now);
        before.is_some() && before != now
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.idle();
        if idle.len() < CONNECTIONS_MAX {
            idle.push((connection, Instant::now()));
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<(Connection, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `connection` with a transaction begun on it.
async fn begun(mut connection: Connection, begin: Begin) -> Result<Connection, StoreError> {
    let statements = begin.statements(&connection.driver);
    connection.batch(statements, begin.patience()).await?;
    Ok(connection)
}

impl Target {
    fn new(url: &DatabaseUrl) -> Result<Self, StoreError> {
        match url {
            DatabaseUrl::Sqlite(path) => {
                let options = SqliteConnectOptions::new()
                    .filename(path)
                    .journal_mode(SqliteJournalMode::Wal)
                    // Without, a power cut may take back a revocation.
                    .synchronous(SqliteSynchronous::Full)
                    .foreign_keys(true)
                    .busy_timeout(WRITER_PATIENCE)
                    .disable_statement_logging();
                Ok(Self::Sqlite(Box::new(options)))
            }
            DatabaseUrl::Postgres(url) => Ok(Self::Postgres(Box::new(postgres_options(url.expose(), url)?))),
        }
    }
}

/// Options of a connection that also a transaction pooler understands.
pub(super) fn postgres_options(
    url: &str,
    shown: &dyn std::fmt::Display,
) -> Result<PgConnectOptions, StoreError> {
    let options: PgConnectOptions =
        url.parse().map_err(|_| StoreError::Failed(format!("{shown}: this is no URL of PostgreSQL")))?;
    let options = match options.get_application_name() {
        Some(_) => options,
        None => options.application_name("keygate"),
    };
    Ok(options.extra_float_digits(None).statement_cache_capacity(0).disable_statement_logging())
}

/// Makes the file of an SQLite database, which nobody else may read; what SQLite puts beside it is as private.
pub(super) fn create_sqlite_file(path: &Path) -> Result<(), StoreError> {
    let created = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match created {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(StoreError::Failed(format!("sqlite:{}: cannot be made: {error}", path.display()))),
    }
}

impl Begin {
    fn patience(self) -> Duration {
        match self {
            Self::Change => WRITER_PATIENCE,
            Self::Read | Self::Note => PATIENCE,
        }
    }

    /// A client that is gone without a word must not hold a lock for good, nor a statement a connection.
    fn statements(self, driver: &Driver) -> &'static str {
        match (driver, self) {
            (Driver::Postgres(_), Self::Read) => {
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = '10min'"
            }
            (Driver::Postgres(_), Self::Change) => {
                "BEGIN; SET LOCAL lock_timeout = '28s'; SET LOCAL statement_timeout = '29s'; \
                 SET LOCAL idle_in_transaction_session_timeout = '30s'; \
                 SELECT set_config('synchronous_commit', 'on', true) \
                 WHERE current_setting('synchronous_commit') = 'off'; \
                 SELECT revision FROM head FOR UPDATE"
            }
            (Driver::Postgres(_), Self::Note) => {
                "BEGIN; SET LOCAL statement_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = '10s'"
            }
            (Driver::Sqlite(_), Self::Read) => "BEGIN",
            (Driver::Sqlite(_), Self::Change | Self::Note) => "BEGIN IMMEDIATE",
        }
    }
}

impl Session {
    /// The connection.
    pub(super) fn connection(&mut self) -> Result<&mut Connection, StoreError> {
        self.connection.as_mut().ok_or_else(|| StoreError::Failed("the transaction has ended".to_owned()))
    }

    /// Commits. After an error it is not known whether that was done.
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        let Some(mut connection) = self.connection.take() else { return Ok(()) };
        connection.batch("COMMIT", self.commit_patience).await?;
        self.sessions.keep(connection);
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        // One that is closed is rolled back too, but the next user would have to connect.
        if let Ok(runtime) = tokio::runtime::Handle::try_current()
            && !connection.is_busy
        {
            let sessions = Arc::clone(&self.sessions);
            runtime.spawn(async move {
                if connection.batch("ROLLBACK", PING_PATIENCE).await.is_ok() {
                    sessions.keep(connection);
                }
            });
        }
    }
}
