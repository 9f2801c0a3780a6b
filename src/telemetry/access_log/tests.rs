//! The access log: what is in a line, and what becomes of lines that cannot be written.

use std::{
    net::Ipv4Addr,
    sync::{
        Mutex,
        mpsc::{Receiver, Sender},
    },
};

use proptest::prelude::*;

use super::*;
use crate::{
    keys::digest::KeyDigest,
    policy::reason::Reason,
    telemetry::{
        metrics::BuildInfo,
        outcome::{KeyId, KeyUse},
        trace_context::{RequestId, TraceId},
        usage::NeededScopes,
    },
};

const SECRET: &str = "acme_live_7Qd3xK9mPq2Rs8Tv5Wy1Zb4Nc6Mf0Gh3Jk7LpQrStUvW";

fn metrics() -> Metrics {
    Metrics::new(BuildInfo { version: "0", revision: "0", target: "t" }, Timestamp::UNIX_EPOCH)
}

fn outcome() -> RequestOutcome {
    RequestOutcome {
        door: None,
        end: End::Refused(Reason::NotFound),
        observed: None,
        status: 404,
        upgraded: false,
        revision: 3,
        client: Ipv4Addr::LOCALHOST.into(),
        key: Some(KeyUse {
            id: KeyId::from("k").unwrap(),
            secret: SecretSlot::Current,
            digest: KeyDigest::of(b"k"),
        }),
        needed: NeededScopes::default(),
        request_id: RequestId::accept(b"r").unwrap(),
        trace_id: TraceId([1; 16]),
        received_bytes: 1,
        sent_bytes: 2,
        duration: Duration::from_micros(12_345),
        first_byte: None,
    }
}

fn append(worker: &mut WorkerAccessLog, counters: &WorkerMetrics, target: &[u8]) {
    let mut text = LineText::default();
    text.set_request("GET", target);
    worker.append(&outcome(), &text, Choice::Always, 1_795_000_000_007, None, counters);
}

/// A destination that takes nothing until it is let.
struct Gate {
    entered: Sender<()>,
    open: Receiver<()>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.entered.send(());
        // Once the other end is gone, the gate stands open.
        let _ = self.open.recv();
        self.written.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_blocked_destination_costs_lines_that_are_counted_and_no_wait() {
    let (metrics, written) = (metrics(), Arc::new(Mutex::new(Vec::new())));
    let ((entered, in_gate), (let_through, open)) = (channel(), channel::<()>());
    let mut gate = Some(Gate { entered, open, written: Arc::clone(&written) });
    let opener: Open = Box::new(move || Ok(Box::new(gate.take().unwrap())));
    let log = AccessLog::start(Mode::All, opener, &metrics).unwrap();
    let (mut worker, counters) = (log.worker(), metrics.worker());
    append(&mut worker, &counters, b"/first");
    worker.flush(&counters);
    in_gate.recv().unwrap();
    let handed_over = 5 + WAITING_BUFFERS;
    for _ in 0..handed_over {
        append(&mut worker, &counters, b"/x");
        append(&mut worker, &counters, b"/y");
        worker.flush(&counters);
    }
    assert_eq!(counters.access_log_dropped.get(), 10);
    drop((let_through, worker));
    assert!(log.close(Duration::from_mins(1)));
    let written = written.lock().unwrap();
    assert_eq!(memchr::memchr_iter(b'\n', &written).count(), 1 + 2 * WAITING_BUFFERS);
}

#[test]
fn closing_does_not_wait_longer_than_it_may() {
    let ((entered, _in_gate), (_keeps_shut, open)) = (channel(), channel::<()>());
    let mut gate = Some(Gate { entered, open, written: Arc::default() });
    let opener: Open = Box::new(move || Ok(Box::new(gate.take().unwrap())));
    let metrics = metrics();
    let log = AccessLog::start(Mode::All, opener, &metrics).unwrap();
    let (mut worker, counters) = (log.worker(), metrics.worker());
    append(&mut worker, &counters, b"/");
    worker.flush(&counters);
    drop(worker);
    assert!(!log.close(Duration::from_millis(1)));
}

#[test]
fn a_full_disk_costs_lines_that_are_counted_and_serving_goes_on() {
    let metrics = metrics();
    let destination = Destination::File("/dev/full".into());
    let log = AccessLog::open(&AccessLogSettings { mode: Mode::All, destination }, &metrics).unwrap();
    let (mut worker, counters) = (log.worker(), metrics.worker());
    for _ in 0..3 {
        append(&mut worker, &counters, b"/");
        append(&mut worker, &counters, b"/");
        worker.flush(&counters);
    }
    drop(worker);
    assert!(log.close(Duration::from_mins(1)));
    assert_eq!(metrics.0.access_log_write_dropped.load(Relaxed), 6);
}

/// A disk that takes `room` bytes, is then full once, and has room again.
struct SmallDisk {
    room: usize,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Write for SmallDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.room == 0 {
            self.room = usize::MAX;
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = bytes.len().min(self.room);
        self.room -= taken;
        self.written.lock().unwrap().extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn half_a_line_spoils_no_other() {
    let (metrics, written) = (metrics(), Arc::new(Mutex::new(Vec::new())));
    let mut disk = Some(SmallDisk { room: 100, written: Arc::clone(&written) });
    let opener: Open = Box::new(move || Ok(Box::new(disk.take().unwrap())));
    let log = AccessLog::start(Mode::All, opener, &metrics).unwrap();
    let (mut worker, counters) = (log.worker(), metrics.worker());
    for path in [&b"/lost"[..], b"/whole"] {
        append(&mut worker, &counters, path);
        worker.flush(&counters);
    }
    drop(worker);
    assert!(log.close(Duration::from_mins(1)));
    let written = String::from_utf8(written.lock().unwrap().clone()).unwrap();
    let good: Vec<serde_json::Value> =
        written.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!(good.len(), 1);
    assert_eq!(good[0]["path"], "/whole");
    assert_eq!(metrics.0.access_log_write_dropped.load(Relaxed), 1);
}

#[test]
fn a_rotated_file_is_left_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let (path, old) = (folder.path().join("access.jsonl"), folder.path().join("access.jsonl.1"));
    let settings = AccessLogSettings { mode: Mode::All, destination: Destination::File(path.clone()) };
    let metrics = metrics();
    let log = AccessLog::open(&settings, &metrics).unwrap();
    let (mut worker, counters) = (log.worker(), metrics.worker());
    std::fs::rename(&path, &old).unwrap();
    log.reopen();
    append(&mut worker, &counters, b"/after");
    worker.flush(&counters);
    drop(worker);
    assert!(log.close(Duration::from_mins(1)));
    assert!(std::fs::read_to_string(&path).unwrap().contains("/after"));
    assert_eq!(std::fs::read_to_string(&old).unwrap(), "");
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error() {
    let destination = Destination::File("/nowhere/at/all".into());
    assert!(AccessLog::open(&AccessLogSettings { mode: Mode::All, destination }, &metrics()).is_err());
}

#[test]
fn only_the_path_of_a_target_is_logged() {
    for (target, path) in [
        ("/a/b?key=secret", "/a/b"),
        ("/a#fragment", "/a"),
        ("http://user:password@host/a?b", "/a"),
        ("http://user:password@host", ""),
        ("user:password@host:443", "host:443"),
        ("*", "*"),
        ("", ""),
    ] {
        assert_eq!(path_of(target.as_bytes()), path.as_bytes(), "{target}");
    }
}

#[test]
fn a_line_tells_the_time_and_marks_a_path_that_was_cut() {
    let mut worker = AccessLog::open(&AccessLogSettings::default(), &metrics()).unwrap().worker();
    append(&mut worker, &metrics().worker(), &[b'/'; PATH_MAX + 1]);
    let line: serde_json::Value = serde_json::from_slice(&worker.buffer).unwrap();
    assert_eq!(line["time"], "2026-11-18T11:06:40.007Z");
    assert_eq!(line["path_cut"], true);
    assert_eq!(line["duration_ms"], 12.345);
    assert_eq!(line["reason"], "not_found");
}

proptest! {
    #[test]
    fn any_request_gives_one_line_of_json_without_secret(
        method in ".{0,40}",
        target in proptest::collection::vec(any::<u8>(), 0..100),
        route in ".{0,40}",
        ms in 0..4_000_000_000_000_i64,
    ) {
        let mut worker = AccessLog::open(&AccessLogSettings::default(), &metrics()).unwrap().worker();
        let mut text = LineText::default();
        let target = [b"/".as_slice(), SECRET.as_bytes(), b"/", &target].concat();
        text.set_request(&method, &target);
        text.set_route(&route, Some(SECRET));
        worker.append(&outcome(), &text, Choice::Always, ms, Some("api"), &metrics().worker());
        let line = str::from_utf8(&worker.buffer).unwrap();
        serde_json::from_str::<serde_json::Value>(line).unwrap();
        prop_assert!(!line.contains("K9mPq2"));
        prop_assert_eq!(line.find(|c: char| c.is_control()), Some(line.len() - 1));
    }
}
