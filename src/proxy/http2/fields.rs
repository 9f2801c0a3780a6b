//! Field lines between the `http` crate's map and ours.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    http1::body::{TRAILER_BYTES, TRAILER_FIELDS},
    message::{Field, Fields},
};

/// One line of a map.
pub(in crate::proxy) fn field<'b>((name, value): (&'b HeaderName, &'b HeaderValue)) -> Field<'b> {
    Field { name: name.as_str().as_bytes(), value: value.as_bytes() }
}

/// All lines, in the order of the first line of each name.
pub(in crate::proxy) fn fields(map: &HeaderMap) -> Fields<'_> {
    map.iter().map(field).collect()
}

/// Adds a line; one that cannot be written is left out.
pub(in crate::proxy) fn append(to: &mut HeaderMap, name: &[u8], value: &[u8]) {
    if let (Ok(name), Ok(mut value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
        value.set_sensitive(is_of_one_message(&name));
        let _ = to.try_append(name, value);
    }
}

/// Whether the value belongs to one message alone. It stays out of the tables that compress headers (RFC 7541 §6.2.3), where it
/// would push out what comes again, and each that is there is looked at for the next one.
pub(super) fn is_of_one_message(name: &HeaderName) -> bool {
    matches!(name.as_str(), "x-request-id" | "traceparent" | "ratelimit")
}

/// What the lines measure in HTTP/1.1, so that its limits mean the same here.
pub(in crate::proxy) fn size(fields: &HeaderMap) -> usize {
    const AROUND: usize = ": \r\n".len();
    fields.iter().map(|(name, value)| name.as_str().len() + value.len() + AROUND).sum()
}

/// Whether a trailer section exceeds what is taken of one in HTTP/1.1.
pub(in crate::proxy) fn are_trailers_too_large(trailers: &HeaderMap) -> bool {
    trailers.len() > TRAILER_FIELDS || size(trailers) > TRAILER_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_one_message_stays_out_of_the_tables() {
        let mut lines = HeaderMap::new();
        for name in ["X-Request-Id", "traceparent", "RateLimit", "RateLimit-Policy", "x-auth-user", "date"] {
            append(&mut lines, name.as_bytes(), b"a");
        }
        let kept_out: Vec<_> =
            lines.iter().filter(|(_, value)| value.is_sensitive()).map(|(name, _)| name.as_str()).collect();
        assert_eq!(kept_out, ["x-request-id", "traceparent", "ratelimit"]);
    }
}
