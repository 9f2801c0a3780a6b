//! Somebody who is signed in, and what their pages are made from.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header::USER_AGENT, request::Parts},
};
use jiff::Timestamp;

use super::{answer::Failure, form::Typed, page::Page, times::Time};
use crate::{
    admin::{
        caller::{Caller, KnownBy, peer},
        guard::Peer,
        problem::Problem,
        session_cookie,
        state::AdminState,
    },
    control::{
        administration::{Administration, Kept},
        sign_in::{Origin, Token},
    },
    keys::secret::SecretForm,
    live::Published,
    policy::reason::Reason,
    store::accounts::Session,
};

/// Somebody who is signed in and asks for a page; cheap to clone. Handlers of pages inside find it by extraction.
#[derive(Debug, Clone)]
pub struct Visitor(Arc<VisitorParts>);

/// The parts of a [`Visitor`].
#[derive(Debug)]
pub struct VisitorParts {
    /// Who.
    pub caller: Caller,
    /// What pages show and change.
    pub state: AdminState,
    /// When they asked.
    pub now: Timestamp,
}

impl Visitor {
    /// `caller`, who asks now.
    pub fn new(caller: Caller, state: AdminState) -> Self {
        let now = state.clock.now();
        Self(Arc::new(VisitorParts { caller, state, now }))
    }

    /// The records as they may see and change them.
    pub fn administration(&self) -> Administration {
        self.state.administration(&self.caller, None)
    }

    /// As [`Visitor::administration`], for what `typed` asks for: however often it is sent, it is done once.
    pub fn submitting(&self, typed: &Typed) -> Administration {
        self.state.administration(&self.caller, typed.submission(self.caller.actor.in_full()))
    }

    /// Whether a word of `text` is a key, or looks like one of ours.
    pub fn holds_secret(&self, text: &str) -> bool {
        let published = self.published();
        let is_secret = |word: &str| {
            SecretForm::parse(word.as_bytes()).is_some()
                || published.keys.as_ref().is_some_and(|keys| keys.is_or_looks_ours(word.as_bytes()))
        };
        let is_apart = |character: char| !(character.is_ascii_alphanumeric() || "-._~+".contains(character));
        text.split(is_apart).chain([text.trim()]).any(|word| !word.is_empty() && is_secret(word))
    }

    /// Whether keys are in files, which this console does not write.
    pub fn is_file_mode(&self) -> bool {
        self.key_file().is_some()
    }

    /// The key file, in file mode.
    pub fn key_file(&self) -> Option<String> {
        match &self.state.kept {
            Kept::Files { .. } | Kept::Served(_) => Some(self.state.kept.store().name().to_owned()),
            Kept::Database(_) => None,
        }
    }

    /// Whether they manage the organization.
    pub fn manages(&self) -> bool {
        self.caller.person.role.manages()
    }

    /// The frame of a page of theirs; `section` as in [`Page::section`].
    pub fn page(&self, title: impl Into<String>, section: &'static str) -> Page {
        Page::inside(&self.caller, self.key_file(), title, section)
    }

    /// `at` as they see it now.
    pub fn time(&self, at: Timestamp) -> Time {
        Time::new(at, self.now)
    }

    /// What is in force.
    pub fn published(&self) -> Arc<Published> {
        self.state.published()
    }

    /// The session they are known by.
    ///
    /// # Errors
    /// Where they show a key instead, which has none.
    pub fn session(&self) -> Result<&Session, Failure> {
        match &self.caller.by {
            KnownBy::Session(session) => Ok(session),
            KnownBy::Key => Err(Failure::conflict(
                "No session",
                "This is about the session of a browser, and you show a key. Sign in.",
            )),
        }
    }
}

impl std::ops::Deref for Visitor {
    type Target = VisitorParts;

    fn deref(&self) -> &VisitorParts {
        &self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let visitor = parts.extensions.get::<Self>().cloned();
        visitor.ok_or_else(|| Problem::of(Reason::KeyMissing, "Sign in to see this page.").into())
    }
}

/// Where a request comes from, signed in or not.
#[derive(Debug)]
pub struct Arrival {
    /// The other end.
    pub peer: Peer,
    /// As sessions remember it.
    pub origin: Origin,
    /// Of the session that the browser has. Of two nobody knows whose is whose: as if there were none.
    pub token: Option<Token>,
}

impl<S: Send + Sync> FromRequestParts<S> for Arrival {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let peer = peer(parts);
        let token = session_cookie::token(&parts.headers, peer).unwrap_or_default();
        Ok(Self { peer, origin: Origin::new(peer.address, agent(&parts.headers)), token })
    }
}

/// What the browser calls itself.
fn agent(headers: &HeaderMap) -> &str {
    headers.get(USER_AGENT).and_then(|field| field.to_str().ok()).unwrap_or_default()
}
