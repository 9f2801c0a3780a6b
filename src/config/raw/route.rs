//! Routes as they are written.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

use super::{
    answer::CorsRules,
    http::{HostPattern, Method, MethodOrRest, ProjectPlace},
    scalar::{ByteSize, DayOrInstant},
    text::{Switch, Text},
};
use crate::yaml::{Field, OneOrMany};

/// What the requests of one path need.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The path: literal segments, `{name}` for one segment, `{*rest}` at the end for the rest, also nothing. The same
    /// path may stand twice with different methods.
    pub path: Field<String>,
    /// The scope that each method needs, as {GET: read, '*': write}; '*' covers the methods without entry, GET covers
    /// HEAD. Other methods are answered 405. With `access: public` a list of methods, or nothing for all.
    #[serde(default)]
    pub methods: Option<Field<Methods>>,
    /// `public`: anyone may, without a key. Default: a key is needed.
    #[serde(default)]
    pub access: Option<Field<Access>>,
    /// Where requests name their project: path:NAME (a {name} of the path), query:NAME, header:NAME or host:N (the
    /// label number N of the host, 0 is the leftmost). Default: nowhere, and then keys that are restricted to projects
    /// get 404 but for `restricted_keys`.
    #[serde(default)]
    pub project: Option<Field<Text<ProjectPlace>>>,
    /// Methods that a key restricted to projects may use although the request names none: lists, which the upstream
    /// filters by X-Auth-Projects.
    #[serde(default)]
    pub restricted_keys: OneOrMany<Text<Method>>,
    /// What a project id looks like, as a regular expression for the whole id; never with `/`, `%` or control bytes.
    /// Default: `[A-Za-z0-9][A-Za-z0-9_.~-]{0,127}`.
    #[serde(default)]
    pub project_pattern: Option<Field<String>>,
    /// Hosts the route is for, as api.example.com or *.example.com. Default: any.
    #[serde(default)]
    pub hosts: OneOrMany<Text<HostPattern>>,
    /// The name of the upstream. Default: the only one.
    #[serde(default)]
    pub upstream: Option<Field<String>>,
    /// Cross-origin requests. Default: as at the top of the file; null turns them off.
    #[serde(default)]
    pub cors: Switch<Field<CorsRules>>,
    /// The body of a request. Default: as the listener says.
    #[serde(default)]
    pub body_bytes: Option<Field<Text<ByteSize>>>,
    /// Whether WebSocket upgrades are forwarded. Default: false.
    #[serde(default)]
    pub websocket: Option<Field<bool>>,
    /// Whether request trailers are forwarded; those of gRPC go to upstreams of HTTP/2 anyway. Default: false.
    #[serde(default)]
    pub request_trailers: Option<Field<bool>>,
    /// Whether the path with `/` at its end is the same route. Default: strict.
    #[serde(default)]
    pub trailing_slash: Option<Field<TrailingSlash>>,
    /// Whether literal segments match in any case. Default: exact.
    #[serde(default)]
    pub case: Option<Field<Case>>,
    /// What the part of {*rest} may hold beyond what every path may. Default: nothing, and such paths are answered 404.
    #[serde(default)]
    pub allow_in_tail: OneOrMany<TailItem>,
    /// What becomes of X-HTTP-Method-Override and its kin: `honour` decides by the method they name. Default: refuse,
    /// with 400.
    #[serde(default)]
    pub method_override: Option<Field<MethodOverride>>,
    /// Whether GET and HEAD may carry a body. Default: refuse, with 400.
    #[serde(default)]
    pub get_body: Option<Field<GetBody>>,
    /// For a while, what the route would refuse for want of a good key, project, scope or method is forwarded all the
    /// same, as nobody's, and recorded. Default: it is refused.
    #[serde(default)]
    pub observe: Option<Field<Observe>>,
}

/// A route that records what it would refuse, and forwards it: without identity headers, and without a key of ours.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Observe {
    /// The day, or the instant, from which on the route refuses. A day stands for its first instant in UTC.
    pub until: Field<Text<DayOrInstant>>,
}

/// Who may, without more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Anyone, without a key.
    Public,
}

/// Whether the path with `/` at its end is the same route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrailingSlash {
    /// It is.
    Either,
    /// It is another path.
    Strict,
}

/// Whether literal segments match in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Case {
    /// Byte for byte.
    Exact,
    /// In any case.
    Ignore,
}

/// What the tail of a path may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TailItem {
    /// `%2F`
    EncodedSlash,
    /// `%5C`
    EncodedBackslash,
    /// `//`
    DoubleSlash,
    /// Percent-encoded bytes that are not UTF-8.
    InvalidUtf8,
}

/// What becomes of X-HTTP-Method-Override and its kin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MethodOverride {
    /// The method they name is the one decided on.
    Honour,
    /// 400.
    Refuse,
}

/// Whether GET and HEAD may carry a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GetBody {
    /// They may.
    Allow,
    /// 400.
    Refuse,
}

/// A method and the scopes it needs.
pub type ScopedMethod = (Field<Text<MethodOrRest>>, Field<OneOrMany<String>>);

/// Methods with the scopes they need, or, on a public route, methods alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Methods {
    /// Methods with scopes.
    Scoped(Vec<ScopedMethod>),
    /// Methods alone.
    Listed(Vec<Field<Text<MethodOrRest>>>),
}

impl<'de> Deserialize<'de> for Methods {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MethodsVisitor)
    }
}

struct MethodsVisitor;

impl<'de> Visitor<'de> for MethodsVisitor {
    type Value = Methods;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a mapping such as {GET: read, '*': write}")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Methods, A::Error> {
        let mut methods = Vec::new();
        while let Some(method) = access.next_element()? {
            methods.push(method);
        }
        Ok(Methods::Listed(methods))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Methods, A::Error> {
        let mut methods = Vec::new();
        while let Some(entry) = access.next_entry()? {
            methods.push(entry);
        }
        Ok(Methods::Scoped(methods))
    }
}

impl JsonSchema for Methods {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Methods".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let scope = json_schema!({ "type": "string" });
        json_schema!({ "anyOf": [
            {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": { "anyOf": [scope.clone(), { "type": "array", "items": scope }] },
            },
            { "type": "array", "minItems": 1, "items": { "type": "string" } },
        ] })
    }
}
