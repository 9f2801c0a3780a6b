//! Listeners: where clients are served, and within which bounds.

use std::{net::SocketAddr, path::Path, time::Duration};

use ipnet::IpNet;

use super::range::{count, duration, size};
use crate::{
    config::{
        address::ListenAddress,
        load::Folder,
        model::{CertificateFiles, ListenerConfig, ListenerLimits, ListenerTimeouts, ListenerTls},
        problem::Findings,
        raw::{
            self,
            listen::{Limits, Listener, Timeouts, Tls},
            text::{Switch, Text},
        },
    },
    http1::parse::HeadLimits,
    yaml::{Field, OneOrMany, Place},
};

/// The listeners of the file.
pub(super) fn listeners(
    raw: &Field<OneOrMany<Listener>>,
    folder: &Folder<'_>,
    findings: &mut Findings<'_>,
) -> Vec<ListenerConfig> {
    if raw.items.is_empty() {
        findings.wrong(raw.place(), "no listener is given", "write listen: {address: 127.0.0.1:8080}");
    }
    for (at, listener) in raw.iter().enumerate() {
        if raw.items[..at].iter().any(|known| is_same(&known.address, &listener.address)) {
            findings.wrong(
                listener.address.place(),
                format!("{} is listened on twice", **listener.address),
                "give each listener its own address",
            );
        }
    }
    raw.iter().map(|listener| resolve(listener, folder, findings)).collect()
}

/// Whether two addresses cannot be listened on at once; port 0 is another one each time.
pub(super) fn is_same(one: &ListenAddress, other: &ListenAddress) -> bool {
    match one {
        ListenAddress::Tcp(address) => one == other && address.port() != 0,
        ListenAddress::Unix(_) => one == other,
    }
}

fn resolve(raw: &Listener, folder: &Folder<'_>, findings: &mut Findings<'_>) -> ListenerConfig {
    let address = raw.address.0.clone();
    if raw.tls.is_none()
        && let ListenAddress::Tcp(tcp) = &address
        && !tcp.ip().is_loopback()
    {
        findings.warn(
            raw.address.place(),
            format!("keys cross the network in clear: {tcp} has no tls"),
            "add tls, or listen on 127.0.0.1 behind something that ends TLS",
        );
    }
    if let (Some(mode), ListenAddress::Tcp(_)) = (&raw.unix_mode, &address) {
        findings.wrong(
            mode.place(),
            "unix_mode stands beside a TCP address",
            "remove it, or listen on unix:/path",
        );
    }
    ListenerConfig {
        address,
        unix_mode: raw.unix_mode.as_ref().map_or(0o660, |mode| mode.0.0),
        tls: raw.tls.as_ref().map(|tls| listener_tls(tls, folder, findings)),
        trusted_proxies: trusted_proxies(&raw.trusted_proxies, findings),
        limits: limits(raw.limits.as_deref().unwrap_or(&Limits::default()), findings),
        timeouts: timeouts(raw.timeouts.as_deref().unwrap_or(&Timeouts::default()), findings),
    }
}

pub(super) fn listener_tls(
    raw: &Field<Tls>,
    folder: &Folder<'_>,
    findings: &mut Findings<'_>,
) -> ListenerTls {
    let files = |certificate: &Path, private_key: &Path| CertificateFiles {
        certificate: folder.path(certificate),
        private_key: folder.path(private_key),
    };
    let certificates = match (&raw.certificate, &raw.private_key, &raw.certificates) {
        (Some(certificate), Some(key), None) => vec![files(certificate, key)],
        (None, None, Some(several)) if !several.is_empty() => {
            several.iter().map(|one| files(&one.certificate, &one.private_key)).collect()
        }
        (None, None, _) => {
            let remedy = "write tls: {certificate: tls/cert.pem, private_key: tls/key.pem}";
            findings.wrong(raw.place(), "tls names no certificate", remedy);
            Vec::new()
        }
        (Some(certificate), None, None) => {
            findings.wrong(
                certificate.place(),
                "the certificate has no private key",
                "add private_key: tls/key.pem",
            );
            Vec::new()
        }
        (None, Some(key), None) => {
            findings.wrong(
                key.place(),
                "the private key has no certificate",
                "add certificate: tls/cert.pem",
            );
            Vec::new()
        }
        (_, _, Some(several)) => {
            let remedy = "move the single certificate into the list";
            findings.wrong(several.place(), "certificates stands beside certificate or private_key", remedy);
            Vec::new()
        }
    };
    ListenerTls { certificates, client_ca: raw.client_ca.as_ref().map(|ca| folder.path(ca)) }
}

pub(super) fn trusted_proxies(raw: &OneOrMany<Text<IpNet>>, findings: &mut Findings<'_>) -> Vec<IpNet> {
    for network in raw.iter().filter(|network| network.prefix_len() == 0) {
        findings.warn(
            network.place(),
            format!("{} trusts everyone: any client may choose the address it is known by", ***network),
            "list the networks of your proxies only",
        );
    }
    raw.iter().map(|network| network.0).collect()
}

fn limits(raw: &Limits, findings: &mut Findings<'_>) -> ListenerLimits {
    /// Captures of a path are 16-bit offsets.
    const TARGET_MAX: u64 = 65_535;
    const CONNECTIONS_MAX: u64 = 10_000_000;
    let default = HeadLimits::default();
    let head_bytes = size(raw.header_bytes.as_ref(), default.head_bytes as u64, 1024..=1 << 20, findings);
    let target_bytes =
        size(raw.target_bytes.as_ref(), default.target_bytes as u64, 128..=TARGET_MAX, findings);
    if target_bytes > head_bytes
        && let Some(field) = [&raw.target_bytes, &raw.header_bytes].into_iter().flatten().next()
    {
        findings.wrong(
            field.place(),
            format!("a target of {target_bytes} bytes does not fit into a head of {head_bytes}"),
            "let header_bytes be more than target_bytes",
        );
    }
    let to_usize = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let streams = count(raw.streams.as_ref(), 100, 1..=100_000, findings);
    ListenerLimits {
        connections: count(raw.connections.as_ref(), 10_000, 1..=CONNECTIONS_MAX, findings),
        connections_per_address: count(
            raw.connections_per_address.as_ref(),
            1_000,
            1..=CONNECTIONS_MAX,
            findings,
        ),
        head: HeadLimits {
            head_bytes: to_usize(head_bytes),
            target_bytes: to_usize(target_bytes),
            fields: count(raw.headers.as_ref(), default.fields, 8..=10_000, findings),
        },
        body_bytes: size(raw.body_bytes.as_ref(), 1 << 30, 0..=u64::MAX, findings),
        streams: u32::try_from(streams).unwrap_or(u32::MAX),
    }
}

fn timeouts(raw: &Timeouts, findings: &mut Findings<'_>) -> ListenerTimeouts {
    let range = Duration::from_millis(100)..=Duration::from_hours(24);
    let seconds = Duration::from_secs;
    ListenerTimeouts {
        head: duration(raw.head.as_ref(), seconds(15), range.clone(), findings),
        keep_alive: duration(raw.keep_alive.as_ref(), seconds(75), range.clone(), findings),
        idle: duration(raw.idle.as_ref(), seconds(30), range, findings),
        body_rate_bytes: size(raw.body_rate_bytes.as_ref(), 64, 0..=1 << 30, findings),
    }
}

/// The address of the health listener.
pub(super) fn health(
    raw: &Switch<Field<raw::Health>>,
    listeners: &[ListenerConfig],
    findings: &mut Findings<'_>,
) -> Option<SocketAddr> {
    let (address, place) = match raw {
        Switch::Off => return None,
        Switch::Unsaid => (SocketAddr::from(([127, 0, 0, 1], 8082)), Place::default()),
        Switch::On(health) => (health.address.0, health.address.place()),
    };
    let taken = ListenAddress::Tcp(address);
    if listeners.iter().any(|listener| is_same(&listener.address, &taken)) {
        findings.wrong(
            place,
            format!("{address} is for clients and for health"),
            "give health: {address: …} an address of its own, or turn it off with null",
        );
    }
    Some(address)
}
