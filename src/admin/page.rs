//! Pages of a list, one after the other: whoever asks gives back what the page before said comes next.

use axum::response::{IntoResponse, Response};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;
use crate::policy::reason::Reason;

/// How many records a page has where nothing is said, and at most.
pub const PAGE: usize = 50;
const PAGE_MAX: usize = 500;

/// Which page of a list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// `next` of the page before; the first page without it.
    pub cursor: Option<String>,
    /// How many records, at most 500.
    #[param(default = 50, minimum = 1, maximum = 500)]
    pub limit: Option<usize>,
}

/// Some records of a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Page<T> {
    /// The records.
    pub items: Vec<T>,
    /// The `cursor` of the next page; none: this is the last.
    pub next: Option<String>,
}

impl PageQuery {
    /// How many records.
    ///
    /// # Errors
    /// Where none or too many are asked for.
    pub fn limit(&self) -> Result<usize, Problem> {
        match self.limit.unwrap_or(PAGE) {
            limit @ 1..=PAGE_MAX => Ok(limit),
            _ => Err(Problem::of(Reason::BadRequest, "limit must be a number from 1 to 500.")),
        }
    }

    /// Where the page begins.
    ///
    /// # Errors
    /// Where this is no cursor of this list.
    pub fn cursor<C: DeserializeOwned>(&self) -> Result<Option<C>, Problem> {
        self.cursor.as_deref().map(read_cursor).transpose()
    }
}

/// The place that `text` names.
///
/// # Errors
/// Where it is no cursor of this list.
pub fn read_cursor<C: DeserializeOwned>(text: &str) -> Result<C, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).ok_or_else(|| {
        Problem::of(Reason::BadRequest, "This is no cursor of this list; begin again without one.")
    })
}

/// The text that names a place.
pub fn cursor(place: &impl Serialize) -> Option<String> {
    serde_json::to_vec(place).ok().map(|json| URL_SAFE_NO_PAD.encode(json))
}

impl<T: Serialize> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        axum::Json(self).into_response()
    }
}
