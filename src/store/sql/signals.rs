//! Hearing of commits, on a connection of its own: LISTEN with PostgreSQL; with SQLite this process's own commits at
//! once, and those of others by looking ten times a second.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use sqlx::{
    Executor as _,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    connection::Connection,
    failure,
    head::head,
    session::{Sessions, postgres_options},
};
use crate::store::{
    backoff::Backoff,
    contract::{Heard, Signals, StoreError},
    database_url::{DatabaseUrl, PostgresUrl},
};

const CHANNEL: &str = "keygate";
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);
/// A connection that was silent for so long is asked whether it lives.
const SILENCE: Duration = Duration::from_secs(10);
const PING_PATIENCE: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Where commits are heard.
#[derive(Debug)]
pub(super) enum SignalSource {
    Postgres { name: Arc<str>, options: Box<PgConnectOptions> },
    Sqlite(Sessions),
}

impl SignalSource {
    pub(super) fn new(url: &DatabaseUrl, listen_url: Option<&PostgresUrl>) -> Result<Self, StoreError> {
        Ok(match url {
            DatabaseUrl::Sqlite(_) => Self::Sqlite(Sessions::new(url)?),
            DatabaseUrl::Postgres(url) => {
                let url = listen_url.unwrap_or(url);
                let options = Box::new(postgres_options(url.expose(), url)?);
                Self::Postgres { name: url.to_string().into(), options }
            }
        })
    }

    pub(super) async fn listen(
        self: &Arc<Self>,
        committed: watch::Receiver<u64>,
    ) -> Result<Box<dyn Signals>, StoreError> {
        match &**self {
            Self::Postgres { name, options } => {
                let listener = Some(connect(name, options).await?);
                let (name, options) = (Arc::clone(name), options.clone());
                Ok(Box::new(PostgresSignals { name, options, listener, retry: Backoff::default() }))
            }
            Self::Sqlite(sessions) => {
                let mut connection = sessions.connect_to_any_schema().await?;
                let seen = Seen::look(&mut connection).await?;
                let source = Arc::clone(self);
                Ok(Box::new(SqliteSignals { source, connection: Some(connection), seen, committed }))
            }
        }
    }
}

/// Notifications of PostgreSQL.
struct PostgresSignals {
    name: Arc<str>,
    options: Box<PgConnectOptions>,
    listener: Option<PgListener>,
    retry: Backoff,
}

impl std::fmt::Debug for PostgresSignals {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PostgresSignals").field("name", &self.name).finish_non_exhaustive()
    }
}

async fn connect(name: &str, options: &PgConnectOptions) -> Result<PgListener, StoreError> {
    // The listener wants a pool; this one holds nothing but its connection.
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(CONNECT_PATIENCE);
    let connecting = async {
        let mut listener = PgListener::connect_with(&pool.connect_lazy_with(options.clone())).await?;
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok(listener)
    };
    match timeout(CONNECT_PATIENCE, connecting).await {
        Ok(connected) => connected.map_err(|error| failure::of(name, &error)),
        Err(_) => Err(StoreError::Unavailable(format!("{name}: no connection to hear changes on"))),
    }
}

impl PostgresSignals {
    async fn hear(&mut self) -> Heard {
        loop {
            let Some(listener) = &mut self.listener else {
                self.connect_again().await;
                return Heard::Lost;
            };
            match timeout(SILENCE, listener.try_recv()).await {
                Ok(Ok(Some(_))) => {
                    // One signal for all that came together.
                    while listener.next_buffered().is_some() {}
                    return Heard::Commit;
                }
                Ok(Ok(None) | Err(_)) => self.listener = None,
                Err(_) => match timeout(PING_PATIENCE, listener.execute("SELECT 1")).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(_)) | Err(_) => self.listener = None,
                },
            }
        }
    }

    async fn connect_again(&mut self) {
        while self.listener.is_none() {
            sleep(self.retry.next_wait()).await;
            self.listener = connect(&self.name, &self.options).await.ok();
        }
        self.retry = Backoff::default();
    }
}

impl Signals for PostgresSignals {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Heard> + Send + '_>> {
        Box::pin(self.hear())
    }
}

/// Commits to an SQLite file.
#[derive(Debug)]
struct SqliteSignals {
    source: Arc<SignalSource>,
    connection: Option<Connection>,
    seen: Seen,
    committed: watch::Receiver<u64>,
}

/// What was seen of the file at the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    /// Differs after every commit of another connection, also one of a heartbeat.
    data_version: i64,
    revision: u64,
}

impl Seen {
    async fn look(connection: &mut Connection) -> Result<Self, StoreError> {
        let data_version = data_version(connection).await?;
        Ok(Self { data_version, revision: head(connection).await?.revision })
    }

    /// Whether a record was changed since.
    async fn has_changed(&mut self, connection: &mut Connection) -> Result<bool, StoreError> {
        if data_version(connection).await? == self.data_version {
            return Ok(false);
        }
        let before = self.revision;
        *self = Self::look(connection).await?;
        Ok(self.revision != before)
    }
}

async fn data_version(connection: &mut Connection) -> Result<i64, StoreError> {
    connection.first("PRAGMA data_version", Vec::new()).await?.map_or(Ok(0), |row| row.get(0))
}

impl SqliteSignals {
    async fn hear(&mut self) -> Heard {
        loop {
            tokio::select! {
                Ok(()) = self.committed.changed() => {
                    self.seen.revision = self.seen.revision.max(*self.committed.borrow_and_update());
                    return Heard::Commit;
                }
                () = sleep(LOOK_EVERY) => {}
            }
            // Taken for the look: one that is dropped half-way is not used again.
            let Some(mut connection) = self.connection.take() else {
                if self.connect_again().await.is_ok() {
                    return Heard::Lost;
                }
                continue;
            };
            let Ok(has_changed) = self.seen.has_changed(&mut connection).await else { continue };
            self.connection = Some(connection);
            if has_changed {
                return Heard::Commit;
            }
        }
    }

    async fn connect_again(&mut self) -> Result<(), StoreError> {
        let SignalSource::Sqlite(sessions) = &*self.source else { return Ok(()) };
        let mut connection = sessions.connect_to_any_schema().await?;
        self.seen = Seen::look(&mut connection).await?;
        self.connection = Some(connection);
        Ok(())
    }
}

impl Signals for SqliteSignals {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Heard> + Send + '_>> {
        Box::pin(self.hear())
    }
}
