//! Names under which a listener is reached: the authority of a URL, an `Origin` or a `Host`.

use std::{fmt, str::FromStr};

use super::raw::http::split_authority;

/// Host and port, `[::1]:8081` or `keys.example.com` (RFC 3986 §3.2). The port of `http` and of `https` counts as none,
/// since clients leave it out of `Host` (RFC 9110 §4.2.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Authority {
    /// Lower case; an IPv6 address without brackets.
    pub host: Box<str>,
    /// The port, unless it is 80 or 443.
    pub port: Option<u16>,
}

/// A URL without path, such as `https://keys.example.com`: an origin (RFC 6454 §4).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PublicUrl {
    /// Whether it is `https:`.
    pub is_secure: bool,
    /// Host and port.
    pub authority: Authority,
}

/// The text is no authority, or no URL without path, user, query and fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnAuthority;

impl FromStr for Authority {
    type Err = NotAnAuthority;

    fn from_str(text: &str) -> Result<Self, NotAnAuthority> {
        let (host, port) = split_authority(text).ok_or(NotAnAuthority)?;
        Ok(Self::new(host, port))
    }
}

impl Authority {
    /// `host` (an IPv6 address without brackets) with `port`.
    pub fn new(host: &str, port: Option<u16>) -> Self {
        let port = port.filter(|port| ![80, 443].contains(port));
        Self { host: host.to_ascii_lowercase().into(), port }
    }
}

impl FromStr for PublicUrl {
    type Err = NotAnAuthority;

    fn from_str(text: &str) -> Result<Self, NotAnAuthority> {
        let (is_secure, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            _ => return Err(NotAnAuthority),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest).parse()?;
        Ok(Self { is_secure, authority })
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') { write!(f, "[{}]", self.host) } else { f.write_str(&self.host) }?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Without a slash at the end.
impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.is_secure { "https" } else { "http" }, self.authority)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_public_url_is_an_origin_and_nothing_more() {
        for (text, expected) in [
            ("https://keys.example.com", Some("https://keys.example.com")),
            ("https://Keys.Example.com:443/", Some("https://keys.example.com")),
            ("http://[::1]:8081", Some("http://[::1]:8081")),
            ("http://127.0.0.1:80", Some("http://127.0.0.1")),
            ("https://ada@keys.example.com", None),
            ("https://keys.example.com/keygate", None),
            ("https://keys.example.com//", None),
            ("https://keys.example.com?a", None),
            ("https://keys.example.com#a", None),
            ("https://", None),
            ("https://keys.example.com:", None),
            ("https://keys.example.com:x", None),
            ("https://keys.example.com:70000", None),
            ("ftp://keys.example.com", None),
            ("keys.example.com", None),
        ] {
            let found = text.parse::<PublicUrl>().map(|url| url.to_string()).ok();
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived_and_what_is_read_is_read_again(text in ".{0,40}") {
            if let Ok(authority) = text.parse::<Authority>() {
                prop_assert_eq!(authority.to_string().parse(), Ok(authority));
            }
        }
    }
}
