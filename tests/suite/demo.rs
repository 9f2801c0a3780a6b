//! The demo: what it shows is true, and it leaves nothing behind.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::TcpStream,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::run::{Run, run};

/// `keygate demo ARGUMENTS…`, with `folder` as the system's temporary folder.
fn demo(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keygate"));
    command.arg("demo").args(arguments).env("TMPDIR", folder).current_dir(folder);
    command
}

fn assert_empty(folder: &Path) {
    let left: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

#[test]
fn the_demo_shows_every_kind_of_answer_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Run { code, stdout, stderr } = run(&mut demo(folder.path(), &["--once"]), "");
    assert_eq!(code, Some(0), "{stdout}\n{stderr}");
    assert_eq!(stderr, "");
    for expected in [
        "  ✓ 200                      a read key reads",
        "  ✓ 200                      headers that pretend to be ada are removed",
        "  ✓ 401 key_missing          no key",
        "  ✓ 401 key_malformed        another scheme",
        "  ✓ 401 key_unknown          a key nobody has",
        "  ✓ 401 key_revoked          a revoked key",
        "  ✓ 401 key_expired          an expired key",
        "  ✓ 403 scope_insufficient   a read key writes",
        "  ✓ 404 not_found            another project",
        "  ✓ 404 not_found            a project that never was",
        "  ✓ 404 not_found            a path that the API serves and no route names",
        "  ✓ same bytes               all three, but for date and request id",
        "  ✓ 101                      a WebSocket; its first message: event 1 for demo-leaving\n",
        "    $ keygate keys revoke demo-leaving --reason 'the demo showed it'\n",
        " in force on 1/1 replicas, slowest ",
        " ms, 1 open stream closed\n",
        "  ✓ 1008 API key revoked     the close frame of the WebSocket\n",
        "  ✓ 401 key_revoked          the next request with the key\n",
        "  ✓ 201                      the key of eve, a member, writes\n",
        "    $ keygate people update eve --role viewer\n",
        "  ✓ 403 scope_insufficient   the same key, now that eve is a viewer\n",
    ] {
        assert!(stdout.contains(expected), "no {expected:?} in\n{stdout}");
    }
    assert!(!stdout.contains('✗') && stdout.ends_with(" passed, 0 failed\n"), "{stdout}");
    assert!(!stdout.contains("demo_test_"), "a secret in\n{stdout}");
    let address = stdout.lines().next().and_then(|line| line.split("http://").nth(1)).unwrap();
    TcpStream::connect(address).expect_err("the port is closed");
    assert_empty(folder.path());
}

#[test]
fn the_lines_to_paste_do_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = demo(folder.path(), &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut announced = None;
    let mut socket = None;
    let (mut compared, mut is_demoted) = (0, false);
    for line in lines.by_ref() {
        let line = line.trim_start();
        if let Some(comment) = line.strip_prefix("# ") {
            announced = comment.get(..3).filter(|status| status.parse::<u16>().is_ok()).map(str::to_owned);
            continue;
        }
        let mut shell = Command::new("bash");
        shell.args(["-c", line]).env("NO_PROXY", "*");
        if line.contains("Upgrade: websocket") {
            socket = Some(Socket::open(&mut shell));
        } else if line.starts_with("curl") {
            let shell = run(&mut shell, "");
            let expected = format!("HTTP/1.1 {} ", announced.take().unwrap());
            assert!(shell.stdout.starts_with(&expected), "{line}\n{}\n{}", shell.stdout, shell.stderr);
            compared += 1;
        } else if line.contains(" keys revoke ") || line.contains(" people update ") {
            let told = run(&mut shell, "").expect_success().stderr;
            assert!(told.contains(" in force on 1/1 replicas"), "{told}");
            if let Some(socket) = socket.take() {
                assert!(told.contains(", 1 open stream closed"), "{told}");
                assert!(socket.rest().ends_with("API key revoked"));
            }
            is_demoted = line.contains(" people update ");
        }
        if is_demoted && line.starts_with("curl") {
            break;
        }
    }
    assert!(compared > 25, "{compared} lines");
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    assert!(lines.any(|line| line.contains("its folder is gone")));
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(child.wait().unwrap().success(), "{stderr}");
    assert_empty(folder.path());
}

/// A `curl` that has opened a WebSocket.
struct Socket {
    curl: Child,
    output: BufReader<ChildStdout>,
}

impl Socket {
    /// Returns once the first event has come.
    fn open(curl: &mut Command) -> Self {
        let mut curl = curl.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut output = BufReader::new(curl.stdout.take().unwrap());
        let mut seen = Vec::new();
        while !seen.ends_with(b"event 1 for demo-leaving\n") {
            assert_ne!(output.read_until(b'\n', &mut seen).unwrap(), 0, "{}", String::from_utf8_lossy(&seen));
        }
        assert!(seen.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&seen));
        Self { curl, output }
    }

    /// What comes until its end.
    fn rest(mut self) -> String {
        let mut rest = Vec::new();
        self.output.read_to_end(&mut rest).unwrap();
        self.curl.wait().unwrap();
        String::from_utf8_lossy(&rest).into_owned()
    }
}
