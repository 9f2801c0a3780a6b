//! Databases: SQLite for one machine, PostgreSQL for any number of replicas. Statements are written once, in words that
//! both understand; where the two differ, a `match` over `connection::Driver` says how.
//!
//! - `connection`: statements, values and rows; every wait has an end.
//! - `session`: connections that are kept, and how transactions begin and end.
//! - `schema`, `migrations/`: the tables.
//! - `record_row`: records as rows. `head`: where the database stands.
//! - `transaction`: looking and changing. `feed`: loading and following. `checksum`: comparing.
//! - `query`: keys and people by what is known of them. `submission`: what was made already.
//! - `accounts`: what people sign in with.
//! - `replicas`, `usage`, `audit`: what is told beside the records.
//! - `signals`: hearing of commits.

mod accounts;
mod audit;
mod checksum;
mod connection;
mod failure;
mod feed;
mod head;
mod limits;
mod query;
mod record_row;
mod replicas;
mod rights;
mod schema;
mod session;
mod signals;
mod submission;
mod transaction;
mod usage;

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;

use self::{
    accounts::SqlAccounts,
    head::head,
    session::{Begin, Sessions},
    signals::SignalSource,
    transaction::SqlTransaction,
};
use super::{
    accounts::Accounts,
    contract::{
        Access, Acknowledgement, AuditFilter, AuditPage, Checksum, Database, Feed, FleetLimits, Head,
        Heartbeat, Intake, LimitClaim, Replica, Right, ScopeUse, Signals, Since, Store, StoreError, Task,
        Transaction, UsageRow,
    },
    database_url::{DatabaseUrl, PostgresUrl},
};
use crate::keys::record::KeyId;

pub use schema::{MigrationReport, migrate};

/// A database of either kind. Cheap to clone.
#[derive(Debug, Clone)]
struct SqlDatabase {
    sessions: Arc<Sessions>,
    signal_source: Arc<SignalSource>,
    /// The newest revision that this process committed.
    committed: watch::Sender<u64>,
}

/// The database at `url`, to which nothing was said yet: for those who follow it whether it is there or not.
///
/// # Errors
/// [`StoreError::Failed`] where the URL cannot be used.
pub fn database(
    url: &DatabaseUrl,
    listen_url: Option<&PostgresUrl>,
) -> Result<Arc<dyn Database>, StoreError> {
    SqlDatabase::new(url, listen_url).map(|database| Arc::new(database) as Arc<dyn Database>)
}

/// Opens the database at `url`, whose tables must be up to date (see [`migrate`]). Changes of a PostgreSQL database are
/// heard at `listen_url`, if given: where `url` leads through a transaction pooler, which passes no notifications on.
/// Connects once, to see whether all is well; takes at most 3 s where nobody answers.
///
/// # Errors
/// [`StoreError::Unavailable`] where it cannot be reached, which may pass; [`StoreError::WrongSchema`] where its tables
/// are missing, older or newer; [`StoreError::NotPermitted`] where the role may not sign in or read them.
pub async fn open(
    url: &DatabaseUrl,
    listen_url: Option<&PostgresUrl>,
) -> Result<Arc<dyn Database>, StoreError> {
    let database = SqlDatabase::new(url, listen_url)?;
    database.head_now().await?;
    Ok(Arc::new(database))
}

impl SqlDatabase {
    fn new(url: &DatabaseUrl, listen_url: Option<&PostgresUrl>) -> Result<Self, StoreError> {
        Ok(Self {
            sessions: Arc::new(Sessions::new(url)?),
            signal_source: Arc::new(SignalSource::new(url, listen_url)?),
            committed: watch::Sender::new(0),
        })
    }

    async fn head_now(&self) -> Result<Head, StoreError> {
        let mut session = self.sessions.begin(Begin::Read).await?;
        head(session.connection()?).await
    }
}

impl Store for SqlDatabase {
    fn name(&self) -> &str {
        self.sessions.name()
    }

    fn begin(&self, access: Access) -> Task<'_, Box<dyn Transaction>> {
        Box::pin(async move {
            let transaction: Box<dyn Transaction> = Box::new(SqlTransaction::begin(self, access).await?);
            Ok(transaction)
        })
    }

    fn audit<'a>(&'a self, filter: &'a AuditFilter) -> Task<'a, AuditPage> {
        Box::pin(audit::page(&self.sessions, filter))
    }
}

impl Database for SqlDatabase {
    fn accounts(&self) -> Arc<dyn Accounts> {
        Arc::new(SqlAccounts { sessions: Arc::clone(&self.sessions) })
    }

    fn head(&self) -> Task<'_, Head> {
        Box::pin(self.head_now())
    }

    fn demand_right(&self, right: Right) -> Task<'_, ()> {
        Box::pin(async move {
            let mut session = self.sessions.begin(Begin::Read).await?;
            rights::demand(session.connection()?, right).await
        })
    }

    fn load<'a>(&'a self, intake: &'a mut (dyn Intake + Send)) -> Task<'a, Head> {
        Box::pin(feed::load(&self.sessions, intake))
    }

    fn changes_since(&self, since: Since) -> Task<'_, Feed> {
        Box::pin(feed::changes_since(&self.sessions, since))
    }

    fn checksum(&self) -> Task<'_, Checksum> {
        Box::pin(checksum::checksum(&self.sessions))
    }

    fn signals(&self) -> Task<'_, Box<dyn Signals>> {
        Box::pin(self.signal_source.listen(self.committed.subscribe()))
    }

    fn heartbeat<'a>(&'a self, beat: &'a Heartbeat) -> Task<'a, Head> {
        Box::pin(replicas::heartbeat(&self.sessions, beat))
    }

    fn acknowledge<'a>(&'a self, acknowledgement: &'a Acknowledgement) -> Task<'a, ()> {
        Box::pin(replicas::acknowledge(&self.sessions, acknowledgement))
    }

    fn forget<'a>(&'a self, replica: &'a str) -> Task<'a, bool> {
        Box::pin(replicas::forget(&self.sessions, replica))
    }

    fn replicas(&self) -> Task<'_, Vec<Replica>> {
        Box::pin(replicas::replicas(&self.sessions))
    }

    fn acknowledgements(&self, revision: u64) -> Task<'_, Vec<Acknowledgement>> {
        Box::pin(replicas::acknowledgements(&self.sessions, revision))
    }

    fn share_limits<'a>(
        &'a self,
        replica: &'a str,
        divide: &'a mut (dyn FnMut(&FleetLimits) -> Vec<LimitClaim> + Send),
    ) -> Task<'a, ()> {
        Box::pin(limits::share(&self.sessions, replica, divide))
    }

    fn add_usage<'a>(&'a self, rows: &'a [UsageRow]) -> Task<'a, ()> {
        Box::pin(usage::add(&self.sessions, rows))
    }

    fn usage<'a>(&'a self, keys: &'a [KeyId]) -> Task<'a, Vec<UsageRow>> {
        Box::pin(usage::rows(&self.sessions, keys))
    }

    fn usage_totals<'a>(&'a self, keys: &'a [KeyId]) -> Task<'a, Vec<UsageRow>> {
        Box::pin(usage::totals(&self.sessions, keys))
    }

    fn usage_since<'a>(&'a self, key: &'a KeyId, since: Timestamp) -> Task<'a, Vec<UsageRow>> {
        Box::pin(usage::since(&self.sessions, key, since))
    }

    fn add_scope_uses<'a>(&'a self, uses: &'a [ScopeUse]) -> Task<'a, ()> {
        Box::pin(usage::add_scopes(&self.sessions, uses))
    }

    fn scopes_used<'a>(&'a self, keys: &'a [KeyId]) -> Task<'a, Vec<ScopeUse>> {
        Box::pin(usage::scopes(&self.sessions, keys))
    }
}
