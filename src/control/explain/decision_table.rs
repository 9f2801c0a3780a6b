//! The decision table in words, for whoever shows it beside a decision. What decides is [`crate::gate`], and
//! `tests/decisions.yaml` holds both to each other.

use serde::Serialize;
use utoipa::ToSchema;

use crate::policy::reason::Reason;

/// One row of the table; of all that fit a request, the first decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct TableRow {
    /// Its number, from 1; `None` for what can happen to any request: store, upstream, limits.
    pub number: Option<u8>,
    /// When it decides.
    pub case: &'static str,
    /// What is done then; each refusal with status and code.
    pub answer: &'static str,
    /// The reasons of its refusals.
    #[serde(skip)]
    pub refusals: &'static [Reason],
}

/// All rows, in the order in which they are asked.
pub const DECISION_TABLE: [TableRow; 18] = [
    TableRow {
        number: Some(1),
        case: "path, host, framing or header set is malformed or in doubt; two credentials",
        answer: "400 bad_request or path_ambiguous, 417 expectation_failed, 508 loop_detected",
        refusals: &[
            Reason::BadRequest,
            Reason::PathAmbiguous,
            Reason::ExpectationFailed,
            Reason::LoopDetected,
        ],
    },
    TableRow {
        number: Some(2),
        case: "the method is CONNECT or TRACE; OPTIONS * is answered here",
        answer: "405 method_not_allowed with Allow",
        refusals: &[Reason::MethodNotAllowed],
    },
    TableRow {
        number: Some(3),
        case: "the route is public, or the request is a CORS preflight on a route with cors",
        answer: "forward as anonymous: without identity headers, and without a key of ours; a preflight is answered here",
        refusals: &[],
    },
    TableRow {
        number: Some(4),
        case: "no credential",
        answer: "401 key_missing",
        refusals: &[Reason::KeyMissing],
    },
    TableRow {
        number: Some(5),
        case: "the credential is malformed",
        answer: "401 key_malformed",
        refusals: &[Reason::KeyMalformed],
    },
    TableRow {
        number: Some(6),
        case: "the digest is unknown",
        answer: "401 key_unknown",
        refusals: &[Reason::KeyUnknown],
    },
    TableRow {
        number: Some(7),
        case: "the digest is known, but the key is revoked, expired or not yet valid, its owner is disabled, or it may \
               not be used from the client's address",
        answer: "401 key_revoked, key_expired, key_not_yet_valid or key_owner_disabled, with the date; \
                 403 address_not_allowed",
        refusals: &[
            Reason::KeyRevoked,
            Reason::KeyExpired,
            Reason::KeyNotYetValid,
            Reason::KeyOwnerDisabled,
            Reason::AddressNotAllowed,
        ],
    },
    TableRow {
        number: Some(8),
        case: "the limit of the key is exceeded",
        answer: "429 rate_limited with Retry-After",
        refusals: &[Reason::RateLimited],
    },
    TableRow {
        number: Some(9),
        case: "no route has this path, or its lax reading leads elsewhere",
        answer: "404 not_found",
        refusals: &[Reason::NotFound],
    },
    TableRow {
        number: Some(10),
        case: "the request names a project that the key may not see, or which one it touches cannot be told",
        answer: "404 not_found, the same answer as of row 9",
        refusals: &[Reason::NotFound],
    },
    TableRow {
        number: Some(11),
        case: "the route exists, but does not map the method",
        answer: "405 method_not_allowed with Allow",
        refusals: &[Reason::MethodNotAllowed],
    },
    TableRow {
        number: Some(12),
        case: "the scope is too low",
        answer: "403 scope_insufficient; with insufficient_scope: not_found, 404 not_found",
        refusals: &[Reason::ScopeInsufficient, Reason::NotFound],
    },
    TableRow { number: Some(13), case: "all is satisfied", answer: "forward", refusals: &[] },
    TableRow {
        number: None,
        case: "rows 4 to 13 would be reached, but no keys were read yet, or they are staler than the config allows",
        answer: "503 key_store_unavailable with Retry-After, never 401",
        refusals: &[Reason::KeyStoreUnavailable],
    },
    TableRow {
        number: None,
        case: "the upstream refuses, fails, is late or has no room",
        answer: "502 upstream_unreachable, 504 upstream_timeout, 503 overloaded",
        refusals: &[Reason::UpstreamUnreachable, Reason::UpstreamTimeout, Reason::Overloaded],
    },
    TableRow {
        number: None,
        case: "the request exceeds a limit of size or time, or is of a version that is not spoken",
        answer: "408 request_timeout, 413 content_too_large, 414 uri_too_long, 431 headers_too_large, \
                 505 version_not_supported",
        refusals: &[
            Reason::RequestTimeout,
            Reason::ContentTooLarge,
            Reason::UriTooLong,
            Reason::HeadersTooLarge,
            Reason::VersionNotSupported,
        ],
    },
    TableRow {
        number: None,
        case: "a door is asked by a stranger, or is not told exactly one request",
        answer: "403 door_refused",
        refusals: &[Reason::DoorRefused],
    },
    TableRow {
        number: None,
        case: "the gateway itself has a fault",
        answer: "500 internal",
        refusals: &[Reason::Internal],
    },
];

/// The row that decided: by its number, or, where that is 0, by the code of the refusal.
pub(super) fn row(number: u8, code: &str) -> Option<&'static TableRow> {
    DECISION_TABLE.iter().find(|row| match row.number {
        Some(known) => known == number,
        None => number == 0 && row.refusals.iter().any(|reason| reason.code() == code),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_row() {
        for reason in Reason::ALL {
            let rows: Vec<_> = DECISION_TABLE
                .iter()
                .filter(|row| row.refusals.contains(&reason))
                .map(|row| row.number)
                .collect();
            match reason {
                Reason::MethodNotAllowed => assert_eq!(rows, [Some(2), Some(11)]),
                Reason::NotFound => assert_eq!(rows, [Some(9), Some(10), Some(12)]),
                _ => assert_eq!(rows.len(), 1, "{reason:?}"),
            }
        }
    }

    #[test]
    fn every_answer_names_status_and_code_of_its_refusals_and_no_other() {
        for TableRow { answer, refusals, .. } in DECISION_TABLE {
            let words: Vec<&str> = answer.split([' ', ',', ';', ':']).collect();
            for reason in Reason::ALL {
                assert_eq!(
                    words.contains(&reason.code()),
                    refusals.contains(&reason),
                    "{reason:?}: {answer}"
                );
                if refusals.contains(&reason) {
                    assert!(words.contains(&reason.status().to_string().as_str()), "{reason:?}: {answer}");
                }
            }
        }
    }

    #[test]
    fn numbers_count_from_one_and_what_has_none_stands_last() {
        let numbers = DECISION_TABLE.map(|row| row.number);
        let expected: Vec<_> = (1..=13).map(Some).chain([None; 5]).collect();
        assert_eq!(numbers.to_vec(), expected);
    }
}
