//! Header names that tell an API where a request came from, or that it is another one than was judged: of a client that is
//! not trusted none of them goes on, in no spelling.
//!
//! A proxy that is asked in headers removes what it is configured to remove. So there are names that the configurations of
//! `deploy/` set or remove, because a CDN or balancer in front of such a proxy sends them; everything else is refused.

use std::sync::LazyLock;

use super::fold::{ManagedNames, fold_byte, folds_to};

/// What every proxy writes itself, by the peer that it sees.
pub const WRITTEN: [&str; 4] = ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP"];

/// What content networks, balancers and other proxies send, and the shipped configurations remove.
pub const REMOVED: [&str; 30] = [
    "Forwarded",
    "X-Forwarded-By",
    "X-Forwarded-Client-Cert",
    "X-Forwarded-Method",
    "X-Forwarded-Path",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Protocol",
    "X-Forwarded-Scheme",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Forwarded-Tls-Client-Cert",
    "X-Forwarded-Tls-Client-Cert-Info",
    "X-Forwarded-Uri",
    "X-Original-Forwarded-For",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "X-Remote-IP",
    "X-Originating-IP",
    "X-ProxyUser-IP",
    "X-Scheme",
    "X-Azure-ClientIP",
    "X-Appengine-User-IP",
    "X-Envoy-External-Address",
    "Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "Fastly-Client-IP",
    "Front-End-Https",
    "Proxy-Authorization",
];

/// What nobody sends in good faith to the outermost proxy, or whole families of names.
pub const REFUSED: [&str; 17] = [
    "X-Forwarded",
    "X-Original",
    "X-Rewrite",
    "X-Http-Path-Override",
    "X-Http-DestinationUrl",
    "X-Http-Host-Override",
    "X-Envoy-Original-Path",
    "X-Middleware-Subrequest",
    "X-Method",
    "X-Host",
    "X-Script-Name",
    "Script-Name",
    "Path-Info",
    "Base-Url",
    "Proxy",
    "Remote-Addr",
    "X-Remote-Addr",
];

static NAMES: LazyLock<ManagedNames> =
    LazyLock::new(|| ManagedNames::new(WRITTEN.iter().chain(&REMOVED).chain(&REFUSED)));

/// The names by which frameworks let a client change the method: judged with the request, and refused where its route does
/// not honour that, or in another spelling.
const METHOD_OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];

/// Whether `name`, in some spelling, is one by which frameworks let a client change the method.
pub fn overrides_method(name: &[u8]) -> bool {
    name.first().is_some_and(|byte| fold_byte(*byte) == b'x')
        && METHOD_OVERRIDES.iter().any(|known| folds_to(name, known))
}

/// As [`overrides_method`], but only in the spelling that is known, but for case.
pub fn is_method_override(name: &[u8]) -> bool {
    METHOD_OVERRIDES.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name))
}

/// Whether `name`, in some spelling, says where a request came from or that it is another one.
///
/// Cost: as [`ManagedNames::contains`].
pub fn is_of_the_origin(name: &[u8]) -> bool {
    NAMES.contains(name) && !is_method_override(name)
}

/// Whether a proxy with one of the shipped configurations sets or removes `name`, in exactly this spelling but for case.
pub fn is_removable(name: &[u8]) -> bool {
    WRITTEN.iter().chain(&REMOVED).any(|known| known.as_bytes().eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_spellings_are_of_the_origin_and_cannot_be_removed() {
        for name in ["X-Forwarded-For", "x-real-ip", "FORWARDED", "CF-Connecting-IP"] {
            assert!(is_of_the_origin(name.as_bytes()) && is_removable(name.as_bytes()), "{name}");
        }
        for name in
            ["x_forwarded_for", "X.Real.IP", "X-Forwarded-Foo", "Proxy", "X-Original-URL", "Path_Info"]
        {
            assert!(is_of_the_origin(name.as_bytes()) && !is_removable(name.as_bytes()), "{name}");
        }
        for name in ["Accept", "Host", "X-Request-Id", "X-Methods", "X-Method-Override", "Origin"] {
            assert!(!is_of_the_origin(name.as_bytes()), "{name}");
        }
    }
}
