//! What operators and their machines ask of a running gateway, on listeners of its own.

pub mod answer;
#[allow(unused_qualifications, reason = "the macros of utoipa write paths in full")]
pub mod api;
pub mod asked;
pub mod caller;
pub mod change;
pub mod guard;
pub mod health;
pub mod jwks;
pub mod listener;
pub mod origin;
pub mod page;
pub mod paste;
pub mod path_segment;
pub mod possession;
pub mod problem;
pub mod session_cookie;
pub mod state;
pub mod thread;

use axum::{Router, extract::State, routing::get};

use self::state::AdminState;

/// The admin API, and the public keys that assertions are signed with. Whoever serves it says what other paths are.
pub fn router() -> Router<AdminState> {
    let keys = |State(state): State<AdminState>| async move { jwks::answer(&state.published().config) };
    api::router().route(jwks::PATH, get(keys))
}
