//! What a gRPC request says of itself (gRPC over HTTP/2, "Requests").

use std::time::Duration;

use crate::message::Fields;

/// The media types of gRPC are this, alone or with `+` and a format, and with parameters.
const MEDIA_TYPE: &[u8] = b"application/grpc";
/// How much later than its deadline a call is given up: the upstream knows the deadline too, and says so better.
const GRACE: Duration = Duration::from_secs(1);
/// No call is waited for longer.
const TIMEOUT_MAX: Duration = Duration::from_hours(1);

/// Whether the client speaks gRPC.
pub(super) fn is_grpc(fields: &Fields<'_>) -> bool {
    fields.all("content-type").any(is_media_type)
}

fn is_media_type(value: &[u8]) -> bool {
    value.split_at_checked(MEDIA_TYPE.len()).is_some_and(|(head, rest)| {
        head.eq_ignore_ascii_case(MEDIA_TYPE) && matches!(rest.first(), None | Some(b'+' | b';'))
    })
}

/// How long an answer is waited for, by the call's own `grpc-timeout`: at most eight digits and a unit.
pub(super) fn timeout(fields: &Fields<'_>) -> Option<Duration> {
    let (unit, digits) = fields.only("grpc-timeout").ok()??.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let amount: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let stated = match unit {
        b'H' => Duration::from_hours(amount),
        b'M' => Duration::from_mins(amount),
        b'S' => Duration::from_secs(amount),
        b'm' => Duration::from_millis(amount),
        b'u' => Duration::from_micros(amount),
        b'n' => Duration::from_nanos(amount),
        _ => return None,
    };
    Some((stated + GRACE).min(TIMEOUT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Field;

    #[test]
    fn a_call_is_known_by_its_media_type() {
        for (said, expected) in [
            ("application/grpc", true),
            ("Application/GRPC+proto", true),
            ("application/grpc;a=b", true),
            ("application/grpcfoo", false),
            ("application/grpc-web", false),
            ("application/grp", false),
            ("", false),
        ] {
            assert_eq!(is_media_type(said.as_bytes()), expected, "{said}");
        }
    }

    #[test]
    fn a_deadline_is_read_and_bounded() {
        for (stated, expected_ms) in [
            ("250m", Some(1_250)),
            ("3S", Some(4_000)),
            ("1M", Some(61_000)),
            ("5000000u", Some(6_000)),
            ("1n", Some(1_000)),
            ("99999999H", Some(3_600_000)),
            ("100000000S", None),
            ("S", None),
            ("-1S", None),
            ("3s", None),
            ("", None),
        ] {
            let fields: Fields<'_> =
                [Field { name: b"grpc-timeout", value: stated.as_bytes() }].into_iter().collect();
            let read = timeout(&fields).map(|timeout| timeout.as_millis());
            assert!(read.is_none_or(|ms| ms.abs_diff(expected_ms.unwrap_or(0)) <= 1), "{stated}: {read:?}");
            assert_eq!(read.is_some(), expected_ms.is_some(), "{stated}");
        }
    }
}
