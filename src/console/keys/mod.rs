//! Pages about keys.

use axum::Router;

use crate::admin::state::AdminState;

/// Everything under `/keys`.
pub fn router() -> Router<AdminState> {
    Router::new()
}
