//! `/sign-in` and `/sign-out`.

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::SET_COOKIE},
    response::Response,
};

use super::{begun, denied::Denied, next::Onward, resumed};
use crate::{
    admin::{guard::Peer, session_cookie, state::AdminState},
    console::{
        answer::{Failure, html_as, see_other},
        form::{Form, Query, Typed},
        page::Page,
        visitor::Arrival,
    },
    control::sign_in::{Begun, Password, Resumed, SignInError},
    keys::secret::KeySecret,
};

const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");
const REFRESH: HeaderName = HeaderName::from_static("refresh");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    page: Page,
    form: Form,
    with_password: bool,
    refused: Option<&'static str>,
    next: String,
}

/// The form; whoever is signed in goes on.
pub(super) async fn show(
    State(state): State<AdminState>,
    arrival: Arrival,
    headers: HeaderMap,
    query: Query,
) -> Result<Response, Failure> {
    let onward = Onward::parse(query.get("next").unwrap_or_default());
    if resumed(&state, &arrival).await?.is_some() {
        return Ok(see_other(onward.as_str()));
    }
    let mut answer = page(&state, arrival.peer, StatusCode::OK, Form::default(), &onward);
    // A link in a letter or on another site comes without the cookie, which is SameSite=Strict. From a page of ours it comes
    // with it: once more, from here.
    let is_from_elsewhere =
        headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "cross-site" || site == "same-site");
    if is_from_elsewhere && let Ok(again) = HeaderValue::try_from(format!("0; url={}", onward.sign_in())) {
        answer.headers_mut().insert(REFRESH, again);
    }
    Ok(answer)
}

/// Signs in with a password or a key.
pub(super) async fn sign_in(
    State(state): State<AdminState>,
    arrival: Arrival,
    typed: Typed,
) -> Result<Response, Failure> {
    let onward = Onward::parse(typed.get("next"));
    let peer = arrival.peer;
    if session_cookie::obstacle(peer).is_some() {
        return Ok(page(&state, peer, StatusCode::FORBIDDEN, Form::default(), &onward));
    }
    let is_key = !typed.get("key").trim().is_empty();
    let attempt = if is_key {
        with_key(&state, &arrival, &typed).await
    } else {
        with_password(&state, &arrival, &typed).await
    };
    match attempt {
        Ok(session) => begun(&state, &arrival, &session, onward.as_str()).await,
        Err(error) => {
            let denied = Denied::of(error, if is_key { "key" } else { "id" })?;
            Ok(denied.answer(|status, refusals| page(&state, peer, status, typed.again(refusals), &onward)))
        }
    }
}

async fn with_password(state: &AdminState, arrival: &Arrival, typed: &Typed) -> Result<Begun, SignInError> {
    let password = Password::typed(typed.secret("password"));
    state.sign_in.with_password(typed.get("id"), password, &arrival.origin).await
}

async fn with_key(state: &AdminState, arrival: &Arrival, typed: &Typed) -> Result<Begun, SignInError> {
    let secret = KeySecret::import(typed.secret("key")).ok_or(SignInError::Wrong)?;
    state.sign_in.with_key(&secret, &arrival.origin).await
}

/// Ends the session, here and in the browser. There need not be one.
pub(super) async fn sign_out(State(state): State<AdminState>, arrival: Arrival) -> Result<Response, Failure> {
    if let Some(Resumed { session, .. }) = resumed(&state, &arrival).await? {
        state.sign_in.sign_out(&session, arrival.peer.address).await?;
    }
    Ok(signed_out(arrival.peer))
}

/// The browser forgets what it has of this host, but for cookies: `"cookies"` would take those of every host of the domain.
pub(super) fn signed_out(peer: Peer) -> Response {
    let mut answer = see_other("/sign-in");
    let headers = answer.headers_mut();
    headers.insert(CLEAR_SITE_DATA, HeaderValue::from_static("\"cache\", \"storage\""));
    headers.extend(session_cookie::end(peer).map(|cookie| (SET_COOKIE, cookie)));
    answer
}

fn page(state: &AdminState, peer: Peer, status: StatusCode, form: Form, onward: &Onward) -> Response {
    let page = SignInPage {
        page: Page::outside("Sign in"),
        form,
        with_password: state.sign_in.keeps_passwords(),
        refused: session_cookie::obstacle(peer),
        next: onward.as_str().to_owned(),
    };
    html_as(status, &page)
}
