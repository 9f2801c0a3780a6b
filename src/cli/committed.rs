//! How a command tells what became of a change, and waits until it is in force.

use std::{fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::PathBuf};

use clap::Args;
use serde::Serialize;

use super::{
    Exit,
    key_store::Opened,
    output::{Output, answer_json, tell},
};
use crate::{
    control::{
        receipt::{self, Receipt},
        receipt_view::ReceiptView,
        term::{self, shown},
    },
    store::contract::{Committed, Database, Patch, StoreError},
};

/// What is done after a change, or with one that cannot be written.
#[derive(Debug, Args)]
pub(super) struct AfterChange {
    /// Where a key file cannot be replaced, write the change to FILE as a unified diff instead of showing it.
    #[arg(long, value_name = "FILE")]
    patch: Option<PathBuf>,
    /// In a database, wait so long for every replica to confirm the change; 0 does not wait. Exit code 3 where one did
    /// not.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = term::duration)]
    wait: std::time::Duration,
}

impl AfterChange {
    /// Tells what became of a change, and where it is in force.
    pub(super) async fn report(&self, opened: &Opened, committed: &Committed, done: &str) -> Exit {
        let exit = self.tell(committed, done);
        self.confirm(opened, committed).await.unwrap_or(exit)
    }

    /// As [`AfterChange::report`], and answers with the receipt as JSON if that is asked for.
    pub(super) async fn report_as(
        &self,
        output: Output,
        opened: &Opened,
        committed: &Committed,
        done: &str,
    ) -> Exit {
        match output {
            Output::Table => self.report(opened, committed, done).await,
            Output::Json => {
                let exit = self.tell(committed, done);
                self.answer(opened, committed).await.unwrap_or(exit)
            }
        }
    }

    /// Tells what became of a change, without waiting for anybody.
    pub(super) fn tell(&self, committed: &Committed, done: &str) -> Exit {
        match committed {
            Committed::Unchanged => Exit::Done,
            Committed::Revision(revision) => {
                tell(&format!("{done}: revision {revision}"));
                Exit::Done
            }
            Committed::Written(path) => {
                tell(&format!("{done} in {}", path.display()));
                Exit::Done
            }
            Committed::Unaudited(path, error) => {
                tell(&format!("{done} in {}", path.display()));
                tell(&format!("warning: the audit log could not be written: {error}"));
                Exit::Unconfirmed
            }
            Committed::ToCommit(patch) => {
                self.tell_patch(patch);
                Exit::Failed
            }
        }
    }

    /// Waits for the replicas of a database and tells who confirmed. `None`: there is nothing to confirm.
    pub(super) async fn confirm(&self, opened: &Opened, committed: &Committed) -> Option<Exit> {
        match self.receipt(opened, committed).await? {
            Ok(receipt) => {
                tell_receipt(&receipt);
                Some(if receipt.is_complete() { Exit::Done } else { Exit::Unconfirmed })
            }
            Err(error) => Some(tell_unconfirmed(committed, &error)),
        }
    }

    async fn answer(&self, opened: &Opened, committed: &Committed) -> Option<Exit> {
        match self.receipt(opened, committed).await {
            Some(Ok(receipt)) => {
                answer_json(&ReceiptView::new(&receipt));
                Some(if receipt.is_complete() { Exit::Done } else { Exit::Unconfirmed })
            }
            Some(Err(error)) => {
                answer_json(&ChangeView::new(committed));
                Some(tell_unconfirmed(committed, &error))
            }
            None => {
                answer_json(&ChangeView::new(committed));
                None
            }
        }
    }

    async fn receipt(&self, opened: &Opened, committed: &Committed) -> Option<Result<Receipt, StoreError>> {
        let database = opened.administration.database().filter(|_| !self.wait.is_zero())?;
        Some(self.receipt_of(database, committed).await)
    }

    /// What was so already is in force where the head is: who asks again wants to know.
    async fn receipt_of(
        &self,
        database: &dyn Database,
        committed: &Committed,
    ) -> Result<Receipt, StoreError> {
        let revision = match committed {
            Committed::Revision(revision) => *revision,
            Committed::Unchanged
            | Committed::Written(_)
            | Committed::Unaudited(..)
            | Committed::ToCommit(_) => database.head().await?.revision,
        };
        receipt::wait(database, revision, self.wait).await
    }

    fn tell_patch(&self, Patch { path, why, lines: _, diff }: &Patch) {
        tell(&format!("nothing was changed: {} cannot be replaced: {why}", path.display()));
        let Some(file) = &self.patch else {
            tell(&format!("commit this change where the file comes from:\n\n{diff}"));
            return;
        };
        let options = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file);
        match options.and_then(|mut file| file.write_all(diff.as_bytes())) {
            Ok(()) => {
                tell(&format!("the change is in {}; commit it where the file comes from", file.display()));
            }
            Err(error) => {
                tell(&format!("{}: {error}", file.display()));
                tell(&format!("commit this change where the file comes from:\n\n{diff}"));
            }
        }
    }
}

fn tell_unconfirmed(committed: &Committed, error: &StoreError) -> Exit {
    match committed {
        Committed::Revision(revision) => {
            tell(&format!(
                "revision {revision} is committed, but it is not known where it is in force: {error}; repeat the command to \
             ask again"
            ));
        }
        Committed::Unchanged | Committed::Written(_) | Committed::Unaudited(..) | Committed::ToCommit(_) => {
            tell(&format!("it is not known where this is in force: {error}"));
        }
    }
    Exit::Unconfirmed
}

fn tell_receipt(receipt: &Receipt) {
    tell(&receipt.to_string());
    for pending in &receipt.pending {
        tell(&format!(
            "not confirmed: replica {} at {}, heard of {} ago; once it is certain that it is gone: keygate replicas \
             forget {}",
            pending.replica,
            pending.address,
            shown(pending.silent),
            pending.replica
        ));
    }
}

/// A change that nobody confirms as JSON: of a key file, or one that was not waited for.
#[derive(Default, Serialize)]
struct ChangeView {
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    changed: bool,
}

impl ChangeView {
    fn new(committed: &Committed) -> Self {
        match committed {
            Committed::Unchanged | Committed::ToCommit(_) => Self::default(),
            Committed::Revision(revision) => {
                Self { revision: Some(*revision), changed: true, ..Self::default() }
            }
            Committed::Written(path) | Committed::Unaudited(path, _) => {
                Self { file: Some(path.to_string_lossy().into_owned()), changed: true, ..Self::default() }
            }
        }
    }
}
