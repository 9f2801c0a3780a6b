//! `DELETE /api/v1/session`.

use axum::{
    Extension,
    extract::State,
    http::{HeaderName, HeaderValue, StatusCode, header::SET_COOKIE},
    response::{IntoResponse, Response},
};

use crate::{
    admin::{
        caller::{Caller, KnownBy},
        guard::Peer,
        problem::Problem,
        session_cookie,
        state::AdminState,
    },
    control::administration::AdminError,
};

const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// Sign out: end the session that asks.
#[utoipa::path(
    delete,
    path = "/api/v1/session",
    tag = "sessions",
    responses((status = 204, description = "You are signed out."))
)]
pub(in crate::admin) async fn sign_out(
    State(state): State<AdminState>,
    caller: Caller,
    Extension(peer): Extension<Peer>,
) -> Result<Response, Problem> {
    let session = match &caller.by {
        KnownBy::Session(session) => session,
        KnownBy::Key => return Err(AdminError::NotFound("a key has no session to end".to_owned()).into()),
    };
    state.sign_in.sign_out(session, caller.address).await.map_err(AdminError::from)?;
    let mut answer = StatusCode::NO_CONTENT.into_response();
    let everything = HeaderValue::from_static("\"cache\", \"cookies\", \"storage\"");
    answer.headers_mut().insert(CLEAR_SITE_DATA, everything);
    if let Some(cookie) = session_cookie::end(peer) {
        answer.headers_mut().insert(SET_COOKIE, cookie);
    }
    Ok(answer)
}
