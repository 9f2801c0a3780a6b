//! The listener for whoever finds a key, as it is written.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{listen::Tls, text::Text};
use crate::{
    config::address::ListenAddress,
    yaml::{Field, OneOrMany},
};

/// The listener where whoever shows a whole key ends it; with key files it needs `state:`. A change needs a restart.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Possession {
    /// `0.0.0.0:8083`, `[::]:8443` or `unix:/run/keygate-revoke.sock`: strangers must reach it, directly or by a path that a
    /// proxy leads here.
    pub address: Field<Text<ListenAddress>>,
    /// TLS. Default: none, which fits the loopback and a proxy in front.
    #[serde(default)]
    pub tls: Option<Field<Tls>>,
    /// Networks of proxies whose X-Forwarded-For is believed. Default: nobody's.
    #[serde(default)]
    pub trusted_proxies: OneOrMany<Text<IpNet>>,
}
