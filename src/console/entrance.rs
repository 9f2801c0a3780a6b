//! The way into pages that one sees signed in: who is not is sent to sign in, and comes back to where they wanted to go.

use axum::{
    extract::{Request, State},
    http::{Method, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{
    answer::{Failure, see_other},
    parts::Link,
    reference,
    sign_in::next::Onward,
    visitor::Visitor,
};
use crate::admin::{
    caller::{Unknown, identify, peer},
    guard::is_api,
    problem::Problem,
    state::AdminState,
};

/// Lets in who is signed in. What fails inside is told in their frame.
pub async fn enter(State(state): State<AdminState>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    if is_api(parts.uri.path()) && parts.uri.path() != reference::PATH {
        return Problem::not_found().into_response();
    }
    let caller = match identify(&parts.headers, peer(&parts), &state).await {
        Ok(caller) => caller,
        Err(unknown) => return stranger(&parts, unknown),
    };
    let visitor = Visitor::new(caller, state);
    parts.extensions.insert(visitor.clone());
    let answer = next.run(Request::from_parts(parts, body)).await;
    match answer.extensions().get::<Failure>() {
        Some(failure) => failure.inside(visitor.page(failure.title(), "")),
        None => answer,
    }
}

/// There is no page at this address.
pub async fn no_page() -> Failure {
    Failure::no_page()
}

fn stranger(parts: &Parts, unknown: Unknown) -> Response {
    let is_session_missing = matches!(unknown, Unknown::NoCredential | Unknown::NoSession);
    // A part of a page that asks for news of itself has to learn that it gets none.
    let is_part = parts.uri.path().ends_with("/live");
    if is_session_missing && !is_part && [Method::GET, Method::HEAD].contains(&parts.method) {
        let wanted = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        return see_other(&Onward::parse(wanted).sign_in());
    }
    let problem = Problem::from(unknown);
    Failure::from(problem).leading(Link::new("/sign-in", "Sign in")).into_response()
}
