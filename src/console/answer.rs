//! Answers: pages, redirects, and pages that say what went wrong.

use askama::Template;
use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};

use super::{compression::Secret, page::Page, parts::Link};
use crate::{
    admin::{paste::PasteView, problem::Problem},
    control::administration::AdminError,
    policy::reason::Reason,
    store::contract::StoreError,
};

/// A page. What every answer of the listener carries, such as `no-store`, is added to it later.
pub fn html(template: &impl Template) -> Response {
    html_as(StatusCode::OK, template)
}

/// A page with another status.
pub fn html_as(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => (status, [(CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page cannot be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A page that shows a secret, this once.
pub fn html_with_secret(template: &impl Template) -> Response {
    let mut answer = html(template);
    answer.extensions_mut().insert(Secret);
    answer
}

/// Go on with GET at `path`, which must be one of ours (RFC 9110 §15.4.4).
pub fn see_other(path: &str) -> Response {
    let Ok(path) = HeaderValue::from_str(path) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    (StatusCode::SEE_OTHER, [(LOCATION, path)]).into_response()
}

/// Why there is no such page. As an answer it has the frame of who is not signed in, unless [`super::entrance::enter`] puts
/// it into the other.
#[derive(Debug, Clone)]
pub struct Failure(Box<Failed>);

#[derive(Debug, Clone)]
struct Failed {
    problem: Problem,
    back: Option<Link>,
}

impl Failure {
    /// There is nothing at this address.
    pub fn no_page() -> Self {
        Self::not_found("There is no page at this address.")
    }

    /// There is no such record, or none that they may see.
    pub fn not_found(what: &'static str) -> Self {
        Problem::of(Reason::NotFound, what).into()
    }

    /// Whoever asks may not, and is told why.
    pub fn forbidden(why: impl Into<String>) -> Self {
        AdminError::Forbidden(why.into()).into()
    }

    /// It cannot be done as things are.
    pub fn conflict(title: &'static str, why: impl Into<Box<str>>) -> Self {
        Problem::new(StatusCode::CONFLICT, "conflict", title, why).into()
    }

    /// The failure, with where to go from there.
    pub fn leading(mut self, back: Link) -> Self {
        self.0.back = Some(back);
        self
    }

    /// What the page is called.
    pub(super) fn title(&self) -> &str {
        &self.0.problem.title
    }

    /// The page, in the frame of whoever is signed in.
    pub(super) fn inside(&self, page: Page) -> Response {
        let Failed { problem, back } = &*self.0;
        if let Some(paste) = &problem.paste {
            return to_paste(page, &problem.detail, paste);
        }
        let (title, detail) = (problem.title.to_string(), problem.detail.to_string());
        let page = ErrorPage { page, status: problem.status, title, detail, back: back.clone() };
        html_as(problem.status_code(), &page)
    }

    fn outside(&self) -> Response {
        let Failed { problem, back } = &*self.0;
        let (title, detail) = (problem.title.to_string(), problem.detail.to_string());
        let back = back.clone().or_else(|| Some(Link::new("/", "Go to the console")));
        let page = ClosedPage { page: Page::outside(&*title), status: problem.status, title, detail, back };
        html_as(problem.status_code(), &page)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut answer = self.outside();
        if answer.status() == StatusCode::UNAUTHORIZED {
            answer.headers_mut().insert(WWW_AUTHENTICATE, CHALLENGE);
        }
        answer.extensions_mut().insert(self);
        answer
    }
}

/// What a 401 has to say (RFC 9110 §15.5.2); no browser asks for a password because of it.
pub(super) const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"keygate admin\"");

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(Box::new(Failed { problem, back: None }))
    }
}

impl From<AdminError> for Failure {
    fn from(error: AdminError) -> Self {
        Problem::from(error).into()
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        AdminError::Store(error).into()
    }
}

/// What somebody asked for, as what they have to put into a key file. Its secret, if it has one, is shown this once.
fn to_paste(page: Page, text: &str, paste: &PasteView) -> Response {
    let back = match &paste.key {
        Some(_) => Link::new("/keys", "API keys"),
        None => Link::new("/", "Overview"),
    };
    html_with_secret(&PastePage {
        page,
        title: "Put this into the key file".to_owned(),
        text: text.to_owned(),
        file: paste.file.clone(),
        yaml: paste.yaml.clone(),
        secret: paste.secret().map(str::to_owned),
        curl: CURL.to_owned(),
        back,
    })
}

/// How a new secret is tried, without it: what is typed stays in no shell history.
const CURL: &str = "read -rs KEY && curl --header \"Authorization: Bearer $KEY\" http://127.0.0.1:8080/";

#[derive(Template)]
#[template(path = "paste.html")]
struct PastePage {
    page: Page,
    title: String,
    text: String,
    file: String,
    yaml: String,
    secret: Option<String>,
    curl: String,
    back: Link,
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    page: Page,
    status: u16,
    title: String,
    detail: String,
    back: Option<Link>,
}

#[derive(Template)]
#[template(path = "closed.html")]
struct ClosedPage {
    page: Page,
    status: u16,
    title: String,
    detail: String,
    back: Option<Link>,
}
