//! The cookie that holds the token of a session.
//!
//! Under TLS it is `__Host-keygate` (RFC 6265bis §4.1.3.2): for this host alone, never sent in cleartext, and no other
//! host or path can put one in its place. In cleartext there is one only within this machine.

use axum::http::{HeaderMap, HeaderValue, header::COOKIE};

use super::guard::Peer;
use crate::control::sign_in::Token;

const SECURE: &str = "__Host-keygate";
const LOCAL: &str = "keygate";

/// Why nobody can sign in from there, in words for them; `None`: they can.
pub fn obstacle(peer: Peer) -> Option<&'static str> {
    if peer.is_secure || peer.is_loopback {
        return None;
    }
    Some(
        "Signing in over plain HTTP is for this machine alone, since anybody on the way could read the session. Give the \
         admin listener a certificate (admin.tls), or put a TLS proxy before it and say admin.public_url: https://…",
    )
}

/// The token of the session that a request has.
///
/// # Errors
/// Where it has two, so that it is not clear whose it is.
pub fn token(headers: &HeaderMap, peer: Peer) -> Result<Option<Token>, TwoSessions> {
    let name = name(peer);
    let mut found = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value);
    match (found.next(), found.next()) {
        (_, Some(_)) => Err(TwoSessions),
        (Some(value), None) => Ok(Token::parse(value)),
        (None, None) => Ok(None),
    }
}

/// A request has two cookies of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TwoSessions;

/// What begins a session in a browser.
pub fn begin(token: &Token, peer: Peer) -> Option<HeaderValue> {
    sensitive(&format!("{}={}; {}", name(peer), token.expose(), attributes(peer)))
}

/// What ends it there.
pub fn end(peer: Peer) -> Option<HeaderValue> {
    sensitive(&format!("{}=; Max-Age=0; {}", name(peer), attributes(peer)))
}

fn name(peer: Peer) -> &'static str {
    if peer.is_secure { SECURE } else { LOCAL }
}

fn attributes(peer: Peer) -> &'static str {
    if peer.is_secure {
        "Path=/; Secure; HttpOnly; SameSite=Strict"
    } else {
        "Path=/; HttpOnly; SameSite=Strict"
    }
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECURE_PEER: Peer = Peer { address: None, is_loopback: false, is_secure: true };
    const LOCAL_PEER: Peer = Peer { address: None, is_loopback: true, is_secure: false };

    fn headers(fields: &[&str]) -> HeaderMap {
        fields.iter().map(|field| (COOKIE, HeaderValue::from_str(field).unwrap())).collect()
    }

    #[test]
    fn a_session_is_read_from_its_own_cookie_alone() {
        let token = Token::generate().unwrap();
        let (secure, local) =
            (format!("a=b; __Host-keygate={}", token.expose()), format!("keygate={}; c=d", token.expose()));
        for (field, peer, is_read) in [
            (&secure, SECURE_PEER, true),
            (&local, LOCAL_PEER, true),
            (&secure, LOCAL_PEER, false),
            (&local, SECURE_PEER, false),
        ] {
            assert_eq!(
                super::token(&headers(&[field]), peer).unwrap().is_some(),
                is_read,
                "{field} {peer:?}"
            );
        }
        assert_eq!(super::token(&headers(&[&local, &local]), LOCAL_PEER).err(), Some(TwoSessions));
        assert!(super::token(&headers(&["keygate=nonsense"]), LOCAL_PEER).unwrap().is_none());
    }

    #[test]
    fn a_cookie_is_for_this_host_and_no_script() {
        let token = Token::generate().unwrap();
        let text = |value: Option<HeaderValue>| value.unwrap().to_str().unwrap().to_owned();
        let begun = text(begin(&token, SECURE_PEER));
        assert!(begun.starts_with("__Host-keygate=") && begun.ends_with("Secure; HttpOnly; SameSite=Strict"));
        assert!(!text(begin(&token, LOCAL_PEER)).contains("Secure"));
        assert!(text(end(SECURE_PEER)).contains("Max-Age=0"));
        assert!(obstacle(Peer { address: None, is_loopback: false, is_secure: false }).is_some());
    }
}
