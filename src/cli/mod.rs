//! The command line: each command a thin front end over the rest. Secrets and what was asked for go to standard
//! output, everything else to standard error.

mod audit;
pub mod cases;
mod check;
mod committed;
mod completions;
mod demo;
mod deployment;
mod description;
mod explain;
mod finding;
mod healthcheck;
mod invite;
mod key_store;
mod keys;
mod migrate;
mod misuse;
mod openapi;
mod organizations;
mod output;
mod people;
mod progress;
mod projects;
mod replay;
mod replicas;
mod routes;
mod scan;
mod schema;
mod secret_input;
mod serve;
mod stop;
mod table;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Exit codes of every command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    /// Done.
    Done,
    /// Failed: the world is not as it should be.
    Failed,
    /// Wrong input: a file, an argument.
    WrongInput,
    /// Done, but not confirmed everywhere.
    Unconfirmed,
    /// Done, and keys were found where none should be.
    Found,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::WrongInput => 2,
            Exit::Unconfirmed => 3,
            Exit::Found => 4,
        })
    }
}

/// An API-key gateway: checks the key of every request, decides scope and project, forwards or refuses.
#[derive(Debug, Parser)]
#[command(name = "keygate", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Demo(demo::Demo),
    /// Ask whether the gateway is ready.
    Healthcheck(healthcheck::Healthcheck),
    Stop(stop::Stop),
    Check(check::Check),
    Explain(explain::Explain),
    Test(test::Test),
    Replay(replay::Replay),
    Routes(routes::Routes),
    Keys(keys::Keys),
    People(people::People),
    Projects(projects::Projects),
    Migrate(migrate::Migrate),
    Organizations(organizations::Organizations),
    Replicas(replicas::Replicas),
    Audit(audit::Audit),
    Scan(scan::Scan),
    Schema(schema::Schema),
    /// Print the description of the admin API as JSON (OpenAPI 3.1).
    #[command(after_help = "Example: keygate openapi > openapi.json")]
    Openapi,
    Completions(completions::Completions),
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let arguments = Arguments::try_parse().unwrap_or_else(|error| misuse::hinted(error).exit());
    match arguments.command {
        Command::Serve(serve) => serve.run(),
        Command::Demo(demo) => demo.run(),
        Command::Healthcheck(healthcheck) => healthcheck.run(),
        Command::Stop(stop) => stop.run(),
        Command::Check(check) => check.run(),
        Command::Explain(explain) => explain.run(),
        Command::Test(test) => test.run(),
        Command::Replay(replay) => replay.run(),
        Command::Routes(routes) => routes.run(),
        Command::Keys(keys) => keys.run(),
        Command::People(people) => people.run(),
        Command::Projects(projects) => projects.run(),
        Command::Migrate(migrate) => migrate.run(),
        Command::Organizations(organizations) => organizations.run(),
        Command::Replicas(replicas) => replicas.run(),
        Command::Audit(audit) => audit.run(),
        Command::Scan(scan) => scan.run(),
        Command::Schema(schema) => schema.run(),
        Command::Openapi => openapi::run(),
        Command::Completions(completions) => completions.run(),
    }
    .into()
}
