//! What a request to the admin API says beside its path: its body, what it has seen, what it is called, how long it waits.

use std::{error::Error, time::Duration};

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{
        HeaderMap, HeaderName, StatusCode,
        header::{CONTENT_TYPE, IF_MATCH},
        request::Parts,
    },
    response::{IntoResponse, Response},
};
use serde::{Deserialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use utoipa::IntoParams;

use super::problem::Problem;
use crate::{
    control::{record_tag::RecordTag, term},
    policy::reason::Reason,
    store::contract::Submission,
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The longest `Idempotency-Key` in bytes.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// The longest wait for a receipt.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// What a request that changes something says.
#[derive(Debug)]
pub struct Asked<T> {
    /// Its body; one that is empty counts as `{}`.
    pub body: T,
    /// The record as whoever asks has seen it: `If-Match` (RFC 9110 §13.1.1).
    pub seen: Option<RecordTag>,
    /// What they call the change, and a digest of it.
    name: Option<(String, [u8; 32])>,
}

impl<T> Asked<T> {
    /// What is to be done once, on behalf of `actor`, if the request has a name.
    pub fn submission(&self, actor: String) -> Option<Submission> {
        self.name.clone().map(|(key, request)| Submission { actor, key, request })
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Asked<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let (seen, name) = (seen(&parts.headers), name(&parts.headers).map_err(Problem::into_response)?);
        let what = format!("{} {}\n", parts.method, parts.uri);
        let is_json = is_json(&parts.headers);
        let bytes = Bytes::from_request(Request::from_parts(parts, body), state).await;
        let bytes = bytes.map_err(IntoResponse::into_response)?;
        let body = read(&bytes, is_json).map_err(Problem::into_response)?;
        let digest = Sha256::new_with_prefix(what).chain_update(&bytes).finalize();
        Ok(Self { body, seen, name: name.map(|name| (name, digest.into())) })
    }
}

/// The body of a request that says nothing but what its path says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// The query of a request. Parameters that no operation knows are refused before (see `api::parameters`).
#[derive(Debug)]
pub struct Queried<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Queried<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = Query::<T>::try_from_uri(&parts.uri);
        let query = query.map_err(|error| {
            let detail = format!("The query is not what this operation takes: {}.", cause(&error));
            Problem::of(Reason::BadRequest, detail)
        })?;
        Ok(Self(query.0))
    }
}

/// What is wrong, without the words of those who only pass it on.
fn cause(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), cause)
}

/// The id in the path of a request. What is no text is the id of nothing.
#[derive(Debug)]
pub struct Id(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(id)| Self(id)).map_err(|_| Problem::not_found())
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8], is_json: bool) -> Result<T, Problem> {
    let text = match bytes {
        [] => b"{}",
        _ if is_json => bytes,
        _ => {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "Unsupported media type",
                "Send the body as application/json.",
            ));
        }
    };
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(text)).map_err(|error| {
        let parts: Vec<_> = error.path().iter().map(ToString::to_string).collect();
        let pointer = format!("/{}", parts.join("/"));
        let problem = Problem::of(Reason::BadRequest, "The body is not what this operation takes.");
        problem.with_error(if parts.is_empty() { String::new() } else { pointer }, error.inner().to_string())
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|field| field.to_str().ok()).unwrap_or_default();
    media_type
        .split(';')
        .next()
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// `*` is every state there is, and a weak tag matches none (RFC 9110 §13.1.1).
fn seen(headers: &HeaderMap) -> Option<RecordTag> {
    let field = headers.get(IF_MATCH)?.to_str().unwrap_or_default().trim();
    (field != "*").then(|| RecordTag::said(field.trim_matches('"')))
}

fn name(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(field) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let text = field.to_str().map(|text| text.trim().trim_matches('"')).unwrap_or_default();
    if text.is_empty() || text.len() > IDEMPOTENCY_KEY_BYTES_MAX {
        let detail = "Idempotency-Key must be 1 to 255 printable ASCII characters, such as a UUID.";
        return Err(Problem::of(Reason::BadRequest, detail));
    }
    Ok(Some(text.to_owned()))
}

/// How long a change waits for its receipt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wait(pub Option<Duration>);

/// As the query says it.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WaitQuery {
    /// How long to wait for every replica to confirm the change: `10s`, `500ms`; `0` does not wait. At most `60s`.
    #[param(example = "10s")]
    #[serde(rename = "wait")]
    _wait: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Wait {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        #[derive(Deserialize)]
        struct Raw {
            wait: Option<String>,
        }
        let wrong = |detail| Problem::of(Reason::BadRequest, detail).into_response();
        let Query(raw) =
            Query::<Raw>::try_from_uri(&parts.uri).map_err(|_| wrong("The query is malformed."))?;
        let wait = raw.wait.as_deref().map(term::duration).transpose();
        match wait {
            Ok(wait) if wait.is_none_or(|wait| wait <= WAIT_MAX) => Ok(Self(wait)),
            Ok(_) | Err(_) => Err(wrong("wait must be a duration such as 10s, of 60s at the most.")),
        }
    }
}
