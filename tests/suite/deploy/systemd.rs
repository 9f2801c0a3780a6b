//! The unit of systemd: what systemd says of it, what the gateway says to systemd, and that it runs under its filter.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::process::Signal;

use super::{drained_within, read, root};
use crate::{
    fixture,
    harness::{GUARD, Gateway, Upstream, run},
};

const UNIT: &str = "deploy/systemd/keygate.service";

fn systemd_analyze(arguments: &[&str]) -> run::Run {
    run::run(Command::new("systemd-analyze").args(arguments), "")
}

/// What the unit says of `name`, each time it says it.
fn settings(name: &str) -> Vec<String> {
    let unit = read(UNIT);
    let values = unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    values.map(str::to_owned).collect()
}

fn setting(name: &str) -> String {
    let mut values = settings(name);
    assert_eq!(values.len(), 1, "{name}: {values:?}");
    values.remove(0)
}

/// A copy of the unit that starts the real binary, with these drop-ins.
fn installed(drop_ins: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let unit = read(UNIT).replace("/usr/local/bin/keygate", env!("CARGO_BIN_EXE_keygate"));
    fs::write(folder.path().join("keygate.service"), unit).unwrap();
    let beside = folder.path().join("keygate.service.d");
    fs::create_dir(&beside).unwrap();
    for name in drop_ins {
        fs::copy(root().join("deploy/systemd").join(name), beside.join(name)).unwrap();
    }
    folder
}

#[test]
fn systemd_understands_every_line_of_the_unit_and_its_drop_ins() {
    for drop_ins in
        [&[][..], &["credentials.conf"], &["low-ports.conf"], &["credentials.conf", "low-ports.conf"]]
    {
        let folder = installed(drop_ins);
        let unit = folder.path().join("keygate.service");
        let run = systemd_analyze(&["verify", "--man=no", unit.to_str().unwrap()]).expect_success();
        assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""), "{drop_ins:?}");
    }
}

#[test]
fn a_line_that_systemd_does_not_know_would_be_found() {
    let folder = installed(&[]);
    let unit = folder.path().join("keygate.service");
    fs::write(&unit, fs::read_to_string(&unit).unwrap().replace("PrivateTmp=", "PrivateTemp=")).unwrap();
    let run = systemd_analyze(&["verify", "--man=no", unit.to_str().unwrap()]);
    assert!(run.stderr.contains("PrivateTemp"), "{run:?}");
}

#[test]
fn the_exposure_of_the_unit_is_below_two() {
    let unit = root().join(UNIT);
    let run = systemd_analyze(&["security", "--no-pager", "--offline=true", unit.to_str().unwrap()]);
    let line = run.stdout.lines().find(|line| line.contains("Overall exposure level")).unwrap();
    let exposure = line.split(": ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    assert!(exposure.parse::<f32>().unwrap() < 2.0, "{}", run.stdout);
}

#[test]
fn the_unit_starts_a_command_that_there_is_and_gives_it_time_to_drain() {
    let start = setting("ExecStart");
    let mut arguments: Vec<_> = start.split(' ').skip(1).collect();
    arguments.push("--help");
    run::keygate(root(), &arguments, "").expect_success();
    let default = super::parsed(&root().join("config"), &read("config/minimal.yaml"));
    let seconds = |name: &str| Duration::from_secs(setting(name).trim_end_matches('s').parse().unwrap());
    assert!(seconds("TimeoutStopSec") > drained_within(&default));
    assert_eq!(setting("ExecReload"), "/bin/kill -HUP $MAINPID");
    assert_eq!(setting("CapabilityBoundingSet"), "");
}

/// What a service manager would hear.
struct Supervisor {
    socket: UnixDatagram,
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Supervisor {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(GUARD)).unwrap();
        Self { socket, _folder: folder, path }
    }

    /// A gateway that it starts, with more environment.
    fn start(&self, config: &str, more: &[(&str, &str)]) -> Gateway {
        let files = [("keygate.yaml", config), ("keys.yaml", &fixture::keys())];
        Gateway::start_with(&files, |command| {
            command.env("NOTIFY_SOCKET", &self.path).envs(more.iter().copied())
        })
    }

    fn next(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("the supervisor is told something");
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    /// The next message with this in it; those before do not count.
    fn hear(&self, part: &str) -> String {
        loop {
            let message = self.next();
            if message.contains(part) {
                return message;
            }
        }
    }
}

fn config(upstream: &Upstream) -> String {
    fixture::config(&upstream.url(), "", "", "shutdown: {deadline: 30s}")
}

fn upstream() -> Upstream {
    Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
}

#[test]
fn systemd_is_told_of_readiness_reloads_and_the_end() {
    let (upstream, supervisor) = (upstream(), Supervisor::new());
    let mut gateway = supervisor.start(&config(&upstream), &[]);
    let ready = supervisor.next();
    assert!(ready.starts_with("READY=1\nSTATUS=revision "), "{ready}");
    assert!(ready.ends_with(" in force, 2 keys\n"), "{ready}");

    gateway.signal(Signal::HUP);
    let reloading = supervisor.next();
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
    assert!(since.trim_end().parse::<u64>().unwrap() > 0);
    assert!(supervisor.next().starts_with("READY=1\nSTATUS="));

    gateway.replace("keys.yaml", "version: 1\nkeys: []\n");
    gateway.signal(Signal::HUP);
    let status = supervisor.hear(" 0 keys");
    assert!(!status.contains("wrong"), "{status}");
    gateway.replace("keys.yaml", "nonsense");
    supervisor.hear("a source is wrong");

    gateway.signal(Signal::TERM);
    assert!(supervisor.hear("STOPPING=1").starts_with("STOPPING=1\n"));
    let (status, output) = gateway.wait();
    assert!(status.success(), "{output}");
}

#[test]
fn systemd_hears_that_the_workers_live_until_the_last_request_has_ended() {
    let (upstream, go) = Upstream::held("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let supervisor = Supervisor::new();
    let mut gateway = supervisor.start(&config(&upstream), &[("WATCHDOG_USEC", "300000")]);
    supervisor.hear("WATCHDOG=1");
    supervisor.hear("WATCHDOG=1");
    let mut client = gateway.connect();
    client.send(fixture::request("GET /any/a", &[], ""));
    upstream.wait_for_requests(1);
    gateway.signal(Signal::TERM);
    supervisor.hear("STOPPING=1");
    supervisor.hear("WATCHDOG=1");
    go.open();
    assert_eq!(client.response().text(), "hi");
    assert!(gateway.wait().0.success());
}

#[test]
fn nobody_is_told_of_life_who_did_not_ask_or_asked_another_process() {
    for more in [&[][..], &[("WATCHDOG_USEC", "30000"), ("WATCHDOG_PID", "1")]] {
        let (upstream, supervisor) = (upstream(), Supervisor::new());
        let mut gateway = supervisor.start(&config(&upstream), more);
        gateway.signal(Signal::TERM);
        assert!(gateway.wait().0.success());
        supervisor.socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 4096];
        while let Ok(length) = supervisor.socket.recv(&mut buffer) {
            assert!(!String::from_utf8_lossy(&buffer[..length]).contains("WATCHDOG"));
        }
    }
}

#[test]
fn a_manager_that_cannot_be_reached_hinders_nobody() {
    let upstream = upstream();
    for socket in ["/nowhere/notify", "vsock:2:1", "@keygate-nobody-listens"] {
        let files = [("keygate.yaml", &*config(&upstream)), ("keys.yaml", &fixture::keys())];
        let gateway = Gateway::start_with(&files, |command| command.env("NOTIFY_SOCKET", socket));
        gateway.wait_for_line("the service manager cannot be told anything");
        assert_eq!(gateway.connect().exchange(fixture::request("GET /any/a", &[], "")).status(), 200);
    }
}

#[test]
fn it_does_all_its_work_under_the_filter_of_the_unit() {
    let upstream = upstream();
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let config = fixture::config(&upstream.url(), "", "", &format!("state: {}", state.display()))
        .replace("health: null", "health: {address: '127.0.0.1:0'}");
    let files = [("keygate.yaml", &*config), ("keys.yaml", &fixture::keys())];
    let mut gateway = Gateway::start_with(&files, |command| {
        // The same folder and pipes, but through the program that puts the filter on.
        let mut filtered = Command::new(run::test_tool("python"));
        filtered.arg(root().join("tests/deploy/under_filter.py")).arg(root().join(UNIT));
        filtered.arg(env!("CARGO_BIN_EXE_keygate")).args(["serve", "--config", "keygate.yaml"]);
        filtered.current_dir(command.get_current_dir().unwrap_or(Path::new(".")));
        filtered.stdin(std::process::Stdio::null());
        filtered.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        *command = filtered;
        command
    });
    let ask =
        |gateway: &Gateway| gateway.connect().exchange(fixture::request("GET /any/a", &[], "")).status();
    assert_eq!(ask(&gateway), 200);
    let health = gateway.address("health").to_string();
    run::keygate(root(), &["healthcheck", "--address", &health], "").expect_success();
    gateway.replace("keys.yaml", "version: 1\nkeys: []\n");
    gateway.signal(Signal::HUP);
    let start = std::time::Instant::now();
    while ask(&gateway) == 200 {
        assert!(start.elapsed() < GUARD);
    }
    gateway.signal(Signal::TERM);
    let (status, output) = gateway.wait();
    assert!(status.success(), "{status}\n{output}");
    assert!(state.join("audit.log").exists());
}
