//! `keygate demo`: a whole set-up in one process, to look at and to try.

use std::io;

use clap::Args;

use super::Exit;
use crate::{
    demo,
    telemetry::logging::{self, LOG_PATIENCE, LogFormat},
};

/// Run a sample API behind a gateway with keys of each kind in SQLite, and print lines to paste that show each kind of
/// answer, a revocation with its receipt, and a demotion.
#[derive(Debug, Args)]
#[command(after_help = "Example: keygate demo --once")]
pub(super) struct Demo {
    /// Take all of the steps, check each answer, and end.
    #[arg(long)]
    once: bool,
}

impl Demo {
    #[expect(clippy::print_stderr, reason = "what goes wrong is told to whoever looks")]
    pub(super) fn run(&self) -> Exit {
        let filter = std::env::var(logging::FILTER_VARIABLE).unwrap_or_else(|_| "warn".to_owned());
        let log = match logging::init(LogFormat::Text, Some(&filter)) {
            Ok(log) => log,
            Err(error) => {
                eprintln!("keygate: {error}");
                return Exit::WrongInput;
            }
        };
        let mut out = io::stdout().lock();
        let all_right =
            if self.once { demo::run_once(&mut out) } else { demo::serve(&mut out).map(|()| true) };
        log.flush(LOG_PATIENCE);
        match all_right {
            Ok(true) => Exit::Done,
            Ok(false) => Exit::Failed,
            Err(error) => {
                eprintln!("keygate: {error}");
                Exit::Failed
            }
        }
    }
}
