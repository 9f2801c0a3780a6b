//! Why a request is refused: a public face for the client, and the cause for the log and `explain`.

use std::borrow::Cow;

use jiff::Timestamp;

use super::{Policy, limit::Exceeded, request::head_error_reason};
use crate::{
    http1::{framing::FramingError, parse::HeadError},
    keys::{credential::CredentialSources, snapshot::Refused},
    policy::{
        decide::{Doubt, Refusal, Unseen},
        path::PathError,
        plan::{Limit, Plan},
        reason::Reason,
    },
};

/// A refusal. The client sees `reason` and `detail`; `unseen` is for the log and `explain` only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial<'s> {
    /// The row of the decision table; 0 for what the table leaves to the upstream and the limits.
    pub row: u8,
    /// The reason, with its code and status.
    pub reason: Reason,
    /// One sentence for the client. Holds nothing of the request, and nothing the client may not know.
    pub detail: Cow<'static, str>,
    /// The methods for an `Allow` field (RFC 9110 §10.2.1).
    pub allow: Option<String>,
    /// The scope that is missing, for `WWW-Authenticate` (RFC 6750 §3).
    pub missing_scope: Option<&'s str>,
    /// Seconds after which to try again.
    pub retry_after_seconds: Option<u32>,
    /// Why nothing is to be seen.
    pub unseen: Option<Unseen>,
    /// The limit of the key that is exceeded.
    pub exceeded: Option<Exceeded>,
}

/// What `Allow` says where no route is to be told: every method the gateway serves at all.
pub const METHODS_SERVED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

impl<'s> Denial<'s> {
    /// A refusal for `reason` that the rows of the table do not make.
    pub fn outside_table(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            row: 0,
            reason,
            detail: detail.into(),
            allow: None,
            missing_scope: None,
            retry_after_seconds: None,
            unseen: None,
            exceeded: None,
        }
    }

    fn in_row(row: u8, reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { row, ..Self::outside_table(reason, detail) }
    }

    /// Row 1.
    pub fn bad_request(detail: &'static str) -> Self {
        Self::in_row(1, Reason::BadRequest, detail)
    }

    /// Row 1, where nobody can tell who the client of a trusted proxy is.
    pub fn malformed_client_address() -> Self {
        Self::bad_request("The address of the client in X-Forwarded-For is malformed.")
    }

    /// Row 1, before there is a head that could be read.
    pub fn malformed_head(error: HeadError) -> Self {
        let reason = head_error_reason(error);
        let row = u8::from(reason == Reason::BadRequest);
        Self::in_row(row, reason, format!("The request is malformed: {error}."))
    }

    pub(super) fn path(error: PathError) -> Self {
        let detail = match error.reason() {
            Reason::PathAmbiguous => "The request has more than one reading",
            _ => "The request is malformed",
        };
        Self::in_row(1, error.reason(), format!("{detail}: {error}."))
    }

    pub(super) fn framing(error: FramingError) -> Self {
        Self::in_row(1, Reason::BadRequest, format!("The length of the request is unclear: {error}."))
    }

    pub(super) fn host(detail: &'static str) -> Self {
        Self::bad_request(detail)
    }

    pub(super) fn target_form() -> Self {
        Self::bad_request("The request target is neither a path nor an absolute http URL.")
    }

    pub(super) fn expectation_failed() -> Self {
        Self::in_row(1, Reason::ExpectationFailed, "Only \"Expect: 100-continue\" is understood.")
    }

    pub(super) fn loop_detected() -> Self {
        Self::in_row(1, Reason::LoopDetected, "The request has passed this gateway before.")
    }

    pub(super) fn doubtful(doubt: Doubt) -> Self {
        Self::bad_request(match doubt {
            Doubt::Project => {
                "The request names its project more than once, or in a spelling that not every server reads."
            }
            Doubt::MethodOverride => "The request overrides its method, which is not permitted here.",
            Doubt::BodyOnGet => "A GET or HEAD request may not have a body here.",
        })
    }

    pub(super) fn method_never_served() -> Self {
        let mut denial = Self::in_row(2, Reason::MethodNotAllowed, "CONNECT and TRACE are not served.");
        denial.allow = Some(METHODS_SERVED.to_owned());
        denial
    }

    pub(super) fn key_store_unavailable() -> Self {
        let mut denial = Self::outside_table(
            Reason::KeyStoreUnavailable,
            "The API keys cannot be checked right now. Try again in a moment.",
        );
        denial.retry_after_seconds = Some(1);
        denial
    }

    pub(super) fn key_missing(sources: &CredentialSources) -> Self {
        let detail = match sources.names().next() {
            Some("authorization") | None => {
                Cow::Borrowed("No API key was sent. Send \"Authorization: Bearer <key>\".")
            }
            Some(name) => Cow::Owned(format!("No API key was sent. Send it in the header \"{name}\".")),
        };
        Self::in_row(4, Reason::KeyMissing, detail)
    }

    pub(super) fn key_malformed(sources: &CredentialSources) -> Self {
        let detail = match sources.names().next() {
            Some("authorization") | None => {
                Cow::Borrowed("The credential is not an API key. Send \"Authorization: Bearer <key>\".")
            }
            Some(name) => Cow::Owned(format!("The header \"{name}\" does not hold an API key.")),
        };
        Self::in_row(5, Reason::KeyMalformed, detail)
    }

    pub(super) fn key_refused(refused: &Refused) -> Self {
        let dated = |text: &str| match refused.at {
            Some(at) => Cow::Owned(format!("{text} {}.", to_second(at))),
            None => Cow::Owned(format!("{}.", text.trim_end_matches(" on").trim_end_matches(" from"))),
        };
        let row = if refused.reason == Reason::KeyUnknown { 6 } else { 7 };
        let detail: Cow<'static, str> = match refused.reason {
            Reason::KeyRevoked => dated("The API key was revoked on"),
            Reason::KeyExpired => dated("The API key expired on"),
            Reason::KeyNotYetValid => dated("The API key is valid from"),
            Reason::KeyOwnerDisabled => "The owner of the API key is disabled.".into(),
            Reason::AddressNotAllowed => "The API key may not be used from this address.".into(),
            _ => match refused.hint {
                Some(hint) => format!("The API key is not known; it {}.", reads(&hint.to_string())).into(),
                None => "The API key is not known.".into(),
            },
        };
        Self::in_row(row, refused.reason, detail)
    }

    /// Row 8.
    pub(super) fn rate_limited(plan: &Plan, exceeded: Exceeded) -> Self {
        let name = plan.name();
        let seconds = exceeded.retry_after_seconds;
        let detail = match (exceeded.limit, plan.quota, plan.concurrent) {
            (Limit::Concurrent, _, Some(most)) => format!(
                "The API key has the plan \"{name}\": {most} requests at once, and as many are under way."
            ),
            (Limit::Rate, Some(quota), _) => format!(
                "The API key has the plan \"{name}\": {} requests, {} at once. Try again in {seconds} s.",
                quota.rate(),
                quota.burst(),
            ),
            (Limit::Concurrent, _, None) | (Limit::Rate, None, _) => {
                format!("The limit of the API key is exceeded. Try again in {seconds} s.")
            }
        };
        Self {
            retry_after_seconds: Some(seconds),
            exceeded: Some(exceeded),
            ..Self::in_row(8, Reason::RateLimited, detail)
        }
    }

    /// In place of rows 5 and 6, where too many attempts of one address have failed.
    pub(super) fn too_many_failures(retry_after_seconds: u32) -> Self {
        let detail = format!(
            "The API key is not known, like too many from this address before. Try again in {retry_after_seconds} s, with \
             another key."
        );
        Self {
            retry_after_seconds: Some(retry_after_seconds),
            ..Self::outside_table(Reason::RateLimited, detail)
        }
    }

    /// What a request is told that was permitted and waits for its answer when its key is good for it no longer, for one of
    /// [`Reason::ENDING`].
    pub fn withdrawn(reason: Reason, policy: &Policy) -> Self {
        if reason == Reason::NotFound {
            Self::not_found(Unseen::ProjectOutOfSight)
        } else if reason == Reason::ScopeInsufficient && policy.hide_insufficient_scope {
            Self { row: 12, ..Self::not_found(Unseen::NoRoute) }
        } else if reason == Reason::ScopeInsufficient {
            Self::in_row(12, reason, "The API key lacks a scope that this needs.")
        } else if reason == Reason::KeyStoreUnavailable {
            Self::key_store_unavailable()
        } else {
            Self::key_refused(&Refused { reason, at: None, key_id: None, hint: None })
        }
    }

    pub(super) fn refused(refusal: Refusal, policy: &'s Policy) -> Self {
        match refusal {
            Refusal::Unseen(unseen) => Self::not_found(unseen),
            Refusal::Doubtful(doubt) => Self::doubtful(doubt),
            Refusal::MethodNotMapped(methods) => {
                let mut denial =
                    Self::in_row(11, Reason::MethodNotAllowed, "The method is not available for this path.");
                denial.allow = Some(methods.join(", "));
                denial
            }
            Refusal::ScopeTooLow(_) if policy.hide_insufficient_scope => {
                Self { row: 12, ..Self::not_found(Unseen::NoRoute) }
            }
            Refusal::ScopeTooLow(required) => {
                let missing = policy.scopes.name_of(required);
                let detail = match missing {
                    Some(name) => format!("The API key lacks the scope \"{name}\"."),
                    None => "The API key lacks a scope that this needs.".to_owned(),
                };
                Self { missing_scope: missing, ..Self::in_row(12, Reason::ScopeInsufficient, detail) }
            }
        }
    }

    /// Rows 9 and 10 are this one answer.
    fn not_found(unseen: Unseen) -> Self {
        let row = match unseen {
            Unseen::NoRoute
            | Unseen::ReadingsDiffer
            | Unseen::NotAllowedInPath
            | Unseen::MethodOverridden => 9,
            Unseen::ProjectOutsideGrammar
            | Unseen::ProjectInDoubt
            | Unseen::ProjectOutOfSight
            | Unseen::ProjectNotNamed => 10,
        };
        Self {
            unseen: Some(unseen),
            ..Self::in_row(row, Reason::NotFound, "There is nothing here for this API key.")
        }
    }
}

fn reads(hint: &str) -> String {
    if hint.starts_with("looks") { hint.to_owned() } else { format!("seems {hint}") }
}

fn to_second(at: Timestamp) -> String {
    jiff::fmt::temporal::DateTimePrinter::new().precision(Some(0)).timestamp_to_string(&at)
}
