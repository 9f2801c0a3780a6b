//! The admin API, `/api/v1`: one operation, one file. Each reads what is asked, calls the use-case in `control` that the
//! command line calls too, and says what became of it.

mod keys;

use axum::Router;
use utoipa::openapi::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::state::AdminState;

/// Every operation, and the document that describes them.
pub fn router() -> (Router<AdminState>, OpenApi) {
    OpenApiRouter::new()
        .routes(routes!(keys::list::list_keys, keys::create::create_key))
        .routes(routes!(keys::show::show_key, keys::update::update_key))
        .routes(routes!(keys::revoke::revoke_key))
        .routes(routes!(keys::rotate::rotate_key))
        .split_for_parts()
}
