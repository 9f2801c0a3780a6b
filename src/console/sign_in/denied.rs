//! Why nobody was signed in, as a form that was filled in says it.

use std::time::Duration;

use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::Response,
};

use crate::{
    admin::problem::Problem,
    console::{
        answer::{CHALLENGE, Failure},
        form::refusals,
        parts::Link,
    },
    control::{administration::Refusal, sign_in::SignInError},
};

/// How long whoever finds too many others signing in should wait.
const BUSY: Duration = Duration::from_secs(3);

/// Why nobody was signed in.
pub(super) struct Denied {
    status: StatusCode,
    refusals: Vec<Refusal>,
    retry_after: Option<Duration>,
}

impl Denied {
    /// What `error` says of the form; `field` is the one that wrong names, passwords and keys are told at.
    ///
    /// # Errors
    /// Where it is not about the form.
    pub(super) fn of(error: SignInError, field: &'static str) -> Result<Self, Failure> {
        let text = sentence(&error.to_string());
        let told =
            |status, field| Self { status, refusals: vec![Refusal::of(field, text)], retry_after: None };
        Ok(match error {
            SignInError::Wrong => told(StatusCode::UNAUTHORIZED, field),
            SignInError::NoPasswords => told(StatusCode::CONFLICT, field),
            SignInError::Password(_) => told(StatusCode::UNPROCESSABLE_ENTITY, "password"),
            SignInError::Throttled { retry_after } => {
                Self { retry_after: Some(retry_after), ..told(StatusCode::TOO_MANY_REQUESTS, field) }
            }
            SignInError::Busy => {
                Self { retry_after: Some(BUSY), ..told(StatusCode::SERVICE_UNAVAILABLE, field) }
            }
            SignInError::Admin(error) => {
                let (status, refusals) = (StatusCode::UNPROCESSABLE_ENTITY, refusals(error)?);
                Self { status, refusals, retry_after: None }
            }
            SignInError::DeadLink => return Err(dead_link()),
            SignInError::Store(error) => return Err(error.into()),
        })
    }

    /// What is wrong with the form itself.
    pub(super) fn wrong(refusals: Vec<Refusal>) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, refusals, retry_after: None }
    }

    /// As a page of its own, where there is no form.
    pub(super) fn into_failure(self) -> Failure {
        let reasons: Vec<_> = self.refusals.into_iter().map(|refusal| refusal.reason).collect();
        Problem::new(self.status, "not_signed_in", "You are not signed in", reasons.join(" ")).into()
    }

    /// The form again, as `page` shows it.
    pub(super) fn answer(self, page: impl FnOnce(StatusCode, Vec<Refusal>) -> Response) -> Response {
        let mut answer = page(self.status, self.refusals);
        let seconds = self.retry_after.map(|wait| HeaderValue::from(wait.as_secs().saturating_add(1)));
        answer.headers_mut().extend(seconds.map(|seconds| (RETRY_AFTER, seconds)));
        if self.status == StatusCode::UNAUTHORIZED {
            answer.headers_mut().insert(WWW_AUTHENTICATE, CHALLENGE);
        }
        answer
    }
}

/// The link is unknown, used or expired.
pub(super) fn dead_link() -> Failure {
    let problem = Problem::new(
        StatusCode::GONE,
        "dead_link",
        "This link does not work",
        "It was used, has expired, or never was one. Ask whoever gave it to you for a new one.",
    );
    Failure::from(problem).leading(Link::new("/sign-in", "Sign in"))
}

/// `text` with a capital and a stop.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str())
}
