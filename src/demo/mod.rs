//! The demo: a whole set-up in one process, in a temporary folder. A sample API, a gateway in front of it with a real
//! configuration, an SQLite database and the console, and steps that show each kind of answer.

mod command;
mod events;
mod exchange;
mod files;
mod guide;
mod keyring;
mod past;
mod records;
mod sample_api;
mod socket;
mod steps;
mod traffic;
mod walk;

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
};

use tempfile::TempDir;

use self::{files::Addresses, keyring::Keyring, sample_api::SampleApi, traffic::Traffic};
use crate::{
    app::{App, StartError, Stopper},
    clock::{Clock as _, SystemClock},
    control::sign_in::Token,
    net::listener::ListenAddress,
    store::database_url::DatabaseUrl,
};

/// Where the gateway and its console listen if nobody else does.
const PREFERRED: [SocketAddr; 2] = [on_loopback(8080), on_loopback(8081)];

/// Ports that the system chooses.
const ANY: [SocketAddr; 2] = [on_loopback(0); 2];

const fn on_loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// Why the demo cannot go on.
#[derive(Debug)]
pub struct DemoError(String);

impl fmt::Display for DemoError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for DemoError {}

impl From<io::Error> for DemoError {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<StartError> for DemoError {
    fn from(error: StartError) -> Self {
        Self(error.to_string())
    }
}

/// Sets everything up, prints to `out` how to try it, and serves until SIGINT or SIGTERM. Nothing is left behind.
///
/// # Errors
/// [`DemoError`] where the machine has no room, port or thread for it, or `out` is closed.
pub fn serve(out: &mut dyn io::Write) -> Result<(), DemoError> {
    let demo = Demo::set_up(PREFERRED).or_else(|_| Demo::set_up(ANY))?;
    guide::write(out, &demo)?;
    out.flush()?;
    let traffic = Traffic::start(demo.gateway, Arc::clone(&demo.keyring))?;
    demo.wait()?;
    drop(traffic);
    writeln!(out, "\nThe demo has ended; its folder is gone.")?;
    Ok(())
}

/// Sets everything up, takes every step over TCP, prints to `out` what came of each, and takes all down again. True if
/// every answer was as it should be.
///
/// # Errors
/// As [`serve`].
pub fn run_once(out: &mut dyn io::Write) -> Result<bool, DemoError> {
    let demo = Demo::set_up(ANY)?;
    let passed = walk::walk(out, &demo)?;
    demo.stop()?;
    Ok(passed)
}

/// The running set-up.
struct Demo {
    gateway: SocketAddr,
    health: SocketAddr,
    console: SocketAddr,
    /// Signs the owner in to the console, once.
    link: Token,
    stopper: Stopper,
    running: JoinHandle<Result<(), StartError>>,
    keyring: Arc<Keyring>,
    // Taken down in this order.
    _api: SampleApi,
    folder: TempDir,
}

impl Demo {
    fn set_up([listen, admin]: [SocketAddr; 2]) -> Result<Self, DemoError> {
        let folder = tempfile::Builder::new().prefix("keygate-demo-").tempdir()?;
        let api = SampleApi::start()?;
        let keyring = Keyring::generate().map_err(|error| DemoError(error.to_string()))?;
        files::write(folder.path(), &Addresses { listen, admin, api: api.address(), events: api.events() })?;
        let database = DatabaseUrl::Sqlite(folder.path().join(files::DATABASE));
        let link = records::fill(&database, &keyring, SystemClock.now())?;
        let app = App::start(&folder.path().join(files::CONFIG))?;
        let (gateway, health) = (address_of(&app, "data")?, address_of(&app, "health")?);
        let console = address_of(&app, "admin")?;
        let stopper = app.stopper();
        let running = thread::Builder::new().name("gateway".to_owned()).spawn(|| app.run())?;
        let keyring = Arc::new(keyring);
        Ok(Self { gateway, health, console, link, stopper, running, keyring, _api: api, folder })
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn stop(self) -> Result<(), DemoError> {
        self.stopper.stop();
        self.wait()
    }

    /// Waits for the gateway to end, then takes down the rest.
    fn wait(self) -> Result<(), DemoError> {
        let ended = self.running.join().map_err(|_| DemoError("the gateway panicked".to_owned()))?;
        self.folder.close()?;
        Ok(ended?)
    }
}

fn address_of(app: &App, name: &str) -> Result<SocketAddr, DemoError> {
    let named = app.bound().iter().find(|(bound, _)| *bound == name);
    match named {
        Some((_, ListenAddress::Tcp(address))) => Ok(*address),
        Some((_, ListenAddress::Unix(_))) | None => Err(DemoError(format!("no {name} listener"))),
    }
}
