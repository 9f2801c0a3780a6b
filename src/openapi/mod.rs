//! Descriptions of HTTP APIs (OpenAPI 3.0 and 3.1), as far as routes follow from them.
//!
//! Pure: bytes in, an [`Api`] or problems with their places out. References within the document are followed, others are
//! told. What routes an API might have says [`propose`]; what the routes of a gateway make of it, [`coverage`].

mod coverage;
mod fragment;
mod pattern;
mod proposal;
mod reader;
mod reference;
mod security;
mod server;

pub use self::{
    coverage::{Coverage, CoveredOperation, Reach, coverage},
    fragment::{FragmentOptions, write_fragment},
    proposal::{Proposal, ProposalOptions, ProposedRoute, propose},
    reader::parse,
};
use crate::yaml::{Limits, Place, Problem};

/// How much a description may hold.
pub const LIMITS: Limits = Limits { bytes: 32 << 20, depth: 100, nodes: 4_000_000 };

/// An API as it is described.
#[derive(Debug, Clone)]
pub struct Api {
    /// Its name.
    pub title: String,
    /// The version of the API.
    pub version: String,
    /// The version of OpenAPI.
    pub openapi: String,
    /// Its operations in the order of the document.
    pub operations: Vec<Operation>,
    /// What is doubtful or was passed over.
    pub doubts: Vec<Problem>,
}

/// One method of one path.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Where it stands.
    pub place: Place,
    /// In upper case.
    pub method: &'static str,
    /// The path with the one of its server in front, `{name}` for parameters.
    pub path: String,
    /// The host of its server, if that names one.
    pub host: Option<String>,
    /// Its `operationId`.
    pub id: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// What it says it needs.
    pub access: DeclaredAccess,
    /// Names of its parameters in the query.
    pub query_parameters: Vec<String>,
    /// Names of its parameters in header fields.
    pub header_parameters: Vec<String>,
}

/// What an operation says that it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeclaredAccess {
    /// Nothing is said, or only that a credential is needed.
    Unsaid,
    /// `security: []`: no credential.
    Public,
    /// A credential, or none (`security: [{}, …]`).
    Optional,
    /// These scopes of OAuth 2 or `openIdConnect`.
    OauthScopes(Vec<String>),
    /// `x-keygate-scope`: these scopes of the gateway; `public` alone is [`DeclaredAccess::Public`].
    Scopes(Vec<String>),
}
