//! The listener for whoever finds a key: off unless it is said.

use super::listen::{is_same, listener_tls, trusted_proxies};
use crate::{
    config::{
        address::ListenAddress, load::Folder, model::PossessionConfig, problem::Findings,
        raw::possession::Possession,
    },
    yaml::Field,
};

/// The listener, where none of `taken` has its address.
pub(super) fn possession<'a>(
    raw: Option<&Field<Possession>>,
    mut taken: impl Iterator<Item = &'a ListenAddress>,
    folder: &Folder<'_>,
    findings: &mut Findings<'_>,
) -> Option<PossessionConfig> {
    let raw = raw?;
    let address = raw.address.0.clone();
    let place = raw.address.place();
    if taken.any(|other| is_same(other, &address)) {
        let remedy = "give revocation_by_possession: {address: …} an address of its own";
        findings.wrong(place, format!("{address} is for revocation and for something else"), remedy);
    }
    if raw.tls.is_none()
        && let ListenAddress::Tcp(tcp) = &address
        && !tcp.ip().is_loopback()
    {
        findings.warn(
            place,
            format!("keys cross the network in clear: {tcp} has no tls"),
            "add tls, or listen on 127.0.0.1 behind something that ends TLS",
        );
    }
    Some(PossessionConfig {
        address,
        tls: raw.tls.as_ref().map(|tls| listener_tls(tls, folder, findings)),
        trusted_proxies: trusted_proxies(&raw.trusted_proxies, findings),
    })
}
