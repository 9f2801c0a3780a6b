//! `keygate replicas`: who serves from a database, and what they have in force.

use clap::{Args, Subcommand};

use super::{
    Exit,
    key_store::{KeyStore, Stopped, block_on, stopped, wrong_input},
    output::{Output, answer, answer_json, tell},
    table,
};
use crate::{
    control::{replica_view::ReplicaView, term::shown},
    store::contract::{Database, Replica},
};

/// List the replicas of a database, and forget those that are gone.
#[derive(Debug, Args)]
pub(super) struct Replicas {
    #[command(subcommand)]
    command: ReplicasCommand,
}

#[derive(Debug, Subcommand)]
enum ReplicasCommand {
    List(List),
    Forget(Forget),
}

impl Replicas {
    pub(super) fn run(self) -> Exit {
        match self.command {
            ReplicasCommand::List(command) => block_on(command.run()),
            ReplicasCommand::Forget(command) => block_on(command.run()),
        }
    }
}

/// List replicas: what each has in force, and when it was last heard of.
#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    store: KeyStore,
    /// How to list them.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Say that a replica is gone, so that no change waits for it. One that lives after all comes back by itself.
///
/// A replica that nobody reaches may still serve: with `staleness: {then: serve}` for as long as it runs. Be certain
/// that its process has ended.
#[derive(Debug, Args)]
#[command(after_help = "Example: keygate replicas forget 0198a1b2")]
struct Forget {
    #[command(flatten)]
    store: KeyStore,
    /// The id of the replica.
    id: String,
}

impl List {
    async fn run(self) -> Result<Exit, Stopped> {
        let opened = self.store.open().await?;
        let database = of_operator(&self.store, opened.administration.database())?;
        let replicas = database.replicas().await.map_err(|error| stopped(&error.into()))?;
        let head = database.head().await.map_err(|error| stopped(&error.into()))?.revision;
        let views: Vec<_> = replicas.iter().map(|replica| ReplicaView::new(replica, head)).collect();
        match self.output {
            Output::Json => answer_json(&views),
            Output::Table => {
                let row = |(view, replica): (&ReplicaView, &Replica)| {
                    [
                        view.replica.clone(),
                        view.address.clone(),
                        view.version.clone(),
                        view.revision.to_string(),
                        view.behind.to_string(),
                        format!("{} ago", shown(replica.silent)),
                        shown(replica.beat.lease),
                        view.when_stale.to_owned(),
                    ]
                };
                let names =
                    ["ID", "ADDRESS", "VERSION", "REVISION", "BEHIND", "HEARD OF", "LEASE", "WHEN STALE"];
                answer(&table::columns(names, views.iter().zip(&replicas).map(row)));
                tell(&format!("the database stands at revision {head}"));
            }
        }
        Ok(Exit::Done)
    }
}

/// Who was heard of within this time most likely runs.
const SPEAKS_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

impl Forget {
    async fn run(self) -> Result<Exit, Stopped> {
        let opened = self.store.open().await?;
        let database = of_operator(&self.store, opened.administration.database())?;
        let replicas = database.replicas().await.map_err(|error| stopped(&error.into()))?;
        let speaks = |replica: &&Replica| replica.beat.replica == self.id && replica.silent < SPEAKS_WITHIN;
        if let Some(replica) = replicas.iter().find(speaks) {
            tell(&format!(
                "warning: it was heard of {} ago; if it runs, it serves on, and receipts do not count it until it is heard of \
                 again",
                shown(replica.silent)
            ));
        }
        if database.forget(&self.id).await.map_err(|error| stopped(&error.into()))? {
            tell("the replica was forgotten");
            Ok(Exit::Done)
        } else {
            Err(wrong_input("no replica has this id; `keygate replicas list` shows them"))
        }
    }
}

/// Replicas are the operator's, and key files have none.
fn of_operator<'d>(
    store: &KeyStore,
    database: Option<&'d dyn Database>,
) -> Result<&'d dyn Database, Stopped> {
    if store.is_on_behalf() {
        return Err(wrong_input("replicas are the operator's; leave out --as"));
    }
    database
        .ok_or_else(|| wrong_input("key files have no replicas; name a database by --config or --database"))
}
