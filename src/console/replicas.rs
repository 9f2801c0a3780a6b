//! `/replicas`: the gateways of one database, and what this one runs by.

use std::time::Duration;

use askama::Template;
use axum::{
    Router,
    response::Response,
    routing::{get, post},
};
use jiff::SignedDuration;

use super::{
    answer::{Failure, html, see_other},
    form::Query,
    markup::Markup,
    overseer::Overseer,
    overview,
    page::{Notice, Page},
    parts::Badge,
    sources::{self, SourceRow},
    times::Time,
    visitor::Visitor,
};
use crate::{
    admin::state::AdminState,
    control::term,
    store::contract::{Replica, WhenStale},
};

/// A replica that was not heard of for so long may be gone. It speaks every few seconds.
const SILENT: Duration = Duration::from_secs(15);

/// Everything under `/replicas`.
pub fn router() -> Router<AdminState> {
    Router::new()
        .route("/replicas", get(show))
        .route("/replicas/live", get(live))
        .route("/replicas/reload", post(reload))
}

#[derive(Template)]
#[template(path = "replicas.html")]
struct ReplicasPage {
    page: Page,
    store: String,
    revision: u64,
    replicas: Vec<ReplicaRow>,
    sources: Vec<SourceRow>,
    charts: Vec<Markup>,
}

#[derive(Template)]
#[template(path = "replicas_live.html")]
struct ReplicasPart {
    replicas: Vec<ReplicaRow>,
}

/// A replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaRow {
    /// New with each process.
    pub id: String,
    /// Where it can be found.
    pub address: String,
    /// Whether it was heard of.
    pub state: Badge,
    /// The revision it has in force.
    pub revision: u64,
    /// `3 behind`, or empty.
    pub behind: String,
    /// When it was last heard of.
    pub heard: Time,
    /// What it does where it does not hear of the database for longer than its lease.
    pub stale: String,
    /// Its version.
    pub version: String,
}

async fn show(overseer: Overseer, query: Query) -> Result<Response, Failure> {
    let notice = match query.get("reloaded") {
        Some("new") => {
            Some(Notice::ok("This replica looked at its sources, and has something new in force."))
        }
        Some("same") => Some(Notice::ok("This replica looked at its sources. Nothing is new.")),
        Some("wrong") => {
            Some(Notice::warn("This replica looked at its sources. Something is wrong; see below."))
        }
        Some(_) | None => None,
    };
    let administration = overseer.administration();
    let revision = match administration.database() {
        Some(database) => database.head().await?.revision,
        None => overseer.published().revision,
    };
    let page = ReplicasPage {
        page: overseer.page("Replicas", "replicas").noticing(notice),
        store: administration.store().name().to_owned(),
        revision,
        replicas: rows(&overseer).await?,
        sources: sources::all(&overseer),
        charts: overview::charts(&overseer),
    };
    Ok(html(&page))
}

/// The part that moves.
async fn live(overseer: Overseer) -> Result<Response, Failure> {
    Ok(html(&ReplicasPart { replicas: rows(&overseer).await? }))
}

/// Has this process look at its sources now.
async fn reload(overseer: Overseer) -> Result<Response, Failure> {
    let handle = overseer.state.reload.clone();
    let report = tokio::task::spawn_blocking(move || handle.reload()).await.ok().flatten();
    let report = report.ok_or_else(|| {
        Failure::conflict("The gateway stops", "It is about to stop and looks at nothing any more.")
    })?;
    let what = match (report.wrong.is_empty(), report.is_new) {
        (false, _) => "wrong",
        (true, true) => "new",
        (true, false) => "same",
    };
    Ok(see_other(&format!("/replicas?reloaded={what}")))
}

/// The replicas of the database; none where keys are in files.
///
/// # Errors
/// Where the database cannot be read.
pub async fn rows(visitor: &Visitor) -> Result<Vec<ReplicaRow>, Failure> {
    let administration = visitor.administration();
    let Some(database) = administration.database() else { return Ok(Vec::new()) };
    let (replicas, head) = (database.replicas().await?, database.head().await?.revision);
    Ok(replicas.iter().map(|replica| ReplicaRow::new(replica, head, visitor)).collect())
}

impl ReplicaRow {
    fn new(replica: &Replica, head: u64, visitor: &Visitor) -> Self {
        let Replica { beat, silent, .. } = replica;
        let last = SignedDuration::try_from(*silent).ok().and_then(|ago| visitor.now.checked_sub(ago).ok());
        let lease = term::shown(beat.lease);
        Self {
            id: beat.replica.clone(),
            address: beat.address.clone(),
            state: state(*silent, beat.lease, beat.when_stale),
            revision: beat.revision,
            behind: match head.saturating_sub(beat.revision) {
                0 => String::new(),
                revisions => format!("{revisions} behind"),
            },
            heard: visitor.time(last.unwrap_or(visitor.now)),
            stale: match beat.when_stale {
                WhenStale::Serve => "serves on".to_owned(),
                WhenStale::Reject => format!("503 after {lease}"),
            },
            version: beat.version.clone(),
        }
    }
}

fn state(silent: Duration, lease: Duration, when_stale: WhenStale) -> Badge {
    match when_stale {
        WhenStale::Reject if silent > lease => Badge::new("bad", "answers 503"),
        WhenStale::Serve | WhenStale::Reject if silent > SILENT => Badge::new("warn", "silent"),
        WhenStale::Serve | WhenStale::Reject => Badge::new("ok", "live"),
    }
}
