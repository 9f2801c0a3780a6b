//! Links and sessions for the life of the process, where keys are files. Passwords need a database.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;

use super::{
    accounts::{Accounts, Link, LinkPurpose, PasswordHash, SESSIONS_MAX, Session, TokenDigest},
    contract::{StoreError, Task},
};
use crate::keys::record::PersonId;

/// Links that are kept; the next takes the place of the one that would have expired first.
const LINKS_MAX: usize = 1000;

/// Sessions of all people that are kept; the next takes the place of the one that was not used for longest.
const ALL_SESSIONS_MAX: usize = 10_000;

/// See the module.
#[derive(Debug, Default)]
pub struct MemoryAccounts(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    links: HashMap<LinkPurpose, Link>,
    sessions: HashMap<TokenDigest, Session>,
}

impl MemoryAccounts {
    fn with<'a, T: Send + 'a>(&self, act: impl FnOnce(&mut Kept) -> T) -> Task<'a, T> {
        let done = act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
        Box::pin(std::future::ready(Ok(done)))
    }
}

impl Kept {
    fn link(&self, token: TokenDigest, now: Timestamp) -> Option<&Link> {
        self.links.values().find(|link| link.token == token && link.expires_at > now)
    }

    fn put_link(&mut self, link: &Link) {
        self.links.insert(link.purpose.clone(), link.clone());
        if self.links.len() > LINKS_MAX {
            let others = self.links.values().filter(|other| other.purpose != link.purpose);
            let first = others.min_by_key(|other| other.expires_at).map(|other| other.purpose.clone());
            first.and_then(|first| self.links.remove(&first));
        }
    }

    fn put_session(&mut self, session: &Session) {
        self.sessions.retain(|_, other| is_open(other, session.created_at));
        let mine = self.sessions.values().filter(|other| other.person == session.person);
        let (count, oldest) = (mine.clone().count(), mine.min_by_key(|other| other.created_at));
        let least_used = || self.sessions.values().min_by_key(|other| other.seen_at);
        let leaves = if count >= SESSIONS_MAX {
            oldest
        } else if self.sessions.len() >= ALL_SESSIONS_MAX {
            least_used()
        } else {
            None
        };
        if let Some(token) = leaves.map(|session| session.token) {
            self.sessions.remove(&token);
        }
        self.sessions.insert(session.token, session.clone());
    }

    fn sessions_of(&self, person: &PersonId, now: Timestamp) -> Vec<Session> {
        let mine =
            self.sessions.values().filter(|session| session.person == *person && is_open(session, now));
        let mut sessions: Vec<_> = mine.cloned().collect();
        sessions.sort_by(|a, b| (b.seen_at, b.created_at, &b.id).cmp(&(a.seen_at, a.created_at, &a.id)));
        sessions
    }

    /// How many sessions end.
    fn end_sessions(&mut self, ends: impl Fn(&Session) -> bool) -> u64 {
        let before = self.sessions.len();
        self.sessions.retain(|_, session| !ends(session));
        (before - self.sessions.len()) as u64
    }
}

fn is_open(session: &Session, now: Timestamp) -> bool {
    session.idle_until > now && session.expires_at > now
}

impl Accounts for MemoryAccounts {
    fn keeps_passwords(&self) -> bool {
        false
    }

    fn password<'a>(&'a self, _: &'a PersonId) -> Task<'a, Option<PasswordHash>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn set_password<'a>(&'a self, _: &'a PersonId, _: &'a PasswordHash) -> Task<'a, ()> {
        let why = "passwords are kept in a database alone; here people sign in with keys";
        Box::pin(std::future::ready(Err(StoreError::Refused(vec![why.to_owned()]))))
    }

    fn rehash<'a>(&'a self, _: &'a PersonId, _: &'a PasswordHash, _: &'a PasswordHash) -> Task<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn put_link<'a>(&'a self, link: &'a Link) -> Task<'a, ()> {
        self.with(|kept| kept.put_link(link))
    }

    fn link(&self, token: TokenDigest, now: Timestamp) -> Task<'_, Option<Link>> {
        self.with(|kept| kept.link(token, now).cloned())
    }

    fn link_for<'a>(&'a self, purpose: &'a LinkPurpose, now: Timestamp) -> Task<'a, Option<Link>> {
        self.with(|kept| kept.links.get(purpose).filter(|link| link.expires_at > now).cloned())
    }

    fn take_link(&self, token: TokenDigest, now: Timestamp) -> Task<'_, Option<Link>> {
        self.with(|kept| {
            let purpose = kept.link(token, now)?.purpose.clone();
            kept.links.remove(&purpose)
        })
    }

    fn end_link<'a>(&'a self, purpose: &'a LinkPurpose) -> Task<'a, ()> {
        self.with(|kept| drop(kept.links.remove(purpose)))
    }

    fn put_session<'a>(&'a self, session: &'a Session) -> Task<'a, ()> {
        self.with(|kept| kept.put_session(session))
    }

    fn session(&self, token: TokenDigest, now: Timestamp) -> Task<'_, Option<Session>> {
        self.with(|kept| kept.sessions.get(&token).filter(|session| is_open(session, now)).cloned())
    }

    fn see_session(&self, token: TokenDigest, seen_at: Timestamp, idle_until: Timestamp) -> Task<'_, ()> {
        self.with(|kept| {
            if let Some(session) = kept.sessions.get_mut(&token) {
                (session.seen_at, session.idle_until) = (seen_at, idle_until);
            }
        })
    }

    fn sessions_of<'a>(&'a self, person: &'a PersonId, now: Timestamp) -> Task<'a, Vec<Session>> {
        self.with(|kept| kept.sessions_of(person, now))
    }

    fn end_session<'a>(&'a self, person: &'a PersonId, id: &'a str) -> Task<'a, bool> {
        self.with(|kept| kept.end_sessions(|session| session.person == *person && session.id == id) > 0)
    }

    fn end_sessions<'a>(&'a self, person: &'a PersonId) -> Task<'a, u64> {
        self.with(|kept| kept.end_sessions(|session| session.person == *person))
    }
}
