//! The way of the log's lines to standard error: over a bounded channel to one writer thread. Nobody who logs ever
//! waits for the reader of the pipe: what does not fit is dropped and counted.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use super::access_log::write_all;
use crate::clock;

/// Lines that may wait for the writer.
const WAITING_LINES: usize = 1024;
/// How often [`LogFlush`] tries to get a word in while the channel is full.
const RETRY_EVERY: Duration = Duration::from_millis(5);

enum Message {
    Line(Vec<u8>),
    /// Answered when every line before it is written.
    Flush(SyncSender<()>),
}

/// Takes each `write` as one line; never waits, never fails.
#[derive(Debug, Clone)]
pub(super) struct LineSender {
    messages: SyncSender<Message>,
    lost: Arc<AtomicU64>,
}

impl Write for LineSender {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.messages.try_send(Message::Line(line.to_vec())).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Brings out what still waits; keep it until the process ends.
#[derive(Debug)]
pub struct LogFlush(SyncSender<Message>);

impl LogFlush {
    /// Waits, at most `patience`, until every line logged before is written. Says whether it was.
    pub fn flush(&self, patience: Duration) -> bool {
        let deadline = clock::monotonic() + patience;
        let left = || deadline.saturating_duration_since(clock::monotonic());
        let (written, wait) = sync_channel(1);
        let mut message = Message::Flush(written);
        loop {
            message = match self.0.try_send(message) {
                Ok(()) => return wait.recv_timeout(left()).is_ok(),
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(message)) => message,
            };
            if left().is_zero() {
                return false;
            }
            thread::sleep(RETRY_EVERY);
        }
    }
}

/// Starts the writer thread on `out`.
///
/// # Errors
/// Where the thread cannot be started.
pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<(LineSender, LogFlush)> {
    let (messages, waiting) = sync_channel(WAITING_LINES);
    let lost = Arc::new(AtomicU64::new(0));
    let sender = LineSender { messages: messages.clone(), lost: Arc::clone(&lost) };
    thread::Builder::new().name("log".into()).spawn(move || write_lines(out, &waiting, &lost))?;
    Ok((sender, LogFlush(messages)))
}

fn write_lines(mut out: impl Write, waiting: &Receiver<Message>, lost: &AtomicU64) {
    for message in waiting {
        match message {
            Message::Line(line) => {
                if write_all(&mut out, &line).is_err() {
                    lost.fetch_add(1, Relaxed);
                    continue;
                }
            }
            Message::Flush(written) => {
                let _ = written.send(());
            }
        }
        let lines = lost.swap(0, Relaxed);
        if lines > 0 {
            tracing::warn!(lines, "standard error was not read in time; lines of the log are lost");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc::channel};

    use super::*;

    const GUARD: Duration = Duration::from_secs(30);

    /// Lets a write through per message it gets; all of them once the sender is gone.
    struct Gated(Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_log_that_nobody_reads_holds_up_nobody_and_loses_only_what_does_not_fit() {
        let (gate, closed) = channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let (mut sender, flush) = start(Gated(closed, Arc::clone(&written))).unwrap();
        for _ in 0..3 * WAITING_LINES {
            sender.write_all(b"line\n").unwrap();
        }
        assert!(!flush.flush(Duration::ZERO), "nothing was read");
        let lost = usize::try_from(sender.lost.load(Relaxed)).unwrap();
        assert!((WAITING_LINES..3 * WAITING_LINES).contains(&lost), "{lost}");
        drop(gate);
        assert!(flush.flush(GUARD));
        let lines = written.lock().unwrap().split(|&byte| byte == b'\n').count() - 1;
        assert_eq!(lines + lost, 3 * WAITING_LINES);
    }
}
