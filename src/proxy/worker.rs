//! One worker: a thread with its own listeners, pools and counters, which shares nothing that another core writes.

use std::{io, rc::Rc, sync::Arc, time::Duration};

use bytes::BytesMut;
use tokio::{
    runtime::{self, LocalOptions},
    task,
    time::timeout,
};

use crate::{
    clock::{Clock, SystemClock},
    config::model::ListenerConfig,
    live::{Enforcer, Live},
    net::{
        drain::{Drain, LiveConnection, Phase, Shutdown},
        limits::{ConnectionLimit, ConnectionSlot},
        listener::{Accepted, Listener, ListeningSocket},
        prelude::{Prelude, read_prelude},
        stream::Stream,
        tls::CertificateStore,
    },
    telemetry::{
        throttle::Throttle,
        worker::{TICK, Telemetry, WorkerTelemetry},
    },
};

use super::{Upstreams, client::Peer, gateway::Gateway, http1, http2, underway};

/// Everything one worker is made of; made on the main thread, used on the worker's.
#[derive(Debug)]
pub struct Worker {
    listeners: Vec<(ListeningSocket, Entrance)>,
    live: Live,
    enforcer: Enforcer,
    upstreams: Upstreams,
    telemetry: WorkerTelemetry,
    shutdown: Shutdown,
}

/// What the workers share of one listener.
#[derive(Debug, Clone)]
pub struct Entrance {
    /// Its place in the config.
    pub index: usize,
    /// Its certificates; `None` is cleartext.
    pub tls: Option<Arc<CertificateStore>>,
    /// Its connections, counted.
    pub limit: Arc<ConnectionLimit>,
}

impl Worker {
    /// A worker that serves `listeners`.
    ///
    /// # Errors
    /// Where the operating system gives no randomness.
    pub fn new(
        listeners: Vec<(ListeningSocket, Entrance)>,
        live: Live,
        upstreams: Upstreams,
        telemetry: &Telemetry,
        shutdown: Shutdown,
    ) -> io::Result<Self> {
        let telemetry = telemetry.worker(SystemClock.now())?;
        let enforcer = live.enforcer();
        Ok(Self { listeners, live, enforcer, upstreams, telemetry, shutdown })
    }

    /// Serves until the shutdown has drained or forced every connection. Blocks its thread.
    ///
    /// # Errors
    /// Where the runtime or a listener cannot be set up.
    pub fn run(self) -> io::Result<()> {
        // Not a `LocalSet` in a runtime, which wakes itself by a system call whenever something came.
        let runtime =
            runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        runtime.block_on(self.serve())
    }

    async fn serve(self) -> io::Result<()> {
        let telemetry = Rc::new(self.telemetry);
        let gateway = Gateway::new(&self.live, self.upstreams, Rc::clone(&telemetry));
        let drain = Drain::new(&self.shutdown);
        let phases = self.shutdown.subscribe();
        let follow = {
            let drain = drain.clone();
            task::spawn_local(async move { drain.follow(phases).await })
        };
        let enforcing = task::spawn_local(underway::enforce(
            Rc::clone(&gateway.register),
            self.live.reader(),
            self.enforcer,
            Rc::clone(&telemetry),
        ));
        let ticking = task::spawn_local(tick(Rc::clone(&telemetry)));
        let mut doors = Vec::new();
        for (socket, entrance) in self.listeners {
            let listener = socket.into_listener()?;
            let door = Door { gateway: Rc::clone(&gateway), entrance, drain: drain.clone() };
            doors.push(task::spawn_local(Rc::new(door).accept_all(listener)));
        }
        for door in doors {
            let _ = door.await;
        }
        drain.all_ended().await;
        follow.abort();
        enforcing.abort();
        ticking.abort();
        telemetry.flush();
        Ok(())
    }
}

async fn tick(telemetry: Rc<WorkerTelemetry>) {
    let mut every = tokio::time::interval(TICK);
    loop {
        every.tick().await;
        telemetry.tick(SystemClock.now());
    }
}

/// One listener of one worker.
struct Door {
    gateway: Rc<Gateway>,
    entrance: Entrance,
    drain: Drain,
}

impl Door {
    async fn accept_all(self: Rc<Self>, mut listener: Listener) {
        let live = self.drain.connection();
        loop {
            tokio::select! {
                biased;
                () = live.reached(Phase::Draining) => break,
                accepted = listener.accept() => self.admit(accepted),
            }
        }
        // Whoever waits in the queue has connected to us already.
        match listener.drain() {
            Ok(queued) => queued.for_each(|accepted| self.admit(accepted)),
            Err(error) => tracing::warn!(%error, "connections that waited to be accepted are lost"),
        }
    }

    fn admit(self: &Rc<Self>, accepted: Accepted) {
        let metrics = self.gateway.telemetry.metrics();
        metrics.connections_accepted.add(1);
        let Ok(slot) = self.entrance.limit.admit(accepted.peer.ip()) else {
            metrics.connections_limited.add(1);
            return;
        };
        let live = self.drain.connection();
        task::spawn_local(Rc::clone(self).serve(accepted, slot, live));
    }

    async fn serve(self: Rc<Self>, accepted: Accepted, _slot: ConnectionSlot, live: LiveConnection) {
        static LINES: Throttle = Throttle::new();
        let metrics = self.gateway.telemetry.metrics();
        metrics.connections.rise();
        let listener = self.gateway.listener(self.entrance.index);
        let handshake = timeout(listener.timeouts.head, self.secure(accepted.stream)).await;
        match handshake {
            Ok(Ok(stream)) => self.speak(stream, accepted.peer.ip(), listener, live).await,
            Ok(Err(error)) => {
                LINES.speak(|suppressed| tracing::info!(suppressed, client = %accepted.peer, %error, "no TLS connection with a client"));
                metrics.tls_failures.add(1);
            }
            Err(_) => metrics.tls_failures.add(1),
        }
        metrics.connections.fall();
    }

    async fn secure(&self, stream: Stream) -> io::Result<Stream> {
        match &self.entrance.tls {
            Some(certificates) => certificates.accept(stream).await,
            None => Ok(stream),
        }
    }

    async fn speak(
        &self,
        mut stream: Stream,
        address: std::net::IpAddr,
        listener: Arc<ListenerConfig>,
        live: LiveConnection,
    ) {
        static LINES: Throttle = Throttle::new();
        let mut ahead = BytesMut::new();
        let patience = listener.timeouts.keep_alive;
        let prelude = match (stream.is_tls(), stream.alpn()) {
            (true, Some(b"h2")) => Prelude::Http2,
            // Nobody may speak HTTP/2 over TLS without having asked for it (RFC 9113 §3.3).
            (true, _) => Prelude::Http1,
            (false, _) => match first_bytes(&mut stream, &mut ahead, patience, &live).await {
                Some(prelude) => prelude,
                None => return,
            },
        };
        let peer = Rc::new(Peer { address, is_tls: stream.is_tls(), listener });
        let gateway = Rc::clone(&self.gateway);
        match prelude {
            Prelude::Http1 => http1::serve(gateway, stream, ahead, peer, live).await,
            Prelude::Tls => {
                LINES.speak(|suppressed| tracing::info!(suppressed, client = %address, "a client speaks TLS on a cleartext port"));
                // Answered as what it is there: no HTTP.
                http1::serve(gateway, stream, ahead, peer, live).await;
            }
            Prelude::Http2 => http2::serve(gateway, stream, ahead, peer, live).await,
            Prelude::Closed => {}
        }
    }
}

/// What the connection's first bytes announce; `None` if none came in time or before the drain.
async fn first_bytes(
    stream: &mut Stream,
    ahead: &mut BytesMut,
    patience: Duration,
    live: &LiveConnection,
) -> Option<Prelude> {
    tokio::select! {
        biased;
        read = timeout(patience, read_prelude(stream, ahead)) => read.ok()?.ok(),
        () = live.reached(Phase::Draining) => None,
    }
}
