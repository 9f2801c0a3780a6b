//! Signing in and out, and one's own account.

mod account;
mod browser;
mod denied;
mod door;
mod links;
pub mod next;

use axum::{
    Router,
    http::header::SET_COOKIE,
    response::Response,
    routing::{get, post},
};

pub use self::{account::SessionRow, browser::browser};
use super::{
    answer::{Failure, see_other},
    visitor::Arrival,
};
use crate::{
    admin::{session_cookie, state::AdminState},
    control::sign_in::{Begun, Resumed},
    policy::principal::Role,
};

/// What one reaches without being signed in.
pub fn router() -> Router<AdminState> {
    Router::new()
        .route("/sign-in", get(door::show).post(door::sign_in))
        .route("/sign-out", post(door::sign_out))
        .route("/welcome/{token}", get(links::welcome).post(links::become_owner))
        .route("/invitation/{token}", get(links::invitation).post(links::accept))
        .route("/link/{token}", get(links::link).post(links::follow))
}

/// One's own account.
pub fn account_router() -> Router<AdminState> {
    Router::new()
        .route("/account", get(account::show))
        .route("/account/password", post(account::change_password))
        .route("/account/sessions/{id}/end", post(account::end_session))
        .route("/account/sign-out-everywhere", post(account::sign_out_everywhere))
}

/// What a role allows, in a sentence.
pub fn means(role: Role) -> &'static str {
    match role {
        Role::Owner => "may do everything, and make others owner.",
        Role::Admin => "manages the keys, people and projects of the organization.",
        Role::Member => "has keys that by default may read and write.",
        Role::Viewer => "has keys that by default may read.",
    }
}

/// A session begins, and its owner goes on at `path`. Whoever was signed in there before is not any more.
async fn begun(
    state: &AdminState,
    arrival: &Arrival,
    begun: &Begun,
    path: &str,
) -> Result<Response, Failure> {
    if let Some(Resumed { session, .. }) = resumed(state, arrival).await? {
        state.sign_in.sign_out(&session, arrival.peer.address).await?;
    }
    let mut answer = see_other(path);
    let cookie = session_cookie::begin(&begun.token, arrival.peer);
    answer.headers_mut().extend(cookie.map(|cookie| (SET_COOKIE, cookie)));
    Ok(answer)
}

/// The session that a request has.
async fn resumed(state: &AdminState, arrival: &Arrival) -> Result<Option<Resumed>, Failure> {
    let Some(token) = &arrival.token else { return Ok(None) };
    Ok(state.sign_in.resume(token, arrival.peer.address).await?)
}
