//! `keygate completions`: what a shell completes by.

use std::io::{self, Write as _};

use clap::{Args, CommandFactory as _};
use clap_complete::{Shell, generate};

use super::{Arguments, Exit};

/// Print the completions of a shell.
#[derive(Debug, Args)]
#[command(after_help = "Example: keygate completions bash > /etc/bash_completion.d/keygate")]
pub(super) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self) -> Exit {
        // Into memory first: the generator panics where a reader has gone.
        let mut script = Vec::new();
        generate(self.shell, &mut Arguments::command(), "keygate", &mut script);
        match io::stdout().lock().write_all(&script) {
            Ok(()) => Exit::Done,
            Err(_) => Exit::Failed,
        }
    }
}
