//! `/.well-known/jwks.json` (RFC 7517): the public keys by which upstreams prove who signed an assertion. Anybody may read
//! them, and without sign-in: on the admin listener, and on the health listener, which upstreams reach more often.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    http::{
        HeaderName, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};

use crate::config::Config;

/// Where they are.
pub const PATH: &str = "/.well-known/jwks.json";

/// How long they may be kept: as long as a new key has to be published before it signs.
const HEADERS: [(HeaderName, &str); 2] =
    [(CONTENT_TYPE, "application/jwk-set+json"), (CACHE_CONTROL, "public, max-age=300")];

/// The key set of `config`; 404 where nothing is asserted.
pub(super) fn answer(config: &Config) -> Response {
    let Some(assertions) = &config.assertions else { return StatusCode::NOT_FOUND.into_response() };
    let body = Bytes::from_owner(Published(Arc::clone(assertions.keys.published())));
    (HEADERS, Body::from(body)).into_response()
}

struct Published(Arc<str>);

impl AsRef<[u8]> for Published {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}
