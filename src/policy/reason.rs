//! The closed list of outcomes: why a request was refused, with the code a client reads and the status it gets.

/// Why a request was refused. Each has one code, one HTTP status and one gRPC status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Host, framing or header set malformed or in doubt; two credentials.
    BadRequest,
    /// The path has two readings.
    PathAmbiguous,
    /// CONNECT or TRACE, or a method the route does not map.
    MethodNotAllowed,
    /// No credential.
    KeyMissing,
    /// A credential that cannot be a key.
    KeyMalformed,
    /// No key has this digest.
    KeyUnknown,
    /// The key was revoked.
    KeyRevoked,
    /// The key's time is over.
    KeyExpired,
    /// The key's time has not begun.
    KeyNotYetValid,
    /// The key's owner is disabled.
    KeyOwnerDisabled,
    /// The key may not be used from this address.
    AddressNotAllowed,
    /// The key's limit is exceeded.
    RateLimited,
    /// No route, a project out of sight, or an ambiguous reading: one answer.
    NotFound,
    /// The scope is too low.
    ScopeInsufficient,
    /// The key store cannot answer now.
    KeyStoreUnavailable,
    /// The upstream refused, failed or answered garbage.
    UpstreamUnreachable,
    /// The upstream was late.
    UpstreamTimeout,
    /// There is no room for the request.
    Overloaded,
    /// The client was late with its request.
    RequestTimeout,
    /// The request body is over the limit.
    ContentTooLarge,
    /// The request target is over the limit.
    UriTooLong,
    /// `Expect` asks for something else than `100-continue`.
    ExpectationFailed,
    /// The header section is over the limit.
    HeadersTooLarge,
    /// Neither HTTP/1.0, HTTP/1.1 nor HTTP/2.
    VersionNotSupported,
    /// The request has passed this gateway before.
    LoopDetected,
    /// A door was asked by a stranger, or not told exactly one request.
    DoorRefused,
    /// A fault of the gateway itself.
    Internal,
}

impl Reason {
    /// Every reason, in the order of the decision table.
    pub const ALL: [Self; 27] = [
        Self::BadRequest,
        Self::PathAmbiguous,
        Self::MethodNotAllowed,
        Self::KeyMissing,
        Self::KeyMalformed,
        Self::KeyUnknown,
        Self::KeyRevoked,
        Self::KeyExpired,
        Self::KeyNotYetValid,
        Self::KeyOwnerDisabled,
        Self::AddressNotAllowed,
        Self::RateLimited,
        Self::NotFound,
        Self::ScopeInsufficient,
        Self::KeyStoreUnavailable,
        Self::UpstreamUnreachable,
        Self::UpstreamTimeout,
        Self::Overloaded,
        Self::RequestTimeout,
        Self::ContentTooLarge,
        Self::UriTooLong,
        Self::ExpectationFailed,
        Self::HeadersTooLarge,
        Self::VersionNotSupported,
        Self::LoopDetected,
        Self::DoorRefused,
        Self::Internal,
    ];

    /// Those for which a request under way is ended that was permitted when it began.
    pub const ENDING: [Self; 9] = [
        Self::KeyUnknown,
        Self::KeyRevoked,
        Self::KeyExpired,
        Self::KeyNotYetValid,
        Self::KeyOwnerDisabled,
        Self::AddressNotAllowed,
        Self::NotFound,
        Self::ScopeInsufficient,
        Self::KeyStoreUnavailable,
    ];

    /// Those for which a request is not refused whose route observes: rows 4 to 12, and keys that are not known.
    pub const OBSERVABLE: [Self; 13] = [
        Self::MethodNotAllowed,
        Self::KeyMissing,
        Self::KeyMalformed,
        Self::KeyUnknown,
        Self::KeyRevoked,
        Self::KeyExpired,
        Self::KeyNotYetValid,
        Self::KeyOwnerDisabled,
        Self::AddressNotAllowed,
        Self::RateLimited,
        Self::NotFound,
        Self::ScopeInsufficient,
        Self::KeyStoreUnavailable,
    ];

    /// The code in problem details, metrics and logs.
    pub fn code(self) -> &'static str {
        self.row().0
    }

    /// The HTTP status.
    pub fn status(self) -> u16 {
        self.row().1
    }

    /// The gRPC status code (<https://grpc.io/docs/guides/status-codes/>).
    pub fn grpc_status(self) -> u8 {
        self.row().2
    }

    /// A short title of the problem type (RFC 9457 §3.1.3), the same for every occurrence.
    pub fn title(self) -> &'static str {
        self.row().3
    }

    fn row(self) -> (&'static str, u16, u8, &'static str) {
        match self {
            Self::BadRequest => ("bad_request", 400, 3, "Bad request"),
            Self::PathAmbiguous => ("path_ambiguous", 400, 3, "Ambiguous path"),
            Self::MethodNotAllowed => ("method_not_allowed", 405, 12, "Method not allowed"),
            Self::KeyMissing => ("key_missing", 401, 16, "API key missing"),
            Self::KeyMalformed => ("key_malformed", 401, 16, "API key malformed"),
            Self::KeyUnknown => ("key_unknown", 401, 16, "API key unknown"),
            Self::KeyRevoked => ("key_revoked", 401, 16, "API key revoked"),
            Self::KeyExpired => ("key_expired", 401, 16, "API key expired"),
            Self::KeyNotYetValid => ("key_not_yet_valid", 401, 16, "API key not yet valid"),
            Self::KeyOwnerDisabled => ("key_owner_disabled", 401, 16, "API key owner disabled"),
            Self::AddressNotAllowed => ("address_not_allowed", 403, 7, "Address not allowed"),
            Self::RateLimited => ("rate_limited", 429, 8, "Rate limit exceeded"),
            Self::NotFound => ("not_found", 404, 5, "Not found"),
            Self::ScopeInsufficient => ("scope_insufficient", 403, 7, "Scope insufficient"),
            Self::KeyStoreUnavailable => ("key_store_unavailable", 503, 14, "Key store unavailable"),
            Self::UpstreamUnreachable => ("upstream_unreachable", 502, 14, "Upstream unreachable"),
            Self::UpstreamTimeout => ("upstream_timeout", 504, 4, "Upstream timeout"),
            Self::Overloaded => ("overloaded", 503, 14, "Overloaded"),
            Self::RequestTimeout => ("request_timeout", 408, 4, "Request timeout"),
            Self::ContentTooLarge => ("content_too_large", 413, 8, "Content too large"),
            Self::UriTooLong => ("uri_too_long", 414, 3, "URI too long"),
            Self::ExpectationFailed => ("expectation_failed", 417, 3, "Expectation failed"),
            Self::HeadersTooLarge => ("headers_too_large", 431, 8, "Headers too large"),
            Self::VersionNotSupported => ("version_not_supported", 505, 12, "HTTP version not supported"),
            Self::LoopDetected => ("loop_detected", 508, 9, "Loop detected"),
            Self::DoorRefused => ("door_refused", 403, 7, "Door refused"),
            Self::Internal => ("internal", 500, 13, "Internal error"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct() {
        let mut codes: Vec<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Reason::ALL.len());
    }
}
