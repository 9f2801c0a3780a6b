//! The thread of the admin listener: its own, below the data path, which never waits for a person's request.

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use axum::Router;
use tokio::{runtime::Builder, task};

use super::{
    guard::Guard,
    listener::{AdminService, serve},
};
use crate::net::{
    drain::{Phase, PhaseReceiver, Shutdown},
    listener::ListeningSocket,
    tls::CertificateStore,
};

/// Below the data path.
const NICENESS: i32 = 10;

/// How long work that a handler gave to other threads may go on after the last answer.
const BLOCKING_PATIENCE: Duration = Duration::from_secs(1);

/// What the thread serves, but for the router.
#[derive(Debug)]
pub struct AdminThreadParts {
    /// What the thread is called.
    pub thread: &'static str,
    /// What the log calls the listener.
    pub name: &'static str,
    /// Where it listens.
    pub socket: ListeningSocket,
    /// Who is let in.
    pub guard: Guard,
    /// The certificates; `None` is cleartext.
    pub certificates: Option<Arc<CertificateStore>>,
    /// Connections at once.
    pub connections: usize,
    /// When it ends.
    pub shutdown: Shutdown,
}

/// The running thread. It ends by itself with the drain of its [`Shutdown`].
#[derive(Debug)]
pub struct AdminThread(JoinHandle<()>);

impl AdminThread {
    /// Serves what `router` makes, and ends when that has ended and the task beside it, if there is one, which goes on
    /// until the shutdown is forced. It is called on the new thread, within its runtime, which database connections and timers of handlers
    /// then belong to.
    ///
    /// # Errors
    /// Where the system gives no thread, or the socket cannot be used.
    pub fn start(
        parts: AdminThreadParts,
        router: impl FnOnce() -> (Router, Option<task::JoinHandle<()>>) + Send + 'static,
    ) -> io::Result<Self> {
        let AdminThreadParts { thread, name, socket, guard, certificates, connections, shutdown } = parts;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _entered = runtime.enter();
            socket.into_listener()?
        };
        let serve = async move {
            let (router, beside) = router();
            let service = AdminService { router, guard, certificates, connections, name };
            serve(listener, service, shutdown.subscribe()).await;
            if let Some(beside) = beside {
                finish(beside, shutdown.subscribe()).await;
            }
        };
        let run = move || {
            // Linux counts niceness per thread, and threads that this one starts inherit it.
            let _ = rustix::process::setpriority_process(None, NICENESS);
            runtime.block_on(serve);
            runtime.shutdown_timeout(BLOCKING_PATIENCE);
        };
        thread::Builder::new().name(thread.to_owned()).spawn(run).map(Self)
    }

    /// Waits until every request has ended, or the shutdown is forced. An error is the panic of the thread.
    ///
    /// # Errors
    /// Where `router` panicked.
    pub fn join(self) -> thread::Result<()> {
        self.0.join()
    }
}

/// Waits until `task` has done what it was given, or ends it when the shutdown is forced.
async fn finish(mut task: task::JoinHandle<()>, mut phases: PhaseReceiver) {
    tokio::select! {
        _ = &mut task => return,
        _ = phases.wait_for(|&phase| phase == Phase::Forced) => task.abort(),
    }
    let _ = task.await;
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    /// Ends with what it is told, or with `ended` where it is dropped before.
    async fn work(told: oneshot::Receiver<&'static str>, ended: oneshot::Sender<&'static str>) {
        struct Ends(Option<oneshot::Sender<&'static str>>);
        impl Drop for Ends {
            fn drop(&mut self) {
                let _ = self.0.take().map(|ended| ended.send("dropped"));
            }
        }
        let mut ends = Ends(Some(ended));
        if let Ok(told) = told.await {
            let _ = ends.0.take().map(|ended| ended.send(told));
        }
    }

    #[test]
    fn what_was_taken_is_done_unless_the_shutdown_is_forced() {
        let runtime = Builder::new_current_thread().build().unwrap();
        for (is_forced, expected) in [(false, "done"), (true, "dropped")] {
            let heard = runtime.block_on(async {
                let shutdown = Shutdown::new();
                let (tell, told) = oneshot::channel();
                let (ended, heard) = oneshot::channel();
                let finishing = finish(tokio::spawn(work(told, ended)), shutdown.subscribe());
                let operator = async {
                    shutdown.advance(Phase::Draining);
                    // However often the task is looked at meanwhile.
                    for _ in 0..100 {
                        task::yield_now().await;
                    }
                    if is_forced {
                        shutdown.advance(Phase::Forced);
                    } else {
                        tell.send("done").unwrap();
                    }
                    heard.await.unwrap()
                };
                let ((), heard) = tokio::join!(finishing, operator);
                heard
            });
            assert_eq!(heard, expected);
        }
    }
}
