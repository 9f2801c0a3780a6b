//! `POST /.well-known/keygate/revoke`: whoever shows a whole key ends it.
//!
//! On a listener of its own, for strangers must reach it: the admin listener is none of theirs, and on one for clients a
//! path of the gateway's would stand in the way of the API's. Every key gets the same answer, by the same work: the
//! secret is hashed and handed over, whether or not there is such a key.

use std::{borrow::Cow, sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State, rejection::BytesRejection},
    http::{
        HeaderMap, StatusCode,
        header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
    routing::post,
};
use serde::Deserialize;
use serde_json::json;

use super::{guard::Peer, problem::Problem};
use crate::{
    clock,
    control::possession::{KEYS_MAX, NotTaken, Possession},
    keys::{credential::is_secret, digest::KeyDigest},
    policy::reason::Reason,
};

/// Where it is.
pub const PATH: &str = "/.well-known/keygate/revoke";

/// The largest body in bytes: a list of keys with where they were found.
const BODY_BYTES_MAX: usize = 64 * 1024;

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
    match possession.report(digests, peer.address, clock::monotonic()) {
        Ok(()) => (StatusCode::ACCEPTED, Json(json!({ "status": "accepted" }))).into_response(),
        Err(NotTaken::TooMany(wait)) => {
            late(Problem::of(Reason::RateLimited, "There were too many reports."), wait)
        }
        Err(NotTaken::Full) => {
            let problem = Problem::of(Reason::Overloaded, "Too many reports wait to be looked at.");
            late(problem, Duration::from_secs(5))
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

/// The digests of the keys that a request shows, in its body or as its credential (RFC 6750 §2.1). What is wrong says
/// nothing of them.
fn shown(headers: &HeaderMap, body: &[u8]) -> Result<Vec<KeyDigest>, &'static str> {
    const HOW: &str = "Show 1 to 20 whole keys: as text, one a line; as JSON, {\"key\": …} or a list; or one as the Bearer credential.";
    let mut digests = Vec::new();
    let mut show = |secret: &[u8]| {
        let fits = is_secret(secret) && digests.len() < KEYS_MAX;
        digests.push(KeyDigest::of(secret));
        if fits { Ok(()) } else { Err(HOW) }
    };
    for credential in headers.get_all(AUTHORIZATION) {
        show(bearer(credential.as_bytes()).ok_or(HOW)?)?;
    }
    if is_json(headers) {
        let shown: Shown<'_> = serde_json::from_slice(body).map_err(|_| HOW)?;
        shown.secrets().into_iter().try_for_each(|secret| show(secret.as_bytes()))?;
    } else {
        let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        lines.filter(|line| !line.is_empty()).try_for_each(show)?;
    }
    if digests.is_empty() { Err(HOW) } else { Ok(digests) }
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

fn bearer(credential: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"Bearer ";
    let (scheme, secret) = credential.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then_some(secret.trim_ascii())
}

/// A body of JSON.
#[derive(Deserialize)]
#[serde(untagged)]
enum Shown<'b> {
    #[serde(borrow)]
    One(Key<'b>),
    Several(Vec<Key<'b>>),
    Listed {
        keys: Vec<Key<'b>>,
    },
}

/// A key; with what is told of it beside, which is not looked at.
#[derive(Deserialize)]
#[serde(untagged)]
enum Key<'b> {
    Alone(#[serde(borrow)] Cow<'b, str>),
    Named {
        key: Cow<'b, str>,
    },
    /// As scanning services report what they found.
    Token {
        token: Cow<'b, str>,
    },
}

impl<'b> Shown<'b> {
    fn secrets(self) -> Vec<Cow<'b, str>> {
        let keys = match self {
            Self::One(key) => vec![key],
            Self::Several(keys) | Self::Listed { keys } => keys,
        };
        keys.into_iter()
            .map(|key| match key {
                Key::Alone(secret) | Key::Named { key: secret } | Key::Token { token: secret } => secret,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn digests_of(credential: Option<&'static str>, media_type: &'static str, body: &str) -> Option<usize> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        headers.extend(credential.map(|value| (AUTHORIZATION, HeaderValue::from_static(value))));
        let digests = shown(&headers, body.as_bytes()).ok()?;
        let known = ["a-key", "b-key"].map(|secret| KeyDigest::of(secret.as_bytes()));
        assert!(digests.iter().take(2).zip(known).all(|(shown, known)| *shown == known), "{body}");
        Some(digests.len())
    }

    #[test]
    fn keys_are_shown_in_many_ways() {
        let json = "application/json; charset=utf-8";
        let many = vec!["\"x\""; 21];
        for (credential, media_type, body, expected) in [
            (None, "text/plain", "a-key", Some(1)),
            (None, "text/plain", "a-key\r\n\nb-key\n", Some(2)),
            (None, "application/x-www-form-urlencoded", "a-key", Some(1)),
            (Some("Bearer a-key"), "text/plain", "", Some(1)),
            (Some("bearer  a-key"), "text/plain", "b-key", Some(2)),
            (None, json, "\"a-key\"", Some(1)),
            (None, json, r#"{"key": "a-key", "found": "in a log"}"#, Some(1)),
            (None, json, r#"["a-key", "b-key"]"#, Some(2)),
            (None, json, r#"["a\u002dkey"]"#, Some(1)),
            (None, json, r#"{"keys": ["a-key", {"key": "b-key"}]}"#, Some(2)),
            (
                None,
                json,
                r#"[{"token": "a-key", "type": "t", "url": "https://example.com", "source": "s"}]"#,
                Some(1),
            ),
            (None, json, &format!("[\"a-key\",\"b-key\",{}]", many[..18].join(",")), Some(20)),
            (None, json, &format!("[\"a-key\",\"b-key\",{}]", many[..19].join(",")), None),
            (None, "text/plain", &"x\n".repeat(21), None),
            (None, "text/plain", "", None),
            (None, "text/plain", "two words", None),
            (None, "text/plain", &"x".repeat(513), None),
            (Some("Basic a-key"), "text/plain", "", None),
            (None, json, "", None),
            (None, json, "{}", None),
            (None, json, "[]", None),
            (None, json, "a-key", None),
            (None, json, "{\"key\": 1}", None),
        ] {
            assert_eq!(digests_of(credential, media_type, body), expected, "{credential:?} {body}");
        }
    }
}
