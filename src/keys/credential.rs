//! Which credential a request presents: exactly one, in exactly one place, or a reason to refuse.

use std::fmt;

use crate::message::{Field, Fields};

/// The longest secret that is looked at, in bytes; imported keys may have any form up to here.
pub const SECRET_BYTES_MAX: usize = 512;

/// The most fields that may be configured to carry a credential.
pub const SOURCES_MAX: usize = 8;

/// The fields that may carry a credential. `authorization` carries it under the scheme `Bearer`, any other as is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialSources(Box<[Box<str>]>);

impl Default for CredentialSources {
    /// `authorization` alone.
    fn default() -> Self {
        Self(Box::new(["authorization".into()]))
    }
}

impl CredentialSources {
    /// The sources of these field names, in any case.
    ///
    /// # Errors
    /// The first [`CredentialSourcesError`] of the list.
    pub fn new<S: AsRef<str>>(names: &[S]) -> Result<Self, CredentialSourcesError> {
        if names.is_empty() || names.len() > SOURCES_MAX {
            return Err(CredentialSourcesError::Count(names.len()));
        }
        let mut sources: Vec<Box<str>> = Vec::with_capacity(names.len());
        for name in names {
            let name = name.as_ref().to_ascii_lowercase();
            if !is_source_name(&name) {
                return Err(CredentialSourcesError::BadName(name));
            }
            if sources.iter().any(|known| **known == name) {
                return Err(CredentialSourcesError::Duplicate(name));
            }
            sources.push(name.into());
        }
        Ok(Self(sources.into()))
    }

    /// The field names, in lower case.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// Whether `field` is one of the sources.
    pub fn include(&self, field: &Field<'_>) -> bool {
        self.names().any(|name| field.is(name))
    }
}

/// Letters, digits and `-`, and nothing that frames or routes the message.
fn is_source_name(name: &str) -> bool {
    const TAKEN: [&str; 8] =
        ["host", "connection", "cookie", "transfer-encoding", "te", "trailer", "upgrade", "expect"];
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !TAKEN.contains(&name)
        && !name.starts_with("content-")
}

/// Why a list of field names cannot carry credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialSourcesError {
    /// None, or more than [`SOURCES_MAX`].
    Count(usize),
    /// Not letters, digits and `-`, or a field that has another meaning.
    BadName(String),
    /// Twice the same field.
    Duplicate(String),
}

impl fmt::Display for CredentialSourcesError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => {
                write!(formatter, "{count} credential headers; 1 to {SOURCES_MAX} may be named")
            }
            Self::BadName(name) => write!(
                formatter,
                "{name:?} cannot carry a credential: letters, digits and '-' name a header, and Host, Connection, \
                 Cookie, Content-* and their kin mean something else"
            ),
            Self::Duplicate(name) => write!(formatter, "credential header {name:?} is named twice"),
        }
    }
}

impl std::error::Error for CredentialSourcesError {}

/// What a request presents as its credential.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Credential<'b> {
    /// The bytes of a secret: 1 to [`SECRET_BYTES_MAX`] visible ASCII characters without comma.
    Presented(&'b [u8]),
    /// No source field is there.
    Absent,
    /// One source field is there, and holds no secret: empty, another scheme than `Bearer`, spaces, too long.
    Malformed,
    /// Two or more source field lines are there, whatever they hold.
    Several,
}

impl<'b> Credential<'b> {
    /// The credential among `fields`. Cost: one pass, no allocation.
    pub fn from_fields(fields: &Fields<'b>, sources: &CredentialSources) -> Self {
        let mut lines = fields.iter().filter(|field| sources.include(field));
        let line = match (lines.next(), lines.next()) {
            (None, _) => return Self::Absent,
            (Some(_), Some(_)) => return Self::Several,
            (Some(line), None) => line,
        };
        let secret = if line.is("authorization") { bearer_token(line.value) } else { Some(line.value) };
        match secret {
            Some(secret) if is_secret(secret) => Self::Presented(secret),
            Some(_) | None => Self::Malformed,
        }
    }
}

/// Shows which case it is, never the secret.
impl fmt::Debug for Credential<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Presented(_) => "Presented(redacted)",
            Self::Absent => "Absent",
            Self::Malformed => "Malformed",
            Self::Several => "Several",
        })
    }
}

/// What follows `Bearer` and exactly one space (RFC 6750 §2.1); the scheme is read in any case (RFC 9110 §11.1).
fn bearer_token(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

/// Whether `bytes` can be a secret. Wider than RFC 6750's b64token, since imported keys have any form; a comma would
/// be two values in one line (RFC 9110 §5.3).
pub fn is_secret(bytes: &[u8]) -> bool {
    (1..=SECRET_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(|&b| b.is_ascii_graphic() && b != b',')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(lines: &[(&str, &str)], sources: &[&str]) -> String {
        let fields: Fields = lines
            .iter()
            .map(|(name, value)| Field { name: name.as_bytes(), value: value.as_bytes() })
            .collect();
        match Credential::from_fields(&fields, &CredentialSources::new(sources).unwrap()) {
            Credential::Presented(secret) => String::from_utf8(secret.to_vec()).unwrap(),
            other @ (Credential::Absent | Credential::Malformed | Credential::Several) => {
                format!("{other:?}")
            }
        }
    }

    #[test]
    fn one_credential_in_one_place() {
        let long = format!("Bearer {}", "x".repeat(513));
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[], "Absent"),
            (&[("Accept", "*/*")], "Absent"),
            (&[("Authorization", "Bearer abc")], "abc"),
            (&[("AUTHORIZATION", "bEaReR abc~+/=")], "abc~+/="),
            (&[("Authorization", "")], "Malformed"),
            (&[("Authorization", "Bearer")], "Malformed"),
            (&[("Authorization", "Bearer ")], "Malformed"),
            (&[("Authorization", "Bearer  abc")], "Malformed"),
            (&[("Authorization", "Bearer\tabc")], "Malformed"),
            (&[("Authorization", "Bearer a b")], "Malformed"),
            (&[("Authorization", "Bearer a,b")], "Malformed"),
            (&[("Authorization", "Bearer é")], "Malformed"),
            (&[("Authorization", "Basic YTpi")], "Malformed"),
            (&[("Authorization", "abc")], "Malformed"),
            (&[("Authorization", &long)], "Malformed"),
            (&[("Authorization", "Bearer a"), ("authorization", "Bearer a")], "Several"),
            (&[("Authorization", ""), ("Authorization", "Basic x")], "Several"),
            (&[("X-API-Key", "abc")], "abc"),
            (&[("X-Api-Key", "Bearer abc")], "Malformed"),
            (&[("X-API-Key", "")], "Malformed"),
            (&[("X-API-Key", "a"), ("Authorization", "Basic x")], "Several"),
            (&[("X-API-Key", "a"), ("x-api-key", "a")], "Several"),
        ];
        for (lines, expected) in cases {
            assert_eq!(read(lines, &["Authorization", "x-api-key"]), *expected, "{lines:?}");
        }
        assert_eq!(read(&[("X-API-Key", "abc")], &["authorization"]), "Absent");
        assert_eq!(read(&[("X-API-Key", "abc"), ("Authorization", "Basic x")], &["x-api-key"]), "abc");
    }

    #[test]
    fn wrong_sources_are_refused() {
        let refused = |names: &[&str]| CredentialSources::new(names).unwrap_err();
        assert_eq!(refused(&[]), CredentialSourcesError::Count(0));
        assert_eq!(
            refused(&["x-api-key", "X-API-Key"]),
            CredentialSourcesError::Duplicate("x-api-key".into())
        );
        for name in ["", "x api", "x_api_key", "Host", "Content-Type", "cookie"] {
            assert_eq!(refused(&[name]), CredentialSourcesError::BadName(name.to_ascii_lowercase()));
        }
    }

    #[test]
    fn debug_hides_the_secret() {
        assert_eq!(format!("{:?}", Credential::Presented(b"abc")), "Presented(redacted)");
    }

    proptest! {
        #[test]
        fn what_is_presented_is_a_secret(value in proptest::collection::vec(any::<u8>(), 0..40)) {
            let fields = Fields::from_iter([Field { name: b"authorization", value: &value }]);
            if let Credential::Presented(secret) = Credential::from_fields(&fields, &CredentialSources::default()) {
                prop_assert!(is_secret(secret) && value.ends_with(secret) && value.len() == secret.len() + 7);
            }
        }

        #[test]
        fn every_secret_can_be_presented(secret in "[!-+\\--~]{1,512}") {
            let value = format!("Bearer {secret}");
            let fields = Fields::from_iter([Field { name: b"authorization", value: value.as_bytes() }]);
            let read = Credential::from_fields(&fields, &CredentialSources::default());
            prop_assert!(read == Credential::Presented(secret.as_bytes()));
        }
    }
}
