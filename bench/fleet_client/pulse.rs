//! What requests feel of a change: latencies in the tenth of a second before it and after it.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Outcome;
use crate::client::{Connection, read_keys};
use crate::database::{open, revoke, runtime};

const WINDOW: Duration = Duration::from_millis(100);
const EVERY: Duration = Duration::from_millis(500);
const CONNECTIONS: u32 = 16;
const PATIENCE: Duration = Duration::from_secs(10);

/// When a request was due, since the beginning, and how long after that it was answered.
type Sample = (Duration, Duration);

pub(crate) fn run(url: &str, file: &str, changes: usize, rate: f64, target: &str) -> Outcome {
    let keys = read_keys(file)?;
    let (to_revoke, asked) =
        keys.split_at_checked(changes).filter(|(_, asked)| !asked.is_empty()).ok_or("too few keys")?;
    let target: SocketAddr = target.parse()?;
    let interval = Duration::try_from_secs_f64(1.0 / rate)?;
    let runtime = runtime()?;
    let database = runtime.block_on(open(url))?;
    let samples = Mutex::new(Vec::<Sample>::new());
    let is_over = AtomicBool::new(false);
    let begin = Instant::now() + WINDOW;
    let mut committed = Vec::new();
    thread::scope(|scope| {
        for number in 0..CONNECTIONS {
            let (samples, is_over) = (&samples, &is_over);
            scope.spawn(move || {
                let mut connection = Connection::new(target, PATIENCE);
                let mut own = Vec::new();
                let mut due = interval * number;
                let mut turn = number as usize;
                while !is_over.load(Ordering::Relaxed) {
                    let at = begin + due;
                    thread::sleep(at.saturating_duration_since(Instant::now()));
                    let woken = Instant::now().max(at);
                    if connection.ask(&asked[turn % asked.len()].request).is_ok() {
                        own.push((due, woken.elapsed()));
                    }
                    due += interval * CONNECTIONS;
                    turn += CONNECTIONS as usize;
                }
                samples.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(own);
            });
        }
        for key in to_revoke {
            thread::sleep(EVERY);
            runtime.block_on(revoke(&*database, &key.id))?;
            committed.push(begin.elapsed());
        }
        thread::sleep(EVERY);
        is_over.store(true, Ordering::Relaxed);
        Ok::<_, Box<dyn std::error::Error>>(())
    })?;
    let samples = samples.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let pairs: Vec<_> = committed
        .iter()
        .map(|at| {
            let before = at.saturating_sub(2 * WINDOW);
            json!([p99(&samples, before, before + WINDOW), p99(&samples, *at, *at + WINDOW)])
        })
        .collect();
    Ok(json!({"requests": samples.len(), "before_after_us": pairs}))
}

/// In microseconds, of the requests that were due between.
fn p99(samples: &[Sample], from: Duration, to: Duration) -> f64 {
    let within = samples.iter().filter(|(due, _)| (from..to).contains(due));
    let mut latencies: Vec<_> = within.map(|(_, latency)| latency.as_secs_f64() * 1e6).collect();
    latencies.sort_by(f64::total_cmp);
    latencies.get((latencies.len().saturating_sub(1)) * 99 / 100).copied().unwrap_or_default()
}
