//! A real PostgreSQL: Debian's binaries on a folder and a port of their own, stopped when the value is dropped.
//!
//! `initdb` runs once per machine, into a folder that later servers copy. PostgreSQL refuses to run as root; then it
//! runs as the user `postgres`, which Debian's package makes.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    sync::mpsc,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, getuid, kill_process};
use tempfile::TempDir;

use super::{GUARD, run::run};

/// A server. Everybody may sign in as anybody, without a password: also `postgres`, who may do everything.
#[derive(Debug)]
pub(crate) struct Postgres {
    folder: TempDir,
    port: u16,
    settings: Vec<String>,
    databases: AtomicU32,
    server: Option<Child>,
}

impl Postgres {
    /// A new server, ready to be connected to. What it writes is not synced to disk.
    pub(crate) fn start() -> Self {
        Self::start_with(&["fsync=off", "full_page_writes=off"])
    }

    /// A new server with these settings, each written `name=value`.
    pub(crate) fn start_with(settings: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("keygate-postgres-").tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        give_to_postgres(folder.path());
        copy(&template(), &folder.path().join("data"));
        // In its folder: what a killed server leaves in /dev/shm would stay there.
        let in_folder = "dynamic_shared_memory_type=mmap";
        let settings = settings.iter().chain(&[in_folder]).map(ToString::to_string).collect();
        let mut server =
            Self { folder, port: free_port(), settings, databases: AtomicU32::new(0), server: None };
        // Another process may take the port between its choice and its use.
        for _ in 0..5 {
            match server.try_start() {
                Ok(()) => return server,
                Err(log) if log.contains("could not bind") => server.port = free_port(),
                Err(log) => panic!("PostgreSQL does not start:\n{log}"),
            }
        }
        panic!("no port is free for PostgreSQL");
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url_as(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// Makes an empty database and gives its URL.
    pub(crate) fn create_database(&self) -> String {
        let name = self.create_named_database();
        self.url_as("postgres", &name)
    }

    /// Makes an empty database and gives its name.
    pub(crate) fn create_named_database(&self) -> String {
        let name = format!("db{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// What `psql` prints for these statements, run by the superuser: rows without frame.
    pub(crate) fn psql(&self, database: &str, statements: &str) -> String {
        let mut command = Command::new("psql");
        command
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
            .arg(self.url_as("postgres", database));
        run(&mut command, statements).expect_success().stdout.trim_end().to_owned()
    }

    /// From now on nobody can write into `table`, until what is given is dropped.
    pub(crate) fn lock(&self, database: &str, table: &str) -> TableLock {
        let mut command = Command::new("psql");
        command.args(["-X", "-q", "-A", "-t"]).arg(self.url_as("postgres", database));
        let mut session = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let statements = format!("BEGIN; LOCK TABLE {table} IN EXCLUSIVE MODE; SELECT 'locked';\n");
        session.stdin.as_mut().unwrap().write_all(statements.as_bytes()).unwrap();
        let mut told = String::new();
        BufReader::new(session.stdout.as_mut().unwrap()).read_line(&mut told).unwrap();
        assert_eq!(told.trim(), "locked");
        TableLock(session)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Stops it in good order: sessions end at once, what was committed is kept.
    pub(crate) fn stop(&mut self) {
        self.end(|server| signal(server, Signal::INT));
    }

    /// Ends all its processes by SIGKILL, as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.end(|server| signal_all(server, Signal::KILL));
    }

    /// Starts it again, on the same port and with the same data.
    pub(crate) fn start_again(&mut self) {
        let begun = Instant::now();
        while let Err(log) = self.try_start() {
            // Sessions that were killed with it may not have ended yet.
            let is_ending = log.contains("is still in use") && begun.elapsed() < GUARD;
            assert!(is_ending, "PostgreSQL does not start again:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops all its processes where they are: connections stay open, nobody answers.
    pub(crate) fn pause(&self) {
        self.server.iter().for_each(|server| signal_all(server, Signal::STOP));
    }

    /// Lets paused processes go on.
    pub(crate) fn resume(&self) {
        self.server.iter().for_each(|server| signal_all(server, Signal::CONT));
    }

    /// # Errors
    /// What the server wrote, if it ended.
    fn try_start(&mut self) -> Result<(), String> {
        let mut command = as_postgres(&binaries().join("postgres"));
        command.arg("-D").arg(self.folder.path().join("data")).args(["-p", &self.port.to_string()]);
        command.arg("-k").arg(self.folder.path());
        let ours = ["listen_addresses=127.0.0.1", "max_wal_senders=0", "wal_level=minimal"];
        for setting in ours.into_iter().chain(self.settings.iter().map(String::as_str)) {
            command.args(["-c", setting]);
        }
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let ready = wait_until_ready(child.stderr.take().unwrap());
        if ready.is_err() {
            child.wait().unwrap();
        } else {
            self.server = Some(child);
        }
        ready
    }

    fn end(&mut self, tell: impl FnOnce(&Child)) {
        if let Some(mut server) = self.server.take() {
            tell(&server);
            server.wait().unwrap();
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Nobody needs the data any more; also a paused one ends.
        self.kill();
    }
}

/// Reads what the server writes until it says that it is ready, and further on for as long as it runs.
fn wait_until_ready(stderr: ChildStderr) -> Result<(), String> {
    let (said, heard) = mpsc::channel();
    std::thread::spawn(move || {
        let mut log = String::new();
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            log = log + &line + "\n";
            if line.contains("ready to accept connections") {
                let _ = said.send(Ok(()));
            }
        }
        let _ = said.send(Err(log));
    });
    heard.recv_timeout(GUARD).unwrap_or_else(|_| panic!("waited {GUARD:?} for PostgreSQL"))
}

/// The data folder of a server that never ran.
fn template() -> PathBuf {
    let home = std::env::temp_dir().join(format!("keygate-postgres-template-{}", getuid().as_raw()));
    fs::create_dir_all(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    give_to_postgres(&home);
    let lock = fs::File::create(home.join("lock")).unwrap();
    lock.lock().unwrap();
    let (data, complete) = (home.join("data"), home.join("complete"));
    if !complete.exists() {
        let _ = fs::remove_dir_all(&data);
        let mut initdb = as_postgres(&binaries().join("initdb"));
        initdb.args([
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
            "--wal-segsize=1",
        ]);
        run(initdb.arg("-D").arg(&data), "").expect_success();
        fs::write(complete, "").unwrap();
    }
    data
}

fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").args(["-a", "--reflink=auto"]).arg(from).arg(to), "").expect_success();
}

fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").map(|entries| {
        entries.filter_map(|entry| entry.ok().map(|entry| entry.path().join("bin"))).collect::<Vec<_>>()
    });
    let newest =
        versions.ok().and_then(|found| found.into_iter().filter(|bin| bin.join("initdb").exists()).max());
    newest.expect("PostgreSQL is missing: run scripts/test-tools")
}

/// `program` as somebody else than root.
fn as_postgres(program: &Path) -> Command {
    let mut command = if getuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    // Where the user postgres may stand.
    command.current_dir("/");
    command
}

fn give_to_postgres(path: &Path) {
    if getuid().is_root() {
        let (user, group) = postgres_user();
        chown(path, Some(user), Some(group)).unwrap();
    }
}

/// The ids of the user and its group.
fn postgres_user() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with("postgres:")).expect("there is no user postgres");
    let field = |at| line.split(':').nth(at).unwrap().parse().unwrap();
    (field(2), field(3))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn signal(server: &Child, signal: Signal) {
    kill_process(Pid::from_child(server), signal).unwrap();
}

/// The server and its sessions. The server first, so that it starts no other.
fn signal_all(server: &Child, to_send: Signal) {
    let children = children_of(server.id());
    signal(server, to_send);
    for child in children.into_iter().chain(children_of(server.id())) {
        // One that has ended meanwhile needs nothing.
        let _ = Pid::from_raw(child).map(|child| kill_process(child, to_send));
    }
}

fn children_of(parent: u32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

/// A session that holds a lock, until this is dropped.
pub(crate) struct TableLock(Child);

impl Drop for TableLock {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
