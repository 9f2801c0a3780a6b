//! How a running gateway comes to its end: asked once it finishes what it began, asked twice it stops.
//!
//! One [`Shutdown`] for the process; each worker has a [`Drain`] of it, and each connection a [`LiveConnection`].
//! Between workers the phase travels through one `tokio::sync::watch`; inside a worker it is a plain cell, so that a
//! connection asks without an atomic operation and waits without a lock.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// How far the end has come; later phases are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serving.
    Running,
    /// Serving, but not ready: load balancers are to look elsewhere.
    Leaving,
    /// No new connections; each finishes its exchange and says `Connection: close` or GOAWAY.
    Draining,
    /// The deadline has passed, or the operator asked again: drop everything.
    Forced,
}

/// How long each step of the end may take.
#[derive(Clone, Copy, Debug)]
pub struct ShutdownTimes {
    /// From not ready to draining, for load balancers to notice.
    pub delay: Duration,
    /// From draining to forced.
    pub deadline: Duration,
}

/// The switch of the whole process. Clones share it.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Sender<Phase>);

/// A view of the phase that may go to another thread.
pub type PhaseReceiver = watch::Receiver<Phase>;

impl Shutdown {
    /// In [`Phase::Running`].
    pub fn new() -> Self {
        Self(watch::Sender::new(Phase::Running))
    }

    /// The phase now; `/readyz` answers 503 from [`Phase::Leaving`] on.
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// For a worker's [`Drain::new`], or anybody else who waits.
    pub fn subscribe(&self) -> PhaseReceiver {
        self.0.subscribe()
    }

    /// Goes on to `phase`; never back.
    pub fn advance(&self, phase: Phase) {
        self.0.send_if_modified(|now| {
            let later = phase > *now;
            if later {
                *now = phase;
            }
            later
        });
    }

    /// Conducts the end from the first request to stop: leaving, after `delay` draining, after `deadline` forced.
    /// `stop_requested` answers once for each request; the second one forces at once. Returns when forced; drop the
    /// future when all workers have ended before.
    pub async fn conduct(&self, times: ShutdownTimes, mut stop_requested: impl AsyncFnMut()) {
        stop_requested().await;
        self.advance(Phase::Leaving);
        let (delay_s, deadline_s) = (times.delay.as_secs_f64(), times.deadline.as_secs_f64());
        tracing::info!(delay_s, deadline_s, "stopping: not ready any more");
        tokio::select! {
            () = stop_requested() => tracing::warn!("asked to stop again: stopping at once"),
            () = self.drain_in_time(times) => tracing::warn!("the deadline has passed: closing what is still open"),
        }
        self.advance(Phase::Forced);
    }

    async fn drain_in_time(&self, times: ShutdownTimes) {
        tokio::time::sleep(times.delay).await;
        self.advance(Phase::Draining);
        tokio::time::sleep(times.deadline).await;
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

/// The operator's requests to stop: SIGTERM and SIGINT.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Takes both signals from their default action, which is to kill.
    ///
    /// # Errors
    /// When the system refuses the handlers.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The phase and the live connections of one worker. Clones share them; it stays on its thread.
#[derive(Clone, Debug)]
pub struct Drain(Rc<Worker>);

#[derive(Debug)]
struct Worker {
    phase: Cell<Phase>,
    /// One entry for each live connection: who to wake when the phase changes.
    connections: RefCell<Slab<Waker>>,
    /// Who waits for the last connection to end.
    all_ended: RefCell<Vec<Waker>>,
}

impl Drain {
    /// The worker's share of `shutdown`; one task of the worker must run [`Drain::follow`].
    pub fn new(shutdown: &Shutdown) -> Self {
        Self(Rc::new(Worker {
            phase: Cell::new(shutdown.phase()),
            connections: RefCell::default(),
            all_ended: RefCell::default(),
        }))
    }

    /// Brings every change of the phase to this worker's connections. Ends when forced.
    pub async fn follow(&self, mut phases: PhaseReceiver) {
        loop {
            let phase = *phases.borrow_and_update();
            self.enter(phase);
            if phase == Phase::Forced || phases.changed().await.is_err() {
                return;
            }
        }
    }

    /// The phase as this worker knows it.
    pub fn phase(&self) -> Phase {
        self.0.phase.get()
    }

    /// Counts a connection as live until the answer is dropped.
    pub fn connection(&self) -> LiveConnection {
        let entry = self.0.connections.borrow_mut().insert(Waker::noop().clone());
        LiveConnection { drain: self.clone(), entry }
    }

    /// Live connections of this worker.
    pub fn live(&self) -> usize {
        self.0.connections.borrow().len()
    }

    /// Waits until no connection of this worker is live. Stop accepting first.
    pub async fn all_ended(&self) {
        poll_fn(|cx| {
            if self.live() == 0 {
                return Poll::Ready(());
            }
            let mut waiting = self.0.all_ended.borrow_mut();
            if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    fn enter(&self, phase: Phase) {
        if phase <= self.0.phase.get() {
            return;
        }
        self.0.phase.set(phase);
        // Taken out first: a waker may run code that comes back here.
        let wakers: Vec<Waker> = self.0.connections.borrow().iter().map(|(_, waker)| waker.clone()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// One live connection. It belongs to one task, the one that polls it.
#[derive(Debug)]
pub struct LiveConnection {
    drain: Drain,
    entry: usize,
}

impl LiveConnection {
    /// The phase now. Cost: one load.
    pub fn phase(&self) -> Phase {
        self.drain.phase()
    }

    /// Ready once the phase is at least `phase`. Polled again by the same task it costs a load and a comparison.
    pub fn poll_reached(&self, phase: Phase, cx: &mut Context<'_>) -> Poll<()> {
        if self.phase() >= phase {
            return Poll::Ready(());
        }
        if let Some(waker) = self.drain.0.connections.borrow_mut().get_mut(self.entry) {
            waker.clone_from(cx.waker());
        }
        Poll::Pending
    }

    /// Waits until the phase is at least `phase`. Only one such wait of a connection is woken, the last one polled.
    pub async fn reached(&self, phase: Phase) {
        poll_fn(|cx| self.poll_reached(phase, cx)).await;
    }
}

impl Drop for LiveConnection {
    fn drop(&mut self) {
        let mut connections = self.drain.0.connections.borrow_mut();
        connections.try_remove(self.entry);
        let last = connections.is_empty();
        drop(connections);
        if last {
            let wakers = self.drain.0.all_ended.take();
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    const NEVER: Duration = Duration::from_hours(1);

    fn run<F: Future<Output = ()>>(test: F) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    }

    /// Conducts a shutdown whose stop requests come from the answered sender.
    fn conducted(
        shutdown: &Shutdown,
        times: ShutdownTimes,
    ) -> (mpsc::UnboundedSender<()>, impl Future<Output = ()>) {
        let (ask, mut asked) = mpsc::unbounded_channel();
        let shutdown = shutdown.clone();
        (ask, async move {
            shutdown
                .conduct(times, async || {
                    asked.recv().await;
                })
                .await;
        })
    }

    #[test]
    fn asked_once_the_gateway_leaves_drains_and_is_forced_at_the_deadline() {
        run(async {
            let shutdown = Shutdown::new();
            let times = ShutdownTimes { delay: Duration::ZERO, deadline: Duration::from_millis(1) };
            let (ask, conduct) = conducted(&shutdown, times);
            let mut phases = shutdown.subscribe();
            assert_eq!(shutdown.phase(), Phase::Running);
            ask.send(()).unwrap();
            let (seen, ()) = tokio::join!(
                async {
                    phases.wait_for(|&phase| phase >= Phase::Draining).await.unwrap();
                    phases.wait_for(|&phase| phase == Phase::Forced).await.is_ok()
                },
                conduct,
            );
            assert!(seen);
        });
    }

    #[test]
    fn asked_twice_it_stops_at_once() {
        run(async {
            let shutdown = Shutdown::new();
            let (ask, conduct) = conducted(&shutdown, ShutdownTimes { delay: NEVER, deadline: NEVER });
            ask.send(()).unwrap();
            ask.send(()).unwrap();
            conduct.await;
            assert_eq!(shutdown.phase(), Phase::Forced);
        });
    }

    #[test]
    fn the_phase_never_goes_back() {
        let shutdown = Shutdown::new();
        shutdown.advance(Phase::Draining);
        shutdown.advance(Phase::Leaving);
        assert_eq!(shutdown.phase(), Phase::Draining);
    }

    #[test]
    fn idle_connections_hear_of_the_drain_and_busy_ones_are_waited_for() {
        run(async {
            let shutdown = Shutdown::new();
            let drain = Drain::new(&shutdown);
            let (idle, busy) = (drain.connection(), drain.connection());
            let (finish, finished) = tokio::sync::oneshot::channel::<()>();
            let idle = async {
                idle.reached(Phase::Draining).await;
                drop(idle);
            };
            let busy = async {
                finished.await.unwrap();
                assert_eq!(busy.phase(), Phase::Draining);
                drop(busy);
            };
            let operator = async {
                assert_eq!(drain.live(), 2);
                shutdown.advance(Phase::Draining);
                while drain.live() == 2 {
                    tokio::task::yield_now().await;
                }
                assert_eq!(drain.live(), 1);
                finish.send(()).unwrap();
                drain.all_ended().await;
                shutdown.advance(Phase::Forced);
            };
            tokio::join!(idle, busy, operator, drain.follow(shutdown.subscribe()));
            assert_eq!(drain.live(), 0);
        });
    }

    #[test]
    fn a_connection_that_came_late_knows_the_phase() {
        run(async {
            let shutdown = Shutdown::new();
            shutdown.advance(Phase::Draining);
            let drain = Drain::new(&shutdown);
            drain.connection().reached(Phase::Draining).await;
            drain.all_ended().await;
        });
    }
}
