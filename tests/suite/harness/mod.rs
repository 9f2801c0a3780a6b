//! What a test needs to drive the real gateway between real peers.
//!
//! ```ignore
//! let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
//! let gate = Gateway::start(&[("keygate.yaml", &config(upstream.address())), ("keys.yaml", &keys)]);
//! let response = gate.connect().exchange("GET /a HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer …\r\n\r\n");
//! assert_eq!(response.status(), 200);
//! assert_eq!(upstream.requests()[0].start, "GET /a HTTP/1.1");
//! ```
//!
//! - [`Gateway`]: the binary, `serve`, on ports that the system chooses; ready when its `listening` lines were read.
//! - [`Upstream`]: a server that keeps every byte it gets. What it says is a function of the connection ([`Talk`]), so a
//!   test can answer early, in pieces, with garbage, or half. A [`Latch`] makes it wait for the test, never for a clock.
//! - [`Client`]: raw bytes out, one framed [`Message`] in.
//! - [`Browser`]: pages of the console, forms and cookies, without JavaScript.
//! - [`people`]: a gateway with a database and people who are invited.
//! - [`Postgres`]: a server of its own, with databases; to be stopped, killed and paused.
//! - [`TcpProxy`]: the network between a gateway and its database; it cuts, holds, delays and loses.
//! - [`store_place`]: a folder whose commands work on key files, SQLite or PostgreSQL.
//! - [`Script`]: Python, or a program for Node, that is the upstream and its clients at once.
//! - [`run`]: commands to their end: `keygate`, `curl`, Python with `tests/requirements.txt`.
//!
//! Everything that is started is stopped when its value is dropped. [`GUARD`] bounds every wait, so that a hang is a
//! failure with a place; no test passes or fails by how long something took. A failed wait panics: it is the test's failure.

pub(crate) mod browser;
mod client;
mod gateway;
mod message;
pub(crate) mod people;
pub(crate) mod postgres;
pub(crate) mod run;
mod script;
pub(crate) mod store_place;
pub(crate) mod tcp_proxy;
#[cfg(test)]
mod tests;
mod upstream;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(crate) use browser::Browser;
pub(crate) use client::Client;
pub(crate) use gateway::Gateway;
pub(crate) use message::{Framing, Message};
pub(crate) use postgres::{Postgres, TableLock};
pub(crate) use script::Script;
pub(crate) use tcp_proxy::TcpProxy;
pub(crate) use upstream::{Talk, Upstream};

/// How long anything may keep a test waiting before it counts as hung.
pub(crate) const GUARD: Duration = Duration::from_secs(30);

/// Something that one side of a test waits for and the other side says once: `latch.open()`.
#[derive(Clone, Default)]
pub(crate) struct Latch(Arc<Awaited<bool>>);

impl Latch {
    pub(crate) fn open(&self) {
        self.0.change(|open| *open = true);
    }

    pub(crate) fn wait(&self) {
        self.0.until("the latch to open", |open| open.then_some(()));
    }
}

/// A value that threads change and wait for.
#[derive(Default)]
struct Awaited<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Awaited<T> {
    fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    fn read<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        read(&self.lock())
    }

    /// Waits until `found` finds something.
    fn until<R>(&self, what: &str, mut found: impl FnMut(&T) -> Option<R>) -> R {
        let mut result = None;
        let value = self.lock();
        let missing = |value: &mut T| {
            result = found(value);
            result.is_none()
        };
        drop(self.changed.wait_timeout_while(value, GUARD, missing).unwrap_or_else(PoisonError::into_inner));
        result.unwrap_or_else(|| panic!("waited {GUARD:?} for {what}"))
    }

    /// Also after a failed wait has panicked: what is dropped then still wants to read.
    fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
