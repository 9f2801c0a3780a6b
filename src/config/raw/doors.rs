//! Doors as they are written: where another proxy asks about each request before it forwards it.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    listen::{Limits, Timeouts, Tls},
    scalar::FileMode,
    text::Text,
};
use crate::{
    config::address::ListenAddress,
    yaml::{Field, OneOrMany},
};

/// Where other proxies ask about each request, and are answered with the same verdict that the gateway itself would give.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Doors {
    /// For nginx `auth_request`, Traefik `forwardAuth` and Caddy `forward_auth`: one door or a list.
    #[serde(default)]
    pub forward_auth: OneOrMany<ForwardAuth>,
    /// For the external authorization of Envoy and Istio: one door or a list.
    #[serde(default)]
    pub ext_authz: OneOrMany<ExtAuthz>,
}

/// A door: fields of its own, and those of every door.
macro_rules! door {
    ($(#[$about:meta])* $name:ident { $($own:tt)* }) => {
        $(#[$about])*
        #[derive(Debug, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// `127.0.0.1:8090`, `[::]:8443` (both families) or `unix:/run/keygate-door.sock`.
            pub address: Field<Text<ListenAddress>>,
            $($own)*
            /// Networks of the proxies that may ask; what they say of the client's address is believed. Anyone else is
            /// refused. Default: the loopback.
            #[serde(default)]
            pub trusted_proxies: OneOrMany<Text<IpNet>>,
            /// Permission bits of a Unix socket, in quotes: whoever may write to it may ask. Default: "0660".
            #[serde(default)]
            pub unix_mode: Option<Field<Text<FileMode>>>,
            /// TLS. Default: none, which only fits the loopback or a trusted network.
            #[serde(default)]
            pub tls: Option<Field<Tls>>,
            /// What a proxy that asks may make grow. `target_bytes` and `body_bytes`, of Envoy `header_bytes` and `headers`
            /// too, are also those of the request that it asks about.
            #[serde(default)]
            pub limits: Option<Field<Limits>>,
            /// How long a proxy that asks may take.
            #[serde(default)]
            pub timeouts: Option<Field<Timeouts>>,
        }
    };
}

door! {
    /// A door for proxies that describe a request in headers.
    ForwardAuth {
        /// The headers that describe the request, and so who asks: `x-original` (X-Original-Method, -URI, -Host, -Proto;
        /// nginx) or `x-forwarded` (X-Forwarded-Method, -Uri, -Host, -Proto; Traefik, Caddy).
        pub headers: Field<HeaderFamily>,
    }
}

door! {
    /// A door for Envoy and Istio.
    ExtAuthz {
        /// What Envoy asks in: `grpc` (its API v3) or `http`. Default: grpc.
        #[serde(default)]
        pub protocol: Option<Field<AuthzProtocol>>,
    }
}

/// Which headers describe a request at a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HeaderFamily {
    /// X-Original-Method, X-Original-URI, X-Original-Host, X-Original-Proto. The asking proxy understands 2xx, 401 and 403.
    XOriginal,
    /// X-Forwarded-Method, X-Forwarded-Uri, X-Forwarded-Host, X-Forwarded-Proto. The asking proxy passes every refusal on.
    XForwarded,
}

/// What Envoy asks in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthzProtocol {
    /// `envoy.service.auth.v3.Authorization/Check`, over HTTP/2.
    Grpc,
    /// A check request with the head of the client's own.
    Http,
}
