//! What the service manager is told: systemd's notification protocol (`sd_notify(3)`), one datagram for each message, to
//! the socket that `NOTIFY_SOCKET` names. Where it names none, nobody is told and nothing costs.

use std::{
    env,
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    process,
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    clock,
    live::Live,
    net::drain::{Phase, Shutdown},
    telemetry::metrics::Metrics,
};

/// How often it is looked whether there is something to tell.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The service manager that started this process, if it wants to be told.
#[derive(Debug)]
pub(super) struct Supervisor {
    socket: Option<UnixDatagram>,
    /// How often it must hear that the workers are alive, or it kills the process.
    watchdog: Option<Duration>,
}

/// What a message is made from.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) live: Live,
    pub(super) metrics: Metrics,
    pub(super) shutdown: Shutdown,
}

impl Supervisor {
    /// The one that the environment names. One that cannot be reached is told in the log, and then there is none.
    pub(super) fn of_environment() -> Self {
        let socket = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()).and_then(|name| {
            let connected = connect(&name);
            if let Err(error) = &connected {
                tracing::warn!(socket = %name.display(), %error, "the service manager cannot be told anything");
            }
            connected.ok()
        });
        let watchdog = watchdog(env::var("WATCHDOG_USEC").ok(), env::var("WATCHDOG_PID").ok(), process::id());
        Self { watchdog: watchdog.filter(|_| socket.is_some()), socket }
    }

    /// Tells of readiness, of every change of what is in force, and that the workers are alive. Never returns.
    pub(super) async fn attend(&self, gateway: &Gateway) {
        if self.socket.is_none() {
            return std::future::pending().await;
        }
        tokio::join!(self.tell_changes(gateway), self.tell_life(gateway));
    }

    /// A reload begins. What is told in between counts as before it.
    pub(super) fn reloading(&self) {
        let now_us = clock::since_boot_awake().as_micros();
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={now_us}\n"));
    }

    /// The reload is over, whether or not every source was right.
    pub(super) fn reloaded(&self, gateway: &Gateway) {
        self.send(&format!("{}STATUS={}\n", gateway.ready(), gateway.status()));
    }

    /// The end begins.
    pub(super) fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=stopping: requests in flight may end\n");
    }

    async fn tell_changes(&self, gateway: &Gateway) {
        let mut look = every(LOOK_EVERY);
        let mut told = String::new();
        let mut is_ready = false;
        loop {
            look.tick().await;
            let status = gateway.status();
            if gateway.shutdown.phase() != Phase::Running || status == told {
                continue;
            }
            // Once: again, it would say that a reload is over.
            let ready = if is_ready { "" } else { gateway.ready() };
            is_ready |= !ready.is_empty();
            self.send(&format!("{ready}STATUS={status}\n"));
            told = status;
        }
    }

    async fn tell_life(&self, gateway: &Gateway) {
        let Some(patience) = self.watchdog else { return };
        // Twice in the time that it waits, and once more for a machine that is slow.
        let mut look = every(patience / 3);
        loop {
            look.tick().await;
            // Every worker answers, or has ended: that is what publishing waits for too.
            gateway.live.enforced(gateway.live.enforce()).await;
            self.send("WATCHDOG=1\n");
        }
    }

    fn send(&self, message: &str) {
        // Lost where the manager is gone or behind: it asks again by the watchdog, and nothing waits for it.
        if let Some(Err(error)) = self.socket.as_ref().map(|socket| socket.send(message.as_bytes())) {
            tracing::debug!(%error, "the service manager was not told");
        }
    }
}

impl Gateway {
    /// Ready is what `/readyz` calls ready: some keys are in force.
    fn ready(&self) -> &'static str {
        if self.live.current().keys.is_some() { "READY=1\n" } else { "" }
    }

    /// What `systemctl status` shows.
    fn status(&self) -> String {
        let published = self.live.current();
        let Some(keys) = &published.keys else { return "waiting for the first keys".to_owned() };
        let wrong = self.metrics.sources().iter().filter(|source| source.problem.is_some()).count();
        let wrong = match wrong {
            0 => String::new(),
            1 => "; a source is wrong, its last good content serves on".to_owned(),
            more => format!("; {more} sources are wrong, their last good contents serve on"),
        };
        format!("revision {} in force, {} keys{wrong}", published.revision, keys.table().len())
    }
}

fn every(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// A path, or behind `@` a name of the abstract namespace.
fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        _ => return Err(io::Error::new(io::ErrorKind::Unsupported, "neither a path nor an abstract socket")),
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// How often this process must give a sign of life (`sd_watchdog_enabled(3)`). `None`: nobody asks, or asks another one.
fn watchdog(microseconds: Option<String>, of: Option<String>, own: u32) -> Option<Duration> {
    let is_ours = of.is_none_or(|of| of.parse() == Ok(own));
    let microseconds = microseconds?.parse().ok().filter(|_| is_ours)?;
    // Less would be nothing but signs of life.
    Some(Duration::from_micros(microseconds)).filter(|period| *period >= Duration::from_millis(3))
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use jiff::Timestamp;

    use super::*;
    use crate::{
        app::BUILD,
        config::{self, Surroundings},
        live::Published,
    };

    #[test]
    fn the_watchdog_is_ours_where_it_names_nobody_else() {
        let text = |text: &str| Some(text.to_owned());
        let second = Some(Duration::from_secs(1));
        for (microseconds, of, expected) in [
            (None, None, None),
            (text("1000000"), None, second),
            (text("1000000"), text("7"), second),
            (text("1000000"), text("8"), None),
            (text("1000000"), text("seven"), None),
            (text("0"), None, None),
            (text("-1"), None, None),
            (text("99999999999999999999"), None, None),
            (text(""), None, None),
        ] {
            assert_eq!(watchdog(microseconds.clone(), of.clone(), 7), expected, "{microseconds:?} {of:?}");
        }
    }

    #[test]
    fn nobody_hears_of_life_while_a_worker_hangs() {
        let text = "version: 1\nlisten: {address: 127.0.0.1:8080}\nkeys: {file: keys.yaml}\n\
                    upstreams: {api: {url: 'http://127.0.0.1:9000'}}\nroutes: [{path: /, access: public}]\n";
        let surroundings = Surroundings::of_process("keygate");
        let config = config::parse(Path::new("keygate.yaml"), text.as_bytes(), &surroundings).result.unwrap();
        let live = Live::new(Published { revision: 1, config: Arc::new(config), keys: None });
        let (ours, manager) = UnixDatagram::pair().unwrap();
        manager.set_nonblocking(true).unwrap();
        let hear = || {
            let mut buffer = [0; 100];
            manager.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec())
        };
        let supervisor = Supervisor { socket: Some(ours), watchdog: Some(Duration::from_millis(3)) };
        let (mut well, mut hanging) = (live.enforcer(), live.enforcer());
        let metrics = Metrics::new(BUILD, Timestamp::UNIX_EPOCH);
        let gateway = Gateway { live, metrics, shutdown: Shutdown::new() };
        let answering = async {
            loop {
                let asked = well.next().await;
                well.done(asked, 0);
            }
        };
        let watching = async {
            let mut look = every(Duration::from_millis(1));
            for _ in 0..3 {
                let asked = hanging.next().await;
                // It hangs, for longer than the manager waits.
                for _ in 0..20 {
                    look.tick().await;
                    assert_eq!(hear(), None);
                }
                hanging.done(asked, 0);
                while hear().is_none() {
                    look.tick().await;
                }
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            tokio::select! {
                () = supervisor.tell_life(&gateway) => panic!("it goes on for as long as the process"),
                () = answering => panic!("the worker goes on"),
                () = watching => {}
            }
        });
    }

    #[test]
    fn only_sockets_of_this_machine_can_be_told() {
        for name in ["vsock:2:1234", "relative", ""] {
            assert_eq!(connect(OsStr::new(name)).unwrap_err().kind(), io::ErrorKind::Unsupported, "{name}");
        }
        assert!(connect(OsStr::new("/nowhere/at/all")).is_err());
    }

    #[test]
    fn a_path_and_an_abstract_name_are_both_reached() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let abstract_name = format!("keygate-test-{}", process::id());
        let by_path = UnixDatagram::bind(&path).unwrap();
        let by_name =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&abstract_name).unwrap()).unwrap();
        for (name, listening) in
            [(path.into_os_string(), by_path), (format!("@{abstract_name}").into(), by_name)]
        {
            let supervisor = Supervisor { socket: connect(&name).ok(), watchdog: None };
            supervisor.stopping();
            let mut buffer = [0; 200];
            let length = listening.recv(&mut buffer).unwrap();
            assert!(buffer[..length].starts_with(b"STOPPING=1\n"));
        }
    }
}
