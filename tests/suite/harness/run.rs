//! Commands that run to their end.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::GUARD;

/// What a finished command left.
#[derive(Debug)]
pub(crate) struct Run {
    /// None where a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// Fails the test unless the command did what it should.
    pub(crate) fn expect_success(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }
}

/// `keygate ARGUMENTS…` in `folder`, with `input` as its standard input.
pub(crate) fn keygate(folder: &Path, arguments: &[&str], input: &str) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keygate"));
    run(command.current_dir(folder).args(arguments), input)
}

/// `curl ARGUMENTS…`, silent but for errors, and bounded in time.
pub(crate) fn curl(arguments: &[&str]) -> Run {
    let limit = GUARD.as_secs().to_string();
    let mut command = Command::new("curl");
    run(
        command.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", &limit]).args(arguments),
        "",
    )
}

/// `python ARGUMENTS…` with the packages of `tests/requirements.txt`; begin with `-c` or the path of a script.
pub(crate) fn python<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Run {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    let mut command = Command::new(PYTHON.get_or_init(|| test_tool("python")));
    run(command.args(arguments).env("PYTHONDONTWRITEBYTECODE", "1").env("NO_PROXY", "*"), "")
}

/// Where `scripts/test-tools` keeps something; it is installed if need be.
pub(crate) fn test_tool(name: &str) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/test-tools");
    run(Command::new(script).arg(name), "").expect_success().stdout.trim_end().into()
}

/// Runs a command to its end. The test runner ends one that hangs.
pub(crate) fn run(command: &mut Command, input: &str) -> Run {
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let feeding = std::thread::spawn(move || {
        // A command may end without reading what it was offered.
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().unwrap();
    feeding.join().unwrap();
    Run {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
