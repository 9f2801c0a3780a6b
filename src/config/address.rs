//! Where to listen, as the operator writes it.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

/// `127.0.0.1:8080`, `[::]:8443` (both families) or `unix:/run/keygate.sock`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// TCP; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A Unix socket at this path.
    Unix(PathBuf),
}

/// The longest path of a Unix socket on Linux (`sun_path` with its NUL has 108 bytes).
pub const UNIX_PATH_MAX: usize = 107;

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("unix:") {
            Some(path) if is_unix_path(path) => Ok(Self::Unix(PathBuf::from(path))),
            Some(_) => Err(ListenAddressError::UnixPath),
            None => text.parse().map(Self::Tcp).map_err(|_| ListenAddressError::TcpAddress),
        }
    }
}

/// Whether `path` can be that of a Unix socket: absolute, without NUL, and short enough.
pub(super) fn is_unix_path(path: &str) -> bool {
    path.starts_with('/') && path.len() <= UNIX_PATH_MAX && !path.contains('\0')
}

/// What is wrong with the text of a listen address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenAddressError {
    /// After `unix:` an absolute path of at most 107 bytes is expected.
    UnixPath,
    /// An IP address and a port are expected.
    TcpAddress,
}

impl fmt::Display for ListenAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnixPath => {
                "expected an absolute path of at most 107 bytes after `unix:`, as in unix:/run/keygate.sock"
            }
            Self::TcpAddress => {
                "expected an IP address and a port, as in 127.0.0.1:8080 or [::]:8443, or unix:/path"
            }
        })
    }
}

impl std::error::Error for ListenAddressError {}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Where a listener is found that listens at `address`: an unspecified one means this machine.
pub fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_operators_write_them() {
        let cases: [(&str, Result<&str, ListenAddressError>); 8] = [
            ("127.0.0.1:8080", Ok("127.0.0.1:8080")),
            ("[::]:8443", Ok("[::]:8443")),
            ("unix:/run/keygate.sock", Ok("unix:/run/keygate.sock")),
            ("unix:run/keygate.sock", Err(ListenAddressError::UnixPath)),
            ("unix:", Err(ListenAddressError::UnixPath)),
            ("8080", Err(ListenAddressError::TcpAddress)),
            ("localhost:8080", Err(ListenAddressError::TcpAddress)),
            ("127.0.0.1:80800", Err(ListenAddressError::TcpAddress)),
        ];
        for (text, expected) in cases {
            let found = text.parse::<ListenAddress>().map(|address| address.to_string());
            assert_eq!(found, expected.map(str::to_owned), "{text}");
        }
        let long = format!("unix:/{}", "a".repeat(200));
        assert_eq!(long.parse::<ListenAddress>(), Err(ListenAddressError::UnixPath));
    }
}
