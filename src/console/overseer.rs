//! Pages for owners and admins.

use axum::{extract::FromRequestParts, http::request::Parts};

use super::{answer::Failure, parts::Link, visitor::Visitor};

/// An owner or admin who is signed in; everybody else is told, in words, that the page is not for them.
#[derive(Debug, Clone)]
pub struct Overseer(Visitor);

impl std::ops::Deref for Overseer {
    type Target = Visitor;

    fn deref(&self) -> &Visitor {
        &self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Overseer {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let visitor = Visitor::from_request_parts(parts, state).await?;
        if visitor.manages() {
            return Ok(Self(visitor));
        }
        let person = &visitor.caller.person;
        let why = format!(
            "{} is {}. Owners and admins of the organization see this page.",
            person.id,
            person.role.as_str()
        );
        Err(Failure::forbidden(why).leading(Link::new("/", "Go to the overview")))
    }
}
