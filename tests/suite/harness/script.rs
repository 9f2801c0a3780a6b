//! Scripts in Python or for Node that are the upstream and its clients at once, on both sides of a gateway.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use super::{Gateway, run};

/// A running script. It prints the port of its upstream first, then waits to be told where the gateway is.
pub(crate) struct Script {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// Of its upstream.
    pub(crate) port: u16,
}

impl Script {
    /// Starts `tests/NAME` with `arguments`, and waits for its upstream.
    pub(crate) fn start(name: &str, arguments: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name);
        let is_python = script.extension().is_some_and(|extension| extension == "py");
        let mut command = Command::new(if is_python { run::test_tool("python") } else { "node".into() });
        command.arg(script).args(arguments).env("PYTHONDONTWRITEBYTECODE", "1").env("NO_PROXY", "*");
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap_or_else(|_| panic!("{line:?}: {}", told(&mut child)));
        Self { child, stdout, port }
    }

    /// Tells it where the gateway is, and expects that all goes well.
    pub(crate) fn finish(mut self, gate: &Gateway) {
        let place = serde_json::json!({
            "data": gate.address("data").to_string(),
            "health": gate.address("health").to_string(),
            "pid": gate.id(),
            "folder": gate.folder(),
            "keygate": env!("CARGO_BIN_EXE_keygate"),
        });
        writeln!(self.child.stdin.take().unwrap(), "{place}").unwrap();
        let said = told(&mut self.child);
        assert!(self.child.wait().unwrap().success(), "{said}");
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everything that it says of its failures, until it ends.
fn told(child: &mut Child) -> String {
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    text
}
