//! `/account`: where one is signed in, and one's password.

use askama::Template;
use axum::{extract::Path, http::StatusCode, response::Response};

use super::{begun, browser, denied::Denied, door::signed_out, links::new_password, means};
use crate::{
    admin::caller::KnownBy,
    console::{
        answer::{Failure, html_as, see_other},
        form::{Form, Query, Typed},
        page::{Notice, Page},
        times::Time,
        visitor::{Arrival, Visitor},
    },
    control::sign_in::Password,
    store::accounts::Session,
};

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    page: Page,
    id: String,
    email: String,
    role: &'static str,
    means: &'static str,
    with_password: bool,
    form: Form,
    sessions: Vec<SessionRow>,
}

/// A session as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// What lists call it.
    pub id: String,
    /// The browser.
    pub client: String,
    /// From where it was begun.
    pub address: String,
    /// Since when.
    pub began: Time,
    /// When it was last used.
    pub used: Time,
    /// Whether it is the one that asks.
    pub this: bool,
}

impl SessionRow {
    /// `session`, as `visitor` sees it.
    pub fn new(session: &Session, visitor: &Visitor) -> Self {
        let this = match &visitor.caller.by {
            KnownBy::Session(own) => own.id == session.id,
            KnownBy::Key => false,
        };
        Self {
            id: session.id.clone(),
            client: browser(&session.agent),
            address: session.address.map_or_else(|| "this machine".to_owned(), |address| address.to_string()),
            began: visitor.time(session.created_at),
            used: visitor.time(session.seen_at),
            this,
        }
    }
}

/// Sessions, and the form for another password.
pub(super) async fn show(visitor: Visitor, query: Query) -> Result<Response, Failure> {
    let notice = match query.get("done") {
        Some("password") => {
            Some(Notice::ok("Your password is changed, and you are signed out everywhere else."))
        }
        Some("ended") => Some(Notice::ok("That session has ended.")),
        Some(_) | None => None,
    };
    let sessions = sessions(&visitor).await?;
    Ok(account(&visitor, StatusCode::OK, Form::default(), notice, sessions))
}

/// Another password: every other session ends.
pub(super) async fn change_password(
    visitor: Visitor,
    arrival: Arrival,
    typed: Typed,
) -> Result<Response, Failure> {
    let session = visitor.session()?;
    let denied = match new_password(&typed) {
        Ok(new) => {
            let current = Password::typed(typed.secret("current"));
            match visitor.state.sign_in.change_password(session, current, new, &arrival.origin).await {
                Ok(session) => {
                    return begun(&visitor.state, &arrival, &session, "/account?done=password").await;
                }
                Err(error) => Denied::of(error, "current")?,
            }
        }
        Err(wrong) => Denied::wrong(wrong),
    };
    let sessions = sessions(&visitor).await?;
    Ok(denied.answer(|status, refusals| account(&visitor, status, typed.again(refusals), None, sessions)))
}

/// Ends one session.
pub(super) async fn end_session(
    visitor: Visitor,
    arrival: Arrival,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let (sign_in, person) = (&visitor.state.sign_in, &visitor.caller.person.id);
    sign_in.end_session(person, &id, arrival.peer.address).await?;
    Ok(see_other("/account?done=ended"))
}

/// Ends every session, this one too.
pub(super) async fn sign_out_everywhere(visitor: Visitor, arrival: Arrival) -> Result<Response, Failure> {
    let (sign_in, person) = (&visitor.state.sign_in, &visitor.caller.person.id);
    sign_in.sign_out_everywhere(person, arrival.peer.address).await?;
    Ok(signed_out(arrival.peer))
}

async fn sessions(visitor: &Visitor) -> Result<Vec<SessionRow>, Failure> {
    let sessions = visitor.state.sign_in.sessions(&visitor.caller.person.id).await?;
    Ok(sessions.iter().map(|session| SessionRow::new(session, visitor)).collect())
}

fn account(
    visitor: &Visitor,
    status: StatusCode,
    form: Form,
    notice: Option<Notice>,
    sessions: Vec<SessionRow>,
) -> Response {
    let person = &visitor.caller.person;
    let page = AccountPage {
        page: visitor.page("Your account", "account").noticing(notice),
        id: person.id.to_string(),
        email: person.email.to_string(),
        role: person.role.as_str(),
        means: means(person.role),
        with_password: visitor.state.sign_in.keeps_passwords(),
        form,
        sessions,
    };
    html_as(status, &page)
}
