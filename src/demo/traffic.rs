//! A little traffic while the demo serves: what its keys are for, and what is refused, so that the console has something
//! to show.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{
    exchange::{Presented, Request},
    keyring::{Holder, Keyring},
};

const PAUSE: Duration = Duration::from_millis(200);

/// One round of traffic; most of it is welcome.
const ROUND: [Request; 14] = [
    get("/api/v1/projects", Holder::Read),
    get("/api/v1/projects/alpha", Holder::Read),
    write(Holder::Write),
    get("/api/v1/projects/beta", Holder::Write),
    get("/api/v1/projects/alpha", Holder::Alpha),
    get("/api/v1/projects/alpha/tests", Holder::Rotating),
    get("/api/v1/projects/alpha", Holder::RotatingBefore),
    write(Holder::Alpha),
    get("/api/v1/projects/alpha", Holder::Expired),
    get("/api/v1/projects/beta", Holder::Read),
    get("/api/v1/projects/beta", Holder::Alpha),
    write(Holder::Read),
    get("/api/v1/projects/alpha", Holder::Stranger),
    get("/api/v1/projects/alpha", Holder::Admin),
];

const fn get(target: &'static str, holder: Holder) -> Request {
    Request::new("GET", target, Presented::Key(holder))
}

const fn write(holder: Holder) -> Request {
    Request {
        body: Some("log-in"),
        ..Request::new("POST", "/api/v1/projects/alpha/tests", Presented::Key(holder))
    }
}

/// The running traffic; dropping it ends it.
pub(super) struct Traffic {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Traffic {
    pub(super) fn start(gateway: SocketAddr, keyring: Arc<Keyring>) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let thread = thread::Builder::new().name("traffic".to_owned()).spawn(move || {
            for request in ROUND.iter().cycle() {
                // What it is answered is in the access log.
                let _ = request.send(gateway, &keyring);
                match stopped.recv_timeout(PAUSE) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
