//! One-time links: to become the first owner, to accept an invitation, to sign in. To open one changes nothing, since mail
//! scanners and chats open links too; the button on the page uses it up.

use askama::Template;
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};

use super::{
    begun,
    denied::{Denied, dead_link},
    means,
};
use crate::{
    admin::{session_cookie, state::AdminState},
    console::{
        answer::{Failure, html_as},
        form::{Form, Typed},
        page::Page,
        visitor::Arrival,
    },
    control::{
        administration::Refusal,
        sign_in::{Password, SignInError, Token},
    },
    keys::record::{Email, Person, PersonId},
    policy::{principal::Role, project::ProjectSet},
    store::{accounts::LinkPurpose, contract::Access},
};

#[derive(Template)]
#[template(path = "welcome.html")]
struct WelcomePage {
    page: Page,
    token: String,
    form: Form,
}

#[derive(Template)]
#[template(path = "invitation.html")]
struct InvitationPage {
    page: Page,
    token: String,
    id: String,
    role: &'static str,
    means: &'static str,
    form: Form,
}

#[derive(Template)]
#[template(path = "link.html")]
struct LinkPage {
    page: Page,
    token: String,
    id: String,
}

/// The form for the first owner.
pub(super) async fn welcome(
    State(state): State<AdminState>,
    arrival: Arrival,
    Path(token): Path<String>,
) -> Result<Response, Failure> {
    match purpose(&state, &arrival, &token).await? {
        LinkPurpose::FirstOwner => Ok(welcome_page(StatusCode::OK, &token, Form::default())),
        LinkPurpose::Invitation(_) | LinkPurpose::SignIn(_) => Err(dead_link()),
    }
}

/// Makes the first owner, and signs them in.
pub(super) async fn become_owner(
    State(state): State<AdminState>,
    arrival: Arrival,
    Path(text): Path<String>,
    typed: Typed,
) -> Result<Response, Failure> {
    let token = readable(&arrival, &text)?;
    let again =
        |denied: Denied| denied.answer(|status, refusals| welcome_page(status, &text, typed.again(refusals)));
    let (person, password) = match (first_owner(&typed), new_password(&typed)) {
        (Ok(person), Ok(password)) => (person, password),
        (person, password) => {
            let wrong = person.err().into_iter().chain(password.err()).flatten().collect();
            return Ok(again(Denied::wrong(wrong)));
        }
    };
    let administration = state.on_its_own(arrival.peer.address);
    match state.sign_in.first_owner(administration, &token, &person, password, &arrival.origin).await {
        Ok(session) => begun(&state, &arrival, &session, "/").await,
        Err(error) => Ok(again(Denied::of(error, "id")?)),
    }
}

/// The form for whoever was invited.
pub(super) async fn invitation(
    State(state): State<AdminState>,
    arrival: Arrival,
    Path(token): Path<String>,
) -> Result<Response, Failure> {
    let invited = invited(&state, &arrival, &token).await?;
    Ok(invitation_page(StatusCode::OK, &token, &invited, Form::default()))
}

/// Gives whoever was invited their password, and signs them in.
pub(super) async fn accept(
    State(state): State<AdminState>,
    arrival: Arrival,
    Path(text): Path<String>,
    typed: Typed,
) -> Result<Response, Failure> {
    let token = readable(&arrival, &text)?;
    let denied = match new_password(&typed) {
        Ok(password) => match state.sign_in.accept_invitation(&token, password, &arrival.origin).await {
            Ok(session) => return begun(&state, &arrival, &session, "/").await,
            Err(error) => Denied::of(error, "password")?,
        },
        Err(wrong) => Denied::wrong(wrong),
    };
    let invited = invited(&state, &arrival, &text).await?;
    Ok(denied.answer(|status, refusals| invitation_page(status, &text, &invited, typed.again(refusals))))
}

/// The button that signs in.
pub(super) async fn link(
    State(state): State<AdminState>,
    arrival: Arrival,
    Path(token): Path<String>,
) -> Result<Response, Failure> {
    match purpose(&state, &arrival, &token).await? {
        LinkPurpose::SignIn(id) => {
            let page = LinkPage { page: Page::outside("Sign in"), token, id: id.to_string() };
            Ok(html_as(StatusCode::OK, &page))
        }
        LinkPurpose::FirstOwner | LinkPurpose::Invitation(_) => Err(dead_link()),
    }
}

/// Signs in whom the link is for.
pub(super) async fn follow(
    State(state): State<AdminState>,
    arrival: Arrival,
    Path(text): Path<String>,
) -> Result<Response, Failure> {
    let token = readable(&arrival, &text)?;
    match state.sign_in.with_link(&token, &arrival.origin).await {
        Ok(session) => begun(&state, &arrival, &session, "/").await,
        Err(error) => Err(refused(error)),
    }
}

/// The token in a link, where somebody may sign in from there.
fn readable(arrival: &Arrival, text: &str) -> Result<Token, Failure> {
    if let Some(why) = session_cookie::obstacle(arrival.peer) {
        return Err(Failure::forbidden(why));
    }
    Token::parse(text).ok_or_else(dead_link)
}

async fn purpose(state: &AdminState, arrival: &Arrival, text: &str) -> Result<LinkPurpose, Failure> {
    let token = readable(arrival, text)?;
    state.sign_in.link(&token, &arrival.origin).await.map_err(refused)
}

/// What went wrong where there is no form to tell it in.
fn refused(error: SignInError) -> Failure {
    match Denied::of(error, "") {
        Ok(denied) => denied.into_failure(),
        Err(failure) => failure,
    }
}

async fn invited(state: &AdminState, arrival: &Arrival, text: &str) -> Result<Person, Failure> {
    let id = match purpose(state, arrival, text).await? {
        LinkPurpose::Invitation(id) => id,
        LinkPurpose::FirstOwner | LinkPurpose::SignIn(_) => return Err(dead_link()),
    };
    let listener = state.on_its_own(arrival.peer.address);
    let mut transaction = listener.store().begin(Access::Read).await?;
    transaction.person(&id).await?.filter(|person| !person.disabled).ok_or_else(dead_link)
}

fn first_owner(typed: &Typed) -> Result<Person, Vec<Refusal>> {
    let id =
        PersonId::parse_new(typed.get("id").trim()).map_err(|error| Refusal::of("id", error.to_string()));
    let email =
        Email::parse(typed.get("email").trim()).map_err(|error| Refusal::of("email", error.to_string()));
    match (id, email) {
        (Ok(id), Ok(email)) => Ok(Person {
            id,
            email,
            name: None,
            organization: None,
            role: Role::Owner,
            projects: ProjectSet::All,
            disabled: false,
        }),
        (id, email) => Err(id.err().into_iter().chain(email.err()).collect()),
    }
}

/// The password that was typed twice.
pub(super) fn new_password(typed: &Typed) -> Result<Password, Vec<Refusal>> {
    if typed.get("password") != typed.get("again") {
        return Err(vec![Refusal::of("again", "This is another password than the one above.")]);
    }
    Ok(Password::typed(typed.secret("password")))
}

fn welcome_page(status: StatusCode, token: &str, form: Form) -> Response {
    let page = Page::outside("Become the first owner");
    html_as(status, &WelcomePage { page, token: token.to_owned(), form })
}

fn invitation_page(status: StatusCode, token: &str, invited: &Person, form: Form) -> Response {
    let page = InvitationPage {
        page: Page::outside("Welcome"),
        token: token.to_owned(),
        id: invited.id.to_string(),
        role: invited.role.as_str(),
        means: means(invited.role),
        form,
    };
    html_as(status, &page)
}
