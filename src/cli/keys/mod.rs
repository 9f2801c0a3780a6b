//! `keygate keys …`: what is done with keys.

mod hash;

use clap::{Args, Subcommand};

use super::Exit;

/// Make, list and end API keys.
#[derive(Debug, Args)]
pub(super) struct Keys {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Hash(hash::Hash),
}

impl Keys {
    pub(super) fn run(self) -> Exit {
        match self.command {
            Command::Hash(hash) => hash.run(),
        }
    }
}
