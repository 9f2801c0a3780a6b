//! The real binary, running `serve` in a folder of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{Awaited, Client};

/// A running gateway. Dropping it kills the process, and shows its output where the test has failed.
pub(crate) struct Gateway {
    child: Child,
    folder: TempDir,
    output: Arc<Awaited<Output>>,
    readers: Vec<JoinHandle<()>>,
}

/// What the process wrote so far, both streams line by line.
#[derive(Default)]
struct Output {
    lines: Vec<String>,
    open_streams: usize,
}

impl Gateway {
    /// Writes `files` (name and content) into a new folder, runs `keygate serve --config keygate.yaml` there, and waits until
    /// it listens for requests.
    pub(crate) fn start(files: &[(&str, &str)]) -> Self {
        Self::start_with(files, |command| command)
    }

    /// As [`Gateway::start`], with a last word on the command: its environment, more arguments.
    pub(crate) fn start_with(
        files: &[(&str, &str)],
        adjust: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Self {
        let gateway = Self::spawn(files, adjust);
        gateway.address("data");
        gateway
    }

    /// As [`Gateway::start_with`], without waiting: for set-ups that must not start.
    pub(crate) fn spawn(files: &[(&str, &str)], adjust: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            write_file(folder.path(), name, content);
        }
        let output = Arc::default();
        let (child, readers) = serve_in(folder.path(), &output, adjust);
        Self { child, folder, output, readers }
    }

    /// Kills the process where it still runs, and starts another in its place: the same folder, and so the same config
    /// and state. Waits until that listens; what the one before has written is forgotten.
    pub(crate) fn restart(&mut self) {
        let _ = self.child.kill();
        self.wait();
        self.output = Arc::default();
        (self.child, self.readers) = serve_in(self.folder.path(), &self.output, |command| command);
        self.address("data");
    }

    /// The address of a listener (`data`, `health`, `admin`), once its line `listening name=… address=…` was written.
    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        let start = format!("listening name={name} address=");
        let address = self.wait_for_line(&start);
        let address = address.split(&start).nth(1).and_then(|rest| rest.split_whitespace().next());
        address.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no address in {address:?}"))
    }

    /// A new connection to the data listener.
    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address("data"))
    }

    /// `http://…` of the data listener.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address("data"))
    }

    /// The id of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Replaces a file of the folder as careful tools do: written beside it, then renamed.
    pub(crate) fn replace(&self, name: &str, content: &str) {
        let beside = format!(".{name}.new");
        write_file(self.folder(), &beside, content);
        fs::rename(self.folder().join(beside), self.folder().join(name)).unwrap();
    }

    /// Waits for a line of output that contains `part`, now or since the start, and gives it.
    pub(crate) fn wait_for_line(&self, part: &str) -> String {
        self.output.until(&format!("a line with {part:?}"), |output| {
            let line = output.lines.iter().find(|line| line.contains(part));
            assert!(
                line.is_some() || output.open_streams > 0,
                "ended without {part:?}:\n{}",
                output.lines.join("\n")
            );
            line.cloned()
        })
    }

    /// All that was written so far, on both streams.
    pub(crate) fn output(&self) -> String {
        self.output.read(|output| output.lines.join("\n"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits until the process has ended by itself, and gives its status and all its output.
    pub(crate) fn wait(&mut self) -> (ExitStatus, String) {
        self.output.until("the process to end", |output| (output.open_streams == 0).then_some(()));
        (self.child.wait().unwrap(), self.output())
    }
}

impl Drop for Gateway {
    #[expect(clippy::print_stderr, reason = "the test runner shows it with the failure")]
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        if std::thread::panicking() {
            eprintln!("--- output of keygate\n{}\n---", self.output());
        }
    }
}

fn serve_in(
    folder: &Path,
    output: &Arc<Awaited<Output>>,
    adjust: impl FnOnce(&mut Command) -> &mut Command,
) -> (Child, Vec<JoinHandle<()>>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keygate"));
    command.args(["serve", "--config", "keygate.yaml"]).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = adjust(&mut command).spawn().unwrap();
    output.change(|output| output.open_streams = 2);
    let readers = vec![
        collect(child.stdout.take().unwrap(), Arc::clone(output)),
        collect(child.stderr.take().unwrap(), Arc::clone(output)),
    ];
    (child, readers)
}

/// Files that only their owner can read, since `serve` refuses key files that others can write.
fn write_file(folder: &Path, name: &str, content: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn collect(stream: impl std::io::Read + Send + 'static, output: Arc<Awaited<Output>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            output.change(|output| output.lines.push(String::from_utf8_lossy(&line).into_owned()));
        }
        output.change(|output| output.open_streams -= 1);
    })
}
