//! Signed identity as it is written.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{http::HeaderName, text::Text};
use crate::yaml::{Field, OneOrMany};

/// A signed token (a JWT, RFC 7519) on each request that carries a key; doors answer it too.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Assertion {
    /// Who says so: the `iss` that upstreams demand, as `https://keys.example.com`.
    pub issuer: Field<String>,
    /// Private keys as PEM files (PKCS #8), one or a list: Ed25519 signs as `EdDSA`, P-256 as `ES256`. The first signs; all are
    /// published at `/.well-known/jwks.json`, so that a new one can be known before it signs. Read again when a file
    /// changes.
    pub keys: Field<OneOrMany<Text<PathBuf>>>,
    /// For how long a token is good, 10s to 15m; the end of its key ends it sooner. It is sent with several requests,
    /// for half that time. Default: 60s.
    #[serde(default)]
    pub lifetime: Option<Field<Text<Duration>>>,
    /// The header that carries it. Default: X-Auth-Assertion.
    #[serde(default)]
    pub header: Option<Field<Text<HeaderName>>>,
}

/// What is asserted to one upstream.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamAssertion {
    /// The `aud` that this upstream demands. Give each its own, or one can show another what it was sent.
    pub audience: Field<String>,
}
