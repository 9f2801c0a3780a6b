//! `keygate routes …`: what is done with routes before they are in force.

mod import;

use clap::{Args, Subcommand};

use super::Exit;

/// Make routes of what describes an API.
#[derive(Debug, Args)]
pub(super) struct Routes {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Import(import::Import),
}

impl Routes {
    pub(super) fn run(self) -> Exit {
        match self.command {
            Command::Import(import) => import.run(),
        }
    }
}
