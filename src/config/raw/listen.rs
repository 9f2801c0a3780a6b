//! Listeners as they are written.

use std::{path::PathBuf, time::Duration};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    scalar::{ByteSize, FileMode},
    text::Text,
};
use crate::{
    config::address::ListenAddress,
    yaml::{Field, OneOrMany},
};

/// One address where clients are served.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// `127.0.0.1:8080`, `[::]:8443` (both families) or `unix:/run/keygate.sock`.
    pub address: Field<Text<ListenAddress>>,
    /// Permission bits of a Unix socket, in quotes: whoever may write to it may connect. Default: "0660".
    #[serde(default)]
    pub unix_mode: Option<Field<Text<FileMode>>>,
    /// TLS. Default: none, which only fits the loopback or a trusted network.
    #[serde(default)]
    pub tls: Option<Field<Tls>>,
    /// Networks of proxies whose X-Forwarded-* is believed. Default: nobody's.
    #[serde(default)]
    pub trusted_proxies: OneOrMany<Text<IpNet>>,
    /// What a client may make grow.
    #[serde(default)]
    pub limits: Option<Field<Limits>>,
    /// How long a client may take. None of these ends a response, an upgrade or an event stream that goes on.
    #[serde(default)]
    pub timeouts: Option<Field<Timeouts>>,
}

/// TLS of a listener. Certificates are read again when their files change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Certificate chain, leaf first, as a PEM file.
    #[serde(default)]
    pub certificate: Option<Field<Text<PathBuf>>>,
    /// Private key of the leaf, as a PEM file.
    #[serde(default)]
    pub private_key: Option<Field<Text<PathBuf>>>,
    /// Several certificates, chosen by the name a client asks for; the first where none fits. Instead of the two above.
    #[serde(default)]
    pub certificates: Option<Field<Vec<Field<Certificate>>>>,
    /// Authorities that client certificates must come from, as a PEM file. Default: none is asked for.
    #[serde(default)]
    pub client_ca: Option<Field<Text<PathBuf>>>,
}

/// One certificate.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Certificate chain, leaf first, as a PEM file.
    pub certificate: Field<Text<PathBuf>>,
    /// Private key of the leaf, as a PEM file.
    pub private_key: Field<Text<PathBuf>>,
}

/// What a client may make grow.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Connections at once. Default: 10000; at a door 1000.
    #[serde(default)]
    pub connections: Option<Field<u64>>,
    /// Connections at once from one address; trusted proxies are not counted. Default: 1000.
    #[serde(default)]
    pub connections_per_address: Option<Field<u64>>,
    /// The head of a request: target and headers. Default: 32KiB.
    #[serde(default)]
    pub header_bytes: Option<Field<Text<ByteSize>>>,
    /// Path and query of a request. Default: 8KiB; at most 65535 bytes.
    #[serde(default)]
    pub target_bytes: Option<Field<Text<ByteSize>>>,
    /// Header lines of a request. Default: 100.
    #[serde(default)]
    pub headers: Option<Field<u64>>,
    /// The body of a request; a route may say otherwise. Default: 1GiB.
    #[serde(default)]
    pub body_bytes: Option<Field<Text<ByteSize>>>,
    /// HTTP/2 streams at once on one connection. Default: 100.
    #[serde(default)]
    pub streams: Option<Field<u64>>,
}

/// How long a client may take.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    /// From the first byte of a head to its last, and for a TLS handshake. Default: 15s.
    #[serde(default)]
    pub head: Option<Field<Text<Duration>>>,
    /// Between two requests of one connection. Default: 75s.
    #[serde(default)]
    pub keep_alive: Option<Field<Text<Duration>>>,
    /// Between two reads of a request body, and between two writes of a response that the client does not take.
    /// Default: 30s.
    #[serde(default)]
    pub idle: Option<Field<Text<Duration>>>,
    /// Bytes per second that a request body must reach on average once `idle` has passed. Default: 64; 0 asks for
    /// nothing.
    #[serde(default)]
    pub body_rate_bytes: Option<Field<Text<ByteSize>>>,
}
