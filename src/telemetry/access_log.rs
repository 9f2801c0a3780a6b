//! The access log: a line of JSON per request, from a worker's own buffer over a bounded channel to one writer
//! thread. A worker never waits for the disk or the reader of a pipe: what does not fit is dropped and counted.
//!
//! What it costs a request: nothing when off; sampled, a copy of method, path and route (about 45 ns); a line that is
//! written, about 0.65 µs of its worker (`benches/telemetry.rs`). The query of a target is never logged, and what looks like a key is masked.

use std::{
    fmt::{self, Write as _},
    fs::{File, OpenOptions},
    io::{self, Write},
    net::IpAddr,
    num::NonZeroU32,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::OpenOptionsExt,
    },
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use arrayvec::ArrayString;
use jiff::Timestamp;

use super::{
    json_line::JsonLine,
    metrics::{Metrics, WorkerMetrics},
    outcome::{AbortedBy, End, RequestOutcome},
    trace_context::IdSource,
    usage::SecretSlot,
};
use crate::clock;

/// A worker's buffer goes to the writer when it holds this much.
const FLUSH_BYTES: usize = 32 * 1024;
/// Buffers that may wait for the writer: together about 4 MiB.
const WAITING_BUFFERS: usize = 128;
/// More of a path is not logged.
const PATH_MAX: usize = 2048;
/// How often the writer speaks of lines it could not write.
const WARN_EVERY: Duration = Duration::from_mins(1);

/// Which requests get a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// None.
    Off,
    /// Every refusal, everything that only an observing route let through, every 5xx and everything broken off by
    /// upstream or gateway; of the rest one in `one_in`, marked with `"sampled":<one_in>`, so that sums can be scaled.
    Sampled {
        /// One in how many.
        one_in: NonZeroU32,
    },
    /// All.
    All,
}

/// Where the lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// Standard error, among the log.
    Stderr,
    /// A file that is appended to, created with mode 0640.
    File(PathBuf),
}

/// `access_log` of the config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLogSettings {
    /// Which requests.
    pub mode: Mode,
    /// Where to.
    pub destination: Destination,
}

impl Default for AccessLogSettings {
    /// Refusals and failures always, one in 100 of the rest, to standard output: enough to see what is wrong, at a
    /// cost that does not show.
    fn default() -> Self {
        let one_in = const { NonZeroU32::new(100).unwrap() };
        Self { mode: Mode::Sampled { one_in }, destination: Destination::Stdout }
    }
}

/// The log of the process: its writer thread, and the way to it.
#[derive(Debug)]
pub struct AccessLog {
    mode: Mode,
    buffers: SyncSender<Vec<u8>>,
    reopen: Arc<AtomicBool>,
    /// Disconnected once the writer has ended.
    ended: Receiver<()>,
}

type Open = Box<dyn FnMut() -> io::Result<Box<dyn Write + Send>> + Send>;

impl AccessLog {
    /// Opens the destination and starts the writer thread.
    ///
    /// # Errors
    /// Where the file cannot be opened or the thread not be started.
    pub fn open(settings: &AccessLogSettings, metrics: &Metrics) -> io::Result<Self> {
        let destination = settings.destination.clone();
        let open: Open = match settings.mode {
            Mode::Off => Box::new(|| Ok(Box::new(io::sink()))),
            Mode::Sampled { .. } | Mode::All => Box::new(move || open(&destination)),
        };
        Self::start(settings.mode, open, metrics)
    }

    /// Starts the writer thread on what `open` gives.
    pub(super) fn start(mode: Mode, mut open: Open, metrics: &Metrics) -> io::Result<Self> {
        let (buffers, waiting) = sync_channel::<Vec<u8>>(WAITING_BUFFERS);
        let (ending, ended) = channel();
        let reopen = Arc::new(AtomicBool::new(false));
        let mut writer = LogWriter {
            out: open()?,
            open,
            reopen: Arc::clone(&reopen),
            torn: false,
            lost: 0,
            warned: None,
            metrics: metrics.clone(),
        };
        thread::Builder::new().name("access-log".into()).spawn(move || {
            for buffer in waiting {
                writer.write(&buffer);
            }
            drop(ending);
        })?;
        Ok(Self { mode, buffers, reopen, ended })
    }

    /// The part of one worker.
    pub(super) fn worker(&self) -> WorkerAccessLog {
        WorkerAccessLog {
            mode: self.mode,
            buffer: Vec::new(),
            lines: 0,
            buffers: self.buffers.clone(),
            second: i64::MIN,
            second_text: ArrayString::new(),
        }
    }

    /// Opens the file again before the next line, as after a log rotation (SIGHUP). If that fails, the old file
    /// stays in use and a warning is logged.
    pub fn reopen(&self) {
        self.reopen.store(true, Relaxed);
        // An empty buffer wakes the writer; if the channel is full, it is awake.
        let _ = self.buffers.try_send(Vec::new());
    }

    /// Waits, at most `patience`, until everything handed over is written; call it when the workers have ended.
    /// Says whether it was.
    pub fn close(self, patience: Duration) -> bool {
        drop(self.buffers);
        matches!(self.ended.recv_timeout(patience), Err(RecvTimeoutError::Disconnected))
    }
}

pub(super) fn open(destination: &Destination) -> io::Result<Box<dyn Write + Send>> {
    // A descriptor of our own: std's handle would put a lock and a line buffer between.
    let duplicate = |fd: BorrowedFd<'_>| Ok(File::from(fd.try_clone_to_owned()?));
    let file = match destination {
        Destination::Stdout => duplicate(io::stdout().as_fd()),
        Destination::Stderr => duplicate(io::stderr().as_fd()),
        Destination::File(path) => OpenOptions::new().append(true).create(true).mode(0o640).open(path),
    };
    Ok(Box::new(file?))
}

/// What the writer thread holds.
struct LogWriter {
    out: Box<dyn Write + Send>,
    open: Open,
    reopen: Arc<AtomicBool>,
    /// Whether the last thing written was half a line.
    torn: bool,
    lost: u64,
    warned: Option<Instant>,
    metrics: Metrics,
}

impl LogWriter {
    fn write(&mut self, buffer: &[u8]) {
        if self.reopen.swap(false, Relaxed) {
            match (self.open)() {
                Ok(out) => (self.out, self.torn) = (out, false),
                Err(error) => {
                    tracing::warn!(%error, "cannot open the access log again; the old file stays in use");
                }
            }
        }
        if buffer.is_empty() {
            return;
        }
        if self.torn && write_all(&mut *self.out, b"\n").is_ok() {
            self.torn = false;
        }
        if let Err((written, error)) = write_all(&mut *self.out, buffer) {
            self.torn |= written > 0 && buffer[written - 1] != b'\n';
            self.lose(&buffer[written..], &error);
        }
    }

    fn lose(&mut self, rest: &[u8], error: &io::Error) {
        let lines = memchr::memchr_iter(b'\n', rest).count() as u64;
        self.metrics.0.access_log_write_dropped.fetch_add(lines, Relaxed);
        self.lost += lines;
        let now = clock::monotonic();
        if self.warned.is_none_or(|warned| now.saturating_duration_since(warned) >= WARN_EVERY) {
            tracing::warn!(%error, lines = self.lost, "cannot write the access log; lines are lost");
            (self.warned, self.lost) = (Some(now), 0);
        }
    }
}

/// Writes all of `bytes`, or says how many were written before the error.
pub(super) fn write_all(out: &mut dyn Write, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let (mut written, mut refusals) = (0, 0);
    while written < bytes.len() {
        match out.write(&bytes[written..]) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(count) => (written, refusals) = (written + count, 0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Standard output may share a terminal or pipe that someone else made non-blocking.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && refusals < 100 => {
                refusals += 1;
                thread::sleep(Duration::from_millis(10));
            }
            Err(error) => return Err((written, error)),
        }
    }
    Ok(())
}

/// Whether a request gets a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    Never,
    IfNotable,
    Sampled(NonZeroU32),
    Always,
}

/// The text of a request that only its line needs; reused, so that nothing is allocated once it is warm.
#[derive(Debug, Default)]
pub(super) struct LineText {
    method: ArrayString<32>,
    path: Vec<u8>,
    path_cut: bool,
    route: String,
    project: Option<ArrayString<128>>,
    problem: ArrayString<256>,
}

impl LineText {
    pub(super) fn set_request(&mut self, method: &str, target: &[u8]) {
        let method = method.get(..method.len().min(32)).unwrap_or_default();
        self.method = ArrayString::from(method).unwrap_or_default();
        let path = path_of(target);
        self.path_cut = path.len() > PATH_MAX;
        self.path.clear();
        self.path.extend_from_slice(&path[..path.len().min(PATH_MAX)]);
    }

    pub(super) fn set_route(&mut self, route: &str, project: Option<&str>) {
        self.route.clear();
        self.route.push_str(route);
        self.project = project.and_then(|project| ArrayString::from(project).ok());
    }

    /// More than fits is left out.
    pub(super) fn set_problem(&mut self, problem: &dyn fmt::Display) {
        self.problem.clear();
        let _ = write!(self.problem, "{problem}");
    }

    /// Bytes of memory behind it.
    pub(super) fn capacity(&self) -> usize {
        self.path.capacity() + self.route.capacity()
    }

    pub(super) fn clear(&mut self) {
        self.method.clear();
        self.path.clear();
        self.path_cut = false;
        self.route.clear();
        self.project = None;
        self.problem.clear();
    }
}

/// What may be logged of a target: the path alone, no query, no fragment, no authority with its user information.
fn path_of(target: &[u8]) -> &[u8] {
    let end = memchr::memchr2(b'?', b'#', target).unwrap_or(target.len());
    let target = &target[..end];
    if target.first() == Some(&b'/') {
        return target;
    }
    match memchr::memmem::find(target, b"://") {
        Some(scheme) => {
            let authority = &target[scheme + 3..];
            memchr::memchr(b'/', authority).map_or(b"", |path| &authority[path..])
        }
        None => memchr::memrchr(b'@', target).map_or(target, |at| &target[at + 1..]),
    }
}

/// One worker's part of the log: its buffer.
#[derive(Debug)]
pub(super) struct WorkerAccessLog {
    mode: Mode,
    buffer: Vec<u8>,
    lines: u64,
    buffers: SyncSender<Vec<u8>>,
    second: i64,
    /// `second` as RFC 3339 without the `Z`.
    second_text: ArrayString<32>,
}

impl WorkerAccessLog {
    /// Decides at a request's start whether its text is to be kept.
    pub(super) fn choose(&self, ids: &mut IdSource) -> Choice {
        match self.mode {
            Mode::Off => Choice::Never,
            Mode::Sampled { one_in } if ids.one_in(one_in.get()) => Choice::Sampled(one_in),
            Mode::Sampled { .. } => Choice::IfNotable,
            Mode::All => Choice::Always,
        }
    }

    /// Appends the line of a request that ended at `ended_ms` of the Unix epoch.
    pub(super) fn append(
        &mut self,
        outcome: &RequestOutcome,
        text: &LineText,
        choice: Choice,
        ended_ms: i64,
        upstream: Option<&str>,
        metrics: &WorkerMetrics,
    ) {
        let wanted = match choice {
            Choice::Never => false,
            Choice::IfNotable => is_notable(outcome),
            Choice::Sampled(_) | Choice::Always => true,
        };
        if !wanted {
            return;
        }
        let time = self.time(ended_ms);
        if self.buffer.capacity() == 0 {
            self.buffer.reserve(FLUSH_BYTES + 4096);
        }
        write_line(&mut self.buffer, &time, outcome, text, choice, upstream);
        self.lines += 1;
        if self.buffer.len() >= FLUSH_BYTES {
            self.flush(metrics);
        }
    }

    /// Hands the buffer to the writer if it takes it now; counts its lines as dropped if not.
    pub(super) fn flush(&mut self, metrics: &WorkerMetrics) {
        if self.lines == 0 {
            return;
        }
        match self.buffers.try_send(std::mem::take(&mut self.buffer)) {
            Ok(()) => {}
            Err(error) => {
                metrics.access_log_dropped.add(self.lines);
                let (std::sync::mpsc::TrySendError::Full(mut buffer)
                | std::sync::mpsc::TrySendError::Disconnected(mut buffer)) = error;
                buffer.clear();
                self.buffer = buffer;
            }
        }
        self.lines = 0;
    }

    /// RFC 3339 with milliseconds; the part down to the second is kept, since most lines share it.
    fn time(&mut self, ms: i64) -> ArrayString<40> {
        let second = ms.div_euclid(1000);
        if second != self.second {
            self.second = second;
            self.second_text.clear();
            let shown = Timestamp::from_second(second).unwrap_or_default();
            let _ = write!(self.second_text, "{shown}");
            let without_zone = self.second_text.trim_end_matches('Z').len();
            self.second_text.truncate(without_zone);
        }
        let mut time = ArrayString::new();
        let _ = write!(time, "{}.{:03}Z", self.second_text, ms.rem_euclid(1000));
        time
    }
}

/// Whether a request gets a line also where it was not sampled.
fn is_notable(outcome: &RequestOutcome) -> bool {
    if outcome.observed.is_some() {
        return true;
    }
    match outcome.end {
        End::Refused(_)
        | End::Cut(_)
        | End::Aborted(AbortedBy::Upstream | AbortedBy::Gateway | AbortedBy::Policy) => true,
        End::Forwarded | End::Answered | End::Permitted | End::Aborted(AbortedBy::Client) => {
            outcome.status >= 500
        }
    }
}

fn write_line(
    out: &mut Vec<u8>,
    time: &str,
    outcome: &RequestOutcome,
    text: &LineText,
    choice: Choice,
    upstream: Option<&str>,
) {
    let mut line = JsonLine::begin(out);
    line.safe("time", time.as_bytes());
    line.foreign("request_id", outcome.request_id.as_str().as_bytes());
    if !outcome.trace_id.is_none() {
        line.safe("trace_id", &outcome.trace_id.hex());
    }
    line.safe("client", address(outcome.client).as_bytes());
    line.foreign("method", text.method.as_bytes());
    line.foreign("path", &text.path);
    if text.path_cut {
        line.yes("path_cut");
    }
    if !text.route.is_empty() {
        line.text("route", &text.route);
    }
    if let Some(project) = &text.project {
        line.foreign("project", project.as_bytes());
    }
    if let Some(key) = &outcome.key {
        line.text("key_id", &key.id);
        match key.secret {
            SecretSlot::Current => {}
            SecretSlot::Previous => line.text("secret", key.secret.as_str()),
        }
    }
    if let Some(door) = outcome.door {
        line.text("door", door.as_str());
    }
    line.text("outcome", outcome.end.as_str());
    match outcome.end {
        End::Forwarded | End::Answered | End::Permitted => {}
        End::Refused(reason) => line.text("reason", reason.code()),
        End::Aborted(by) => line.text("aborted_by", by.as_str()),
        End::Cut(reason) => {
            line.text("aborted_by", AbortedBy::Policy.as_str());
            line.text("reason", reason.code());
        }
    }
    if let Some(reason) = outcome.observed {
        line.text("observed", reason.code());
    }
    if !text.problem.is_empty() {
        line.text("problem", &text.problem);
    }
    line.number("status", outcome.status);
    if let Some(upstream) = upstream {
        line.text("upstream", upstream);
    }
    if outcome.upgraded {
        line.yes("upgraded");
    }
    line.number("received_bytes", outcome.received_bytes);
    line.number("sent_bytes", outcome.sent_bytes);
    line.thousandths("duration_ms", microseconds(outcome.duration));
    if let Some(first_byte) = outcome.first_byte {
        line.thousandths("upstream_ms", microseconds(first_byte));
    }
    line.number("revision", outcome.revision);
    if let Choice::Sampled(one_in) = choice {
        line.number("sampled", one_in.get());
    }
    line.end();
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The address as text; an IPv6 address takes at most 45 bytes.
pub(super) fn address(address: IpAddr) -> ArrayString<48> {
    let mut text = ArrayString::new();
    let _ = write!(text, "{}", address.to_canonical());
    text
}

#[cfg(test)]
mod tests;
