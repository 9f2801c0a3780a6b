//! The admin listener: on by default, on the loopback.

use std::{net::SocketAddr, time::Duration};

use super::{
    listen::{is_same, listener_tls, trusted_proxies},
    range::duration,
};
use crate::{
    config::{
        address::ListenAddress,
        authority::{Authority, PublicUrl},
        load::Folder,
        model::{AdminConfig, ListenerConfig, SessionLifetimes},
        problem::Findings,
        raw::{
            admin::{Admin, Sessions},
            text::Switch,
        },
    },
    yaml::{Field, Place},
};

/// Where it listens if nothing is said.
fn default_address() -> ListenAddress {
    ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 8081)))
}

/// The admin listener, `None` where it is turned off.
pub(super) fn admin(
    raw: &Switch<Field<Admin>>,
    listeners: &[ListenerConfig],
    health: Option<SocketAddr>,
    folder: &Folder<'_>,
    findings: &mut Findings<'_>,
) -> Option<AdminConfig> {
    let (config, place) = match raw {
        Switch::Off => return None,
        Switch::Unsaid => (unsaid(findings), Place::default()),
        Switch::On(raw) => (resolve(raw, folder, findings), raw.address.place()),
    };
    let remedy = "give admin: {address: …} an address of its own, or turn it off with null";
    if listeners.iter().any(|listener| is_same(&listener.address, &config.address)) {
        findings.wrong(place, format!("{} is for clients and for admin", config.address), remedy);
    }
    if health.is_some_and(|health| is_same(&ListenAddress::Tcp(health), &config.address)) {
        findings.wrong(place, format!("{} is for health and for admin", config.address), remedy);
    }
    Some(config)
}

fn unsaid(findings: &mut Findings<'_>) -> AdminConfig {
    AdminConfig {
        address: default_address(),
        public_url: None,
        tls: None,
        hosts: Vec::new(),
        trusted_proxies: Vec::new(),
        sessions: sessions(None, findings),
    }
}

fn resolve(raw: &Admin, folder: &Folder<'_>, findings: &mut Findings<'_>) -> AdminConfig {
    let address = raw.address.0.clone();
    let is_public_url_secure = raw.public_url.as_ref().is_some_and(|url| url.0.is_secure);
    if raw.tls.is_none()
        && !is_public_url_secure
        && let ListenAddress::Tcp(tcp) = &address
        && !tcp.ip().is_loopback()
    {
        findings.warn(
            raw.address.place(),
            format!("nobody can sign in over the network: {tcp} has no tls"),
            "add tls, or public_url: https://… where something in front ends TLS, or listen on 127.0.0.1",
        );
    }
    if let (Some(url), Some(_)) = (&raw.public_url, &raw.tls)
        && !url.0.is_secure
    {
        findings.wrong(
            url.place(),
            "the public_url is http: although the listener has tls",
            "write https://, or remove tls",
        );
    }
    AdminConfig {
        address,
        public_url: raw.public_url.as_ref().map(|url| PublicUrl::clone(&url.0)),
        tls: raw.tls.as_ref().map(|tls| listener_tls(tls, folder, findings)),
        hosts: raw.hosts.iter().map(|host| Authority::clone(&host.0)).collect(),
        trusted_proxies: trusted_proxies(&raw.trusted_proxies, findings),
        sessions: sessions(raw.sessions.as_ref(), findings),
    }
}

fn sessions(raw: Option<&Field<Sessions>>, findings: &mut Findings<'_>) -> SessionLifetimes {
    let [idle_raw, absolute_raw] =
        [raw.and_then(|raw| raw.idle.as_ref()), raw.and_then(|raw| raw.absolute.as_ref())];
    let range = Duration::from_mins(1)..=Duration::from_hours(24 * 90);
    let idle = duration(idle_raw, Duration::from_hours(12), range.clone(), findings);
    let absolute = duration(absolute_raw, Duration::from_hours(24 * 7), range, findings);
    if idle > absolute
        && let Some(field) = idle_raw.or(absolute_raw)
    {
        findings.wrong(
            field.place(),
            "a session may be idle for longer than it lasts",
            "let absolute be at least as long as idle",
        );
    }
    SessionLifetimes { idle, absolute }
}
