//! The thread that reloads: woken by the watcher, by the poll as a net under it, and by whoever asks.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::AcqRel},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{
    local_revocation::{LocalRevocation, Revoking, Unrevoked},
    reload::Reloader,
    report::Report,
    watch::Watch,
};

/// Events come in bursts: one look for all of a burst. The pause doubles while events change nothing that is
/// found.
const BURST: Duration = Duration::from_millis(10);
const BURST_MAX: Duration = Duration::from_millis(160);

/// Below the data path, which must not wait for a reload.
const NICENESS: i32 = 10;

/// Requests that may wait.
const WAITING_MAX: usize = 64;

enum Message {
    /// Something happened near a source.
    Changed,
    /// Somebody asks: SIGHUP, the admin API, a test.
    Reload(SyncSender<Report>),
    /// Somebody revokes a key here.
    Revoke(Box<LocalRevocation>, SyncSender<Result<Revoking, Unrevoked>>),
    Stop,
}

/// The running reloader. Dropping it stops the thread and waits for it.
#[derive(Debug)]
pub struct ReloadThread {
    handle: ReloadHandle,
    thread: Option<JoinHandle<()>>,
}

/// Asks a running reloader; cheap to clone.
#[derive(Debug, Clone)]
pub struct ReloadHandle(SyncSender<Message>);

impl ReloadHandle {
    /// Looks at every source now, and again while something is being written, for two seconds at the most. Blocks until
    /// it is done; `None` if the thread has ended.
    pub fn reload(&self) -> Option<Report> {
        let (reply, report) = sync_channel(1);
        self.0.send(Message::Reload(reply)).ok()?;
        report.recv().ok()
    }

    /// Revokes a key of a key file. Blocks until it is kept and in force; `None` if the thread has ended.
    pub(super) fn revoke(&self, asked: LocalRevocation) -> Option<Result<Revoking, Unrevoked>> {
        let (reply, answer) = sync_channel(1);
        self.0.send(Message::Revoke(Box::new(asked), reply)).ok()?;
        answer.recv().ok()
    }
}

impl ReloadThread {
    /// Watches the sources of `reloader` from here on.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn spawn(reloader: Reloader) -> io::Result<Self> {
        let (sender, messages) = sync_channel(WAITING_MAX);
        let waker = sender.clone();
        let is_woken = Arc::new(AtomicBool::new(false));
        let wake = Arc::clone(&is_woken);
        let watch = Watch::new(move || {
            // One look is enough for all events before it. Full is as good as woken.
            if !wake.swap(true, AcqRel) && waker.try_send(Message::Changed).is_err() {
                wake.swap(false, AcqRel);
            }
        });
        let thread = thread::Builder::new()
            .name("keygate-reload".to_owned())
            .spawn(move || run(reloader, watch, &messages, &is_woken))?;
        Ok(Self { handle: ReloadHandle(sender), thread: Some(thread) })
    }

    /// For those who ask.
    pub fn handle(&self) -> ReloadHandle {
        self.handle.clone()
    }
}

impl Drop for ReloadThread {
    fn drop(&mut self) {
        let _ = self.handle.0.send(Message::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(mut reloader: Reloader, mut watch: Watch, messages: &Receiver<Message>, is_woken: &AtomicBool) {
    // Linux counts niceness per thread; elsewhere and where it is refused, reloads are as eager as requests.
    let _ = rustix::process::setpriority_process(None, NICENESS);
    let mut wait = follow(&mut watch, &reloader, None);
    let mut burst = BURST;
    loop {
        let report = match messages.recv_timeout(wait) {
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            Ok(Message::Reload(reply)) => {
                let report = reloader.reload_now();
                let _ = reply.send(report.clone());
                report
            }
            Ok(Message::Revoke(asked, reply)) => {
                let _ = reply.send(reloader.revoke(&asked));
                // What was being written before is still waited for.
                reloader.look()
            }
            Ok(Message::Changed) => {
                thread::sleep(burst);
                burst = (burst * 2).min(BURST_MAX);
                // Before the look: what happens during it wakes again.
                is_woken.swap(false, AcqRel);
                reloader.look()
            }
            Err(RecvTimeoutError::Timeout) => {
                burst = BURST;
                reloader.look()
            }
        };
        if report.is_new {
            burst = BURST;
        }
        wait = follow(&mut watch, &reloader, report.again_in);
    }
}

/// Watches where the sources are now; gives how long to wait for the next event.
fn follow(watch: &mut Watch, reloader: &Reloader, again_in: Option<Duration>) -> Duration {
    let paths = reloader.paths();
    if watch.follow(paths.iter().map(AsRef::as_ref)) {
        // Between the last look and the new watch, anything may have happened.
        return Duration::ZERO;
    }
    again_in.unwrap_or_else(|| reloader.poll())
}
