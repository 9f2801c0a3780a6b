//! A `keygate` command on the demo's database: run as its user would run it, in a process of its own.

use std::{
    env,
    fmt::Write as _,
    io,
    path::Path,
    process::{self, Stdio},
};

use super::files;

/// The arguments of a command.
pub(super) struct Command(pub(super) &'static [&'static str]);

/// How it ended.
pub(super) struct Ended {
    /// The exit code; `None`: by a signal.
    pub(super) code: Option<i32>,
    /// What it told, of a change the receipt.
    pub(super) told: String,
}

impl Command {
    /// Runs it in the demo's `folder`, where its configuration is found without being named.
    pub(super) fn run(&self, folder: &Path) -> io::Result<Ended> {
        let mut command = process::Command::new(env::current_exe()?);
        // What the environment names would go before the configuration here.
        command.args(self.0).current_dir(folder).env_remove("KEYGATE_DATABASE").stdin(Stdio::null());
        let output = command.output()?;
        let told = [output.stdout, output.stderr].concat();
        Ok(Ended { code: output.status.code(), told: String::from_utf8_lossy(&told).into_owned() })
    }

    /// As it is typed in the demo's folder.
    pub(super) fn line(&self) -> String {
        let mut line = "keygate".to_owned();
        for argument in self.0 {
            // Writing to a string cannot fail.
            let _ = if argument.contains(' ') {
                write!(line, " '{argument}'")
            } else {
                write!(line, " {argument}")
            };
        }
        line
    }

    /// For a shell anywhere, with the demo in `folder`.
    pub(super) fn shell(&self, folder: &Path) -> io::Result<String> {
        let program = env::current_exe()?;
        let rest = self.line().split_off("keygate".len());
        Ok(format!("{}{rest} --config {}", program.display(), folder.join(files::CONFIG).display()))
    }
}
