//! The proof that a revision is in force: which replicas have confirmed it, and which have not.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::store::contract::{Acknowledgement, Database, Replica, StoreError, WhenStale};

/// How long to wait before the replicas are asked again: at first, and at most.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// By how much a lease must be over: clocks that measure it on two machines do not run alike.
const LEASE_MARGIN: Duration = Duration::from_secs(1);

/// Where a revision is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The revision.
    pub revision: u64,
    /// Replicas that forward nothing by an older one.
    pub confirmed: Vec<Confirmed>,
    /// Those of which it is not known.
    pub pending: Vec<Pending>,
    /// Open streams that were closed for it.
    pub streams_closed: u64,
}

/// A replica that forwards nothing by an older revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmed {
    /// Its id.
    pub replica: String,
    /// How that is known.
    pub by: Confirmation,
}

/// How it is known that a replica forwards nothing by an older revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmation {
    /// It said so this long after the commit.
    Acknowledgement(Duration),
    /// Its heartbeats name the revision or a later one.
    Heartbeat,
    /// Its lease is over, so that it answers 503 until it has heard of its database again.
    Lapsed,
}

/// A replica of which it is not known what it forwards by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its id.
    pub replica: String,
    /// Where it can be found.
    pub address: String,
    /// How long it was not heard of.
    pub silent: Duration,
}

impl Receipt {
    /// What `replicas` and `acknowledgements` of `revision` say, where the database stands at `head`. A heartbeat that
    /// names a revision beyond the head is of another history, as before a restored backup, and confirms nothing.
    pub fn new(revision: u64, head: u64, replicas: &[Replica], acknowledgements: &[Acknowledgement]) -> Self {
        let mut receipt = Self {
            revision,
            confirmed: Vec::new(),
            pending: Vec::new(),
            streams_closed: acknowledgements
                .iter()
                .fold(0, |sum: u64, one| sum.saturating_add(one.streams_closed)),
        };
        for replica in replicas {
            let id = &replica.beat.replica;
            let acknowledged = acknowledgements
                .iter()
                .find(|one| one.replica == *id && (revision..=head).contains(&one.revision));
            match confirmation(revision, head, replica, acknowledged) {
                Some(by) => receipt.confirmed.push(Confirmed { replica: id.clone(), by }),
                None => receipt.pending.push(Pending {
                    replica: id.clone(),
                    address: replica.beat.address.clone(),
                    silent: replica.silent,
                }),
            }
        }
        receipt
    }

    /// Whether nobody is left to wait for.
    pub fn is_complete(&self) -> bool {
        self.pending.is_empty()
    }

    /// How long the slowest acknowledgement took.
    pub fn slowest(&self) -> Option<Duration> {
        let after = self.confirmed.iter().filter_map(|confirmed| match confirmed.by {
            Confirmation::Acknowledgement(after) => Some(after),
            Confirmation::Heartbeat | Confirmation::Lapsed => None,
        });
        after.max()
    }

    /// How many replicas are confirmed by the end of their lease.
    pub fn lapsed(&self) -> usize {
        self.confirmed.iter().filter(|confirmed| confirmed.by == Confirmation::Lapsed).count()
    }
}

fn confirmation(
    revision: u64,
    head: u64,
    replica: &Replica,
    acknowledged: Option<&Acknowledgement>,
) -> Option<Confirmation> {
    if let Some(acknowledgement) = acknowledged {
        return Some(Confirmation::Acknowledgement(acknowledgement.after));
    }
    if (revision..=head).contains(&replica.beat.revision) {
        return Some(Confirmation::Heartbeat);
    }
    let is_over = replica.silent > replica.beat.lease.saturating_add(LEASE_MARGIN);
    match replica.beat.when_stale {
        WhenStale::Reject if is_over => Some(Confirmation::Lapsed),
        WhenStale::Reject | WhenStale::Serve => None,
    }
}

/// Asks until every replica has confirmed `revision`, or `patience` is over; then what is known by then.
///
/// # Errors
/// Where the database cannot be asked. The revision is committed all the same.
pub async fn wait(database: &dyn Database, revision: u64, patience: Duration) -> Result<Receipt, StoreError> {
    let end = Instant::now() + patience;
    let mut pause = PAUSE_MIN;
    let mut last = None;
    loop {
        let receipt = match timeout_at(end, ask(database, revision)).await {
            Ok(receipt) => receipt?,
            Err(_) => return last.ok_or_else(|| late(database)),
        };
        if receipt.is_complete() || Instant::now() + pause >= end {
            return Ok(receipt);
        }
        last = Some(receipt);
        sleep(pause).await;
        pause = (pause * 3 / 2).min(PAUSE_MAX);
    }
}

/// Asks once, for at most `patience`.
///
/// # Errors
/// Where the database cannot be asked.
pub async fn now(database: &dyn Database, revision: u64, patience: Duration) -> Result<Receipt, StoreError> {
    timeout_at(Instant::now() + patience, ask(database, revision)).await.map_err(|_| late(database))?
}

fn late(database: &dyn Database) -> StoreError {
    StoreError::Unavailable(format!("{}: no answer in time", database.name()))
}

/// The replicas first: one that comes later loads the revision.
async fn ask(database: &dyn Database, revision: u64) -> Result<Receipt, StoreError> {
    let replicas = database.replicas().await?;
    let acknowledgements = database.acknowledgements(revision).await?;
    let head = database.head().await?.revision;
    Ok(Receipt::new(revision, head, &replicas, &acknowledgements))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::store::contract::Heartbeat;

    const REVISION: u64 = 812;
    const HEAD: u64 = 815;

    fn replica(revision: u64, when_stale: WhenStale, silent: Duration) -> Replica {
        Replica {
            beat: Heartbeat {
                replica: "r1".to_owned(),
                address: "host".to_owned(),
                version: "1".to_owned(),
                revision,
                lease: Duration::from_mins(1),
                when_stale,
            },
            started_at: Timestamp::UNIX_EPOCH,
            beat_at: Timestamp::UNIX_EPOCH,
            silent,
        }
    }

    fn acknowledged(replica: &str, revision: u64) -> Acknowledgement {
        Acknowledgement {
            replica: replica.to_owned(),
            revision,
            after: Duration::from_millis(41),
            streams_closed: 2,
        }
    }

    #[test]
    fn what_confirms_a_revision() {
        let by_word = Some(Confirmation::Acknowledgement(Duration::from_millis(41)));
        let (heartbeat, lapsed) = (Some(Confirmation::Heartbeat), Some(Confirmation::Lapsed));
        let seconds = Duration::from_secs;
        for (name, revision, when_stale, silent, acknowledgement, expected) in [
            ("said so", 0, WhenStale::Serve, seconds(0), Some(acknowledged("r1", 812)), by_word),
            ("of a later one", 811, WhenStale::Serve, seconds(0), Some(acknowledged("r1", 814)), by_word),
            (
                "and is silent since",
                811,
                WhenStale::Serve,
                seconds(999),
                Some(acknowledged("r1", 812)),
                by_word,
            ),
            ("another said so", 811, WhenStale::Serve, seconds(0), Some(acknowledged("r2", 812)), None),
            ("of another history", 811, WhenStale::Serve, seconds(0), Some(acknowledged("r1", 900)), None),
            ("beats with it", 812, WhenStale::Serve, seconds(0), None, heartbeat),
            ("beats with a later one", 815, WhenStale::Serve, seconds(0), None, heartbeat),
            ("beats with another history", 900, WhenStale::Serve, seconds(0), None, None),
            ("has not loaded", 0, WhenStale::Reject, seconds(0), None, None),
            ("is behind", 811, WhenStale::Reject, seconds(0), None, None),
            ("is silent and serves", 811, WhenStale::Serve, seconds(9999), None, None),
            ("is silent within its lease", 811, WhenStale::Reject, seconds(60), None, None),
            ("at the margin", 811, WhenStale::Reject, seconds(61), None, None),
            ("is silent and rejects", 811, WhenStale::Reject, seconds(62), None, lapsed),
        ] {
            let acknowledgements: Vec<_> = acknowledgement.into_iter().collect();
            let receipt =
                Receipt::new(REVISION, HEAD, &[replica(revision, when_stale, silent)], &acknowledgements);
            assert_eq!(receipt.confirmed.first().map(|confirmed| confirmed.by), expected, "{name}");
            assert_eq!(receipt.is_complete(), expected.is_some(), "{name}");
        }
    }

    #[test]
    fn a_clock_set_back_confirms_nothing() {
        // The database counts silence from its own clock: set back, everybody was heard of just now.
        let silent = replica(811, WhenStale::Reject, Duration::ZERO);
        assert!(!Receipt::new(REVISION, HEAD, &[silent], &[]).is_complete());
        let lease = Heartbeat { lease: Duration::MAX, ..replica(811, WhenStale::Reject, Duration::MAX).beat };
        let endless = Replica { beat: lease, ..replica(811, WhenStale::Reject, Duration::MAX) };
        assert!(!Receipt::new(REVISION, HEAD, &[endless], &[]).is_complete());
    }

    #[test]
    fn streams_count_also_of_replicas_that_stopped_since() {
        let receipt =
            Receipt::new(REVISION, HEAD, &[], &[acknowledged("gone", 812), acknowledged("r1", 813)]);
        assert_eq!((receipt.streams_closed, receipt.is_complete()), (4, true));
    }
}
