//! `keygate.yaml` as it is written. The docs here become the descriptions of its JSON Schema.

pub mod admin;
pub mod answer;
pub mod assertion;
pub mod doors;
pub mod http;
pub mod limits;
pub mod listen;
pub mod possession;
pub mod route;
pub(super) mod salvage;
pub mod scalar;
pub mod text;
pub mod upstream;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

use self::{
    admin::Admin,
    answer::{AccessLog, CorsRules, ErrorBody, IdentityHeaders, Tracing},
    assertion::Assertion,
    doors::Doors,
    http::HeaderName,
    limits::KeyLimits,
    listen::Listener,
    possession::Possession,
    route::Route,
    scalar::Version,
    text::{Switch, Text},
    upstream::Upstream,
};
use crate::{
    keys::secret::Brand,
    store::database_url::DatabaseUrl,
    yaml::{Field, Map, OneOrMany, StringOr},
};

/// A configuration of Keygate: where it listens, what it stands in front of, where keys come from, and which request
/// needs what.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Keygate configuration")]
pub struct File {
    /// The format of this file: 1.
    pub version: Field<Text<Version>>,
    /// Where clients are served: one listener or a list. A changed address needs a restart.
    pub listen: Field<OneOrMany<Listener>>,
    /// Where other proxies ask about requests that they forward themselves. Default: nowhere. A change needs a restart.
    #[serde(default)]
    pub doors: Option<Field<Doors>>,
    /// Where `/livez`, `/readyz` and `/metrics` are served, to any Host and without key. Default: 127.0.0.1:8082; null
    /// turns it off.
    #[serde(default)]
    pub health: Switch<Field<Health>>,
    /// Where the admin API and the console are served. Default: 127.0.0.1:8081; null turns them off.
    #[serde(default)]
    pub admin: Switch<Field<Admin>>,
    /// A listener where whoever shows a whole key ends it, by POST to `/.well-known/keygate/revoke`. Default: none.
    #[serde(default)]
    pub revocation_by_possession: Option<Field<Possession>>,
    /// The APIs behind the gateway, by name; at least one.
    pub upstreams: Field<Map<Field<Upstream>>>,
    /// Where keys, people and projects come from.
    pub keys: Field<Keys>,
    /// Folder for what must outlive the process: last use of keys, revocations seen. Default: none, and then lists say
    /// "since start" and a revocation that the key file takes back is refused only until the next start.
    #[serde(default)]
    pub state: Option<Field<Text<PathBuf>>>,
    /// The form of the keys that are made here. Keys that exist already are accepted in whatever form they have.
    #[serde(default)]
    pub key_format: Option<Field<KeyFormat>>,
    /// Which request needs what, at least one. The order does not matter: a literal segment beats {name} beats {*rest}.
    pub routes: Field<Vec<Field<Route>>>,
    /// Where a request may carry its key.
    #[serde(default)]
    pub credential: Option<Field<CredentialFields>>,
    /// The scopes, each with those it implies. Default: read; write, which implies read; admin, which implies write.
    #[serde(default)]
    pub scopes: Option<Field<Map<Option<Field<Scope>>>>>,
    /// The scopes that the keys of a person have at most, by the person's role. Default: owner and admin all, member
    /// write, viewer read. Must be given where `scopes` lacks one of read, write and admin.
    #[serde(default)]
    pub role_caps: Option<Field<RoleCaps>>,
    /// How many requests a key may make, by plan, and how many a stranger without a good key. Default: no plans, and a
    /// stranger about one a second.
    #[serde(default)]
    pub limits: Option<Field<KeyLimits>>,
    /// Bodies of refusals in the API's own envelope, by status or `default`. Default: application/problem+json
    /// (RFC 9457).
    #[serde(default)]
    pub errors: Option<Field<Map<Field<StringOr<ErrorBody>>>>>,
    /// How a request is refused whose key lacks the scope: 403 with the missing scope named, or as a path that is not
    /// there. Default: forbidden.
    #[serde(default)]
    pub insufficient_scope: Option<Field<InsufficientScope>>,
    /// Cross-origin requests, for every route that does not say otherwise. Default: none are answered.
    #[serde(default)]
    pub cors: Option<Field<CorsRules>>,
    /// The names under which the upstream learns who asks. Default: X-Auth-Key-Id and its kin.
    #[serde(default)]
    pub identity_headers: Option<Field<IdentityHeaders>>,
    /// A signed token by which upstreams learn who asks, and can prove that this gateway says so. Default: none.
    #[serde(default)]
    pub assertion: Option<Field<Assertion>>,
    /// Header names with `_` or `.` that reach the upstream. Default: none, since many back ends read `_`, `.` and `-`
    /// as the same.
    #[serde(default)]
    pub forward_headers: OneOrMany<Text<HeaderName>>,
    /// The access log. Default: refusals and failures, and one in 100 of the rest, to stdout.
    #[serde(default)]
    pub access_log: Option<Field<AccessLog>>,
    /// W3C trace context.
    #[serde(default)]
    pub tracing: Option<Field<Tracing>>,
    /// How the gateway stops.
    #[serde(default)]
    pub shutdown: Option<Field<Shutdown>>,
    /// What becomes of requests under way, event streams and upgraded connections among them, whose key ends or loses what
    /// they need: `cut`, `keep`, or {drain: 30s}. A rotation is no loss. Default: cut.
    #[serde(default)]
    pub streams: Option<Field<StringOr<Drain>>>,
    /// For how long keys are trusted while their database is away, and what then. Default: 15m, then serve.
    #[serde(default)]
    pub staleness: Option<Field<Staleness>>,
    /// Who may create keys of an organization, besides its owners and admins. Default: admins, that is nobody.
    #[serde(default)]
    pub key_creation: Option<Field<KeyCreation>>,
    /// How often files are looked at although no watcher spoke. Default: 10s.
    #[serde(default)]
    pub poll: Option<Field<Text<Duration>>>,
    /// Whether key files that their group can write are refused instead of warned about. Default: false.
    #[serde(default)]
    pub strict_permissions: Option<Field<bool>>,
    /// Number of worker threads. Default: one per core that the process may use; `KEYGATE_WORKERS` in the environment
    /// overrides both. A change needs a restart.
    #[serde(default)]
    pub workers: Option<Field<u64>>,
}

/// The listener for probes and scrapers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Its address.
    pub address: Field<Text<SocketAddr>>,
}

/// Something that this version does not know yet.
#[derive(Debug, Clone, Copy)]
pub struct Later;

impl<'de> Deserialize<'de> for Later {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

impl JsonSchema for Later {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Later".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "null" })
    }
}

/// Where keys, people and projects come from: exactly one of these.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// One key file.
    #[serde(default)]
    pub file: Option<Field<Text<PathBuf>>>,
    /// A folder; every *.yaml in it is a key file.
    #[serde(default)]
    pub directory: Option<Field<Text<PathBuf>>>,
    /// A database: `sqlite:PATH`, or `postgres://USER:PASSWORD@HOST/DATABASE?sslmode=verify-full`. A change needs a
    /// restart.
    #[serde(default)]
    pub database: Option<Field<Text<DatabaseUrl>>>,
    /// Where a PostgreSQL database is reached directly, if `database` leads through a transaction pooler: through that,
    /// changes are not heard but found, within two seconds. Default: `database`.
    #[serde(default)]
    pub listen_url: Option<Field<Text<DatabaseUrl>>>,
}

/// How long a gateway trusts its keys without their database.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Staleness {
    /// For how long. Default: 15m.
    #[serde(default)]
    pub max: Option<Field<Text<Duration>>>,
    /// What then: `serve` goes on with the keys it has and says so; `reject` answers 503 to whoever needs a key, so that
    /// a revocation is certain after `max` even where a gateway is cut off. Default: serve.
    #[serde(default)]
    pub then: Option<Field<WhenStale>>,
}

/// What a gateway does that has not heard of its database for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenStale {
    /// Serve on.
    Serve,
    /// Answer 503.
    Reject,
}

/// Who may create keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyCreation {
    /// Owners and admins.
    Admins,
    /// Members and viewers too, for themselves.
    Everyone,
}

/// The form of the keys that are made here.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyFormat {
    /// The first part of every new key: 1 to 9 lower-case letters and digits. Default: kg.
    #[serde(default)]
    pub brand: Option<Field<Text<Brand>>>,
}

/// Where a request may carry its key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CredentialFields {
    /// Header names, 1 to 8. Default: authorization, whose value is `Bearer` and the key; any other holds the key alone. A
    /// request with two of them is refused.
    pub headers: Field<OneOrMany<Text<HeaderName>>>,
}

/// One scope.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// Scopes that its holder also has. Default: none.
    #[serde(default)]
    pub implies: OneOrMany<String>,
}

/// The scopes that the keys of a person have at most.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleCaps {
    /// Of owners: `all`, or a list of scopes. Default: all.
    #[serde(default)]
    pub owner: Option<Field<StringOr<Vec<Field<String>>>>>,
    /// Of admins. Default: all.
    #[serde(default)]
    pub admin: Option<Field<StringOr<Vec<Field<String>>>>>,
    /// Of members. Default: write.
    #[serde(default)]
    pub member: Option<Field<StringOr<Vec<Field<String>>>>>,
    /// Of viewers. Default: read.
    #[serde(default)]
    pub viewer: Option<Field<StringOr<Vec<Field<String>>>>>,
}

/// How a request is refused whose key lacks the scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InsufficientScope {
    /// 403, with the missing scope named.
    Forbidden,
    /// 404, as if nothing were there.
    NotFound,
}

/// Streams go on for a while.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// For how long a request may go on that would not be permitted any more; then it is cut.
    pub drain: Field<Text<Duration>>,
}

/// How the gateway stops.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shutdown {
    /// From "not ready" to "accepts no more": as long as a load balancer takes to notice. Default: 0s.
    #[serde(default)]
    pub delay: Option<Field<Text<Duration>>>,
    /// How long requests in flight may take after that. Default: 30s.
    #[serde(default)]
    pub deadline: Option<Field<Text<Duration>>>,
}
