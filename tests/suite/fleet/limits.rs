//! Limits of keys over a fleet: each replica takes its share, of uneven load as much as it is asked for, and whoever joins
//! or dies is taken into account.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::{FULL, Fleet, SetUp, records::record, request, wait_for};
use crate::harness::Client;

/// Keys that nobody has used, to look with.
const PROBES: usize = 400;

fn probe(at: usize) -> (String, String) {
    (format!("probe{at}"), format!("probe{at}-0123456789abcdefghijklmnopqrst"))
}

/// A fleet with [`PROBES`] fresh keys, twelve requests each.
fn with_probes() -> (Fleet, AtomicUsize) {
    let set_up = SetUp {
        config: "limits: {plans: {twelve: {rate: 1/h, burst: 12}}, default: twelve}",
        ..SetUp::default()
    };
    let fleet = set_up.start();
    let probes: Vec<_> = (0..PROBES).map(probe).collect();
    let records: Vec<_> = probes.iter().map(|(id, secret)| record((id, secret))).collect();
    fleet.records.add(&records);
    fleet.wait_until_caught_up();
    (fleet, AtomicUsize::new(0))
}

/// How many requests of one fresh key the replica at `at` admits.
fn admitted(fleet: &Fleet, at: usize, used: &AtomicUsize) -> usize {
    let (_, secret) = probe(used.fetch_add(1, SeqCst));
    let mut client = Client::connect(fleet.replicas[at].address);
    let statuses = (0..20).map(|_| client.exchange(request("/any/thing", &secret)).status());
    let admitted = statuses.filter(|status| *status == 200).count();
    assert!((1..=12).contains(&admitted), "{admitted}: never nothing, and never more than all");
    admitted
}

fn expect_soon(fleet: &Fleet, at: usize, used: &AtomicUsize, expected: usize) {
    wait_for(&format!("{expected} of twelve"), || {
        thread::sleep(Duration::from_millis(200));
        admitted(fleet, at, used) == expected
    });
}

#[test]
fn a_replica_that_joins_or_goes_is_taken_into_account() {
    let (mut fleet, used) = with_probes();
    for at in 0..3 {
        expect_soon(&fleet, at, &used, 4);
    }
    fleet.add_replica(&SetUp {
        config: "limits: {plans: {twelve: {rate: 1/h, burst: 12}}, default: twelve}",
        ..SetUp::default()
    });
    fleet.replicas[3].wait_until(FULL.1, 200, None);
    // On a machine that is held up, one of the others may just count as dead.
    let first = admitted(&fleet, 3, &used);
    assert!((3..=4).contains(&first), "{first}: it begins with a share, and not with all");
    for at in 0..3 {
        expect_soon(&fleet, at, &used, 3);
    }
    fleet.replicas[3].gateway.signal(Signal::KILL);
    fleet.replicas[3].gateway.wait();
    fleet.replicas[2].stop();
    for at in 0..2 {
        expect_soon(&fleet, at, &used, 6);
    }
}

#[test]
fn without_the_database_a_replica_keeps_its_share() {
    let (fleet, used) = with_probes();
    expect_soon(&fleet, 0, &used, 4);
    fleet.replicas[0].isolate();
    expect_soon(&fleet, 1, &used, 6);
    let alone = admitted(&fleet, 0, &used);
    assert!((4..=6).contains(&alone), "{alone}: neither open nor closed");
    fleet.replicas[0].rejoin();
    expect_soon(&fleet, 1, &used, 4);
}

/// What clients of one replica send and are given.
#[derive(Default)]
struct Tally {
    sent: AtomicUsize,
    passed: AtomicUsize,
}

impl Tally {
    fn now(&self) -> (usize, usize) {
        (self.sent.load(SeqCst), self.passed.load(SeqCst))
    }

    /// Sends requests, one every `pause` or as soon as it can, until `stop`.
    fn load(&self, fleet: &Fleet, at: usize, pause: Duration, stop: &AtomicBool) {
        let mut client = Client::connect(fleet.replicas[at].address);
        let mut due = Instant::now();
        while !stop.load(SeqCst) {
            let status = client.exchange(request("/any/thing", FULL.1)).status();
            self.sent.fetch_add(1, SeqCst);
            match status {
                200 => _ = self.passed.fetch_add(1, SeqCst),
                429 => {}
                other => panic!("{other}"),
            }
            due += pause;
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }
}

#[test]
fn three_replicas_hold_a_limit_within_a_tenth_under_uneven_load() {
    let set_up = SetUp { config: "limits: {plans: {pro: {rate: 300/s}}, default: pro}", ..SetUp::default() };
    let fleet = set_up.start();
    let stop = AtomicBool::new(false);
    let tallies: [Tally; 3] = Default::default();
    thread::scope(|scope| {
        let load = |at: usize, pause: Duration| {
            let (fleet, tally, stop) = (&fleet, &tallies[at], &stop);
            scope.spawn(move || tally.load(fleet, at, pause, stop));
        };
        for _ in 0..4 {
            load(0, Duration::from_millis(1));
        }
        load(1, Duration::from_millis(20));
        load(2, Duration::from_millis(500));
        let claim = "SELECT coalesce(max(rate_share), 0) FROM limit_claims WHERE key = 'full'";
        let largest = || fleet.server.psql(&fleet.database, claim);
        // More than two thirds: both others have given up what they do not need.
        wait_for("a large share for the first", || number(&largest()) > 720_720 * 3 / 4);
        // The turn in which it was written is over, and what was saved up before is used.
        thread::sleep(Duration::from_secs(2));

        // Of a second in which the machine was held up nobody knows what would have been asked for.
        let steady = (0..4).map(|_| Window::of(&tallies, &fleet)).find(|window| {
            // Never more than a burst, and one for each replica, beside the rate.
            assert!(window.passed <= window.allowed + RATE + 3.0, "{window:?}");
            window.wanted >= 0.97 * window.allowed
        });
        stop.store(true, SeqCst);
        if let Some(window) = steady {
            let told = window.told.join("\n");
            assert!(window.passed >= 0.9 * window.wanted, "{window:?}\n{told}");
        }
    });
}

const RATE: f64 = 300.0;

/// Some seconds of load.
#[derive(Debug)]
struct Window {
    /// What the rate allows in that time.
    allowed: f64,
    /// What was asked for of that, second by second.
    wanted: f64,
    passed: f64,
    /// What replicas told, and what passed, second by second.
    told: Vec<String>,
}

impl Window {
    fn of(tallies: &[Tally], fleet: &Fleet) -> Self {
        let (begun, before) = (Instant::now(), total(tallies));
        let (mut last, mut wanted, mut told) = (begun, 0.0, Vec::new());
        let claims = "SELECT rate_demand || ':' || rate_share FROM limit_claims ORDER BY rate_demand DESC";
        for _ in 0..10 {
            let sent = total(tallies).0;
            thread::sleep(Duration::from_secs(1));
            let allowed = RATE * std::mem::replace(&mut last, Instant::now()).elapsed().as_secs_f64();
            wanted += allowed.min(float(total(tallies).0 - sent));
            let claims = fleet.server.psql(&fleet.database, claims).replace('\n', " ");
            told.push(format!("{:?} {claims}", tallies.iter().map(Tally::now).collect::<Vec<_>>()));
        }
        let passed = float(total(tallies).1 - before.1);
        Self { allowed: RATE * begun.elapsed().as_secs_f64(), wanted, passed, told }
    }
}

/// Requests sent and passed by all.
fn total(tallies: &[Tally]) -> (usize, usize) {
    tallies.iter().map(Tally::now).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

fn number(text: &str) -> u32 {
    text.split_whitespace().find_map(|word| word.parse().ok()).unwrap_or(0)
}
