//! The admin listener as it is written.

use std::time::Duration;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{listen::Tls, text::Text};
use crate::{
    config::{
        address::ListenAddress,
        authority::{Authority, PublicUrl},
    },
    yaml::{Field, OneOrMany},
};

/// The listener of the admin API and the console. A change needs a restart.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// `127.0.0.1:8081`, `[::]:8443` or `unix:/run/keygate-admin.sock`, whose permission bits are 0660.
    pub address: Field<Text<ListenAddress>>,
    /// Where browsers and API clients reach it, if not there: `http://HOST:PORT` or `https://HOST`, without path. With
    /// `https:`, something in front ends TLS. Default: its address.
    #[serde(default)]
    pub public_url: Option<Field<Text<PublicUrl>>>,
    /// TLS. Default: none, and then one signs in over the loopback or a `public_url` with `https:` only.
    #[serde(default)]
    pub tls: Option<Field<Tls>>,
    /// Further names that it answers to, `HOST:PORT` or, for any port, `HOST`. Every other Host is answered 421. Default:
    /// none but its address, its loopback names and that of `public_url`.
    #[serde(default)]
    pub hosts: OneOrMany<Text<Authority>>,
    /// Networks of proxies whose X-Forwarded-For is believed. Default: nobody's.
    #[serde(default)]
    pub trusted_proxies: OneOrMany<Text<IpNet>>,
    /// How long one stays signed in to the console.
    #[serde(default)]
    pub sessions: Option<Field<Sessions>>,
}

/// How long one stays signed in.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sessions {
    /// Without doing anything. Default: 12h.
    #[serde(default)]
    pub idle: Option<Field<Text<Duration>>>,
    /// Whatever one does. Default: 7d.
    #[serde(default)]
    pub absolute: Option<Field<Text<Duration>>>,
}
