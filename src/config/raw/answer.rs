//! What clients and operators get to see, as it is written: CORS, bodies of refusals, identity headers, logs.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    http::{HeaderName, Method, Origin},
    scalar::LogDestination,
    text::{Switch, Text},
};
use crate::yaml::{Field, OneOrMany};

/// Which pages of other origins may call the API from a browser.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorsRules {
    /// Origins that may read answers, as `https://app.example.com`; '*' for any.
    pub origins: Field<OneOrMany<Text<Origin>>>,
    /// Methods that a preflight allows. Default: the one it asks for.
    #[serde(default)]
    pub methods: OneOrMany<Text<Method>>,
    /// Request headers that a preflight allows. Default: those it asks for.
    #[serde(default)]
    pub headers: OneOrMany<Text<HeaderName>>,
    /// Response headers that scripts may read. Default: none beyond the usual.
    #[serde(default)]
    pub expose: OneOrMany<Text<HeaderName>>,
    /// Whether cookies may be sent; not together with origins '*'. Default: false.
    #[serde(default)]
    pub credentials: Option<Field<bool>>,
    /// How long a browser may remember a preflight. Default: 10m.
    #[serde(default)]
    pub max_age: Option<Field<Text<Duration>>>,
}

/// The body of a refusal.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorBody {
    /// The body, with `{code}`, `{message}` and `{request_id}` where those stand, escaped for JSON. Any other brace
    /// stands for itself.
    pub body: Field<String>,
    /// Its media type. Default: application/json.
    #[serde(default)]
    pub content_type: Option<Field<String>>,
}

/// The names under which the upstream learns who asks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityHeaders {
    /// A set of names: `default` (X-Auth-User and its kin), `kong` (X-Consumer-ID, X-Consumer-Username,
    /// X-Credential-Identifier, X-Authenticated-Scope) or `remote-user` (Remote-User, Remote-Name, Remote-Email,
    /// Remote-Groups). What a set has no name for keeps its default.
    #[serde(default)]
    pub preset: Option<Field<Preset>>,
    /// Names that differ from the set; null leaves one out.
    #[serde(default)]
    pub names: Option<Field<IdentityNames>>,
}

/// A set of names of identity headers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// X-Auth-User and its kin.
    #[default]
    Default,
    /// What upstreams behind Kong know.
    Kong,
    /// What upstreams behind an authenticating web server know.
    RemoteUser,
}

/// Names of the identity headers; null leaves one out.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityNames {
    /// The key's id.
    #[serde(default)]
    pub key_id: Switch<Field<Text<HeaderName>>>,
    /// The key's name.
    #[serde(default)]
    pub key_name: Switch<Field<Text<HeaderName>>>,
    /// The owner's id.
    #[serde(default)]
    pub user: Switch<Field<Text<HeaderName>>>,
    /// The owner's e-mail.
    #[serde(default)]
    pub email: Switch<Field<Text<HeaderName>>>,
    /// The owner's role.
    #[serde(default)]
    pub role: Switch<Field<Text<HeaderName>>>,
    /// The organization.
    #[serde(default)]
    pub organization: Switch<Field<Text<HeaderName>>>,
    /// Effective scopes, space-separated.
    #[serde(default)]
    pub scopes: Switch<Field<Text<HeaderName>>>,
    /// Visible projects: `*` or a comma list.
    #[serde(default)]
    pub projects: Switch<Field<Text<HeaderName>>>,
    /// The project the request touches.
    #[serde(default)]
    pub project: Switch<Field<Text<HeaderName>>>,
}

/// The access log: one JSON line for each request.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessLog {
    /// Which requests. Default: sampled.
    #[serde(default)]
    pub mode: Option<Field<AccessLogMode>>,
    /// With `mode: sampled`: one in how many of the requests that were served. Default: 100.
    #[serde(default)]
    pub sample: Option<Field<u64>>,
    /// stdout, stderr, or a file that is opened anew on SIGHUP. Default: stdout.
    #[serde(default)]
    pub path: Option<Field<Text<LogDestination>>>,
}

/// Which requests the access log holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccessLogMode {
    /// None.
    Off,
    /// Every refusal and failure, and a sample of the rest.
    #[default]
    Sampled,
    /// All.
    All,
}

/// W3C trace context.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tracing {
    /// What becomes of a `traceparent` that a client sent: `continue` its trace, or `ignore` it and begin one, as fits
    /// clients one does not know. Default: continue.
    #[serde(default)]
    pub incoming: Option<Field<IncomingTrace>>,
}

/// What becomes of a `traceparent` that a client sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IncomingTrace {
    /// Its trace goes on.
    #[default]
    Continue,
    /// A new trace begins.
    Ignore,
}
