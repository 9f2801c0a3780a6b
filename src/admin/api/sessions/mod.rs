//! `/api/v1/session` and `/api/v1/sessions`: who asks, what they may, and from where else they are signed in.

pub(super) mod end;
pub(super) mod list;
pub(super) mod show;
pub(super) mod sign_out;

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    admin::caller::{Caller, KnownBy},
    store::{accounts::Session, record_yaml::instant},
};

/// A session.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct SessionView {
    /// What to call it; opens nothing.
    id: String,
    /// Whether it is the one that asks.
    current: bool,
    /// The id of the key they signed in with, whose end is the session's.
    key: Option<String>,
    /// Since when.
    created_at: String,
    /// When it was last used, to the minute.
    seen_at: String,
    /// When it ends unless it is used.
    idle_until: String,
    /// When it ends.
    expires_at: String,
    /// From where it was begun.
    address: Option<String>,
    /// What the browser called itself, which anybody can claim.
    agent: String,
}

impl SessionView {
    fn new(session: &Session, caller: &Caller) -> Self {
        let current = match &caller.by {
            KnownBy::Session(own) => own.id == session.id,
            KnownBy::Key => false,
        };
        Self {
            id: session.id.clone(),
            current,
            key: session.key.map(|key| key.to_string()),
            created_at: instant(session.created_at),
            seen_at: instant(session.seen_at),
            idle_until: instant(session.idle_until),
            expires_at: instant(session.expires_at),
            address: session.address.map(|address| address.to_string()),
            agent: session.agent.clone(),
        }
    }
}
