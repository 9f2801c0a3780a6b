//! The composition root: the only file that knows everyone. [`App::start`] puts the parts together, [`App::run`] keeps
//! them going until the operator stops them.

use std::{
    fmt, fs, io,
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    admin::health::{self, HealthState},
    clock::{Clock, SystemClock},
    config::{
        self, Surroundings,
        model::{
            AccessLogMode, AccessLogPath, CertificateFiles, Config, KeySource, ListenerConfig, ListenerTls,
        },
    },
    control::usage_flush::UsageFlush,
    keys::{build::KeyPolicy, snapshot::KeySnapshot},
    live::{Live, Published},
    net::{
        drain::{Shutdown, ShutdownTimes, StopSignals},
        limits::{ConnectionBounds, ConnectionLimit},
        listener::{Bound, ListenAddress, ListenOptions, ListeningSocket, bind},
        tls::{Certificate, CertificateStore, ServerTlsOptions},
    },
    proxy::{
        Upstreams,
        worker::{Entrance, Worker},
    },
    store::{
        file::FileProblem,
        key_files::{KeyFiles, Location, Moment},
        read::ReadOptions,
        state::StateFolder,
    },
    telemetry::{
        access_log::{self, AccessLog, AccessLogSettings},
        metrics::{BuildInfo, Metrics},
        worker::Telemetry,
    },
};

/// How long the access log may take to be written at the end.
const LOG_PATIENCE: Duration = Duration::from_secs(2);

/// What this build is.
pub const BUILD: BuildInfo = BuildInfo {
    version: env!("CARGO_PKG_VERSION"),
    revision: match option_env!("KEYGATE_REVISION") {
        Some(revision) => revision,
        None => "unknown",
    },
    target: concat!(env!("CARGO_PKG_NAME"), "-", "linux"),
};

/// Why the gateway does not start.
#[derive(Debug)]
pub enum StartError {
    /// The config is wrong.
    Config(Vec<config::Problem>),
    /// Key files are wrong.
    Keys(Vec<FileProblem>),
    /// Anything else, in words for the operator.
    Other(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = |formatter: &mut fmt::Formatter<'_>, problems: Vec<String>| {
            formatter.write_str(&problems.join("\n"))
        };
        match self {
            Self::Config(problems) => lines(formatter, problems.iter().map(ToString::to_string).collect()),
            Self::Keys(problems) => lines(formatter, problems.iter().map(ToString::to_string).collect()),
            Self::Other(what) => formatter.write_str(what),
        }
    }
}

impl From<String> for StartError {
    fn from(what: String) -> Self {
        Self::Other(what)
    }
}

/// A gateway that is bound and serves.
#[derive(Debug)]
pub struct App {
    live: Live,
    shutdown: Shutdown,
    telemetry: Telemetry,
    usage: UsageFlush,
    health: Option<ListeningSocket>,
    workers: Vec<JoinHandle<io::Result<()>>>,
    bound: Vec<String>,
}

impl App {
    /// Reads the config and the keys, binds every address, and starts the workers.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left bound or running then.
    pub fn start(config_path: &Path) -> Result<Self, StartError> {
        let via = via_name()?;
        let loaded = config::load(config_path, &Surroundings::of_process(&via));
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let config = Arc::new(loaded.result.map_err(StartError::Config)?);
        let keys = first_keys(&config)?;
        let metrics = Metrics::new(BUILD, SystemClock.now());
        let access_log = AccessLog::open(&access_log_settings(&config), &metrics)
            .map_err(|error| format!("the access log cannot be opened: {error}"))?;
        let (telemetry, batches) = Telemetry::new(metrics, access_log);
        let state =
            config.state.as_deref().map(StateFolder::open).transpose().map_err(|error| error.to_string())?;
        let usage = UsageFlush::new(state, batches).map_err(|error| error.to_string())?;
        let live = Live::new(Published { revision: 1, config: Arc::clone(&config), keys: Some(keys) });
        let shutdown = Shutdown::new();
        let (mut bound, per_worker) = bind_all(&config)?;
        let health = config.health.map(bind_health).transpose()?;
        bound.extend(health.as_ref().map(|(address, _)| format!("health {address}")));
        let upstreams = Upstreams::default();
        let workers = per_worker
            .into_iter()
            .enumerate()
            .map(|(at, listeners)| {
                let worker =
                    Worker::new(listeners, live.clone(), upstreams.clone(), &telemetry, shutdown.clone())?;
                thread::Builder::new().name(format!("worker-{at}")).spawn(move || worker.run())
            })
            .collect::<io::Result<Vec<_>>>()
            .map_err(|error| format!("a worker cannot be started: {error}"))?;
        let health = health.map(|(_, socket)| socket);
        Ok(Self { live, shutdown, telemetry, usage, health, workers, bound })
    }

    /// The addresses in use, as `NAME ADDRESS`.
    pub fn bound(&self) -> &[String] {
        &self.bound
    }

    /// Serves until the operator stops it and every connection has ended, or the deadline has passed.
    ///
    /// # Errors
    /// Where signals cannot be heard, or a worker failed.
    pub fn run(self) -> Result<(), StartError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("the control runtime cannot be started: {error}"))?;
        let times = {
            let shutdown = &self.live.current().config.shutdown;
            ShutdownTimes { delay: shutdown.delay, deadline: shutdown.deadline }
        };
        let (ended_sender, ended) = tokio::sync::oneshot::channel();
        let workers = self.workers;
        let joiner = thread::spawn(move || {
            let results: Vec<_> = workers.into_iter().map(JoinHandle::join).collect();
            let _ = ended_sender.send(());
            results
        });
        let health = self.health;
        let state = HealthState {
            metrics: self.telemetry.metrics().clone(),
            live: self.live.clone(),
            shutdown: self.shutdown.clone(),
        };
        let usage = runtime.spawn(self.usage.run());
        runtime.block_on(async {
            if let Some(socket) = health {
                let listener = socket
                    .into_listener()
                    .map_err(|error| format!("the health listener cannot be served: {error}"))?;
                tokio::spawn(health::serve(listener, state));
            }
            let mut signals =
                StopSignals::new().map_err(|error| format!("signals cannot be heard: {error}"))?;
            tokio::select! {
                () = self.shutdown.conduct(times, async || signals.next().await) => {}
                _ = ended => {}
            }
            Ok::<(), StartError>(())
        })?;
        let results = joiner.join().unwrap_or_default();
        self.telemetry.close(LOG_PATIENCE);
        // The last sender of uses went with the telemetry.
        let _ = runtime.block_on(usage);
        for result in results {
            match result {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(format!("a worker failed: {error}").into()),
                Err(_) => return Err(StartError::Other("a worker panicked".into())),
            }
        }
        Ok(())
    }
}

/// The name this process goes by in `Via`, so that a request that comes back is known.
fn via_name() -> Result<String, StartError> {
    let mut random = [0u8; 4];
    getrandom::fill(&mut random).map_err(|error| format!("the system gives no randomness: {error}"))?;
    Ok(format!("keygate-{:08x}", u32::from_be_bytes(random)))
}

fn first_keys(config: &Config) -> Result<KeySnapshot, StartError> {
    let location = match &config.keys {
        KeySource::File(path) => Location::File(path.clone()),
        KeySource::Directory(path) => Location::Directory(path.clone()),
    };
    let options = ReadOptions { strict_permissions: config.strict_permissions, ..ReadOptions::default() };
    let mut files = KeyFiles::new(location, options);
    files.look_once(Moment { monotonic: Instant::now(), wall: SystemClock.now() });
    let policy =
        KeyPolicy { scopes: &config.policy.scopes, role_caps: &config.role_caps, brand: &config.brand };
    let resolution = files.resolve(&policy).map_err(StartError::Keys)?;
    if !resolution.wrong.is_empty() {
        return Err(StartError::Keys(
            resolution.wrong.into_iter().flat_map(|wrong| wrong.problems).collect(),
        ));
    }
    resolution.snapshot.ok_or_else(|| StartError::Other("no key file was read".into()))
}

fn access_log_settings(config: &Config) -> AccessLogSettings {
    AccessLogSettings {
        mode: match config.access_log.mode {
            AccessLogMode::Off => access_log::Mode::Off,
            AccessLogMode::Sampled(one_in) => access_log::Mode::Sampled { one_in },
            AccessLogMode::All => access_log::Mode::All,
        },
        destination: match &config.access_log.path {
            AccessLogPath::Stdout => access_log::Destination::Stdout,
            AccessLogPath::Stderr => access_log::Destination::Stderr,
            AccessLogPath::File(path) => access_log::Destination::File(path.clone()),
        },
    }
}

type Listeners = Vec<(ListeningSocket, Entrance)>;

/// Binds every listener of the config; the sockets are given out one to each worker.
fn bind_all(config: &Config) -> Result<(Vec<String>, Vec<Listeners>), StartError> {
    let mut addresses = Vec::new();
    let mut per_worker: Vec<Listeners> = (0..config.workers.get()).map(|_| Vec::new()).collect();
    for (index, listener) in config.listeners.iter().enumerate() {
        let options = ListenOptions {
            address: listener.address.clone(),
            unix_mode: listener.unix_mode,
            workers: config.workers,
        };
        let Bound { address, sockets } = bind(&options).map_err(|problem| problem.to_string())?;
        addresses.push(format!("data {address}"));
        let entrance = entrance(index, listener)?;
        for (worker, socket) in per_worker.iter_mut().zip(sockets) {
            worker.push((socket, entrance.clone()));
        }
    }
    Ok((addresses, per_worker))
}

fn bind_health(address: SocketAddr) -> Result<(ListenAddress, ListeningSocket), StartError> {
    let options =
        ListenOptions { address: ListenAddress::Tcp(address), unix_mode: 0o600, workers: NonZeroUsize::MIN };
    let Bound { address, mut sockets } = bind(&options).map_err(|problem| problem.to_string())?;
    let socket = sockets.pop().ok_or_else(|| "the health listener has no socket".to_owned())?;
    Ok((address, socket))
}

fn entrance(index: usize, listener: &ListenerConfig) -> Result<Entrance, StartError> {
    let tls = match &listener.tls {
        None => None,
        Some(tls) => {
            let options = read_tls(tls)?;
            let store = CertificateStore::new(&options)
                .map_err(|problem| format!("TLS cannot be set up: {problem}"))?;
            Some(Arc::new(store))
        }
    };
    let limit = ConnectionLimit::new(ConnectionBounds {
        connections: listener.limits.connections,
        per_peer: listener.limits.connections_per_address,
        trusted_proxies: listener.trusted_proxies.clone(),
    });
    Ok(Entrance { index, tls, limit })
}

fn read_tls(tls: &ListenerTls) -> Result<ServerTlsOptions, StartError> {
    let certificates = tls.certificates.iter().map(read_certificate).collect::<Result<_, _>>()?;
    let client_ca = tls.client_ca.as_ref().map(read_pem).transpose()?;
    Ok(ServerTlsOptions { certificates, client_ca })
}

fn read_certificate(files: &CertificateFiles) -> Result<Certificate, StartError> {
    let (certificate, key) = (read_pem(&files.certificate)?, read_pem(&files.private_key)?);
    Certificate::from_pem(&certificate, &key).map_err(|problem| {
        format!("{} with {}: {problem}", files.certificate.display(), files.private_key.display()).into()
    })
}

fn read_pem(path: &PathBuf) -> Result<Vec<u8>, StartError> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()).into())
}
