//! From the commit of a revocation to the moment when every replica refuses.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use keygate::store::contract::Database;
use serde_json::json;

use crate::Outcome;
use crate::client::{Connection, Key, read_keys};
use crate::database::{open, revoke, runtime};

const GIVE_UP: Duration = Duration::from_secs(30);

/// One thread that asks a replica for a key, again and again, until it is refused.
struct Prober {
    next: Sender<usize>,
    /// First that the key is admitted, then when it no longer was.
    seen: Receiver<Instant>,
}

pub(crate) fn run(url: &str, file: &str, count: usize, targets: &[&str]) -> Outcome {
    let keys = read_keys(file)?;
    let targets: Vec<SocketAddr> = targets.iter().map(|target| target.parse()).collect::<Result<_, _>>()?;
    let runtime = runtime()?;
    let database = runtime.block_on(open(url))?;
    let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
    thread::scope(|scope| {
        let probers: Vec<_> = targets
            .iter()
            .map(|target| {
                let ((next, orders), (tell, seen)) = (channel(), channel());
                let keys = &keys;
                scope.spawn(move || probe(*target, keys, &orders, &tell));
                Prober { next, seen }
            })
            .collect();
        for (number, key) in keys.iter().take(count).enumerate() {
            for prober in &probers {
                prober.next.send(number)?;
                prober.seen.recv_timeout(GIVE_UP)?;
            }
            let revision = runtime.block_on(revoke(&*database, &key.id))?;
            let committed = Instant::now();
            let mut slowest = 0.0;
            for prober in &probers {
                let seen = prober.seen.recv_timeout(GIVE_UP)?;
                slowest = f64::max(slowest, milliseconds(seen.saturating_duration_since(committed)));
            }
            refused.push(slowest);
            let slowest = runtime.block_on(slowest_acknowledgement(&*database, revision, targets.len()))?;
            acknowledged.push(milliseconds(slowest));
        }
        Ok::<_, Box<dyn std::error::Error>>(())
    })?;
    Ok(json!({"acknowledged_ms": acknowledged, "refused_ms": refused}))
}

fn probe(target: SocketAddr, keys: &[Key], orders: &Receiver<usize>, tell: &Sender<Instant>) {
    let mut connection = Connection::new(target, GIVE_UP);
    for number in orders {
        let request = &keys[number].request;
        for status in [200, 401] {
            while !connection.ask(request).is_ok_and(|answer| answer == status) {}
            if tell.send(Instant::now()).is_err() {
                return;
            }
        }
    }
}

/// From the commit to the last acknowledgement, by the clock of the database.
async fn slowest_acknowledgement(
    database: &dyn Database,
    revision: u64,
    replicas: usize,
) -> Result<Duration, Box<dyn std::error::Error>> {
    let begun = Instant::now();
    loop {
        let acknowledgements = database.acknowledgements(revision).await?;
        if acknowledgements.len() >= replicas {
            return Ok(acknowledgements.iter().map(|one| one.after).max().unwrap_or_default());
        }
        if begun.elapsed() > GIVE_UP {
            return Err(
                format!("revision {revision}: {} of {replicas} confirmed", acknowledgements.len()).into()
            );
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
