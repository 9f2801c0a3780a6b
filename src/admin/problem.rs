//! Refusals of the admin API: problem details (RFC 9457) in the form of those on the data path.

use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::paste::PasteView;
use crate::policy::reason::Reason;

/// The media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request was refused or failed (RFC 9457). It holds no address and nothing of the request, and no secret but a
/// new one in `paste`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `urn:keygate:` and the code.
    #[schema(value_type = String, examples("urn:keygate:not_found"))]
    pub r#type: Box<str>,
    /// The kind of problem for people.
    #[schema(value_type = String, examples("Not found"))]
    pub title: Box<str>,
    /// The status of the answer.
    #[schema(examples(404))]
    pub status: u16,
    /// What is wrong this time, and what would be right.
    #[schema(value_type = String)]
    pub detail: Box<str>,
    /// The kind of problem for programs.
    #[schema(value_type = String, examples("not_found"))]
    pub code: Box<str>,
    /// `detail` again, for the many clients that read this.
    #[schema(value_type = String)]
    pub message: Box<str>,
    /// What is wrong with single values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
    /// Where keys are kept in files: the change to make by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paste: Option<Box<PasteView>>,
}

/// What is wrong with one value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldProblem {
    /// Where it stands in the body: a JSON Pointer (RFC 6901).
    #[schema(examples("/expires_at"))]
    pub pointer: String,
    /// What is wrong with it, and what would be right.
    pub detail: String,
}

impl Problem {
    /// A problem of the kind `code`; `title` is the same for every problem of it.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<Box<str>>,
    ) -> Self {
        let detail = detail.into();
        Self {
            r#type: format!("urn:keygate:{code}").into(),
            title: title.into(),
            status: status.as_u16(),
            message: detail.clone(),
            detail,
            code: code.into(),
            errors: Vec::new(),
            paste: None,
        }
    }

    /// A problem of a kind that the data path knows too.
    pub fn of(reason: Reason, detail: impl Into<Box<str>>) -> Self {
        let status = StatusCode::from_u16(reason.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::new(status, reason.code(), reason.title(), detail)
    }

    /// There is nothing at this path.
    pub fn not_found() -> Self {
        Self::of(Reason::NotFound, "There is nothing at this path.")
    }

    /// Adds what is wrong with the value at `pointer` (RFC 6901).
    pub fn with_error(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.errors.push(FieldProblem { pointer: pointer.into(), detail: detail.into() });
        self
    }

    /// Adds the change to make by hand.
    pub fn with_paste(mut self, paste: PasteView) -> Self {
        self.paste = Some(Box::new(paste));
        self
    }

    /// The status as a number that HTTP knows.
    pub fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// For people who see it in a browser or a terminal.
    pub(super) fn into_text(self) -> Response {
        let body = format!("{}: {}\n", self.title, self.detail);
        let mut response = (self.status_code(), body).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // Strings, numbers and lists: serializing them cannot fail.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let headers = [(CONTENT_TYPE, PROBLEM_JSON), (CACHE_CONTROL, "no-store")];
        (self.status_code(), headers, body).into_response()
    }
}
