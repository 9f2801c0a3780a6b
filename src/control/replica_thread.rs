//! The thread of a replica, with a runtime of its own: whatever it does, neither requests nor probes wait for it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc::sync_channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{runtime::Builder, sync::oneshot};

use super::{
    cold_start::ColdStart,
    database_keys::DatabaseKeys,
    database_usage::DatabaseUsage,
    replica::{Replica, ReplicaParts},
};
use crate::{
    clock::{Clock as _, SystemClock},
    config::model::DatabaseSource,
    live::Live,
    store::{
        contract::{Database, StoreError},
        database_url::DatabaseUrl,
        sql,
        state::StateFolder,
    },
    telemetry::{metrics::Metrics, usage::UsageBatch},
};

/// How long a start waits for the database before it goes on with what was kept on disk.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is told where the thread has panicked: what was in force goes on, and nothing new is heard.
const FOLLOWS_NO_MORE: &str = "the gateway follows the database no more, by an error of its own; restart it";

/// What the thread of a replica is started with.
#[derive(Debug)]
pub struct ReplicaThreadParts {
    /// The database.
    pub source: DatabaseSource,
    /// Where its keys come into force.
    pub keys: DatabaseKeys,
    /// What is in force.
    pub live: Live,
    /// What is counted.
    pub metrics: Metrics,
    /// The `state:` folder.
    pub state: Option<StateFolder>,
    /// Where this process can be found.
    pub address: String,
    /// Uses of keys, from the workers.
    pub batches: tokio::sync::mpsc::Receiver<UsageBatch>,
}

/// A replica that follows its database.
#[derive(Debug)]
pub struct ReplicaThread {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ReplicaThread {
    /// Begins to follow the database, and waits until its keys are in force, or what was kept of them on disk, or
    /// neither was there within five seconds.
    ///
    /// # Errors
    /// Where this version does not know the schema of the database, or there is no thread to be had.
    pub fn start(parts: ReplicaThreadParts) -> Result<Self, String> {
        let (stop, stopped) = oneshot::channel();
        let (begun, begins) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("keygate-replica".to_owned())
            .spawn(move || {
                let runtime = Builder::new_current_thread().enable_all().build();
                let (name, metrics) = (parts.source.url.to_string(), parts.metrics.clone());
                let served = runtime.map(|runtime| {
                    catch_unwind(AssertUnwindSafe(|| runtime.block_on(serve(parts, begun.clone(), stopped))))
                });
                match served {
                    Ok(Ok(())) => {}
                    // The panic itself is in the log; whoever asks for readiness shall hear of it too.
                    Ok(Err(_)) => metrics.source_wrong(&name, SystemClock.now(), FOLLOWS_NO_MORE),
                    Err(error) => {
                        let _ = begun.send(Err(format!("the replica's runtime cannot be started: {error}")));
                    }
                }
            })
            .map_err(|error| format!("the replica's thread cannot be started: {error}"))?;
        begins.recv().unwrap_or_else(|_| Err("the replica's thread ended".to_owned()))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }

    /// Writes what is not written yet, says goodbye to the database, and ends. Call it when every worker has ended.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for ReplicaThread {
    fn drop(&mut self) {
        self.end();
    }
}

async fn serve(
    parts: ReplicaThreadParts,
    begun: std::sync::mpsc::SyncSender<Result<(), String>>,
    stopped: oneshot::Receiver<()>,
) {
    let ReplicaThreadParts { source, keys, live, metrics, state, address, batches } = parts;
    let database = match connect(&source).await {
        Ok(database) => database,
        Err(error) => {
            let _ = begun.send(Err(error.to_string()));
            return;
        }
    };
    let cold_start = state.map(|folder| ColdStart::new(folder, &source.url.to_string()));
    let usage = DatabaseUsage::new(Arc::clone(&database), batches, metrics.clone());
    let replica = ReplicaParts { database, keys, live, metrics, cold_start, address };
    let replica = match Replica::new(replica) {
        Ok(replica) => replica,
        Err(error) => {
            let _ = begun.send(Err(format!("the system gives no randomness: {error}")));
            return;
        }
    };
    let begins = replica.begin(PATIENCE).await;
    let is_begun = begins.is_ok();
    let _ = begun.send(begins.map_err(|error| error.to_string()));
    if is_begun {
        let usage = tokio::spawn(usage.run());
        replica
            .run(async {
                let _ = stopped.await;
            })
            .await;
        // The last sender of uses went with the workers.
        let _ = usage.await;
    }
}

/// The database. One of SQLite is created, and its schema made as new as this version; elsewhere `keygate migrate` does
/// that.
async fn connect(source: &DatabaseSource) -> Result<Arc<dyn Database>, StoreError> {
    if matches!(source.url, DatabaseUrl::Sqlite(_)) {
        sql::migrate(&source.url, false).await?;
    }
    sql::database(&source.url, source.listen_url.as_ref())
}
