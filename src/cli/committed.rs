//! How a command tells what became of a change.

use std::{fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::PathBuf};

use clap::Args;

use super::{Exit, output::tell};
use crate::store::contract::{Committed, Patch};

/// What is done after a change, or with one that cannot be written.
#[derive(Debug, Args)]
pub(super) struct AfterChange {
    /// Where a key file cannot be replaced, write the change to FILE as a unified diff instead of showing it.
    #[arg(long, value_name = "FILE")]
    patch: Option<PathBuf>,
}

impl AfterChange {
    /// Tells what became of a change.
    pub(super) fn report(&self, committed: &Committed, done: &str) -> Exit {
        match committed {
            Committed::Unchanged => Exit::Done,
            Committed::Revision(revision) => {
                tell(&format!("{done} with revision {revision}"));
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
                self.report_patch(patch);
                Exit::Failed
            }
        }
    }

    fn report_patch(&self, Patch { path, why, diff }: &Patch) {
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
