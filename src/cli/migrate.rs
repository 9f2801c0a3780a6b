//! `keygate migrate`: brings the tables of a database up to date.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::{
    Exit,
    key_store::block_on,
    output::{Output, answer_json, tell},
};
use crate::{
    config::{self, Surroundings, model::KeySource},
    store::{
        database_url::DatabaseUrl,
        sql::{self, MigrationReport},
    },
};

/// Holds the URL of the database. It may hold a password, so it is no argument, which everybody could see.
const VARIABLE: &str = "KEYGATE_DATABASE";

/// Make the tables of a database, or bring them up to date. `keygate serve` does that for SQLite by itself,
/// never for PostgreSQL.
#[derive(Debug, Args)]
#[command(
    after_help = "The environment variable KEYGATE_DATABASE names another database, or another role in it, than \
the configuration: KEYGATE_DATABASE=postgres://keygate_owner@db.internal/keygate keygate migrate

Example: keygate migrate --config keygate.yaml --dry-run"
)]
pub(super) struct Migrate {
    /// The configuration file, whose keys.database is meant.
    #[arg(long, short, value_name = "FILE", default_value = "keygate.yaml")]
    config: PathBuf,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
    /// How to answer.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, Serialize)]
struct Answer {
    database: String,
    present: Vec<&'static str>,
    applied: Vec<&'static str>,
    pending: Vec<&'static str>,
}

impl Migrate {
    pub(super) fn run(&self) -> Exit {
        let url = match database(&self.config) {
            Ok(url) => url,
            Err(exit) => return exit,
        };
        block_on(async {
            let report = sql::migrate(&url, self.dry_run).await.map_err(|error| {
                tell(&error.to_string());
                Exit::Failed
            })?;
            self.answer(&url, report);
            Ok(Exit::Done)
        })
    }

    fn answer(&self, url: &DatabaseUrl, report: MigrationReport) {
        let MigrationReport { present, applied, pending } = report;
        match self.output {
            Output::Json => answer_json(&Answer { database: url.to_string(), present, applied, pending }),
            Output::Table => {
                for name in &applied {
                    tell(&format!("{url}: applied {name}"));
                }
                for name in &pending {
                    tell(&format!("{url}: would apply {name}"));
                }
                if applied.is_empty() && pending.is_empty() {
                    tell(&format!("{url}: nothing to do; its tables are of version {}", present.len()));
                }
            }
        }
    }
}

/// The database that the environment names, or else the config.
fn database(path: &Path) -> Result<DatabaseUrl, Exit> {
    if let Some(text) = std::env::var_os(VARIABLE) {
        let text = text.to_string_lossy();
        return DatabaseUrl::parse(&text).map_err(|problem| wrong(&format!("{VARIABLE}: {problem}")));
    }
    let loaded = config::load(path, &Surroundings::of_process("keygate"));
    let config = loaded.result.map_err(|problems| {
        for problem in &problems {
            tell(&problem.to_string());
        }
        Exit::WrongInput
    })?;
    match config.keys {
        KeySource::Database(source) => Ok(source.url),
        KeySource::File(_) | KeySource::Directory(_) => Err(wrong(&format!(
            "{}: its keys are in files, which have no tables; set keys.database or {VARIABLE}",
            path.display()
        ))),
    }
}

fn wrong(problem: &str) -> Exit {
    tell(problem);
    Exit::WrongInput
}
