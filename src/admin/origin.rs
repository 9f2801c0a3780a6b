//! By which address people reach the admin listener, for links that are sent to them.

use axum::{
    extract::FromRequestParts,
    http::{header::HOST, request::Parts},
};

use super::{guard::Peer, problem::Problem, state::AdminState};
use crate::policy::reason::Reason;

/// `admin.public_url`, else the origin of the request itself, whose Host the guard has let pass: `https://keys.example.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(pub String);

impl FromRequestParts<AdminState> for Origin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AdminState) -> Result<Self, Problem> {
        let published = state.published();
        if let Some(url) = published.config.admin.as_ref().and_then(|admin| admin.public_url.as_ref()) {
            return Ok(Self(url.to_string()));
        }
        let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
        let host = host.ok_or_else(|| Problem::of(Reason::BadRequest, "The request must have one Host."))?;
        let is_secure = parts.extensions.get::<Peer>().is_some_and(|peer| peer.is_secure);
        Ok(Self(format!("{}://{host}", if is_secure { "https" } else { "http" })))
    }
}
