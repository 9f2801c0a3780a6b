//! Listeners: where clients are served, and within which bounds.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use ipnet::IpNet;

use super::range::{count, duration, size};
use crate::{
    config::{
        address::ListenAddress,
        load::Folder,
        model::{CertificateFiles, ListenerConfig, ListenerLimits, ListenerTimeouts, ListenerTls, Serves},
        problem::Findings,
        raw::{
            self,
            doors::{AuthzProtocol, Doors, ExtAuthz},
            listen::{Limits, Listener, Timeouts, Tls},
            scalar::FileMode,
            text::{Switch, Text},
        },
    },
    http1::parse::HeadLimits,
    yaml::{Field, OneOrMany, Place},
};

/// The fields that a listener and each kind of door have in the file.
macro_rules! entrance {
    ($raw:expr, $serves:expr) => {
        Entrance {
            serves: $serves,
            address: &$raw.address,
            unix_mode: $raw.unix_mode.as_ref(),
            tls: $raw.tls.as_ref(),
            trusted_proxies: &$raw.trusted_proxies,
            limits: $raw.limits.as_deref(),
            timeouts: $raw.timeouts.as_deref(),
        }
    };
}

/// The listeners of the file, and behind them its doors.
pub(super) fn listeners(
    raw: &Field<OneOrMany<Listener>>,
    doors: Option<&Field<Doors>>,
    folder: &Folder<'_>,
    findings: &mut Findings<'_>,
) -> Vec<ListenerConfig> {
    if raw.items.is_empty() {
        findings.wrong(raw.place(), "no listener is given", "write listen: {address: 127.0.0.1:8080}");
    }
    let mut entrances: Vec<_> = raw.iter().map(|raw| entrance!(raw, Serves::Gateway)).collect();
    if let Some(doors) = doors {
        entrances
            .extend(doors.forward_auth.iter().map(|raw| entrance!(raw, Serves::ForwardAuth(*raw.headers))));
        let protocol = |raw: &ExtAuthz| raw.protocol.as_deref().copied().unwrap_or(AuthzProtocol::Grpc);
        entrances.extend(doors.ext_authz.iter().map(|raw| entrance!(raw, Serves::ExtAuthz(protocol(raw)))));
    }
    for (at, entrance) in entrances.iter().enumerate() {
        if entrances[..at].iter().any(|known| is_same(&known.address.0, &entrance.address.0)) {
            findings.wrong(
                entrance.address.place(),
                format!("{} is listened on twice", entrance.address.0),
                "give each listener its own address",
            );
        }
    }
    entrances.iter().map(|entrance| entrance.resolve(folder, findings)).collect()
}

/// Whether two addresses cannot be listened on at once; port 0 is another one each time.
pub(super) fn is_same(one: &ListenAddress, other: &ListenAddress) -> bool {
    match one {
        ListenAddress::Tcp(address) => one == other && address.port() != 0,
        ListenAddress::Unix(_) => one == other,
    }
}

/// What listeners and doors are written with.
struct Entrance<'r> {
    serves: Serves,
    address: &'r Field<Text<ListenAddress>>,
    unix_mode: Option<&'r Field<Text<FileMode>>>,
    tls: Option<&'r Field<Tls>>,
    trusted_proxies: &'r OneOrMany<Text<IpNet>>,
    limits: Option<&'r Limits>,
    timeouts: Option<&'r Timeouts>,
}

impl Entrance<'_> {
    fn resolve(&self, folder: &Folder<'_>, findings: &mut Findings<'_>) -> ListenerConfig {
        let address = self.address.0.clone();
        if self.tls.is_none()
            && let ListenAddress::Tcp(tcp) = &address
            && !tcp.ip().is_loopback()
        {
            findings.warn(
                self.address.place(),
                format!("keys cross the network in clear: {tcp} has no tls"),
                "add tls, or listen on 127.0.0.1 behind something that ends TLS",
            );
        }
        if let (Some(mode), ListenAddress::Tcp(_)) = (self.unix_mode, &address) {
            findings.wrong(
                mode.place(),
                "unix_mode stands beside a TCP address",
                "remove it, or listen on unix:/path",
            );
        }
        let trusted_proxies = match self.serves {
            Serves::Gateway => trusted_proxies(self.trusted_proxies, findings),
            Serves::ForwardAuth(_) | Serves::ExtAuthz(_) => self.who_may_ask(findings),
        };
        ListenerConfig {
            serves: self.serves,
            address,
            unix_mode: self.unix_mode.map_or(0o660, |mode| mode.0.0),
            tls: self.tls.map(|tls| listener_tls(tls, folder, findings)),
            trusted_proxies,
            limits: limits(self.limits.unwrap_or(&Limits::default()), self.connections(), findings),
            timeouts: timeouts(self.timeouts.unwrap_or(&Timeouts::default()), findings),
        }
    }

    /// How many connections it takes, where nothing is said: proxies keep few.
    fn connections(&self) -> usize {
        match self.serves {
            Serves::Gateway => 10_000,
            Serves::ForwardAuth(_) | Serves::ExtAuthz(_) => 1_000,
        }
    }

    /// The peers of a door: those that are listed, or the loopback. Whoever may write to a Unix socket may ask there.
    fn who_may_ask(&self, findings: &mut Findings<'_>) -> Vec<IpNet> {
        for network in self.trusted_proxies.iter().filter(|network| network.prefix_len() == 0) {
            findings.warn(
                network.place(),
                format!("{} lets everyone ask, and say where a request came from", ***network),
                "list the networks of your proxies only",
            );
        }
        let mut networks: Vec<_> = self.trusted_proxies.iter().map(|network| network.0).collect();
        let is_unsaid = networks.is_empty();
        if let (true, ListenAddress::Tcp(tcp)) = (is_unsaid, &self.address.0)
            && !tcp.ip().is_loopback()
        {
            findings.warn(
                self.address.place(),
                format!("nobody beyond this machine may ask at {tcp}"),
                "list your proxies: trusted_proxies: [10.0.0.0/8]",
            );
        }
        if is_unsaid || matches!(self.address.0, ListenAddress::Unix(_)) {
            networks.extend(loopback());
        }
        networks
    }
}

fn loopback() -> [IpNet; 2] {
    [IpAddr::from([127, 0, 0, 0]), IpAddr::from(Ipv6Addr::LOCALHOST)].map(|address| {
        let prefix = if address.is_ipv4() { 8 } else { 128 };
        IpNet::new_assert(address, prefix)
    })
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

fn limits(raw: &Limits, connections: usize, findings: &mut Findings<'_>) -> ListenerLimits {
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
        connections: count(raw.connections.as_ref(), connections, 1..=CONNECTIONS_MAX, findings),
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
