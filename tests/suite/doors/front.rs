//! Real proxies that ask a door, started with the configurations of `deploy/` as they stand, but for the addresses.

use std::{
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::harness::{Client, GUARD, Message, run};

/// A running proxy. Dropping it ends the process, and shows what it wrote where the test has failed.
pub(crate) struct Front {
    process: Child,
    address: SocketAddr,
    folder: TempDir,
    rewrites: fn(&str) -> String,
}

/// Who a proxy stands between.
#[derive(Clone, Copy)]
pub(super) struct Between {
    pub(super) door: SocketAddr,
    pub(super) api: SocketAddr,
}

pub(super) fn deployed(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `text` with one address in place of another that must be there.
fn with_address(text: &str, written: &str, address: SocketAddr) -> String {
    assert!(text.contains(written), "no {written} in\n{text}");
    text.replace(written, &address.to_string())
}

impl Front {
    /// nginx with `deploy/nginx/keygate.conf`; `adjust` has the last word.
    pub(super) fn nginx(between: Between, adjust: impl FnOnce(String) -> String) -> Self {
        let (address, folder) = (free_address(), tempfile::tempdir().unwrap());
        let site = with_address(&deployed("nginx/keygate.conf"), "127.0.0.1:8080", address);
        let site = with_address(&site, "127.0.0.1:8090", between.door);
        let site = adjust(with_address(&site, "127.0.0.1:9000", between.api));
        Self::nginx_of(&site, address, folder)
    }

    /// nginx with `location` as all that it serves, where it names `upstream` as `written`.
    pub(crate) fn nginx_with(location: &str, written: &str, upstream: SocketAddr) -> Self {
        let (address, folder) = (free_address(), tempfile::tempdir().unwrap());
        let location = with_address(location, written, upstream);
        Self::nginx_of(&format!("server {{ listen {address}; {location} }}"), address, folder)
    }

    fn nginx_of(site: &str, address: SocketAddr, folder: TempDir) -> Self {
        let at = folder.path().display();
        // Where the tests run as root, its workers too, for the sockets of the tests; elsewhere `user` says nothing.
        let config = format!(
            "user root; daemon off; pid {at}/nginx.pid; error_log stderr;\n\
             events {{}}\n\
             http {{\n\
               access_log off; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;\n\
               fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;\n\
               {site}\n\
             }}\n"
        );
        let path = folder.path().join("nginx.conf");
        fs::write(&path, config).unwrap();
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-p").arg(folder.path()).arg("-c").arg(&path).args(["-e", "stderr"]);
        Self::start(&mut command, address, folder, str::to_owned)
    }

    /// Caddy with `deploy/caddy/Caddyfile`; `adjust` has the last word.
    pub(super) fn caddy(between: Between, adjust: impl FnOnce(String) -> String) -> Self {
        let (address, folder) = (free_address(), tempfile::tempdir().unwrap());
        let site =
            deployed("caddy/Caddyfile").replace("http://:8080 {", &format!("http://:{} {{", address.port()));
        let site = with_address(&site, "127.0.0.1:8091", between.door);
        let site = adjust(with_address(&site, "127.0.0.1:9000", between.api));
        let path = folder.path().join("Caddyfile");
        // No admin API on a fixed port, and no certificates.
        fs::write(&path, format!("{{\n\tadmin off\n\tauto_https off\n}}\n{site}")).unwrap();
        let mut command = Command::new("caddy");
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&path);
        command
            .env("HOME", folder.path())
            .env("XDG_DATA_HOME", folder.path())
            .env("XDG_CONFIG_HOME", folder.path());
        Self::start(&mut command, address, folder, as_go_writes)
    }

    /// Envoy with `deploy/envoy/NAME.yaml`, whose door is written as `door_port`.
    pub(super) fn envoy(name: &str, door_port: u16, between: Between) -> Self {
        Self::envoy_with(name, door_port, between, |config| config)
    }

    /// As [`Front::envoy`]; `adjust` has the last word.
    pub(super) fn envoy_with(
        name: &str,
        door_port: u16,
        between: Between,
        adjust: impl FnOnce(String) -> String,
    ) -> Self {
        let (address, folder) = (free_address(), tempfile::tempdir().unwrap());
        let mut config = deployed(&format!("envoy/{name}.yaml"));
        for (written, port) in
            [(8080, address.port()), (door_port, between.door.port()), (9000, between.api.port())]
        {
            let written = format!("port_value: {written}}}");
            assert!(config.contains(&written), "no {written} in\n{config}");
            config = config.replace(&written, &format!("port_value: {port}}}"));
        }
        let path = folder.path().join("envoy.yaml");
        fs::write(&path, adjust(config)).unwrap();
        let mut command = Command::new(run::test_tool("python").with_file_name("envoy"));
        command
            .args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning", "-c"])
            .arg(&path);
        Self::start(&mut command, address, folder, str::to_owned)
    }

    fn start(
        command: &mut Command,
        address: SocketAddr,
        folder: TempDir,
        rewrites: fn(&str) -> String,
    ) -> Self {
        let log = fs::File::create(folder.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let process =
            command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error} (scripts/test-tools)"));
        let mut front = Self { process, address, folder, rewrites };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(front.process.try_wait().unwrap().is_none(), "it has ended:\n{}", front.log());
            assert!(start.elapsed() < GUARD, "it does not listen:\n{}", front.log());
            thread::sleep(Duration::from_millis(20));
        }
        front
    }

    /// How it spells a target before it asks about it.
    pub(super) fn rewrites(&self) -> fn(&str) -> String {
        self.rewrites
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub(super) fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// `http://…` of it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The answer to one request on a connection of its own.
    pub(super) fn exchange(&self, request: impl AsRef<[u8]>) -> Message {
        self.connect().exchange(request)
    }
}

impl Drop for Front {
    #[expect(clippy::print_stderr, reason = "the test runner shows it with the failure")]
    fn drop(&mut self) {
        let _ = run::run(Command::new("kill").arg(self.process.id().to_string()), "");
        let _ = self.process.wait();
        if thread::panicking() {
            let log = self.log();
            eprintln!("--- the proxy's log\n{}\n---", &log[log.len().saturating_sub(4000)..]);
        }
    }
}

/// Go encodes what may not stand in a path, for the question and for the request alike.
fn as_go_writes(target: &str) -> String {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let mut written = String::new();
    for byte in path.bytes() {
        match byte {
            b'|' | b'^' | b'`' | b'{' | b'}' | b'"' | b'<' | b'>' | 0x80.. => {
                write!(written, "%{byte:02X}").unwrap();
            }
            _ => written.push(char::from(byte)),
        }
    }
    if let Some(query) = query {
        written = format!("{written}?{query}");
    }
    written
}

/// An address where nobody listens.
fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}
