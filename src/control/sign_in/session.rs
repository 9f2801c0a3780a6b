//! Sessions: begun anew at each sign-in, ended on the server (OWASP ASVS 5.0 §7.2–§7.4).

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use super::{Begun, Origin, Resumed, SignIn, SignInError, token::Token};
use crate::{
    control::{actor::Actor, managing_key},
    keys::{
        digest::KeyDigest,
        record::{KeyId, PersonId},
    },
    store::{
        accounts::Session,
        contract::{OwnedKey, StoreError, Transaction},
    },
    telemetry::audit::SignInEvent,
};

/// A use is written no more often.
const SEEN_EVERY: SignedDuration = SignedDuration::from_secs(60);

/// On whose behalf `session` acts.
pub fn actor(session: &Session) -> Actor {
    match session.key {
        Some(key) => Actor::Key(session.person.clone(), key),
        None => Actor::Person(session.person.clone()),
    }
}

impl SignIn {
    /// Begins a session of `person`, who showed who they are by `by`.
    pub(super) async fn begin(
        &self,
        person: &PersonId,
        key: Option<(KeyId, KeyDigest)>,
        by: &str,
        from: &Origin,
    ) -> Result<Begun, SignInError> {
        let (now, token) = (self.now(), Token::generate().map_err(no_randomness)?);
        let lifetimes = self.parts.lifetimes;
        let expires_at = after(now, lifetimes.absolute);
        let session = Session {
            token: token.digest(),
            id: new_id(key.as_ref().map(|(_, digest)| digest))?,
            person: person.clone(),
            key: key.map(|(id, _)| id),
            created_at: now,
            seen_at: now,
            idle_until: after(now, lifetimes.idle).min(expires_at),
            expires_at,
            address: from.address,
            agent: from.agent.clone(),
        };
        self.parts.accounts.put_session(&session).await?;
        self.tell(SignInEvent::SignedIn, Some(person), by, from.address).await;
        Ok(Begun { session, token })
    }

    /// The session of `token`, used now from `address`; `None` where it has ended. It ends with its person and with the
    /// secret of the key it was begun with. Writes that it was used, once a minute.
    ///
    /// # Errors
    /// Where the store cannot be read or written.
    pub async fn resume(
        &self,
        token: &Token,
        address: Option<IpAddr>,
    ) -> Result<Option<Resumed>, StoreError> {
        let now = self.now();
        let Some(mut session) = self.parts.accounts.session(token.digest(), now).await? else {
            return Ok(None);
        };
        let mut transaction = self.look().await?;
        let person = transaction.person(&session.person).await?.filter(|person| !person.disabled);
        let goes_on = match session.key {
            Some(key) => key_goes_on(&mut *transaction, &session, &key, now, address).await?,
            None => true,
        };
        drop(transaction);
        let Some(person) = person.filter(|_| goes_on) else {
            self.end(&session.person, &session.id, "person or key", address).await?;
            return Ok(None);
        };
        if now.duration_since(session.seen_at) >= SEEN_EVERY {
            session.seen_at = now;
            session.idle_until = after(now, self.parts.lifetimes.idle).min(session.expires_at);
            self.parts.accounts.see_session(session.token, now, session.idle_until).await?;
        }
        Ok(Some(Resumed { session, person }))
    }

    /// Ends `session`.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub async fn sign_out(&self, session: &Session, address: Option<IpAddr>) -> Result<(), StoreError> {
        self.end(&session.person, &session.id, "sign-out", address).await.map(drop)
    }

    /// Ends every session of `person`. How many.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub async fn sign_out_everywhere(
        &self,
        person: &PersonId,
        address: Option<IpAddr>,
    ) -> Result<u64, StoreError> {
        let ended = self.parts.accounts.end_sessions(person).await?;
        if ended > 0 {
            self.tell(SignInEvent::SignedOut, Some(person), "sign-out everywhere", address).await;
        }
        Ok(ended)
    }

    /// The sessions of `person`, the last used first.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn sessions(&self, person: &PersonId) -> Result<Vec<Session>, StoreError> {
        self.parts.accounts.sessions_of(person, self.now()).await
    }

    /// Ends the session of `person` that lists call `id`. Whether there was one.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub async fn end_session(
        &self,
        person: &PersonId,
        id: &str,
        address: Option<IpAddr>,
    ) -> Result<bool, StoreError> {
        self.end(person, id, "list of sessions", address).await
    }

    async fn end(
        &self,
        person: &PersonId,
        id: &str,
        by: &str,
        address: Option<IpAddr>,
    ) -> Result<bool, StoreError> {
        let was_there = self.parts.accounts.end_session(person, id).await?;
        if was_there {
            self.tell(SignInEvent::SignedOut, Some(person), by, address).await;
        }
        Ok(was_there)
    }
}

/// Whether the key that `session` was begun with is still good, with a secret that was good then.
async fn key_goes_on(
    transaction: &mut dyn Transaction,
    session: &Session,
    key: &KeyId,
    now: Timestamp,
    address: Option<IpAddr>,
) -> Result<bool, StoreError> {
    let Some(found) = managing_key::owned(transaction, key).await? else { return Ok(false) };
    let OwnedKey { key, owner } = found;
    let judged = managing_key::judge(&key, owner.as_ref(), address, now);
    let manages = judged.is_ok_and(|managing| managing.person.id == session.person);
    let mut secrets = managing_key::secrets(&key, now);
    Ok(manages && secrets.any(|digest| is_of_secret(&session.id, &digest)))
}

/// `ses_`, 16 hex digits, and where a key began it `_` and the mark of its secret: a rotation ends what the old secret
/// began.
fn new_id(secret: Option<&KeyDigest>) -> Result<String, StoreError> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(no_randomness)?;
    let mark = secret.map(|secret| format!("_{}", mark(secret))).unwrap_or_default();
    Ok(format!("ses_{:016x}{mark}", u64::from_be_bytes(random)))
}

fn is_of_secret(id: &str, secret: &KeyDigest) -> bool {
    id.rsplit_once('_').is_some_and(|(_, of)| of == mark(secret))
}

/// 64 bits of a hash of the digest, as hex: tells secrets apart and nothing else about them.
fn mark(secret: &KeyDigest) -> String {
    let hash = Sha256::new().chain_update(b"session").chain_update(secret.as_bytes()).finalize();
    format!("{:016x}", hash.iter().take(8).fold(0, |mark, byte| mark << 8 | u64::from(*byte)))
}

pub(super) fn after(now: Timestamp, duration: SignedDuration) -> Timestamp {
    now.checked_add(duration).unwrap_or(Timestamp::MAX)
}

pub(super) fn no_randomness(error: getrandom::Error) -> StoreError {
    StoreError::Failed(format!("the system gives no randomness: {error}"))
}
