//! The composition root: the only file that knows everyone. [`App::start`] puts the parts together, [`App::run`] keeps
//! them going until the operator stops them.

mod admin;
mod certificates;
mod first_owner;
mod possession;
mod supervisor;

use std::{
    fmt, fs, io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
};

use self::{
    admin::{AdminDoor, AdminSources},
    certificates::ListenerCertificates,
    possession::PossessionDoor,
    supervisor::{Gateway, Supervisor},
};
use crate::{
    admin::{
        health::{self, HealthState},
        thread::AdminThread,
    },
    clock::{Clock, SystemClock},
    config::model::{
        AccessLogMode, AccessLogPath, AuthzProtocol, Config, HeaderFamily, KeySource, ListenerTls, Serves,
    },
    control::{
        config_file::ConfigFile,
        reload::{CertificateSource, Reloader, ReloaderParts},
        reload_thread::{ReloadHandle, ReloadThread},
        replica_thread::{ReplicaThread, ReplicaThreadParts},
        usage_flush::UsageFlush,
    },
    live::Live,
    net::{
        descriptors::{self, Demand},
        drain::{Phase, Shutdown, ShutdownTimes, StopSignals},
        limits::{ConnectionBounds, ConnectionLimit},
        listener::{Bound, ListenAddress, ListenOptions, ListeningSocket, bind},
    },
    proxy::{
        Upstreams,
        worker::{Entrance, Worker},
    },
    store::{file_store::AUDIT_LOG, state::StateFolder},
    telemetry::{
        access_log::{self, AccessLog, AccessLogSettings},
        audit::AuditLog,
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
    target: if cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        "x86_64-linux"
    } else if cfg!(all(target_arch = "aarch64", target_os = "linux")) {
        "aarch64-linux"
    } else {
        std::env::consts::ARCH
    },
};

/// Why the gateway does not start.
#[derive(Debug)]
pub enum StartError {
    /// A file is wrong: each problem with its place and remedy.
    Wrong(Vec<String>),
    /// The world is not as it should be.
    Failed(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong(problems) => formatter.write_str(&problems.join("\n")),
            Self::Failed(what) => formatter.write_str(what),
        }
    }
}

impl std::error::Error for StartError {}

impl From<String> for StartError {
    fn from(what: String) -> Self {
        Self::Failed(what)
    }
}

/// An address in use, and the name of what is served there.
pub type NamedAddress = (&'static str, ListenAddress);

/// A gateway that is bound and serves.
#[derive(Debug)]
pub struct App {
    live: Live,
    shutdown: Shutdown,
    telemetry: Telemetry,
    keeper: Keeper,
    reload: ReloadThread,
    health: Option<ListeningSocket>,
    admin: Vec<AdminThread>,
    workers: Vec<JoinHandle<io::Result<()>>>,
    bound: Vec<NamedAddress>,
    control: Runtime,
    signals: Signals,
}

/// Who keeps what outlives the process.
#[derive(Debug)]
enum Keeper {
    /// With key files: uses of keys go to the `state:` folder.
    Usage(Box<UsageFlush>),
    /// With a database: it is followed, and uses go there.
    Replica(ReplicaThread),
}

/// What the operator says by signals; heard from the moment the gateway listens.
#[derive(Debug)]
struct Signals {
    stop: StopSignals,
    hangup: Signal,
}

impl Signals {
    fn hear(control: &Runtime) -> io::Result<Self> {
        let _entered = control.enter();
        Ok(Self { stop: StopSignals::new()?, hangup: signal(SignalKind::hangup())? })
    }
}

/// Ends a running [`App`] from another thread, as SIGTERM would without delay.
#[derive(Debug, Clone)]
pub struct Stopper(Shutdown);

impl Stopper {
    /// Lets requests in flight end, and takes no new ones.
    pub fn stop(&self) {
        self.0.advance(Phase::Draining);
    }
}

impl App {
    /// Reads the config, the certificates and the keys, binds every address, and starts the workers. Key files that are
    /// wrong are told in the log while others are right; with none that is right there is nothing to serve.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left bound or running then.
    pub fn start(config_path: &Path) -> Result<Self, StartError> {
        let open_files = descriptors::raise_limit();
        let (config_file, config) = load_config(config_path)?;
        let control = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("the control runtime cannot be started: {error}"))?;
        let signals = Signals::hear(&control).map_err(|error| format!("signals cannot be heard: {error}"))?;
        let certificates = load_certificates(&config)?;
        let metrics = Metrics::new(BUILD, SystemClock.now());
        let state = open_state(&config)?;
        let audit = Arc::new(open_audit(&config)?);
        let access_log = AccessLog::open(&access_log_settings(&config), &metrics)
            .map_err(|error| format!("the access log cannot be opened: {error}"))?;
        let (telemetry, batches) = Telemetry::new(metrics.clone(), access_log);

        let source = config.keys.clone();
        let entrances = entrances(&config, &certificates.listeners, open_files);
        let (mut bound, sockets) = bind_all(&config)?;
        let health =
            config.health.map(|address| bind_one("health", ListenAddress::Tcp(address))).transpose()?;
        bound.extend(health.as_ref().map(|(address, _)| ("health", address.clone())));
        let admin = config.admin.clone().map(AdminDoor::bind).transpose()?;
        bound.extend(admin.as_ref().map(|door| ("admin", door.address.clone())));

        let possession = config.possession.clone().map(PossessionDoor::bind).transpose()?;
        bound.extend(possession.as_ref().map(|door| ("revocation", door.address.clone())));

        let store = |certificates: &Option<ListenerCertificates>| {
            certificates.as_ref().map(ListenerCertificates::store)
        };
        let admin_store = store(&certificates.admin);
        let possession_store = store(&certificates.possession);
        let certificates =
            certificates.listeners.into_iter().chain([certificates.admin, certificates.possession]).flatten();
        let certificates = certificates.map(|one| Box::new(one) as Box<dyn CertificateSource>);
        let parts = ReloaderParts {
            config_file,
            config,
            certificates: certificates.collect(),
            metrics: metrics.clone(),
            audit: Arc::clone(&audit),
            clock: Box::new(SystemClock),
        };
        let (reloader, report) = Reloader::start(parts).map_err(|error| error.to_string())?;
        let live = reloader.live().clone();
        let records = reloader.records_in_force().clone();
        let keeper = match (reloader.database_keys(), &source) {
            (Some(keys), KeySource::Database(source)) => {
                Keeper::Replica(ReplicaThread::start(ReplicaThreadParts {
                    source: source.clone(),
                    keys: keys.clone(),
                    live: live.clone(),
                    metrics,
                    state,
                    address: place(&bound),
                    batches,
                })?)
            }
            (Some(_) | None, _) if live.current().keys.is_none() => {
                return Err(StartError::Wrong(
                    report.wrong.into_iter().flat_map(|wrong| wrong.problems).collect(),
                ));
            }
            (Some(_) | None, _) => {
                let usage = UsageFlush::new(state, batches, live.clone(), metrics);
                Keeper::Usage(Box::new(usage.map_err(|error| error.to_string())?))
            }
        };
        let shutdown = Shutdown::new();
        let workers = spawn_workers(sockets, &entrances, &live, &telemetry, &shutdown)
            .map_err(|error| format!("a worker cannot be started: {error}"))?;
        let reload = ReloadThread::spawn(reloader)
            .map_err(|error| format!("the thread that reloads cannot be started: {error}"))?;
        let sources = AdminSources {
            keys: source,
            live: live.clone(),
            records,
            reload: reload.handle(),
            metrics: telemetry.metrics().clone(),
            audit,
            place: place(&bound),
        };
        let possession = possession
            .map(|door| door.open(possession_store, open_files, shutdown.clone(), &sources))
            .transpose()?;
        let admin =
            admin.map(|door| door.open(admin_store, open_files, shutdown.clone(), sources)).transpose()?;
        let admin = admin.into_iter().chain(possession).collect();
        let health = health.map(|(_, socket)| socket);
        Ok(Self {
            live,
            shutdown,
            telemetry,
            keeper,
            reload,
            health,
            admin,
            workers,
            bound,
            control,
            signals,
        })
    }

    /// The addresses in use, each with the name of what is served there.
    pub fn bound(&self) -> &[NamedAddress] {
        &self.bound
    }

    /// Asks the gateway to look at its sources, as SIGHUP does.
    pub fn reload_handle(&self) -> ReloadHandle {
        self.reload.handle()
    }

    /// What ends it.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.shutdown.clone())
    }

    /// Serves until it is stopped and every connection has ended, or the deadline has passed.
    ///
    /// # Errors
    /// Where the health listener cannot be served, or a worker failed.
    pub fn run(self) -> Result<(), StartError> {
        let Self {
            live, shutdown, telemetry, keeper, reload, health, admin, workers, control, signals, ..
        } = self;
        let Signals { mut stop, mut hangup } = signals;
        let (ended_sender, ended) = tokio::sync::oneshot::channel();
        let drained = shutdown.clone();
        let joiner = thread::spawn(move || {
            let results: Vec<_> = workers.into_iter().map(JoinHandle::join).collect();
            // Where every worker has failed, nobody asked to stop.
            drained.advance(Phase::Draining);
            for thread in admin {
                if thread.join().is_err() {
                    tracing::error!("the thread of a listener for people has panicked");
                }
            }
            let _ = ended_sender.send(());
            results
        });
        let (usage, replica) = match keeper {
            Keeper::Usage(usage) => (Some(control.spawn(usage.run())), None),
            Keeper::Replica(replica) => (None, Some(replica)),
        };
        control.block_on(async {
            if let Some(socket) = health {
                let listener = socket
                    .into_listener()
                    .map_err(|error| format!("the health listener cannot be served: {error}"))?;
                let metrics = telemetry.metrics().clone();
                tokio::spawn(health::serve(
                    listener,
                    HealthState { metrics, live: live.clone(), shutdown: shutdown.clone() },
                ));
            }
            let times = {
                let shutdown = &live.current().config.shutdown;
                ShutdownTimes { delay: shutdown.delay, deadline: shutdown.deadline }
            };
            let supervisor = Supervisor::of_environment();
            let gateway = Gateway {
                live: live.clone(),
                metrics: telemetry.metrics().clone(),
                shutdown: shutdown.clone(),
            };
            let stopping = shutdown.conduct(times, async || {
                stop.next().await;
                supervisor.stopping();
            });
            let reloading = async {
                while hangup.recv().await.is_some() {
                    supervisor.reloading();
                    telemetry.access_log().reopen();
                    let handle = reload.handle();
                    // It blocks until files that are being written stand still.
                    let _ = tokio::task::spawn_blocking(move || handle.reload()).await;
                    supervisor.reloaded(&gateway);
                }
            };
            tokio::select! {
                () = stopping => {}
                () = reloading => {}
                () = supervisor.attend(&gateway) => {}
                _ = ended => {}
            }
            Ok::<(), StartError>(())
        })?;
        let results = joiner.join().unwrap_or_default();
        drop(reload);
        telemetry.close(LOG_PATIENCE);
        // The last sender of uses went with the telemetry.
        if let Some(usage) = usage {
            let _ = control.block_on(usage);
        }
        if let Some(replica) = replica {
            replica.stop();
        }
        for result in results {
            match result {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(format!("a worker failed: {error}").into()),
                Err(_) => return Err(StartError::Failed("a worker panicked".into())),
            }
        }
        Ok(())
    }
}

/// Where this process can be found: the same after a restart in the same place, and never the same for two that run.
fn place(bound: &[NamedAddress]) -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = |name: &str| {
        let link = fs::read_link(format!("/proc/self/ns/{name}")).unwrap_or_default();
        link.to_string_lossy().chars().filter(char::is_ascii_digit).collect::<String>()
    };
    let data = bound.iter().filter(|(name, _)| *name == "data").map(|(_, address)| address.to_string());
    let data = data.collect::<Vec<_>>();
    let port = data.first().map_or("", |address| address.rsplit([':', '/']).next().unwrap_or_default());
    // Machines and containers may share a name, and an address: not the boot, the network and the files as well.
    let boot: String = boot.chars().take(8).collect();
    let (net, mnt) = (namespace("net"), namespace("mnt"));
    format!("{}:{port} {} {boot}-{net}-{mnt}", host.trim(), data.join(","))
}

fn load_config(path: &Path) -> Result<(ConfigFile, Config), StartError> {
    let mut random = [0u8; 4];
    getrandom::fill(&mut random).map_err(|error| format!("the system gives no randomness: {error}"))?;
    // Its own name in `Via`, so that a request that comes back is known.
    let via = format!("keygate-{:08x}", u32::from_be_bytes(random));
    let mut file = ConfigFile::new(PathBuf::from(path), via);
    let loaded = file.load();
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let told = |problems: Vec<_>| {
        StartError::Wrong(problems.iter().map(crate::config::Problem::to_string).collect())
    };
    Ok((file, loaded.result.map_err(told)?))
}

/// The certificates of what listens; `None` of what does so in cleartext.
struct Certificates {
    listeners: Vec<Option<ListenerCertificates>>,
    admin: Option<ListenerCertificates>,
    possession: Option<ListenerCertificates>,
}

fn load_certificates(config: &Config) -> Result<Certificates, StartError> {
    let mut problems = Vec::new();
    let mut load = |tls: Option<&ListenerTls>, serves_http2| {
        let loaded = tls.map(|tls| ListenerCertificates::load(tls, serves_http2)).transpose();
        loaded.unwrap_or_else(|wrong| {
            problems.extend(wrong);
            None
        })
    };
    let listeners = config.listeners.iter().map(|listener| load(listener.tls.as_ref(), true)).collect();
    let admin = load(config.admin.as_ref().and_then(|admin| admin.tls.as_ref()), false);
    let possession = load(config.possession.as_ref().and_then(|possession| possession.tls.as_ref()), false);
    if problems.is_empty() {
        Ok(Certificates { listeners, admin, possession })
    } else {
        Err(StartError::Wrong(problems))
    }
}

fn open_state(config: &Config) -> Result<Option<StateFolder>, StartError> {
    Ok(config.state.as_deref().map(StateFolder::open).transpose().map_err(|error| error.to_string())?)
}

fn open_audit(config: &Config) -> Result<AuditLog, StartError> {
    let opened = match &config.state {
        Some(folder) => AuditLog::to_file(&folder.join(AUDIT_LOG)),
        None => AuditLog::to_stderr(),
    };
    Ok(opened.map_err(|error| format!("the audit log cannot be opened: {error}"))?)
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

fn entrances(
    config: &Config,
    certificates: &[Option<ListenerCertificates>],
    open_files: usize,
) -> Vec<Entrance> {
    let connections = connections(config, open_files);
    let listeners = config.listeners.iter().zip(certificates).zip(connections).enumerate();
    listeners
        .map(|(index, ((listener, certificates), connections))| Entrance {
            index,
            tls: certificates.as_ref().map(ListenerCertificates::store),
            limit: ConnectionLimit::new(ConnectionBounds {
                connections,
                per_peer: listener.limits.connections_per_address,
                trusted_proxies: listener.trusted_proxies.clone(),
            }),
        })
        .collect()
}

/// The connections that each listener may hold, as far as the limit of open files reaches.
fn connections(config: &Config, open_files: usize) -> Vec<usize> {
    let wanted: Vec<_> = config.listeners.iter().map(|listener| listener.limits.connections).collect();
    let upstreams = config.upstreams.iter().fold(0, |sum: usize, one| sum.saturating_add(one.connections));
    let demand = Demand { listeners: &wanted, upstreams, workers: config.workers.get() };
    let shared = demand.share(open_files);
    if shared != wanted {
        let enough = demand.enough();
        tracing::warn!(
            "{open_files} open files are too few for limits.connections: listeners take {shared:?} connections \
             instead of {wanted:?}; let the process open {enough} (`ulimit -n`, LimitNOFILE=), or lower limits.connections"
        );
    }
    shared
}

/// Binds every listener of the config. Of each there is one socket for each worker.
fn bind_all(config: &Config) -> Result<(Vec<NamedAddress>, Vec<Vec<ListeningSocket>>), StartError> {
    let mut addresses = Vec::new();
    let mut all = Vec::new();
    for listener in &config.listeners {
        let options = ListenOptions {
            address: listener.address.clone(),
            unix_mode: listener.unix_mode,
            workers: config.workers,
        };
        let Bound { address, sockets } = bind(&options).map_err(|problem| problem.to_string())?;
        let name = match listener.serves {
            Serves::Gateway => "data",
            Serves::ForwardAuth(HeaderFamily::XOriginal) => "forward_auth:x-original",
            Serves::ForwardAuth(HeaderFamily::XForwarded) => "forward_auth:x-forwarded",
            Serves::ExtAuthz(AuthzProtocol::Grpc) => "ext_authz:grpc",
            Serves::ExtAuthz(AuthzProtocol::Http) => "ext_authz:http",
        };
        addresses.push((name, address));
        all.push(sockets);
    }
    Ok((addresses, all))
}

/// Binds a listener that one thread serves.
fn bind_one(name: &str, address: ListenAddress) -> Result<(ListenAddress, ListeningSocket), StartError> {
    let options = ListenOptions { address, unix_mode: 0o660, workers: NonZeroUsize::MIN };
    let Bound { address, mut sockets } =
        bind(&options).map_err(|problem| format!("the {name} listener: {problem}"))?;
    let socket = sockets.pop().ok_or_else(|| format!("the {name} listener has no socket"))?;
    Ok((address, socket))
}

fn spawn_workers(
    sockets: Vec<Vec<ListeningSocket>>,
    entrances: &[Entrance],
    live: &Live,
    telemetry: &Telemetry,
    shutdown: &Shutdown,
) -> io::Result<Vec<JoinHandle<io::Result<()>>>> {
    let upstreams = Upstreams::default();
    let mut listeners: Vec<_> = sockets.into_iter().map(Vec::into_iter).collect();
    let mut workers = Vec::new();
    loop {
        let of_worker: Vec<_> =
            listeners.iter_mut().filter_map(Iterator::next).zip(entrances.iter().cloned()).collect();
        if of_worker.is_empty() {
            return Ok(workers);
        }
        let worker = Worker::new(of_worker, live.clone(), upstreams.clone(), telemetry, shutdown.clone())?;
        let name = format!("worker-{}", workers.len());
        workers.push(thread::Builder::new().name(name).spawn(move || worker.run())?);
    }
}
