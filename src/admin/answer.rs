//! What becomes of a use-case, as HTTP says it.

use axum::{
    http::{HeaderValue, StatusCode, header::ETAG},
    response::{IntoResponse, Response},
};

use super::{paste::PasteView, problem::Problem};
use crate::{
    control::{administration::AdminError, record_tag::RecordTag},
    store::contract::StoreError,
};

impl From<AdminError> for Problem {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Refused(refusals) => {
                let reasons: Vec<_> = refusals.iter().map(ToString::to_string).collect();
                let problem = Self::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "refused",
                    "What was asked for is wrong",
                    reasons.join("\n"),
                );
                refusals.into_iter().fold(problem, |problem, refusal| match refusal.field {
                    Some(field) => problem.with_error(format!("/{field}"), refusal.reason),
                    None => problem.with_error("", refusal.reason),
                })
            }
            AdminError::NotFound(what) => Self::new(StatusCode::NOT_FOUND, "not_found", "Not found", what),
            AdminError::Forbidden(why) => Self::new(StatusCode::FORBIDDEN, "forbidden", "Not permitted", why),
            AdminError::Stale(what) => {
                Self::new(StatusCode::PRECONDITION_FAILED, "stale", "Changed meanwhile", what)
            }
            AdminError::Done(_) => Self::new(
                StatusCode::CONFLICT,
                "done_before",
                "Done before",
                "A request with this Idempotency-Key was made before.",
            ),
            AdminError::ReadOnly(paste) => {
                let title = "Kept in a file";
                Self::new(StatusCode::CONFLICT, "read_only", title, format!("{paste}."))
                    .with_paste(PasteView::from(&*paste))
            }
            AdminError::Store(StoreError::WrongFiles(problems)) => {
                let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
                let detail = format!("Nothing was changed, as key files are wrong:\n{}", problems.join("\n"));
                Self::new(StatusCode::CONFLICT, "wrong_key_files", "Wrong key files", detail)
            }
            AdminError::Store(error) => of_store(&error, "Nothing was changed."),
            AdminError::Commit(error) => {
                of_store(&error, "It is not certain whether the change was made; look before you try again.")
            }
        }
    }
}

/// The cause goes to the log: it may name hosts and files.
fn of_store(error: &StoreError, outcome: &'static str) -> Problem {
    match error {
        StoreError::Refused(reasons) => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "refused",
            "What was asked for is wrong",
            reasons.join("\n"),
        ),
        StoreError::NotPermitted(_) => {
            tracing::warn!(%error, "the admin listener may not do this with its store");
            let detail = format!("The store does not let this gateway do that; its log says why. {outcome}");
            Problem::new(StatusCode::FORBIDDEN, "store_refuses", "The store refuses", detail)
        }
        StoreError::Unavailable(_)
        | StoreError::WrongSchema(_)
        | StoreError::WrongFiles(_)
        | StoreError::Failed(_) => {
            tracing::warn!(%error, "the admin listener cannot use its store");
            let detail = format!("The store cannot be used now; the gateway's log says why. {outcome}");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", "Store unavailable", detail)
        }
    }
}

/// An answer with the entity tag of the record it shows (RFC 9110 §8.8.3).
#[derive(Debug)]
pub struct Tagged<T>(pub RecordTag, pub T);

impl<T: IntoResponse> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        if let Ok(tag) = HeaderValue::try_from(format!("\"{}\"", self.0.as_str())) {
            response.headers_mut().insert(ETAG, tag);
        }
        response
    }
}
