//! The database is down, dies, or is cut off in the middle of a change.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::records::{Records, record};
use super::{FULL, Fleet, LOST, REJECT, SetUp, wait_for};
use crate::harness::TcpProxy;

#[test]
fn without_database_and_snapshot_nobody_is_refused_for_good() {
    let set_up = SetUp { replicas: 1, ..SetUp::default() };
    let mut fleet = set_up.prepare();
    fleet.server.stop();
    fleet.add_replica(&set_up);
    for secret in [FULL.1, "unknown-0123456789abcdefghijklmnopqr"] {
        let answer = fleet.replicas[0].ask(secret);
        assert_eq!(answer.status(), 503, "{answer:?}");
        assert!(answer.header("Retry-After").is_some(), "{answer:?}");
    }
    fleet.server.start_again();
    fleet.replicas[0].wait_until(FULL.1, 200, None);
    fleet.replicas[0].expect("unknown-0123456789abcdefghijklmnopqr", 401, Some("key_unknown"));
    fleet.revoke(LOST.0);
    fleet.expect_everywhere(LOST.1, 401, Some("key_revoked"));
}

#[test]
fn a_snapshot_on_disk_serves_a_start_without_database() {
    let mut fleet = SetUp { replicas: 1, ..SetUp::default() }.start();
    fleet.revoke(LOST.0);
    fleet.replicas[0].stop();
    fleet.server.stop();
    fleet.replicas[0].gateway.restart();
    fleet.expect_everywhere(FULL.1, 200, None);
    fleet.expect_everywhere(LOST.1, 401, Some("key_revoked"));
    fleet.server.start_again();
    fleet.wait_until_caught_up();
    fleet.revoke(FULL.0);
    fleet.expect_everywhere(FULL.1, 401, Some("key_revoked"));
}

#[test]
fn with_reject_a_start_without_database_serves_nothing() {
    let mut fleet = SetUp { replicas: 1, config: REJECT, ..SetUp::default() }.start();
    fleet.replicas[0].stop();
    fleet.server.stop();
    fleet.replicas[0].gateway.restart();
    fleet.expect_everywhere(FULL.1, 503, Some("key_store_unavailable"));
    fleet.server.start_again();
    fleet.replicas[0].wait_until(FULL.1, 200, None);
}

#[test]
fn a_database_that_dies_under_load_loses_no_change_it_confirmed() {
    let mut fleet = Fleet::start();
    let keys: Vec<_> =
        (0..1000).map(|at| (format!("one{at}"), format!("one{at}-0123456789abcdefghijklmnopqrst"))).collect();
    fleet.records.add(&keys.iter().map(|(id, secret)| record((id, secret))).collect::<Vec<_>>());
    fleet.wait_until_caught_up();
    let writer_url = fleet.server.url_as("postgres", &fleet.database);
    let stop = AtomicBool::new(false);
    let revoked: Vec<usize> = std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let records = Records::open(&writer_url).unwrap();
            let is_revoked = |at: &usize| {
                let told = records.revoke(&keys[*at].0);
                // While the database is away, keys are not to run out.
                std::thread::sleep(Duration::from_millis(if told.is_ok() { 0 } else { 20 }));
                told.is_ok()
            };
            (0..keys.len()).take_while(|_| !stop.load(Ordering::Acquire)).filter(is_revoked).collect()
        });
        for _ in 0..3 {
            let before = fleet.records.head();
            wait_for("changes", || fleet.records.head() > before + 5 || writing.is_finished());
            fleet.server.kill();
            fleet.expect_everywhere(FULL.1, 200, None);
            fleet.server.start_again();
        }
        stop.store(true, Ordering::Release);
        writing.join().unwrap()
    });
    assert!(revoked.len() >= 10, "too few changes to tell: {}", revoked.len());
    fleet.wait_until_caught_up();
    for at in revoked {
        assert!(fleet.records.key(&keys[at].0).unwrap().revoked.is_some(), "{} is good again", keys[at].0);
        fleet.expect_everywhere(&keys[at].1, 401, Some("key_revoked"));
    }
    fleet.revoke(FULL.0);
}

#[test]
fn a_writer_cut_off_at_any_byte_leaves_a_whole_change_or_none() {
    let fleet = SetUp { replicas: 1, ..SetUp::default() }.start();
    let ids: Vec<_> = (0..60).map(|at| format!("cut{at}")).collect();
    let secret = |id: &str| format!("{id}-0123456789abcdefghijklmnopqrstuvw");
    fleet.records.add(&ids.iter().map(|id| record((id, &secret(id)))).collect::<Vec<_>>());
    let (mut done, mut failed) = (0, 0);
    for (at, id) in ids.iter().enumerate() {
        let way = TcpProxy::before(fleet.server.address());
        let url = format!("postgres://postgres@127.0.0.1:{}/{}?sslmode=disable", way.port(), fleet.database);
        way.cut_after(at * 60);
        let before = (fleet.records.head(), fleet.records.audits());
        let told = Records::open(&url).and_then(|records| records.revoke(id));
        let after = (fleet.records.head(), fleet.records.audits());
        let is_revoked = fleet.records.key(id).unwrap().revoked.is_some();
        let grown = u64::from(is_revoked);
        assert_eq!(after, (before.0 + grown, before.1 + grown), "cut after {} bytes: {told:?}", at * 60);
        if told.is_ok() {
            assert!(is_revoked, "said to be done, and is not: {told:?}");
            done += 1;
        } else {
            failed += 1;
        }
    }
    assert!(done > 0 && failed > 10, "the bytes of a change are more or fewer than thought: {done} {failed}");
    fleet.wait_until_caught_up();
    for id in &ids {
        let is_revoked = fleet.records.key(id).unwrap().revoked.is_some();
        assert_eq!(fleet.replicas[0].ask(&secret(id)).status(), if is_revoked { 401 } else { 200 }, "{id}");
    }
}

#[test]
fn a_paused_database_makes_no_request_wait() {
    let fleet = Fleet::start();
    fleet.server.pause();
    fleet.expect_everywhere(FULL.1, 200, None);
    fleet.server.resume();
    fleet.revoke(LOST.0);
    fleet.expect_everywhere(LOST.1, 401, Some("key_revoked"));
}

#[test]
fn a_full_disk_costs_the_snapshot_and_nothing_else() {
    if !rustix::process::getuid().is_root() {
        return;
    }
    let set_up = SetUp { replicas: 1, ..SetUp::default() };
    let mut fleet = set_up.prepare();
    let full = FullDisk::mount();
    fleet.replicas.push(fleet.new_replica_with_state(&set_up, full.path()));
    fleet.replicas[0].gateway.address("data");
    fleet.replicas[0].wait_until(FULL.1, 200, None);
    fleet.replicas[0].gateway.wait_for_line("a start without database would begin with older keys");
    fleet.revoke(LOST.0);
    fleet.expect_everywhere(LOST.1, 401, Some("key_revoked"));
    fleet.replicas[0].stop();
}

/// A file system of 64 KiB without a byte left.
struct FullDisk(tempfile::TempDir);

impl FullDisk {
    fn mount() -> Self {
        let folder = tempfile::tempdir().unwrap();
        mount(&["-t", "tmpfs", "-o", "size=64k,mode=700", "none", folder.path().to_str().unwrap()]);
        let mut room = vec![0_u8; 65_536];
        while !room.is_empty() && std::fs::write(folder.path().join("filler"), &room).is_err() {
            room.truncate(room.len() - 4096);
        }
        Self(folder)
    }

    fn path(&self) -> &std::path::Path {
        self.0.path()
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

fn mount(arguments: &[&str]) {
    crate::harness::run::run(std::process::Command::new("mount").args(arguments), "").expect_success();
}
