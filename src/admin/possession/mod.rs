//! `POST /.well-known/keygate/revoke`: whoever shows a whole key ends it.
//!
//! On a listener of its own, for strangers must reach it: the admin listener is none of theirs, and on one for clients a
//! path of the gateway's would stand in the way of the API's. Every key gets the same answer, by the same work: the
//! secret is hashed and handed over, whether or not there is such a key.

mod shown;

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::json;

use self::shown::shown;
use super::{guard::Peer, problem::Problem};
use crate::{
    clock,
    control::possession::{NotTaken, Possession},
    policy::reason::Reason,
};

/// Where it is.
pub const PATH: &str = "/.well-known/keygate/revoke";

/// The largest body in bytes: a list of keys with where they were found.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// How long to wait where there is no telling.
const PAUSE: Duration = Duration::from_secs(5);

/// What the listener serves.
pub fn router(possession: Arc<Possession>) -> Router {
    Router::new()
        .route(PATH, post(revoke))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(possession)
}

async fn revoke(
    State(possession): State<Arc<Possession>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejected) => return unread(&rejected),
    };
    let digests = match shown(&headers, &body) {
        Ok(digests) => digests,
        Err(what) => return Problem::of(Reason::BadRequest, what).into_response(),
    };
    match possession.report(digests, peer.address, clock::monotonic()).await {
        Ok(()) => (StatusCode::ACCEPTED, Json(json!({ "status": "accepted" }))).into_response(),
        Err(NotTaken::TooMany(wait)) => {
            late(Problem::of(Reason::RateLimited, "There were too many reports."), wait)
        }
        Err(NotTaken::Full) => {
            let problem = Problem::of(Reason::Overloaded, "Too many reports wait to be looked at.");
            late(problem, PAUSE)
        }
        Err(NotTaken::Unable) => {
            let detail = "No key can be ended here now, and none was. Try again later.";
            late(Problem::of(Reason::KeyStoreUnavailable, detail), PAUSE)
        }
    }
}

fn unread(rejected: &BytesRejection) -> Response {
    let problem = if rejected.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let detail = format!("The body may have {BODY_BYTES_MAX} bytes at most.");
        Problem::of(Reason::ContentTooLarge, detail)
    } else {
        Problem::of(Reason::BadRequest, "The body did not come whole.")
    };
    problem.into_response()
}

fn late(problem: Problem, wait: Duration) -> Response {
    let seconds = wait.as_millis().div_ceil(1000).max(1).to_string();
    ([(RETRY_AFTER, seconds)], problem).into_response()
}
