//! Doors: what another proxy says of its client's request becomes a request head again, which is then judged like any.
//! Pure; the listeners of the doors are served by [`crate::proxy`].
//!
//! A door repairs nothing and guesses nothing: whatever is missing, stands twice or contradicts itself is [`Unclear`], and
//! what is unclear is refused.

pub mod ext_authz;
pub mod forward_auth;

use std::fmt;

use crate::{
    config::model::Config,
    config::model::HeaderFamily,
    gate::Denial,
    http1::{
        framing::{BodyLength, declared_length},
        parse::HeadError,
    },
    message::{Fields, RequestHead, Version},
    policy::origin::{is_of_the_origin, is_removable},
};

/// Why a proxy that asks has not described exactly one request: 403, whatever the request may have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unclear {
    /// This header, which describes the request, is not there.
    Missing(&'static str),
    /// This header is not there, and those of the other family, which the door does not read, are.
    OtherFamily(&'static str, HeaderFamily),
    /// It stands more than once.
    Repeated(&'static str),
    /// It holds what such a header cannot hold.
    Malformed(&'static str),
    /// It says something else than another header, or the ask itself.
    Contradicting(&'static str),
    /// The ask has a body, or may have one.
    Body,
}

impl fmt::Display for Unclear {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(what) => write!(formatter, "{what} is missing"),
            Self::OtherFamily(what, asked) => {
                let (names, headers) = match asked {
                    HeaderFamily::XOriginal => ("X-Original-*", "x-original"),
                    HeaderFamily::XForwarded => ("X-Forwarded-*", "x-forwarded"),
                };
                write!(formatter, "{what} is missing; it was asked with {names}: write headers: {headers}")
            }
            Self::Repeated(what) => write!(formatter, "{what} is there more than once"),
            Self::Malformed(what) => write!(formatter, "{what} is malformed"),
            Self::Contradicting(what) => write!(formatter, "{what} contradicts something else"),
            Self::Body => formatter.write_str("it comes with a body, or with the length of one"),
        }
    }
}

/// Why there is no request to judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskError {
    /// The asking proxy did not describe exactly one.
    Unclear(Unclear),
    /// The client's request is malformed, or exceeds a limit: refused as the gateway refuses it.
    Head(HeadError),
}

impl From<Unclear> for AskError {
    fn from(unclear: Unclear) -> Self {
        Self::Unclear(unclear)
    }
}

impl From<HeadError> for AskError {
    fn from(error: HeadError) -> Self {
        Self::Head(error)
    }
}

/// Whether bytes may follow the head of `ask`, which nobody here would read.
pub(crate) fn may_have_body(ask: &RequestHead<'_>) -> bool {
    match declared_length(ask.version, &ask.fields) {
        Ok(None) => ask.version == Version::Http2 && !ask.ends_stream,
        Ok(Some(BodyLength::Known(0) | BodyLength::Empty)) => false,
        Ok(Some(BodyLength::Known(_) | BodyLength::Chunked | BodyLength::UntilClose)) | Err(_) => true,
    }
}

/// Refuses what the gateway itself would remove and the asking proxy cannot be told to: identity in another name or spelling
/// than those it overwrites, and paths, hosts and origins beside those that are told.
///
/// # Errors
/// A [`Denial`] of row 1.
pub fn check_removable(fields: &Fields<'_>, config: &Config) -> Result<(), Denial<'static>> {
    for field in fields.iter() {
        let is_overwritten =
            || config.identity_names().any(|name| name.as_bytes().eq_ignore_ascii_case(field.name));
        if config.policy.identity_names.contains(field.name) && !is_overwritten() {
            return Err(Denial::bad_request(
                "The request carries an identity header that only the gateway may set.",
            ));
        }
        if is_of_the_origin(field.name) && !is_removable(field.name) {
            return Err(Denial::bad_request(
                "The request carries a header that names another origin, host or path than its own.",
            ));
        }
    }
    Ok(())
}
