//! Signed identity: a short-lived JWT (RFC 7519) by which an upstream learns who asks, and can prove that this gateway
//! says so. It tells what the identity headers tell, for one audience, and never outlives the key it speaks of.

pub mod key;

use jiff::Timestamp;
use serde::Serialize;

use self::key::{SigningKeys, Unsigned};
use crate::policy::{principal::Principal, scope::Scopes};

/// The header that carries an assertion if nothing else is said.
pub const HEADER: &str = "X-Auth-Assertion";

/// The most bytes of a token; one that would be larger is not made.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// The most bytes of visible projects in a token.
const PROJECTS_BYTES_MAX: usize = 4096;

/// What is asserted to whom, and by which keys.
#[derive(Debug)]
pub struct Assertions {
    /// The header that carries it; default [`HEADER`].
    pub header: Box<str>,
    /// `iss`.
    pub issuer: Box<str>,
    /// `aud` for each upstream, by its place in the config; `None`: nothing is asserted to it.
    pub audiences: Vec<Option<Box<str>>>,
    /// Seconds from `iat` to `exp`; default 60.
    pub lifetime_seconds: u32,
    /// The first signs, all are published.
    pub keys: SigningKeys,
}

/// Whom an assertion is about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Who asks.
    pub principal: &'a Principal<'a>,
    /// The names of their scopes.
    pub scopes: &'a Scopes,
    /// The project that the request touches.
    pub project: Option<&'a str>,
    /// When their secret stops working; `None`: never.
    pub ends_at: Option<Timestamp>,
}

/// A signed assertion.
#[derive(Debug)]
pub struct Assertion {
    /// A JWS in compact form (RFC 7515 §7.1).
    pub token: Box<str>,
    /// When another one should be signed, in Unix seconds: at half its lifetime.
    pub renew_at: i64,
    /// When it was signed, in Unix seconds.
    pub signed_at: i64,
}

/// Why there is no assertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAsserted {
    /// It would be larger than [`TOKEN_BYTES_MAX`].
    TooLarge,
    /// The signature could not be made.
    Unsigned,
}

impl From<Unsigned> for NotAsserted {
    fn from(_: Unsigned) -> Self {
        Self::Unsigned
    }
}

/// The claims (RFC 7519 §4). There is no `jti`: an assertion is sent with many requests, and names none of them.
#[derive(Serialize)]
struct Claims<'c> {
    iss: &'c str,
    aud: &'c str,
    sub: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    key_id: &'c str,
    #[serde(skip_serializing_if = "str::is_empty")]
    key_name: &'c str,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'c str>,
    org: &'c str,
    /// Space-separated (RFC 8693 §4.2).
    scope: String,
    projects: Vec<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<&'c str>,
}

impl Assertions {
    /// Whom requests to the upstream number `upstream` are asserted to; `None`: nobody.
    pub fn audience(&self, upstream: usize) -> Option<&str> {
        self.audiences.get(upstream)?.as_deref()
    }

    /// Asserts `subject` to `audience`. Cost: one signature, some ten microseconds, and less than 32 KiB of memory.
    ///
    /// # Errors
    /// [`NotAsserted`]; nothing is ever left out of it.
    pub fn assert(
        &self,
        audience: &str,
        subject: &Subject<'_>,
        now: Timestamp,
    ) -> Result<Assertion, NotAsserted> {
        let Subject { principal, scopes, project, ends_at } = *subject;
        let signed_at = now.as_second();
        let expires_at = expiry(signed_at, self.lifetime_seconds, ends_at);
        let owner = principal.owner.as_ref();
        let scope: Vec<&str> = scopes.names(principal.scopes).collect();
        let claims = Claims {
            iss: &self.issuer,
            aud: audience,
            // What stands before the colon keeps a key from being taken for the person of the same id.
            sub: owner
                .map_or_else(|| format!("key:{}", principal.key_id), |owner| format!("person:{}", owner.id)),
            iat: signed_at,
            nbf: signed_at,
            exp: expires_at,
            key_id: &principal.key_id,
            key_name: principal.key_name,
            email: owner.map(|owner| owner.email),
            role: owner.map(|owner| owner.role.as_str()),
            org: principal.organization,
            scope: scope.join(" "),
            projects: projects(principal)?,
            project,
        };
        let token = self.keys.sign(&claims)?;
        if token.len() > TOKEN_BYTES_MAX {
            return Err(NotAsserted::TooLarge);
        }
        let renew_at = signed_at + (expires_at - signed_at) / 2;
        Ok(Assertion { token: token.into(), renew_at, signed_at })
    }
}

/// `exp` of what is signed at `signed_at`, all in Unix seconds: the end of the key, if that comes first. Never the same
/// second, in which nobody would accept it.
fn expiry(signed_at: i64, lifetime_seconds: u32, ends_at: Option<Timestamp>) -> i64 {
    let by_lifetime = signed_at + i64::from(lifetime_seconds);
    let by_key = ends_at.map_or(i64::MAX, Timestamp::as_second);
    by_lifetime.min(by_key).max(signed_at + 1)
}

/// The visible projects, `*` for all; as in the identity header.
fn projects<'p>(principal: &Principal<'p>) -> Result<Vec<&'p str>, NotAsserted> {
    let Some(ids) = principal.projects.listed() else { return Ok(vec!["*"]) };
    let mut bytes = 0;
    ids.map(|id| {
        // With its quotes and the comma.
        bytes += id.len() + 3;
        if bytes > PROJECTS_BYTES_MAX { Err(NotAsserted::TooLarge) } else { Ok(id) }
    })
    .collect()
}

#[cfg(test)]
mod tests;
