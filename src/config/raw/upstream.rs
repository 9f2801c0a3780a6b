//! Upstreams as they are written.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Later,
    assertion::UpstreamAssertion,
    http::UpstreamUrl,
    text::{Switch, Text},
};
use crate::{
    config::model::{UpstreamHost, UpstreamHttp},
    yaml::{Field, Map},
};

/// An API behind the gateway.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// `http://HOST:PORT`, `https://HOST:PORT` or `unix:/PATH`, without path: the upstream sees paths as they came.
    #[serde(default)]
    pub url: Option<Field<Text<UpstreamUrl>>>,
    /// Several addresses come in a later version; only null is accepted.
    #[serde(default)]
    pub addresses: Option<Field<Later>>,
    /// How long things may take.
    #[serde(default)]
    pub timeouts: Option<Field<Timeouts>>,
    /// TLS towards an `https:` upstream. Default: verified with the machine's authorities.
    #[serde(default)]
    pub tls: Option<Field<Tls>>,
    /// The Host it sees: `preserve` for the client's, `upstream` for that of the URL, or a name. Default: preserve.
    #[serde(default)]
    pub host: Option<Field<Text<UpstreamHost>>>,
    /// The version of HTTP: `auto` is over TLS what the upstream chooses of 2 and 1.1, and in clear 1.1; `2` in clear (h2c)
    /// is spoken without asking, as to a gRPC server. Default: auto.
    #[serde(default)]
    pub http: Option<Field<Text<UpstreamHttp>>>,
    /// Requests at once that the upstream gets: over HTTP/1.1 each has a connection, and idle connections count too; over HTTP/2
    /// they share connections, of which there are no more than that either. Default: 1024.
    #[serde(default)]
    pub max_connections: Option<Field<u64>>,
    /// Requests that may wait for their turn; more are answered 503. Default: 1024.
    #[serde(default)]
    pub max_pending: Option<Field<u64>>,
    /// Headers set on every request, instead of any that the client sent under the same name. For secrets use
    /// `${file:…}`.
    #[serde(default)]
    pub set_headers: Option<Field<Map<Field<String>>>>,
    /// With `assertion`: whom the signed token is for. Default: the name of the upstream; null sends it none.
    #[serde(default)]
    pub assertion: Switch<Field<UpstreamAssertion>>,
    /// Whether a link-local address is connected to; there cloud machines keep their credentials. Default: false.
    #[serde(default)]
    pub allow_link_local: Option<Field<bool>>,
}

/// TLS towards an upstream.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "UpstreamTls")]
pub struct Tls {
    /// Authorities that its certificate must come from, as a PEM file. Default: the machine's.
    #[serde(default)]
    pub ca: Option<Field<Text<PathBuf>>>,
    /// The name to ask for and to verify. Default: the host of the URL.
    #[serde(default)]
    pub server_name: Option<Field<String>>,
}

/// How long an upstream may take.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "UpstreamTimeouts")]
pub struct Timeouts {
    /// To connect, with TLS handshake and the wait for room. Default: 5s.
    #[serde(default)]
    pub connect: Option<Field<Text<Duration>>>,
    /// From the end of the request to the head of the response. Default: 60s.
    #[serde(default)]
    pub first_byte: Option<Field<Text<Duration>>>,
    /// Between two reads of a response body, and between two writes of a request; upgrades and event streams may idle
    /// for an hour. Default: 60s.
    #[serde(default)]
    pub idle: Option<Field<Text<Duration>>>,
    /// How long a connection waits for its next request: less than the upstream itself waits. Default: 50s.
    #[serde(default)]
    pub keep_alive: Option<Field<Text<Duration>>>,
}
