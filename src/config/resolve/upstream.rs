//! Upstreams: where permitted requests go.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use super::{
    header::{is_field_value, is_set_by_gateway},
    range::{count, duration},
};
use crate::{
    config::{
        load::{Folder, unreadable},
        model::{
            SecretText, UpstreamAddress, UpstreamConfig, UpstreamHost, UpstreamHttp, UpstreamTimeouts,
            UpstreamTls,
        },
        problem::Findings,
        raw::{
            http::{HeaderName, UpstreamUrl},
            text::{Text, Written, quoted},
            upstream::{Timeouts, Upstream},
        },
    },
    policy::fold::ManagedNames,
    yaml::{Field, Map, Place},
};

/// The upstreams of the file. One whose URL is missing keeps its place, so that routes that name it are not wrong too.
pub(super) fn upstreams(
    raw: &Field<Map<Field<Upstream>>>,
    folder: &Folder<'_>,
    identity: &ManagedNames,
    findings: &mut Findings<'_>,
) -> Vec<UpstreamConfig> {
    if raw.entries.is_empty() {
        findings.wrong(
            raw.place(),
            "no upstream is given",
            "write upstreams: {api: {url: http://127.0.0.1:9000}}",
        );
    }
    raw.iter().map(|(name, upstream)| resolve(name, upstream, folder, identity, findings)).collect()
}

fn resolve(
    name: &Field<String>,
    raw: &Field<Upstream>,
    folder: &Folder<'_>,
    identity: &ManagedNames,
    findings: &mut Findings<'_>,
) -> UpstreamConfig {
    check_name(name, findings);
    if let Some(later) = &raw.addresses {
        findings.wrong(
            later.place(),
            "several addresses for one upstream come in a later version",
            "write url: http://HOST:PORT; a host name may stand for several addresses",
        );
    }
    if raw.url.is_none() && raw.addresses.is_none() {
        findings.wrong(raw.place(), "the upstream has no url", "add url: http://127.0.0.1:9000");
    }
    let url = raw.url.as_ref().map_or_else(placeholder, |url| url.0.clone());
    let allow_link_local = raw.allow_link_local.as_deref().copied().unwrap_or(false);
    if let Some(field) = &raw.url {
        check_address(&url, field.place(), allow_link_local, findings);
    }
    UpstreamConfig {
        name: name.as_str().into(),
        tls: tls(raw, &url, folder, findings),
        address: url.address,
        authority: url.authority,
        http: raw.http.as_ref().map_or(UpstreamHttp::Auto, |http| http.0),
        host: raw.host.as_ref().map_or(UpstreamHost::Preserve, |host| host.0.clone()),
        connections: count(raw.max_connections.as_ref(), 1024, 1..=1_000_000, findings),
        pending: count(raw.max_pending.as_ref(), 1024, 0..=1_000_000, findings),
        timeouts: timeouts(raw.timeouts.as_deref().unwrap_or(&Timeouts::default()), findings),
        set_headers: set_headers(raw, identity, findings),
        allow_link_local,
    }
}

/// Names stand in metrics, logs and routes.
fn check_name(name: &Field<String>, findings: &mut Findings<'_>) {
    let fine = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if !fine {
        findings.wrong(
            name.place(),
            format!("{} is no name for an upstream", quoted(name)),
            "use up to 64 letters, digits, \".\", \"_\" and \"-\"",
        );
    }
}

/// What stands in for a URL that is not there, in a configuration that is refused for it.
fn placeholder() -> UpstreamUrl {
    let address = UpstreamAddress::Tcp { host: "localhost".into(), port: 80 };
    UpstreamUrl { address, authority: "localhost".into(), tls: false }
}

fn check_address(url: &UpstreamUrl, place: Place, allow_link_local: bool, findings: &mut Findings<'_>) {
    let UpstreamAddress::Tcp { host, .. } = &url.address else { return };
    let address: Option<IpAddr> = host.parse().ok();
    if let Some(address) = address {
        if address.is_unspecified() || address.is_multicast() {
            findings.wrong(
                place,
                format!("nobody can be connected to at {address}"),
                "write the address of the upstream",
            );
        }
        if !allow_link_local && is_link_local(address) {
            findings.wrong(
                place,
                format!("{address} is a link-local or metadata address"),
                "write another address, or allow_link_local: true if the upstream really is there",
            );
        }
    }
    let is_local = address.map_or(is_local_name(host), |address| address.is_loopback());
    if !url.tls && !is_local {
        findings.warn(
            place,
            format!("requests to {host} cross the network in clear, identity headers included"),
            "use https, unless the network in between is trusted",
        );
    }
}

fn is_local_name(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

/// Whether a cloud machine finds its credentials at `address`: `169.254.0.0/16`, `fe80::/10`, and the addresses that
/// providers chose elsewhere.
pub fn is_link_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_link_local() || address.octets() == [100, 100, 100, 200],
        IpAddr::V6(address) => {
            address.is_unicast_link_local() || address.segments() == [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254]
        }
    }
}

fn tls(
    raw: &Upstream,
    url: &UpstreamUrl,
    folder: &Folder<'_>,
    findings: &mut Findings<'_>,
) -> Option<UpstreamTls> {
    if let (Some(tls), false) = (&raw.tls, url.tls) {
        findings.wrong(
            tls.place(),
            "tls stands beside a URL that does not use it",
            "write url: https://…, or remove tls",
        );
    }
    let UpstreamAddress::Tcp { host, .. } = &url.address else { return None };
    let given = raw.tls.as_ref();
    let server_name = given.and_then(|tls| tls.server_name.as_ref());
    if let Some(name) = server_name
        && crate::config::raw::http::split_authority(name).is_none_or(|(_, port)| port.is_some())
    {
        let remedy = "write a DNS name or IP address without port, such as api.internal";
        findings.wrong(name.place(), "server_name is no name of a server", remedy);
    }
    url.tls.then(|| UpstreamTls {
        ca_pem: given.and_then(|tls| tls.ca.as_ref()).map(|ca| authorities(ca, folder, findings)),
        server_name: server_name.map_or_else(|| host.clone(), |name| name.as_str().into()),
    })
}

/// The content of the PEM file `raw`.
fn authorities(raw: &Field<Text<PathBuf>>, folder: &Folder<'_>, findings: &mut Findings<'_>) -> Box<[u8]> {
    const PEM_MAX: u64 = 4 << 20;
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    let bytes = folder.read(&raw.0, PEM_MAX).unwrap_or_else(|error| {
        let (message, remedy) = unreadable(&error);
        findings.wrong(raw.place(), message, remedy);
        BEGIN.to_vec()
    });
    if memchr::memmem::find(&bytes, BEGIN).is_none() {
        findings.wrong(
            raw.place(),
            "the file holds no certificate",
            "give a PEM file of certificate authorities",
        );
    }
    bytes.into()
}

fn timeouts(raw: &Timeouts, findings: &mut Findings<'_>) -> UpstreamTimeouts {
    let range = Duration::from_millis(10)..=Duration::from_hours(24);
    let seconds = Duration::from_secs;
    UpstreamTimeouts {
        connect: duration(raw.connect.as_ref(), seconds(5), range.clone(), findings),
        first_byte: duration(raw.first_byte.as_ref(), seconds(60), range.clone(), findings),
        idle: duration(raw.idle.as_ref(), seconds(60), range.clone(), findings),
        keep_alive: duration(raw.keep_alive.as_ref(), seconds(50), Duration::ZERO..=*range.end(), findings),
    }
}

fn set_headers(
    raw: &Upstream,
    identity: &ManagedNames,
    findings: &mut Findings<'_>,
) -> Vec<(Box<str>, SecretText)> {
    let mut set: Vec<(Box<str>, SecretText)> = Vec::new();
    for (name, value) in raw.set_headers.iter().flat_map(|headers| headers.iter()) {
        if let Err(message) = Text::<HeaderName>::check(name) {
            findings.wrong(name.place(), message, "use letters, digits and \"-\", as in X-Api-Version");
        } else if is_set_by_gateway(name, identity) {
            findings.wrong(
                name.place(),
                format!("{} is the gateway's to set", name.as_str()),
                "remove it; host: sets the Host, and identity_headers: the names of identity headers",
            );
        } else if set.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            findings.wrong(
                name.place(),
                format!("the header {} is set twice", name.as_str()),
                "remove one of them",
            );
        }
        if !is_field_value(value) {
            findings.wrong(
                value.place(),
                format!(
                    "the value of {} cannot stand in a header: it is too long, or holds a line break or other control",
                    name.as_str()
                ),
                "write one line of at most 8 KiB without spaces at its ends",
            );
        }
        set.push((name.as_str().into(), SecretText(value.as_str().into())));
    }
    set
}

impl Text<HeaderName> {
    fn check(name: &str) -> Result<(), String> {
        HeaderName::read(name).map(drop).map_err(|_| format!("{} is no header name", quoted(name)))
    }
}
