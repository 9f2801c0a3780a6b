//! A file of cases as it is written. The docs here become the descriptions of its JSON Schema.
//!
//! ```yaml
//! version: 1
//! now: 2026-11-21T12:00:00Z
//! cases:
//!   - {request: GET /api/v1/projects/alpha, key: ci, expect: forwarded}
//!   - name: a reader may not write
//!     request: {method: PUT, target: /api/v1/projects/alpha, headers: {Content-Length: "0"}}
//!     key: reader
//!     expect: {status: 403, code: scope_insufficient, row: 12, scope: write}
//! ```

use std::net::IpAddr;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, generate::SchemaSettings, json_schema};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    config::raw::{
        scalar::Version,
        text::{Switch, Text, Written},
    },
    yaml::{Field, Map, OneOrMany, StringOr},
};

/// Requests with the decisions that are expected of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Keygate cases")]
pub(super) struct File {
    /// The format of this file: 1.
    #[expect(dead_code, reason = "it is read to be checked")]
    pub(super) version: Field<Text<Version>>,
    /// When the requests are sent. Default: now.
    #[serde(default)]
    pub(super) now: Option<Field<Text<Timestamp>>>,
    /// The address that they come from. Default: 127.0.0.1.
    #[serde(default)]
    pub(super) client: Option<Field<Text<IpAddr>>>,
    /// Their Host. Default: localhost.
    #[serde(default)]
    pub(super) host: Option<Field<String>>,
    /// The cases.
    pub(super) cases: Field<Vec<Field<RawCase>>>,
}

/// One case.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Case")]
pub(super) struct RawCase {
    /// What it is about. Default: the request line.
    #[serde(default)]
    pub(super) name: Option<Field<String>>,
    /// The request: `GET /path`, or more of it.
    pub(super) request: Field<StringOr<RawRequest>>,
    /// The id of the key that it is sent with, or `anonymous`. Default: anonymous.
    #[serde(default)]
    pub(super) key: Option<Field<String>>,
    /// The secret that it is sent with, instead of `key`; only ever one that opens nothing outside of tests.
    #[serde(default)]
    pub(super) secret: Option<Field<String>>,
    /// When it is sent. Default: as at the top of the file.
    #[serde(default)]
    pub(super) now: Option<Field<Text<Timestamp>>>,
    /// What is expected: a code, such as `forwarded` or `not_found`, or more.
    pub(super) expect: Field<StringOr<RawExpectation>>,
}

/// A request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Request")]
pub(super) struct RawRequest {
    /// Default: GET.
    #[serde(default)]
    pub(super) method: Option<Field<String>>,
    /// A path with its query, an absolute URL, or `*`.
    pub(super) target: Field<String>,
    /// Default: HTTP/1.1.
    #[serde(default)]
    pub(super) version: Option<Field<String>>,
    /// Default: as at the top of the file; null sends none.
    #[serde(default)]
    pub(super) host: Switch<Field<String>>,
    /// Further header lines; a list sends a name several times.
    #[serde(default)]
    pub(super) headers: Option<Field<Map<OneOrMany<String>>>>,
    /// The address that it comes from. Default: as at the top of the file.
    #[serde(default)]
    pub(super) client: Option<Field<Text<IpAddr>>>,
}

/// What is expected; what is not said may be anything.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Expectation")]
pub(super) struct RawExpectation {
    /// The status of the gateway's answer.
    #[serde(default)]
    pub(super) status: Option<Field<u16>>,
    /// The code of the refusal; else `forwarded`, `observed`, `preflight` or `server_options`.
    #[serde(default)]
    pub(super) code: Option<Field<String>>,
    /// The row of the decision table; 0 for what is not in it.
    #[serde(default)]
    pub(super) row: Option<Field<u8>>,
    /// The path pattern of the route; null is no route.
    #[serde(default)]
    pub(super) route: Switch<Field<String>>,
    /// The project that the request names; null is none.
    #[serde(default)]
    pub(super) project: Switch<Field<String>>,
    /// The scope that the method needs, or `public`; null where it is not mapped.
    #[serde(default)]
    pub(super) scope: Switch<Field<String>>,
    /// The id of the key that the secret belongs to; null is none.
    #[serde(default)]
    pub(super) key: Switch<Field<String>>,
    /// `Allow` of the answer.
    #[serde(default)]
    pub(super) allow: Option<Field<String>>,
    /// A part of what the client is told.
    #[serde(default)]
    pub(super) detail: Option<Field<String>>,
    /// The code that a route which observes would refuse with; such a request has the code `observed`.
    #[serde(default)]
    pub(super) would_be: Option<Field<String>>,
}

impl Written for Timestamp {
    const EXPECTED: &'static str = "a time such as 2026-11-21T10:00:00Z";

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "this is no time; write it as 2026-11-21T10:00:00Z".to_owned())
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

impl Written for IpAddr {
    const EXPECTED: &'static str = "an IP address such as 192.0.2.1";

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "this is no IP address; write it as 192.0.2.1 or 2001:db8::1".to_owned())
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "anyOf": [{ "format": "ipv4" }, { "format": "ipv6" }] })
    }
}

/// The JSON Schema (2020-12) of a file of cases.
pub fn schema() -> Value {
    let mut schema =
        Value::from(SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<File>());
    if let Some(object) = schema.as_object_mut() {
        object.insert("$id".into(), json!("urn:keygate:schema:cases:1"));
    }
    schema
}
