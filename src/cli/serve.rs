//! `keygate serve`: runs the gateway.

use std::path::PathBuf;

use clap::Args;

use super::Exit;
use crate::{
    app::{App, StartError},
    telemetry::logging::{self, LOG_PATIENCE, LogFormat},
};

/// Run the gateway until SIGTERM or SIGINT; a second one stops it at once. SIGHUP reloads.
#[derive(Debug, Args)]
#[command(after_help = "Example: keygate serve --config keygate.yaml")]
pub(super) struct Serve {
    /// The configuration file.
    #[arg(long, short, value_name = "FILE", default_value = "keygate.yaml")]
    config: PathBuf,
    /// Write the log as JSON lines.
    #[arg(long)]
    log_json: bool,
}

impl Serve {
    #[expect(
        clippy::print_stderr,
        reason = "what goes wrong before and after serving is told to the operator"
    )]
    pub(super) fn run(&self) -> Exit {
        let format = if self.log_json { LogFormat::Json } else { LogFormat::Text };
        let filter = std::env::var(logging::FILTER_VARIABLE).ok();
        let log = match logging::init(format, filter.as_deref()) {
            Ok(log) => log,
            Err(error) => {
                eprintln!("keygate: {error}");
                return Exit::WrongInput;
            }
        };
        let app = App::start(&self.config);
        log.flush(LOG_PATIENCE);
        let app = match app {
            Ok(app) => app,
            Err(error) => {
                eprintln!("{error}");
                return match error {
                    StartError::Wrong(_) => Exit::WrongInput,
                    StartError::Failed(_) => Exit::Failed,
                };
            }
        };
        for (name, address) in app.bound() {
            // In one piece: the log is written to the same place by another thread.
            let line = format!("listening name={name} address={address}\n");
            eprint!("{line}");
        }
        let ended = app.run();
        log.flush(LOG_PATIENCE);
        match ended {
            Ok(()) => Exit::Done,
            Err(error) => {
                eprintln!("keygate: {error}");
                Exit::Failed
            }
        }
    }
}
