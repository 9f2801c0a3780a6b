//! The listener for whoever finds a key: off unless it is said.

use super::listen::{is_same, listener_tls, trusted_proxies};
use crate::{
    config::{
        address::ListenAddress,
        load::Folder,
        model::{KeySource, PossessionConfig},
        problem::Findings,
        raw::possession::Possession,
    },
    yaml::Field,
};

/// Where revocations outlive the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeps {
    /// In the database, or in the `state:` folder.
    Somewhere,
    /// Keys are in files, and there is no `state:` folder.
    Nowhere,
}

impl Keeps {
    /// With keys from `keys`, `None` where that is wrong.
    pub(super) fn of(has_state: bool, keys: Option<&KeySource>) -> Self {
        match keys {
            Some(KeySource::File(_) | KeySource::Directory(_)) if !has_state => Self::Nowhere,
            Some(KeySource::File(_) | KeySource::Directory(_) | KeySource::Database(_)) | None => {
                Self::Somewhere
            }
        }
    }
}

/// The listener, where none of `taken` has its address.
pub(super) fn possession<'a>(
    raw: Option<&Field<Possession>>,
    mut taken: impl Iterator<Item = &'a ListenAddress>,
    keeps: Keeps,
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
    if keeps == Keeps::Nowhere {
        findings.wrong(
            place,
            "a key of a file that somebody shows would work again after the next start: there is no state folder to keep its revocation",
            "add state: PATH",
        );
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
