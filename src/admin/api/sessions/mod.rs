//! `/api/v1/session` and `/api/v1/sessions`: who asks, what they may, and from where else they are signed in.

pub(super) mod end;
pub(super) mod list;
pub(super) mod show;
pub(super) mod sign_out;

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    admin::caller::{Caller, KnownBy},
    store::accounts::Session,
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
            created_at: session.created_at.to_string(),
            seen_at: session.seen_at.to_string(),
            idle_until: session.idle_until.to_string(),
            expires_at: session.expires_at.to_string(),
            address: session.address.map(|address| address.to_string()),
            agent: session.agent.clone(),
        }
    }
}
