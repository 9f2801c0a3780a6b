//! Which header names are whose.

use crate::policy::fold::{ManagedNames, fold_byte};

/// Names under which a back end may believe that somebody is who they say: those of every preset, and of gateways and
/// proxies that Keygate replaces. A name also covers what goes on behind it with `-…`.
const IDENTITY_NAMES: [&str; 35] = [
    "X-Auth-Key-Id",
    "X-Auth-Key-Name",
    "X-Auth-User",
    "X-Auth-Username",
    "X-Auth-Email",
    "X-Auth-Role",
    "X-Auth-Roles",
    "X-Auth-Groups",
    "X-Auth-Org",
    "X-Auth-Scopes",
    "X-Auth-Projects",
    "X-Auth-Project",
    "X-Auth-Assertion",
    "X-Auth-Request",
    "X-Consumer",
    "X-Credential",
    "X-Authenticated",
    "X-Anonymous-Consumer",
    "Remote-User",
    "Remote-Email",
    "Remote-Groups",
    "Remote-Name",
    "X-Remote-User",
    "X-Remote-Email",
    "X-Remote-Groups",
    "X-Remote-Name",
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "X-Forwarded-Preferred-Username",
    "X-Webauth-User",
    "X-Webauth-Email",
    "X-Webauth-Name",
    "X-Webauth-Groups",
    "X-Webauth-Role",
];

/// Names that frame or route a message, or that the gateway writes itself; folded.
const GATEWAY_NAMES: [&str; 16] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "http2-settings",
    "via",
    "x-request-id",
    "forwarded",
    "x-real-ip",
    "traceparent",
];

/// The names in use and those of every preset.
pub(super) fn managed_names<'n>(in_use: impl Iterator<Item = &'n str>) -> ManagedNames {
    ManagedNames::new(in_use.chain(IDENTITY_NAMES))
}

/// Whether only the gateway may set the header `name`: framing, forwarding, identity.
pub(super) fn is_set_by_gateway(name: &str, identity: &ManagedNames) -> bool {
    is_reserved(name) || identity.contains(name.as_bytes())
}

/// Whether `name` has another meaning than identity.
pub(super) fn is_reserved(name: &str) -> bool {
    let folded: String = name.bytes().map(|byte| char::from(fold_byte(byte))).collect();
    let forwarded = folded.starts_with("x-forwarded-")
        && !["x-forwarded-user", "x-forwarded-email", "x-forwarded-groups", "x-forwarded-preferred-username"]
            .contains(&folded.as_str());
    GATEWAY_NAMES.contains(&folded.as_str()) || forwarded
}

/// Whether `value` can stand in a header line (RFC 9110 §5.5): no control bytes, no spaces at its ends, at most 8 KiB.
pub(super) fn is_field_value(value: &str) -> bool {
    value.len() <= 8 * 1024
        && !value.starts_with([' ', '\t'])
        && !value.ends_with([' ', '\t'])
        && value.bytes().all(|byte| byte == b'\t' || !byte.is_ascii_control())
}
