//! What the head of an upstream's answer says about its connection and about how it goes on.

use std::time::Duration;

use crate::{
    http1::framing::{BodyLength, declared_length},
    message::{Fields, ResponseHead},
};

/// Whether an answer that cannot have a body (204, 304) speaks of one (RFC 9110 §8.6, RFC 9112 §6.1): then nobody knows
/// what follows it.
pub(super) fn announces_impossible_body(head: &ResponseHead<'_>) -> bool {
    let declared = declared_length(head.version, &head.fields);
    match head.status {
        204 => !matches!(declared, Ok(None | Some(BodyLength::Known(0)))),
        304 => !matches!(declared, Ok(None | Some(BodyLength::Known(_)))),
        _ => declared.is_err(),
    }
}

/// What `Keep-Alive: timeout=N` allows, less a second in which a request may be under way.
pub(super) fn keep_alive_timeout(head: &ResponseHead<'_>) -> Option<Duration> {
    let value = head.fields.all("keep-alive").next()?;
    let text = std::str::from_utf8(value).ok()?;
    let seconds = text.split(',').find_map(|part| part.trim().strip_prefix("timeout="))?;
    Some(Duration::from_secs(seconds.trim().parse::<u64>().ok()?.saturating_sub(1)))
}

pub(super) fn is_event_stream(fields: &Fields<'_>) -> bool {
    const TYPE: &[u8] = b"text/event-stream";
    fields
        .all("content-type")
        .any(|value| value.get(..TYPE.len()).is_some_and(|head| head.eq_ignore_ascii_case(TYPE)))
}
