//! New connections to an upstream: its name resolved, its address permitted, its certificate verified.

use std::{
    cell::RefCell,
    io,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    config::model::{UpstreamAddress, UpstreamConfig},
    net::{
        stream::Stream,
        tls::{ClientTls, Offer},
    },
};

use super::Unreachable;

/// How long a resolved name is used before it is asked for again.
const RESOLVED_FOR: Duration = Duration::from_secs(10);

/// How connections to an upstream are secured.
#[derive(Debug)]
pub(in crate::proxy) enum UpstreamSecurity {
    /// Not at all.
    Clear,
    /// By TLS, always verified.
    Tls(ClientTls),
    /// They should be, and cannot: there are none.
    Broken,
}

/// Connects to one upstream.
#[derive(Debug)]
pub(super) struct Dialer {
    security: UpstreamSecurity,
    resolved: RefCell<Option<(Rc<[SocketAddr]>, Instant)>>,
}

impl Dialer {
    pub(super) fn new(security: UpstreamSecurity) -> Self {
        Self { security, resolved: RefCell::default() }
    }

    /// A new connection to the upstream of `config`. The timeout is the caller's; over TLS, so is what the upstream chose of
    /// `offer`.
    pub(super) async fn dial(&self, config: &UpstreamConfig, offer: Offer) -> Result<Stream, Unreachable> {
        let stream = match &config.address {
            UpstreamAddress::Unix(path) => Stream::connect_unix(path).await.map_err(Unreachable::Connect)?,
            UpstreamAddress::Tcp { host, port } => {
                self.dial_tcp(host, *port, config.allow_link_local).await?
            }
        };
        match &self.security {
            UpstreamSecurity::Clear => Ok(stream),
            UpstreamSecurity::Tls(tls) => tls.connect(stream, offer).await.map_err(Unreachable::Tls),
            UpstreamSecurity::Broken => Err(Unreachable::Tls(io::ErrorKind::Unsupported.into())),
        }
    }

    async fn dial_tcp(&self, host: &str, port: u16, allow_link_local: bool) -> Result<Stream, Unreachable> {
        let mut failed = io::Error::from(io::ErrorKind::NotFound);
        for &address in self.resolve(host, port).await?.iter() {
            if !allow_link_local && is_forbidden(address.ip()) {
                return Err(Unreachable::Forbidden(address.ip()));
            }
            match Stream::connect_tcp(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = error,
            }
        }
        // What did not answer may have moved.
        self.resolved.replace(None);
        Err(Unreachable::Connect(failed))
    }

    async fn resolve(&self, host: &str, port: u16) -> Result<Rc<[SocketAddr]>, Unreachable> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(Rc::new([SocketAddr::new(ip, port)]));
        }
        let now = Instant::now();
        if let Some((addresses, until)) = &*self.resolved.borrow()
            && *until > now
        {
            return Ok(Rc::clone(addresses));
        }
        let found = tokio::net::lookup_host((host, port)).await.map_err(Unreachable::Resolve)?;
        let addresses: Rc<[SocketAddr]> = found.collect();
        self.resolved.replace(Some((Rc::clone(&addresses), now + RESOLVED_FOR)));
        Ok(addresses)
    }
}

/// Addresses at which clouds serve credentials to whoever asks from inside, and link-local ones (RFC 3927, RFC 4291).
fn is_forbidden(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            v4.is_link_local() || v4.octets() == [100, 100, 100, 200] || v4.octets() == [192, 0, 0, 192]
        }
        IpAddr::V6(v6) => {
            v6.segments()[0] & 0xffc0 == 0xfe80 || v6.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]
        }
    }
}
