//! A receipt as it is shown: in one sentence, and as JSON.

use std::{fmt, time::Duration};

use serde::Serialize;
use utoipa::ToSchema;

use super::receipt::{Confirmation, Receipt};

/// Where a revision is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReceiptView {
    /// The revision.
    pub revision: u64,
    /// Replicas that forward nothing by an older one.
    pub confirmed: Vec<ConfirmedView>,
    /// Those of which it is not known.
    pub pending: Vec<PendingView>,
    /// Open streams that were closed for it.
    pub streams_closed: u64,
}

/// A replica that forwards nothing by an older revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConfirmedView {
    /// Its id.
    pub replica: String,
    /// From the commit to the acknowledgement, in milliseconds; `null` where it is known otherwise.
    pub ms: Option<u64>,
    /// Its lease is over: it answers 503.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lapsed: bool,
}

/// A replica of which it is not known what it forwards by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PendingView {
    /// Its id.
    pub replica: String,
    /// Where it can be found.
    pub address: String,
    /// How long it was not heard of, in milliseconds.
    pub silent_ms: u64,
}

impl ReceiptView {
    /// `receipt`, to be shown.
    pub fn new(receipt: &Receipt) -> Self {
        let confirmed = receipt.confirmed.iter().map(|confirmed| ConfirmedView {
            replica: confirmed.replica.clone(),
            ms: match confirmed.by {
                Confirmation::Acknowledgement(after) => Some(milliseconds(after)),
                Confirmation::Heartbeat | Confirmation::Lapsed => None,
            },
            lapsed: confirmed.by == Confirmation::Lapsed,
        });
        let pending = receipt.pending.iter().map(|pending| PendingView {
            replica: pending.replica.clone(),
            address: pending.address.clone(),
            silent_ms: milliseconds(pending.silent),
        });
        Self {
            revision: receipt.revision,
            confirmed: confirmed.collect(),
            pending: pending.collect(),
            streams_closed: receipt.streams_closed,
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// `revision 812 in force on 3/3 replicas, slowest 41 ms, 2 open streams closed`.
impl fmt::Display for Receipt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (confirmed, all) = (self.confirmed.len(), self.confirmed.len() + self.pending.len());
        if all == 0 {
            return formatter.write_str("no replica is registered; in force when one starts");
        }
        write!(formatter, "revision {} in force on {confirmed}/{all} replicas", self.revision)?;
        if let Some(slowest) = self.slowest() {
            write!(formatter, ", slowest {} ms", slowest.as_millis())?;
        }
        match self.streams_closed {
            0 => {}
            1 => formatter.write_str(", 1 open stream closed")?,
            streams => write!(formatter, ", {streams} open streams closed")?,
        }
        match self.lapsed() {
            0 => Ok(()),
            lapsed => write!(formatter, ", {lapsed} of them silent beyond the lease and answering 503"),
        }
    }
}
