//! Requests for keys while these are revoked, and who was admitted after a receipt.
//!
//! Whether a receipt had come is looked at before a request is sent. Kept connections make the mass of the requests; a
//! new one for each twentieth of a second puts requests where a paused replica finds them when it wakes up.

use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Outcome;
use crate::client::{Connection, Key, read_keys};

/// A replica that is paused answers when it goes on.
const PATIENCE: Duration = Duration::from_secs(5);
const PATIENCE_OF_FRESH: Duration = Duration::from_mins(1);
const FRESH_EVERY: Duration = Duration::from_millis(50);
const FRESH_MAX: usize = 200;

const GOOD: u8 = 0;
const REVOKING: u8 = 1;
const CONFIRMED: u8 = 2;

struct Shared {
    keys: Vec<Key>,
    /// What is known of each key.
    known: Vec<AtomicU8>,
    /// Keys of which a receipt came, in that order.
    confirmed: Mutex<Vec<usize>>,
    is_over: AtomicBool,
    begun: Instant,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    admitted: AtomicU64,
    refused: AtomicU64,
    unavailable: AtomicU64,
    other: AtomicU64,
    lost: AtomicU64,
    /// Answered, and sent after a receipt.
    after_receipt: AtomicU64,
    violations: Mutex<Vec<Value>>,
    wrongly_refused: Mutex<Vec<Value>>,
}

pub(crate) fn run(file: &str, connections: usize, targets: &[&str]) -> Outcome {
    let targets: Vec<SocketAddr> = targets.iter().map(|target| target.parse()).collect::<Result<_, _>>()?;
    let keys = read_keys(file)?;
    let known = keys.iter().map(|_| AtomicU8::new(GOOD)).collect();
    let shared = Shared {
        keys,
        known,
        confirmed: Mutex::default(),
        is_over: AtomicBool::new(false),
        begun: Instant::now(),
        counts: Counts::default(),
    };
    thread::scope(|scope| {
        for (number, target) in targets.iter().enumerate() {
            for connection in 0..connections {
                let mut dice = Dice::new(number * connections + connection);
                scope.spawn({
                    let shared = &shared;
                    move || shared.ask_without_pause(*target, &mut dice)
                });
            }
            let shared = &shared;
            scope.spawn(move || shared.ask_anew(scope, *target));
        }
        shared.obey();
    });
    Ok(shared.summary())
}

impl Shared {
    /// Does what the input says, until it ends.
    fn obey(&self) {
        for line in io::stdin().lines().map_while(Result::ok) {
            let (word, key) = line.split_once(' ').unwrap_or((&line, "0"));
            let key: usize = key.parse().unwrap_or_default();
            match word {
                "revoking" => self.known[key].store(REVOKING, Ordering::SeqCst),
                "confirmed" => {
                    self.known[key].store(CONFIRMED, Ordering::SeqCst);
                    lock(&self.confirmed).push(key);
                }
                _ => crate::print(&self.summary()),
            }
        }
        self.is_over.store(true, Ordering::SeqCst);
    }

    fn ask_without_pause(&self, target: SocketAddr, dice: &mut Dice) {
        let mut connection = Connection::new(target, PATIENCE);
        while !self.is_over.load(Ordering::Relaxed) {
            let key = self.choose(dice);
            if !self.ask(&mut connection, target, key) {
                thread::sleep(Duration::from_millis(10 + dice.below(40) as u64));
            }
        }
    }

    /// One new connection after the other, whatever became of those before.
    fn ask_anew<'scope>(&'scope self, scope: &'scope thread::Scope<'scope, '_>, target: SocketAddr) {
        let under_way: &'static AtomicUsize = Box::leak(Box::default());
        let mut dice = Dice::new(usize::from(target.port()));
        while !self.is_over.load(Ordering::Relaxed) {
            thread::sleep(FRESH_EVERY);
            let newest = lock(&self.confirmed).last().copied();
            let key = newest.unwrap_or_else(|| dice.below(self.keys.len()));
            if under_way.fetch_add(1, Ordering::SeqCst) < FRESH_MAX {
                scope.spawn(move || {
                    self.ask(&mut Connection::new(target, PATIENCE_OF_FRESH), target, key);
                    under_way.fetch_sub(1, Ordering::SeqCst);
                });
            } else {
                under_way.fetch_sub(1, Ordering::SeqCst);
            }
        }
    }

    /// Mostly a key of which a receipt came, and of those mostly one of the last.
    fn choose(&self, dice: &mut Dice) -> usize {
        let kind = dice.below(8);
        let confirmed = lock(&self.confirmed);
        match (kind, confirmed.len()) {
            (0 | 1, _) | (_, 0) => dice.below(self.keys.len()),
            (2..=4, count) => confirmed[count - 1 - dice.below(count.min(8))],
            (_, count) => confirmed[dice.below(count)],
        }
    }

    /// Whether there was an answer.
    fn ask(&self, connection: &mut Connection, target: SocketAddr, key: usize) -> bool {
        let known = self.known[key].load(Ordering::SeqCst);
        let sent = self.begun.elapsed();
        let Ok(status) = connection.ask(&self.keys[key].request) else {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
            return false;
        };
        let happened = || {
            json!({"key": self.keys[key].id, "target": target.to_string(), "status": status,
                   "sent_ms": sent.as_secs_f64() * 1000.0, "answered_ms": self.begun.elapsed().as_secs_f64() * 1000.0})
        };
        let counts = &self.counts;
        let count = match status {
            200..=299 => &counts.admitted,
            401 => &counts.refused,
            503 => &counts.unavailable,
            _ => &counts.other,
        };
        count.fetch_add(1, Ordering::Relaxed);
        if known == CONFIRMED {
            counts.after_receipt.fetch_add(1, Ordering::Relaxed);
            // An error of the upstream too would mean that the request had passed.
            if !matches!(status, 401 | 503) {
                lock(&counts.violations).push(happened());
            }
        }
        if status == 401 && self.known[key].load(Ordering::SeqCst) == GOOD {
            lock(&counts.wrongly_refused).push(happened());
        }
        true
    }

    fn summary(&self) -> Value {
        let counts = &self.counts;
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (violations, wrongly_refused) = (lock(&counts.violations), lock(&counts.wrongly_refused));
        json!({
            "seconds": self.begun.elapsed().as_secs_f64(),
            "admitted": of(&counts.admitted), "refused": of(&counts.refused),
            "unavailable": of(&counts.unavailable), "other": of(&counts.other), "lost": of(&counts.lost),
            "after_receipt": of(&counts.after_receipt),
            "violations": violations.len(), "first_violations": first(&violations),
            "wrongly_refused": wrongly_refused.len(), "first_wrongly_refused": first(&wrongly_refused),
        })
    }
}

fn first(happened: &[Value]) -> &[Value] {
    &happened[..happened.len().min(20)]
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Xorshift: the same throws for the same seed.
struct Dice(u64);

impl Dice {
    fn new(seed: usize) -> Self {
        Self((seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap_or_default() % end
    }
}
