//! What operators and their machines ask of a running gateway, on listeners of its own.

pub mod answer;
#[allow(unused_qualifications, reason = "the macros of utoipa write paths in full")]
pub mod api;
pub mod asked;
pub mod caller;
pub mod change;
pub mod guard;
pub mod health;
pub mod listener;
pub mod page;
pub mod problem;
pub mod session_cookie;
pub mod state;
pub mod thread;

use axum::Router;

use self::{problem::Problem, state::AdminState};

/// Everything that the admin listener serves.
pub fn router(state: AdminState) -> Router {
    let (api, _) = api::router();
    api.fallback(async || Problem::not_found()).with_state(state)
}
