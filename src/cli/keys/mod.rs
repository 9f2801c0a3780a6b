//! `keygate keys …`: what is done with keys.

mod create;
mod export;
mod hash;
mod import;
mod list;
mod revoke;
mod rotate;
mod show;
mod view;
mod whoami;

use clap::{Args, Subcommand};

use super::{Exit, key_store::block_on};

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
    Export(export::Export),
    Hash(hash::Hash),
    Whoami(whoami::Whoami),
}

impl Keys {
    pub(super) fn run(self) -> Exit {
        match self.command {
            Command::Create(create) => block_on(create.run()),
            Command::List(list) => block_on(list.run()),
            Command::Show(show) => block_on(show.run()),
            Command::Revoke(revoke) => block_on(revoke.run()),
            Command::Rotate(rotate) => block_on(rotate.run()),
            Command::Import(import) => block_on(import.run()),
            Command::Export(export) => block_on(export.run()),
            Command::Hash(hash) => hash.run(),
            Command::Whoami(whoami) => block_on(whoami.run()),
        }
    }
}
