//! Who sends a request to the admin API: somebody who shows a key that manages, or whose browser has a session.

use std::net::IpAddr;

use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{AUTHORIZATION, WWW_AUTHENTICATE},
        request::Parts,
    },
    response::{IntoResponse, Response},
};

use super::{
    guard::Peer,
    problem::Problem,
    session_cookie::{self, TwoSessions},
    state::AdminState,
};
use crate::{
    control::{
        actor::Actor,
        administration::AdminError,
        managing_key::{self, NoKey, Unfit},
        sign_in::{self, Resumed, Token},
    },
    keys::{
        digest::KeyDigest,
        record::{KeyStatus, Person},
    },
    policy::reason::Reason,
    store::{
        accounts::Session,
        contract::{Access, OwnedKey, StoreError},
    },
};

/// Who sends a request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who changes records.
    pub actor: Actor,
    /// The person.
    pub person: Person,
    /// From where.
    pub address: Option<IpAddr>,
    /// How they are known.
    pub by: KnownBy,
}

/// How a caller is known.
#[derive(Debug, Clone)]
pub enum KnownBy {
    /// By a key.
    Key,
    /// By a session.
    Session(Box<Session>),
}

/// Why a caller is not known. Each says as much as helps whoever holds a good credential.
#[derive(Debug)]
pub enum Unknown {
    /// There is no credential.
    NoCredential,
    /// There are two, or one that is none.
    Malformed(&'static str),
    /// No key has this secret.
    NoKey,
    /// The key does not manage.
    Key(Unfit),
    /// The session has ended, or there never was one.
    NoSession,
    /// The store cannot tell.
    Store(StoreError),
}

impl From<StoreError> for Unknown {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl FromRequestParts<AdminState> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &AdminState) -> Result<Self, Response> {
        let caller = identify(&parts.headers, peer(parts), state).await;
        caller.map_err(IntoResponse::into_response)
    }
}

impl OptionalFromRequestParts<AdminState> for Caller {
    type Rejection = Response;

    /// `None` for whoever shows nothing, or an ended session.
    async fn from_request_parts(parts: &mut Parts, state: &AdminState) -> Result<Option<Self>, Response> {
        match identify(&parts.headers, peer(parts), state).await {
            Ok(caller) => Ok(Some(caller)),
            Err(Unknown::NoCredential | Unknown::NoSession) => Ok(None),
            Err(unknown) => Err(unknown.into_response()),
        }
    }
}

/// Where a request comes from; nowhere that is trusted, if nothing says it.
pub fn peer(parts: &Parts) -> Peer {
    let nowhere = Peer { address: None, is_loopback: false, is_secure: false };
    parts.extensions.get::<Peer>().copied().unwrap_or(nowhere)
}

/// Who sends a request with these headers.
///
/// # Errors
/// Why nobody knows.
pub async fn identify(headers: &HeaderMap, peer: Peer, state: &AdminState) -> Result<Caller, Unknown> {
    let token = session_cookie::token(headers, peer).map_err(|TwoSessions| {
        Unknown::Malformed("there are two session cookies; delete them and sign in")
    })?;
    match (bearer(headers)?, token) {
        (Some(_), Some(_)) => Err(Unknown::Malformed("show a key or a session, not both")),
        (Some(secret), None) => by_key(secret, peer.address, state).await,
        (None, Some(token)) => by_session(&token, peer.address, state).await,
        (None, None) => Err(Unknown::NoCredential),
    }
}

async fn by_session(token: &Token, address: Option<IpAddr>, state: &AdminState) -> Result<Caller, Unknown> {
    let resumed = state.sign_in.resume(token, address).await?;
    let Resumed { session, person } = resumed.ok_or(Unknown::NoSession)?;
    let actor = sign_in::actor(&session);
    Ok(Caller { actor, person, address, by: KnownBy::Session(Box::new(session)) })
}

async fn by_key(secret: &[u8], address: Option<IpAddr>, state: &AdminState) -> Result<Caller, Unknown> {
    let (mut transaction, now) = (state.kept.store().begin(Access::Read).await?, state.clock.now());
    let found = managing_key::with_secret(&mut *transaction, KeyDigest::of(secret), now).await?;
    let OwnedKey { key, owner } = found.map_err(|NoKey { was_of: _ }| Unknown::NoKey)?;
    let managing = managing_key::judge(&key, owner.as_ref(), address, now).map_err(Unknown::Key)?;
    Ok(Caller { actor: managing.actor(), person: managing.person, address, by: KnownBy::Key })
}

/// The credential of `Authorization: Bearer` (RFC 6750 §2.1).
fn bearer(headers: &HeaderMap) -> Result<Option<&[u8]>, Unknown> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        let twice = Unknown::Malformed("there are two Authorization fields; send one");
        return if headers.contains_key(AUTHORIZATION) { Err(twice) } else { Ok(None) };
    };
    let (scheme, secret) = field.as_bytes().split_at_checked(7).unwrap_or_default();
    if !scheme.eq_ignore_ascii_case(b"bearer ") || secret.is_empty() {
        return Err(Unknown::Malformed("send the key as Authorization: Bearer KEY"));
    }
    Ok(Some(secret))
}

impl From<Unknown> for Problem {
    fn from(unknown: Unknown) -> Self {
        let detail = |reason: Reason, detail: &'static str| Self::of(reason, detail);
        match unknown {
            Unknown::NoCredential => detail(
                Reason::KeyMissing,
                "Send a key that carries keygate:manage as Authorization: Bearer KEY, or sign in.",
            ),
            Unknown::NoSession => detail(Reason::KeyMissing, "The session has ended; sign in again."),
            Unknown::Malformed(what) => detail(Reason::KeyMalformed, what),
            Unknown::NoKey => detail(Reason::KeyUnknown, "No key has this secret."),
            Unknown::Key(Unfit::Ended(KeyStatus::Revoked)) => {
                detail(Reason::KeyRevoked, "The key was revoked.")
            }
            Unknown::Key(Unfit::Ended(KeyStatus::Expired)) => {
                detail(Reason::KeyExpired, "The key has expired.")
            }
            Unknown::Key(Unfit::Ended(KeyStatus::NotYetValid)) => {
                detail(Reason::KeyNotYetValid, "The key does not work yet.")
            }
            Unknown::Key(Unfit::Ended(KeyStatus::OwnerDisabled | KeyStatus::Active)) => {
                detail(Reason::KeyOwnerDisabled, "The person this key belongs to is disabled.")
            }
            Unknown::Key(Unfit::Address) => {
                detail(Reason::AddressNotAllowed, "The key may not be used from this address.")
            }
            Unknown::Key(Unfit::Scope) => {
                detail(Reason::ScopeInsufficient, "The key does not carry keygate:manage.")
            }
            Unknown::Key(Unfit::Owner) => detail(
                Reason::ScopeInsufficient,
                "The key carries keygate:manage, but does not belong to an owner or admin.",
            ),
            Unknown::Store(error) => AdminError::from(error).into(),
        }
    }
}

impl IntoResponse for Unknown {
    /// With the challenge of RFC 6750 §3 where it is a 401.
    fn into_response(self) -> Response {
        let problem = Problem::from(self);
        let is_unknown = problem.status == StatusCode::UNAUTHORIZED;
        let mut response = problem.into_response();
        if is_unknown {
            response
                .headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"keygate admin\""));
        }
        response
    }
}
