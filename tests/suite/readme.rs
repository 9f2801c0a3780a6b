//! The README: its guide is run as it stands, from an empty folder, in front of a real nginx; its links lead somewhere.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::harness::{GUARD, run};

const GUIDE: &str = "## Protect an API you already have";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The shell blocks of the guide, in their order, as one script.
fn guide() -> String {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let guide = readme.split_once(GUIDE).expect("the guide is there").1;
    let guide = guide.split("\n## ").next().unwrap();
    let blocks = guide.split("\n```sh\n").skip(1).map(|block| block.split("\n```").next().unwrap());
    blocks.fold(String::new(), |script, block| script + block + "\n")
}

/// An address that nobody uses now.
fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// The API that exists already: an nginx which serves one page, and takes what is posted.
struct Nginx {
    process: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Nginx {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        let at = folder.path().display();
        let config = format!(
            "daemon off; pid {at}/nginx.pid; error_log stderr;\n\
             events {{}}\n\
             http {{\n\
               access_log off; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;\n\
               fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;\n\
               server {{ listen {address}; location / {{ return 200 'the legacy API, for $http_x_auth_key_name\\n'; }} }}\n\
             }}\n"
        );
        let path = folder.path().join("nginx.conf");
        fs::write(&path, config).unwrap();
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-p").arg(folder.path()).arg("-c").arg(&path).args(["-e", "stderr"]);
        let process = command.stdin(Stdio::null()).spawn().expect("nginx is installed (scripts/test-tools)");
        let mut nginx = Self { process, address, _folder: folder };
        nginx.wait();
        nginx
    }

    /// Until it listens.
    fn wait(&mut self) {
        let start = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            assert!(self.process.try_wait().unwrap().is_none(), "nginx has ended");
            assert!(start.elapsed() < GUARD, "nginx does not listen");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = run::run(Command::new("kill").arg(self.process.id().to_string()), "");
        let _ = self.process.wait();
    }
}

/// `PATH` with the gateway before all others.
fn path_with_keygate() -> String {
    let folder = Path::new(env!("CARGO_BIN_EXE_keygate")).parent().unwrap();
    format!("{}:{}", folder.display(), env::var("PATH").unwrap())
}

#[test]
fn the_guide_protects_an_nginx_from_nothing() {
    let api = Nginx::start();
    let folder = tempfile::tempdir().unwrap();
    let mut shell = Command::new("bash");
    // Job control, so that `%1` is what it is where the lines are typed.
    // A gateway that outlived a failed line would hold the test up.
    let script = format!("trap 'jobs -p | xargs --no-run-if-empty kill' EXIT\n{}", guide());
    shell.args(["-euo", "pipefail", "-m", "-c", &script]).current_dir(folder.path());
    shell.env("PATH", path_with_keygate()).env("NO_PROXY", "*");
    shell.env("API", format!("http://{}", api.address));
    shell.env("GATE", free_address().to_string()).env("HEALTH", free_address().to_string());
    let run::Run { code, stdout, stderr } = run::run(&mut shell, "");
    assert_eq!(code, Some(0), "{stdout}\n{stderr}");
    let mut rest = stdout.as_str();
    for expected in [
        "My first key",
        "ok: 2 routes",
        "HTTP/1.1 401",
        "key_missing",
        "HTTP/1.1 200",
        "the legacy API, for My%20first%20key",
        "HTTP/1.1 403",
        "scope_insufficient",
        "403",
        "key_revoked",
    ] {
        let found = rest.find(expected);
        let at = found
            .unwrap_or_else(|| panic!("no {expected:?} after what came before it in\n{stdout}\n{stderr}"));
        rest = &rest[at + expected.len()..];
    }
}

#[test]
fn links_lead_to_files_that_are_there() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap();
            if !path.is_empty() && !link.contains("://") && !page.parent().unwrap().join(path).exists() {
                broken.push(format!("{}: {link}", page.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The Markdown files at the root and under `docs`.
fn pages() -> Vec<PathBuf> {
    let mut folders = vec![root().to_owned(), root().join("docs"), root().join("docs/reference")];
    let entries = folders.drain(..).flat_map(|folder| fs::read_dir(folder).unwrap());
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension() == Some("md".as_ref()))
        .collect()
}

#[test]
fn commands_in_the_pages_are_ones_that_exist() {
    let mut wrong = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for line in text.lines().filter_map(|line| line.strip_prefix("keygate ")) {
            let arguments =
                line.split([' ']).take_while(|word| !["#", ">", ">>", "<", "|", "&"].contains(word));
            let arguments = arguments.collect::<Vec<_>>().join(" ");
            // Everything before `--help` is still read, and refused where it is unknown.
            let asked = format!("keygate {arguments} --help");
            let mut shell = Command::new("bash");
            let told = run::run(shell.args(["-c", &asked]).env("PATH", path_with_keygate()), "");
            if told.code != Some(0) {
                wrong.push(format!("{}: {line}\n{}", page.display(), told.stderr));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
