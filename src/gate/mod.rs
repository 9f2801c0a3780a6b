//! One request head in, one verdict out: the decision table of `tests/decisions.yaml`, composed of what a request says
//! ([`Request`]), what keys are known and what policy permits. Pure; every door asks here.

pub mod denial;
pub mod explanation;
pub mod identity;
mod leak;
pub mod limit;
mod observe;
pub mod request;

use core::net::IpAddr;

use jiff::Timestamp;

pub use self::{
    denial::Denial,
    limit::{Allowance, Exceeded, Limiter, Unlimited},
    request::Request,
};
use crate::{
    keys::{
        credential::{Credential, CredentialSources},
        digest::KeyDigest,
        secret::Brand,
        snapshot::{Authenticated, KeySnapshot, Refused},
    },
    policy::{
        decide::{Asked, ObservedPermit, Permit, decide, permit_public},
        fold::ManagedNames,
        plan::Plans,
        principal::{KeyIdText, Principal},
        project::{ProjectSet, VisibleProjects},
        reason::Reason,
        route::{Found, Route, RouteTable},
        scope::Scopes,
    },
};

/// What requests are judged by, apart from the keys.
#[derive(Debug)]
pub struct Policy {
    /// The routes.
    pub routes: RouteTable,
    /// The scopes that routes require and keys are granted.
    pub scopes: Scopes,
    /// What keys may ask for.
    pub plans: Plans,
    /// Where a credential may stand.
    pub credentials: CredentialSources,
    /// Names that only the gateway sets: identity headers of every preset.
    pub identity_names: ManagedNames,
    /// The brand of our keys, to know one in a query.
    pub brand: Brand,
    /// Whether a scope that is too low looks like a path that is not there.
    pub hide_insufficient_scope: bool,
    /// The name this gateway goes by in `Via` (RFC 9110 §7.6.3).
    pub via: Box<str>,
}

/// What to do with a request that is not refused.
#[derive(Debug)]
pub enum Verdict<'s, 'b> {
    /// Row 13, or row 3 for a public route: forward it.
    Forward(Permit<'s, 'b>),
    /// Rows 4 to 12 refuse it, and its route observes: forward it as nobody's, and record what it would have been told.
    Observe(ObservedPermit<'s, 'b>, Box<Denial<'s>>),
    /// Row 3: answer the CORS preflight for this route.
    Preflight(&'s Route),
    /// Row 2: answer `OPTIONS *`.
    ServerOptions,
}

/// The verdict about one request, with what was learnt on the way to it.
#[derive(Debug)]
pub struct Judgement<'s, 'b> {
    /// The verdict.
    pub verdict: Result<Verdict<'s, 'b>, Denial<'s>>,
    /// The route the path led to for the method, or the first of the path: for logs and CORS, never for a 404's body.
    pub route: Option<&'s Route>,
    /// The key, where the digest of a secret matched, also one that is refused.
    pub key: Option<FoundKey>,
    /// Whether the credential fields are for us and must not reach the upstream.
    pub strip_credential: bool,
    /// What is left to the key, where it is limited and the request was counted.
    pub allowance: Option<Allowance>,
}

impl Judgement<'_, '_> {
    /// Whether the request was permitted without asking for a key.
    pub fn is_keyless(&self) -> bool {
        match &self.verdict {
            Ok(Verdict::Forward(_) | Verdict::Preflight(_) | Verdict::ServerOptions) => self.key.is_none(),
            // What is passed on as no key of ours must be none now.
            Ok(Verdict::Observe(..)) | Err(_) => false,
        }
    }
}

/// The key that a secret belongs to, whether it may be used or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundKey {
    /// Its id.
    pub id: KeyIdText,
    /// Of the secret.
    pub digest: KeyDigest,
    /// Whether it is admitted as the secret from before the last rotation.
    pub is_previous_secret: bool,
    /// When an admitted secret stops working; `None`: never.
    pub ends_at: Option<Timestamp>,
}

/// Judges `request`, sent by `client`, with `keys` (`None` while there is no snapshot or it is too stale) at `now`. In row 8
/// `limiter` is asked, and counts the request.
///
/// Cost: one SHA-256, one look-up, one or two walks of the routes; no heap memory where the request is permitted.
pub fn judge<'s, 'b>(
    policy: &'s Policy,
    keys: Option<&'s KeySnapshot>,
    request: &Request<'b>,
    client: IpAddr,
    now: Timestamp,
    limiter: &mut impl Limiter,
) -> Judgement<'s, 'b> {
    judge_by(policy, keys, request, now, limiter, |credential| {
        let keys = keys.ok_or(Unauthenticated::Unavailable)?;
        match credential {
            Credential::Presented(secret) => {
                keys.authenticate(secret, now, client).map_err(Unauthenticated::Refused)
            }
            Credential::Absent => Err(Unauthenticated::Absent),
            Credential::Malformed | Credential::Several => Err(Unauthenticated::Malformed),
        }
    })
}

/// Judges `request` as if it presented the current secret of the key `id`, whatever credential it carries, and as if the key
/// had made none before.
pub fn judge_as<'s, 'b>(
    policy: &'s Policy,
    keys: &'s KeySnapshot,
    request: &Request<'b>,
    id: &str,
    client: IpAddr,
    now: Timestamp,
) -> Option<Judgement<'s, 'b>> {
    let authenticated = keys.authenticate_id(id, now, client)?;
    let refused = Unauthenticated::Refused;
    Some(judge_by(policy, Some(keys), request, now, &mut Unlimited, |_| authenticated.map_err(refused)))
}

/// What is decided about `request` for a key that has every scope and sees every project: whatever is refused then, no
/// key is permitted.
///
/// # Errors
/// The [`Denial`], also where the route observes.
pub fn judge_for_full_key<'s, 'b>(
    policy: &'s Policy,
    request: &Request<'b>,
) -> Result<Option<Permit<'s, 'b>>, Denial<'s>> {
    const ALL: &ProjectSet = &ProjectSet::All;
    let Some(path) = &request.path else { return Ok(None) };
    let found = policy.routes.find(request.host_name(), path);
    let asked = request.asked(path);
    if preflighted_route(found.as_ref(), request).is_some() {
        return Ok(None);
    }
    if let Some(permit) = permit_public(found.as_ref(), &asked).map_err(Denial::doubtful)? {
        return Ok(Some(permit));
    }
    let principal = Principal {
        key_id: KeyIdText::new(),
        key_name: "",
        organization: "",
        owner: None,
        scopes: policy.scopes.all(),
        projects: VisibleProjects { key: ALL, owner: ALL, organization: ALL, is_sole_organization: true },
    };
    let permit = decide(principal, found.as_ref(), &asked);
    permit.map(Some).map_err(|refusal| Denial::refused(refusal, policy))
}

/// Why nobody is known to ask.
enum Unauthenticated {
    Unavailable,
    Absent,
    Malformed,
    Refused(Refused),
}

fn judge_by<'s, 'b>(
    policy: &'s Policy,
    keys: Option<&'s KeySnapshot>,
    request: &Request<'b>,
    now: Timestamp,
    limiter: &mut impl Limiter,
    authenticate: impl FnOnce(Credential<'b>) -> Result<Authenticated<'s>, Unauthenticated>,
) -> Judgement<'s, 'b> {
    let mut learnt = Learnt { route: None, key: None, strip_credential: true, allowance: None };
    let verdict = rows(policy, keys, request, now, limiter, authenticate, &mut learnt);
    let Learnt { route, key, strip_credential, allowance } = learnt;
    Judgement { verdict, route, key, strip_credential, allowance }
}

struct Learnt<'s> {
    route: Option<&'s Route>,
    key: Option<FoundKey>,
    strip_credential: bool,
    allowance: Option<Allowance>,
}

/// Rows 2 to 13, in their order; row 1 was [`Request::read`], but for what only a route can tell.
fn rows<'s, 'b>(
    policy: &'s Policy,
    keys: Option<&'s KeySnapshot>,
    request: &Request<'b>,
    now: Timestamp,
    limiter: &mut impl Limiter,
    authenticate: impl FnOnce(Credential<'b>) -> Result<Authenticated<'s>, Unauthenticated>,
    learnt: &mut Learnt<'s>,
) -> Result<Verdict<'s, 'b>, Denial<'s>> {
    let Some(path) = &request.path else { return Ok(Verdict::ServerOptions) };
    let found = policy.routes.find(request.host_name(), path);
    let found = found.as_ref();
    learnt.route = found.and_then(|found| nearest_route(found, request.method()));
    let asked = request.asked(path);
    let credential = Credential::from_fields(request.fields(), &policy.credentials);
    if let Credential::Several = credential {
        return Err(Denial::bad_request("The request carries more than one credential."));
    }
    if let Some(route) = preflighted_route(found, request) {
        return Ok(Verdict::Preflight(route));
    }
    if let Some(permit) = permit_public(found, &asked).map_err(Denial::doubtful)? {
        learnt.strip_credential = leak::holds_key(asked.fields, policy, keys).unwrap_or(true);
        return Ok(Verdict::Forward(permit));
    }
    match guarded_rows(policy, found, &asked, credential, limiter, authenticate, learnt) {
        Ok(permit) => Ok(Verdict::Forward(permit)),
        Err(denial) => {
            let observed = observe::instead_of(denial, found, &asked, policy, keys, now);
            let (permit, strip_credential) = observed.map_err(|denial| slowed(denial, limiter))?;
            // A key that was found is ours, however it was sent.
            learnt.strip_credential = strip_credential || learnt.key.is_some();
            Ok(permit)
        }
    }
}

/// Rows 4 to 13.
fn guarded_rows<'s, 'b>(
    policy: &'s Policy,
    found: Option<&Found<'s>>,
    asked: &Asked<'b, '_>,
    credential: Credential<'b>,
    limiter: &mut impl Limiter,
    authenticate: impl FnOnce(Credential<'b>) -> Result<Authenticated<'s>, Unauthenticated>,
    learnt: &mut Learnt<'s>,
) -> Result<Permit<'s, 'b>, Denial<'s>> {
    let authenticated = authenticate(credential).map_err(|unauthenticated| match unauthenticated {
        Unauthenticated::Unavailable => Denial::key_store_unavailable(),
        Unauthenticated::Absent => Denial::key_missing(&policy.credentials),
        Unauthenticated::Malformed => Denial::key_malformed(&policy.credentials),
        Unauthenticated::Refused(refused) => {
            let secret = match credential {
                Credential::Presented(secret) => secret,
                Credential::Absent | Credential::Malformed | Credential::Several => &[],
            };
            learnt.key = refused.key_id.map(|id| FoundKey {
                id,
                digest: KeyDigest::of(secret),
                is_previous_secret: false,
                ends_at: None,
            });
            Denial::key_refused(&refused)
        }
    })?;
    learnt.key = Some(FoundKey {
        id: authenticated.principal.key_id,
        digest: authenticated.digest,
        is_previous_secret: authenticated.is_previous_secret,
        ends_at: authenticated.expires_at,
    });
    if let Some(plan) = authenticated.plan.and_then(|at| policy.plans.get(at)) {
        let admitted = limiter.admit(&authenticated, plan);
        learnt.allowance = admitted.map_err(|exceeded| Denial::rate_limited(plan, exceeded))?;
    }
    decide(authenticated.principal, found, asked).map_err(|refusal| Denial::refused(refusal, policy))
}

/// `denial`, or what is answered in its place where too many attempts of an address have failed, this one among them.
fn slowed<'s>(denial: Denial<'s>, limiter: &mut impl Limiter) -> Denial<'s> {
    if !matches!(denial.reason, Reason::KeyMalformed | Reason::KeyUnknown) {
        return denial;
    }
    limiter.fail().map_or(denial, Denial::too_many_failures)
}

fn nearest_route<'s>(found: &Found<'s>, method: &str) -> Option<&'s Route> {
    found.route_for(method).map(|(route, _)| route).or_else(|| found.routes().next())
}

/// The route that answers a CORS preflight (Fetch, "CORS-preflight request"): the one the path led to, in both
/// readings, for the method that the browser asks for.
fn preflighted_route<'s>(found: Option<&Found<'s>>, request: &Request<'_>) -> Option<&'s Route> {
    let method = request.preflight_method?;
    let found = found.filter(|found| found.readings_agree())?;
    nearest_route(found, method).filter(|route| route.answers_preflight)
}
