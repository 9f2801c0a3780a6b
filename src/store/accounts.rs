//! What people sign in with: passwords, one-time links and sessions. None of it decides about a request to the API
//! behind the gateway, so nothing here raises a revision.
//!
//! A database keeps it in tables of its own; where keys are files, `MemoryAccounts` keeps
//! sessions for the life of the process. Tokens are stored as digests alone: whoever reads the store signs in as nobody.

use std::{fmt, net::IpAddr};

use jiff::Timestamp;

use super::contract::Task;
use crate::keys::record::{KeyId, PersonId};

/// SHA-256 of a token with 256 bit of randomness: the token of a link or of a session.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenDigest(pub [u8; 32]);

impl fmt::Debug for TokenDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TokenDigest(…)")
    }
}

/// The password of a person as argon2id left it.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    /// In the PHC string format, with its salt and costs.
    pub phc: String,
    /// Since when.
    pub set_at: Timestamp,
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PasswordHash(…, {})", self.set_at)
    }
}

/// What a one-time link lets whoever has it do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LinkPurpose {
    /// Become the first owner, while there is none.
    FirstOwner,
    /// Give oneself a password, as this person.
    Invitation(PersonId),
    /// Sign in as this person.
    SignIn(PersonId),
}

/// A link that works once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Of its token.
    pub token: TokenDigest,
    /// What for.
    pub purpose: LinkPurpose,
    /// Who made it: an actor as audit records name them, or the place of a gateway.
    pub made_by: String,
    /// From when on it does nothing.
    pub expires_at: Timestamp,
}

/// Somebody who signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Of the token in the cookie.
    pub token: TokenDigest,
    /// What lists call it; opens nothing.
    pub id: String,
    /// Who.
    pub person: PersonId,
    /// The key they signed in with, whose end is the session's.
    pub key: Option<KeyId>,
    /// Since when.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub seen_at: Timestamp,
    /// When it ends unless it is used.
    pub idle_until: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// From where it was begun.
    pub address: Option<IpAddr>,
    /// What the browser called itself; at most 200 characters, and not to be trusted.
    pub agent: String,
}

/// Keeps passwords, links and sessions. Every change is whole or not at all.
pub trait Accounts: Send + Sync + fmt::Debug {
    /// Whether passwords can be kept; without, people sign in with keys.
    fn keeps_passwords(&self) -> bool;

    /// The password of `person`, if they have one.
    fn password<'a>(&'a self, person: &'a PersonId) -> Task<'a, Option<PasswordHash>>;

    /// Gives `person` this password and ends every session and link of theirs.
    ///
    /// # Errors
    /// Also where passwords cannot be kept.
    fn set_password<'a>(&'a self, person: &'a PersonId, password: &'a PasswordHash) -> Task<'a, ()>;

    /// Puts `after`, of the same password, in the place of `before`, where that is still the one. Sessions and links stay.
    fn rehash<'a>(
        &'a self,
        person: &'a PersonId,
        before: &'a PasswordHash,
        after: &'a PasswordHash,
    ) -> Task<'a, ()>;

    /// Adds a link. It takes the place of the one with the same purpose, if there is one.
    fn put_link<'a>(&'a self, link: &'a Link) -> Task<'a, ()>;

    /// The link of this token, if it has not expired at `now`.
    fn link(&self, token: TokenDigest, now: Timestamp) -> Task<'_, Option<Link>>;

    /// The link for this, if there is one that has not expired at `now`.
    fn link_for<'a>(&'a self, purpose: &'a LinkPurpose, now: Timestamp) -> Task<'a, Option<Link>>;

    /// Uses the link of this token up. Of two that do so at once, one gets it.
    fn take_link(&self, token: TokenDigest, now: Timestamp) -> Task<'_, Option<Link>>;

    /// Ends the link for this, if there is one: it can no longer be used.
    fn end_link<'a>(&'a self, purpose: &'a LinkPurpose) -> Task<'a, ()>;

    /// Begins a session. Sessions that have ended are removed, and of those of one person the oldest beyond
    /// [`SESSIONS_MAX`].
    fn put_session<'a>(&'a self, session: &'a Session) -> Task<'a, ()>;

    /// The session of this token, if it has not ended at `now`.
    fn session(&self, token: TokenDigest, now: Timestamp) -> Task<'_, Option<Session>>;

    /// Says that a session was used.
    fn see_session(&self, token: TokenDigest, seen_at: Timestamp, idle_until: Timestamp) -> Task<'_, ()>;

    /// The sessions of `person` that have not ended at `now`, the last used first.
    fn sessions_of<'a>(&'a self, person: &'a PersonId, now: Timestamp) -> Task<'a, Vec<Session>>;

    /// Ends the session of `person` that lists call `id`. Whether there was one.
    fn end_session<'a>(&'a self, person: &'a PersonId, id: &'a str) -> Task<'a, bool>;

    /// Ends every session of `person`. How many.
    fn end_sessions<'a>(&'a self, person: &'a PersonId) -> Task<'a, u64>;
}

/// Sessions that one person may have.
pub const SESSIONS_MAX: usize = 50;
