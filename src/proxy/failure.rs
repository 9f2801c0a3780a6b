//! How an exchange fails, and what becomes of that for the client.

use std::fmt;

use crate::policy::reason::Reason;

/// How an exchange failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The upstream closed before it said a word, and nothing of a body was taken from the client.
    Unanswered,
    /// The upstream says that it has not looked at the request, and nothing of a body was taken from the client.
    Unprocessed,
    /// The request cannot be said in the protocol that the upstream speaks.
    Untranslatable,
    /// The upstream reset the stream.
    UpstreamReset(h2::Reason),
    /// The upstream broke off.
    UpstreamClosed,
    /// What the upstream sent is no HTTP, or not to be told apart.
    UpstreamProtocol(&'static str),
    /// The upstream was late.
    UpstreamLate,
    /// The client went away, or does not take its answer.
    ClientGone,
    /// The client's body is malformed.
    ClientBody,
    /// The client's body is over the limit.
    ClientBodyTooLarge,
    /// The client was late with its body.
    ClientLate,
    /// The key is good for the request no longer.
    Cut(Cut),
}

/// A request under way that is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    /// Why a new request would be refused.
    pub(super) reason: Reason,
    /// Whether the client was told in its own protocol: a WebSocket by a close frame.
    pub(super) is_told: bool,
}

impl Cut {
    /// Nobody was told yet.
    pub(super) fn untold(reason: Reason) -> Self {
        Self { reason, is_told: false }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unanswered => formatter.write_str("it closed without an answer"),
            Self::Unprocessed => formatter.write_str("it refused the request unseen"),
            Self::Untranslatable => formatter.write_str("the request cannot be said in HTTP/2"),
            Self::UpstreamReset(reason) => write!(formatter, "it reset the stream: {reason}"),
            Self::UpstreamClosed => formatter.write_str("it closed before its answer was whole"),
            Self::UpstreamProtocol(what) => formatter.write_str(what),
            Self::UpstreamLate => formatter.write_str("it was late"),
            Self::ClientGone => formatter.write_str("the client went away"),
            Self::ClientBody => formatter.write_str("the client's body is malformed"),
            Self::ClientBodyTooLarge => formatter.write_str("the client's body is over the limit"),
            Self::ClientLate => formatter.write_str("the client was late with its body"),
            Self::Cut(cut) => write!(formatter, "it was ended: {}", cut.reason.code()),
        }
    }
}

impl Failure {
    /// What a client is told that waits for its answer; `None` where nobody waits.
    pub(super) fn reason(&self) -> Option<(Reason, &'static str)> {
        match self {
            Self::Unanswered | Self::Unprocessed | Self::UpstreamReset(_) | Self::UpstreamClosed => {
                Some((Reason::UpstreamUnreachable, "The upstream closed the connection before it answered."))
            }
            Self::UpstreamProtocol(_) => {
                Some((Reason::UpstreamUnreachable, "The upstream's answer cannot be understood."))
            }
            Self::UpstreamLate => Some((Reason::UpstreamTimeout, "The upstream did not answer in time.")),
            Self::ClientGone | Self::Cut(_) => None,
            Self::Untranslatable => {
                Some((Reason::BadRequest, "The target or host of the request cannot be forwarded in HTTP/2."))
            }
            Self::ClientBody => Some((Reason::BadRequest, "The body of the request is malformed.")),
            Self::ClientBodyTooLarge => {
                Some((Reason::ContentTooLarge, "The body of the request is larger than permitted."))
            }
            Self::ClientLate => {
                Some((Reason::RequestTimeout, "The body of the request did not come in time."))
            }
        }
    }
}
