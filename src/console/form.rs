//! Forms: what was typed, kept for the page that says what is wrong with it; secrets never are.

use std::convert::Infallible;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::request::Parts,
};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::answer::Failure;
use crate::{
    admin::problem::Problem,
    control::administration::{AdminError, Refusal},
    policy::reason::Reason,
    store::contract::Submission,
};

/// More fields than any form has.
const FIELDS_MAX: usize = 1000;

/// The longest name of a submission, in bytes.
const SUBMISSION_BYTES_MAX: usize = 64;

/// Fields that no page shows again.
const SECRET_FIELDS: [&str; 4] = ["password", "again", "current", "key"];

/// A form as it was sent: a field may come several times. Wiped from memory when dropped; not seen in `Debug`.
pub struct Typed {
    path: String,
    fields: Vec<(String, Zeroizing<String>)>,
}

impl<S: Send + Sync> FromRequest<S> for Typed {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let path = request.uri().path().to_owned();
        let body = Bytes::from_request(request, state).await.map_err(|rejection| {
            Failure::from(Problem::new(
                rejection.status(),
                "bad_request",
                "Bad request",
                rejection.body_text(),
            ))
        })?;
        Self::parse(path, &body).map_err(Failure::from)
    }
}

impl std::fmt::Debug for Typed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.fields.iter().map(|(name, _)| name).collect();
        formatter.debug_struct("Typed").field("path", &self.path).field("names", &names).finish()
    }
}

impl Typed {
    /// The fields of `body` (WHATWG URL, application/x-www-form-urlencoded).
    fn parse(path: String, body: &[u8]) -> Result<Self, Problem> {
        let fields: Vec<_> = form_urlencoded::parse(body)
            .take(FIELDS_MAX + 1)
            .map(|(name, value)| (name.into_owned(), Zeroizing::new(value.into_owned())))
            .collect();
        if fields.len() > FIELDS_MAX {
            return Err(Problem::of(Reason::BadRequest, "The form has too many fields."));
        }
        Ok(Self { path, fields })
    }

    /// What was typed into `name`, first; empty where nothing was.
    pub fn get(&self, name: &str) -> &str {
        self.values(name).next().unwrap_or_default()
    }

    /// Everything that was chosen of `name`.
    pub fn all(&self, name: &str) -> Vec<String> {
        self.values(name).filter(|value| !value.is_empty()).map(str::to_owned).collect()
    }

    /// What was typed into `name`, one entry a line or between commas.
    pub fn lines(&self, name: &str) -> Vec<String> {
        let entries = self.get(name).split(['\n', '\r', ',']).map(str::trim);
        entries.filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
    }

    /// A secret, to be wiped.
    pub fn secret(&self, name: &str) -> Zeroizing<String> {
        Zeroizing::new(self.get(name).to_owned())
    }

    /// The form under its own name, so that what it asks for is done once on behalf of `actor`.
    pub fn submission(&self, actor: String) -> Option<Submission> {
        let key = self.get("submission");
        if key.is_empty() || key.len() > SUBMISSION_BYTES_MAX {
            return None;
        }
        let mut digest = Sha256::new_with_prefix(&self.path);
        for (name, value) in &self.fields {
            for part in [name.as_bytes(), value.as_bytes()] {
                digest.update(part.len().to_be_bytes());
                digest.update(part);
            }
        }
        Some(Submission { actor, key: format!("console {key}"), request: digest.finalize().into() })
    }

    /// The form to be filled in again: as it was, but for secrets, and with what is wrong.
    pub fn again(&self, refusals: Vec<Refusal>) -> Form {
        let values = self.fields.iter().filter(|(name, _)| !SECRET_FIELDS.contains(&&**name));
        let mut values: Vec<_> = values.map(|(name, value)| (name.clone(), value.to_string())).collect();
        let submission = values.iter().position(|(name, _)| name == "submission");
        let submission = submission.map(|at| values.swap_remove(at).1).unwrap_or_default();
        let problems = refusals.into_iter().map(Problematic::from).collect();
        Form { submission, problems, values }
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

/// The query of an address; what is wrong in it is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// What `name` is, first; `None` where it is not there or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut named = self.0.iter().filter(|(field, value)| field == name && !value.is_empty());
        named.next().map(|(_, value)| value.as_str())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        Ok(Self(form_urlencoded::parse(query).into_owned().take(FIELDS_MAX).collect()))
    }
}

/// What of `error` is wrong with the form that asked for it.
///
/// # Errors
/// Where it is not the form.
pub fn refusals(error: AdminError) -> Result<Vec<Refusal>, Failure> {
    match error {
        AdminError::Refused(refusals) => Ok(refusals),
        error @ (AdminError::NotFound(_)
        | AdminError::Forbidden(_)
        | AdminError::Stale(_)
        | AdminError::Done(_)
        | AdminError::ReadOnly(_)
        | AdminError::Store(_)
        | AdminError::Commit(_)) => Err(error.into()),
    }
}

/// A form as a page shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form {
    /// The name of what it asks for, so that sending it twice asks once.
    pub submission: String,
    /// Everything that is wrong.
    pub problems: Vec<Problematic>,
    values: Vec<(String, String)>,
}

/// What is wrong with one field, or with the form as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problematic {
    /// Empty: the form as a whole.
    pub field: String,
    /// What is wrong and what would be right.
    pub text: String,
}

impl From<Refusal> for Problematic {
    fn from(refusal: Refusal) -> Self {
        let field = match refusal.field {
            Some("expires_at") => "expires",
            Some(field) => field,
            None => "",
        };
        Self { field: field.to_owned(), text: refusal.reason }
    }
}

impl Form {
    /// A form with these values, each a field and what stands in it; a field that takes several comes several times.
    pub fn new<'v>(values: impl IntoIterator<Item = (&'static str, &'v str)>) -> Self {
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { submission: Uuid::now_v7().to_string(), problems: Vec::new(), values: values.collect() }
    }

    /// The form with what is wrong with it.
    pub fn with(mut self, refusals: Vec<Refusal>) -> Self {
        self.problems.extend(refusals.into_iter().map(Problematic::from));
        self
    }

    /// What stands in the field `name`.
    pub fn value(&self, name: &str) -> &str {
        self.values
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value.as_str())
            .unwrap_or_default()
    }

    /// What is wrong with the field `name`.
    pub fn error(&self, name: &str) -> Option<&str> {
        self.problems.iter().find(|problem| problem.field == name).map(|problem| problem.text.as_str())
    }

    /// Whether `value` is chosen of `name`.
    pub fn checked(&self, name: &str, value: &str) -> bool {
        self.values.iter().any(|(field, chosen)| field == name && chosen == value)
    }
}

/// The day of `at` in UTC, as `<input type=date>` has it.
pub fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(body: &str) -> Typed {
        Typed::parse("/keys".to_owned(), body.as_bytes()).unwrap()
    }

    #[test]
    fn fields_come_several_times_and_secrets_never_again() {
        let sent = typed(
            "name=a%20b&scopes=read&scopes=write&addresses=10.0.0.1%0D%0A+10.0.0.2&password=hunter2&submission=s1",
        );
        assert_eq!((sent.get("name"), sent.get("none")), ("a b", ""));
        assert_eq!(sent.all("scopes"), ["read", "write"]);
        assert_eq!(sent.lines("addresses"), ["10.0.0.1", "10.0.0.2"]);
        let form = sent.again(vec![Refusal::of("name", "too short"), Refusal::of("expires_at", "past")]);
        assert_eq!((form.value("name"), form.value("password"), &*form.submission), ("a b", "", "s1"));
        assert!(form.checked("scopes", "write") && !form.checked("scopes", "admin"));
        assert_eq!(
            (form.error("name"), form.error("expires"), form.error("scopes")),
            (Some("too short"), Some("past"), None)
        );
        assert!(!format!("{sent:?}").contains("hunter2"));
    }

    #[test]
    fn a_form_that_says_something_else_is_another() {
        let digest =
            |body: &str| typed(body).submission("ada".to_owned()).map(|submission| submission.request);
        assert_eq!(digest("submission=1&name=a"), digest("submission=1&name=a"));
        assert_ne!(digest("submission=1&name=a"), digest("submission=1&name=b"));
        assert_ne!(digest("submission=1&a=bc"), digest("submission=1&ab=c"));
        assert_eq!(digest("name=a"), None);
        assert!(Typed::parse("/".to_owned(), "a&".repeat(FIELDS_MAX + 1).as_bytes()).is_err());
    }
}
