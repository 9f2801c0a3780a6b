//! `keygate keys …`: what is done with keys.

mod create;
mod hash;
mod import;
mod list;
mod revoke;
mod rotate;
mod show;
mod view;
mod whoami;

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
    Create(Box<create::Create>),
    List(list::List),
    Show(show::Show),
    Revoke(revoke::Revoke),
    Rotate(rotate::Rotate),
    Import(import::Import),
    Hash(hash::Hash),
    Whoami(whoami::Whoami),
}

impl Keys {
    pub(super) fn run(self) -> Exit {
        let done = match self.command {
            Command::Create(create) => create.run(),
            Command::List(list) => list.run(),
            Command::Show(show) => show.run(),
            Command::Revoke(revoke) => revoke.run(),
            Command::Rotate(rotate) => rotate.run(),
            Command::Import(import) => import.run(),
            Command::Hash(hash) => Ok(hash.run()),
            Command::Whoami(whoami) => whoami.run(),
        };
        done.unwrap_or_else(|stopped| stopped)
    }
}
