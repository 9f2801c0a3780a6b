//! Answers the gateway gives itself: refusals as problem details (RFC 9457), in the API's own envelope or as gRPC
//! status, and the few requests that need no upstream. The only place where a refusal becomes HTTP.

use std::{borrow::Cow, fmt::Write as _};

use jiff::fmt::rfc2822::DateTimePrinter;
use serde::Serialize;

use crate::{
    clock::{Clock, SystemClock},
    config::model::{Config, Cors, TemplatePart},
    gate::{Denial, denial::METHODS_SERVED},
    message::Fields,
    policy::reason::Reason,
    telemetry::trace_context::RequestId,
};

use super::{
    client::{Client, ResponseLength},
    grpc::is_grpc,
    headers::CorsFields,
};

/// A name and its value.
type AnswerField = (Cow<'static, str>, Cow<'static, str>);

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    fields: Vec<AnswerField>,
    cors: Option<CorsFields>,
    body: Vec<u8>,
    is_head: bool,
}

/// What a refusal's form depends on, read from the request before it is let go.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Form {
    /// The client speaks gRPC and reads its status, not ours.
    pub(super) is_grpc: bool,
    /// The client asked for a head only.
    pub(super) is_head: bool,
}

impl Form {
    pub(super) fn of(method: &str, fields: &Fields<'_>) -> Self {
        Self { is_grpc: is_grpc(fields), is_head: method == "HEAD" }
    }

    /// That of an answer to a question about another request: whether that one is of gRPC is of no matter.
    pub(super) fn of_question(method: &str) -> Self {
        Self { is_grpc: false, is_head: method == "HEAD" }
    }
}

impl Answer {
    /// The refusal `denial`. Of one that is [`Reason::NotFound`] nothing depends on the request but its id.
    pub(super) fn refusal(
        denial: &Denial<'_>,
        config: &Config,
        cors: Option<CorsFields>,
        request_id: &RequestId,
        form: Form,
    ) -> Self {
        if form.is_grpc {
            return Self::grpc(denial, config, cors, request_id);
        }
        let (content_type, body) = body_of(denial, config, request_id);
        let mut fields = vec![field("Content-Type", content_type), field("Cache-Control", "no-store")];
        fields.push(field("X-Request-Id", request_id.as_str().to_owned()));
        if let Some(challenge) = challenge(denial) {
            fields.push(field("WWW-Authenticate", challenge));
        }
        if let Some(allow) = &denial.allow {
            fields.push(field("Allow", allow.clone()));
        }
        if let Some(seconds) = denial.retry_after_seconds {
            fields.push(field("Retry-After", seconds.to_string()));
        }
        push_allowance(&mut fields, denial, config);
        Self { status: denial.reason.status(), fields, cors, body, is_head: form.is_head }
    }

    /// gRPC reads the status from the head of an answer without body ("Trailers-Only", gRPC over HTTP/2).
    fn grpc(denial: &Denial<'_>, config: &Config, cors: Option<CorsFields>, request_id: &RequestId) -> Self {
        let mut fields = vec![
            field("Content-Type", "application/grpc"),
            field("Cache-Control", "no-store"),
            field("grpc-status", denial.reason.grpc_status().to_string()),
            field("grpc-message", grpc_message(denial)),
            field("X-Request-Id", request_id.as_str().to_owned()),
        ];
        if let Some(seconds) = denial.retry_after_seconds.filter(|_| denial.exceeded.is_some()) {
            fields.push(field("Retry-After", seconds.to_string()));
        }
        push_allowance(&mut fields, denial, config);
        Self { status: 200, fields, cors, body: Vec::new(), is_head: false }
    }

    /// The answer to a CORS preflight.
    pub(super) fn preflight(cors: &Cors, fields: &Fields<'_>, method: &str, request_id: &RequestId) -> Self {
        let origin = fields.only("origin").ok().flatten();
        let headers = fields.only("access-control-request-headers").ok().flatten();
        Self {
            status: 204,
            fields: vec![field("X-Request-Id", request_id.as_str().to_owned())],
            cors: Some(CorsFields::of_preflight(cors, origin, method, headers)),
            body: Vec::new(),
            is_head: false,
        }
    }

    /// The answer to `OPTIONS *` (RFC 9110 §9.3.7).
    pub(super) fn server_options(request_id: &RequestId) -> Self {
        Self {
            status: 204,
            fields: vec![
                field("Allow", METHODS_SERVED),
                field("X-Request-Id", request_id.as_str().to_owned()),
            ],
            cors: None,
            body: Vec::new(),
            is_head: false,
        }
    }

    /// What a proxy that asks is told where the request may go on: the fields that it sets, empty ones too.
    pub(super) fn permit(
        fields: impl IntoIterator<Item = (String, String)>,
        cors: Option<CorsFields>,
        request_id: &RequestId,
        form: Form,
    ) -> Self {
        let mut all =
            vec![field("Cache-Control", "no-store"), field("X-Request-Id", request_id.as_str().to_owned())];
        all.extend(fields.into_iter().map(|(name, value)| (name.into(), value.into())));
        Self { status: 200, fields: all, cors, body: Vec::new(), is_head: form.is_head }
    }

    /// With the gRPC status as well, for a client of a proxy that makes a gRPC answer of this one.
    pub(super) fn with_grpc_status(mut self, denial: &Denial<'_>) -> Self {
        self.fields.push(field("grpc-status", denial.reason.grpc_status().to_string()));
        self.fields.push(field("grpc-message", grpc_message(denial)));
        self
    }

    /// Its header lines.
    pub(super) fn lines(&self) -> impl Iterator<Item = (&str, &str)> {
        let fields = self.fields.iter().map(|(name, value)| (&**name, &**value));
        fields.chain(self.cors.iter().flat_map(CorsFields::lines))
    }

    /// Its body; every one of ours is text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The same for a proxy that understands nothing but 2xx, 401 and 403, and drops the body: what its client is to be
    /// answered stands in fields. `code` is that of the reason.
    pub(super) fn for_auth_request(mut self, code: &'static str) -> Self {
        /// What nginx takes of an answer's head by default is 4 KiB.
        const BODY_BYTES_MAX: usize = 2048;
        let content_type = self.fields.iter().find(|(name, _)| name == "Content-Type");
        let content_type = content_type.map(|(_, value)| value.clone()).unwrap_or_default();
        // A line break can only stand between the tokens of JSON (RFC 8259 §2), where a space is as good.
        let body: String = String::from_utf8_lossy(&self.body)
            .chars()
            .map(|character| if character.is_control() { ' ' } else { character })
            .collect();
        let body = if body.len() > BODY_BYTES_MAX { String::new() } else { body };
        self.fields.push(field("X-Keygate-Status", self.status.to_string()));
        self.fields.push(field("X-Keygate-Reason", code));
        self.fields.push(field("X-Keygate-Content-Type", content_type));
        self.fields.push(field("X-Keygate-Body", body));
        self.status = if self.status == 401 { 401 } else { 403 };
        self
    }

    /// Hands the answer to the client, to be sent with the next flush; dated, for it is made here (RFC 9110 §6.6.1).
    pub(super) fn write<C: Client>(&self, client: &mut C, close: bool) {
        client.begin(self.status, reason_phrase(self.status));
        if let Ok(date) = DateTimePrinter::new().timestamp_to_rfc9110_string(&SystemClock.now()) {
            client.field(b"Date", date.as_bytes());
        }
        for (name, value) in &self.fields {
            client.field(name.as_bytes(), value.as_bytes());
        }
        if let Some(cors) = &self.cors {
            cors.write(client);
        }
        let length = self.body.len() as u64;
        let length = match self.status {
            204 => ResponseLength::Nothing,
            _ if self.is_head => ResponseLength::Announced(length),
            _ => ResponseLength::Known(length),
        };
        client.finish_head(length, close);
        if !self.is_head {
            client.data(&self.body);
        }
        client.end(&Fields::default());
    }
}

fn field(name: &'static str, value: impl Into<Cow<'static, str>>) -> AnswerField {
    (name.into(), value.into())
}

/// What is left to a key that exceeded its limit.
fn push_allowance(fields: &mut Vec<AnswerField>, denial: &Denial<'_>, config: &Config) {
    let allowance = denial.exceeded.and_then(|exceeded| exceeded.allowance);
    if let Some((policy, left)) =
        allowance.as_ref().and_then(|allowance| allowance.fields(&config.policy.plans))
    {
        fields.push(field("RateLimit-Policy", policy.to_owned()));
        fields.push(field("RateLimit", left.to_string()));
    }
}

fn body_of(denial: &Denial<'_>, config: &Config, request_id: &RequestId) -> (Cow<'static, str>, Vec<u8>) {
    let Some(template) = config.error_template(denial.reason) else {
        return ("application/problem+json".into(), problem(denial, request_id));
    };
    let mut body = String::new();
    for part in &template.parts {
        match part {
            TemplatePart::Text(text) => body.push_str(text),
            TemplatePart::Code => push_json_inner(&mut body, denial.reason.code()),
            TemplatePart::Message => push_json_inner(&mut body, &denial.detail),
            TemplatePart::RequestId => push_json_inner(&mut body, request_id.as_str()),
        }
    }
    (template.content_type.to_string().into(), body.into_bytes())
}

/// The detail as `grpc-message` carries it: percent-encoded outside of printable ASCII.
fn grpc_message(denial: &Denial<'_>) -> String {
    let mut message = String::new();
    for byte in denial.detail.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => message.push(char::from(byte)),
            // Writing to a string cannot fail.
            _ => drop(write!(message, "%{byte:02X}")),
        }
    }
    message
}

/// RFC 9457, with `code`, `request_id`, and `message` for the many clients that read that.
fn problem(denial: &Denial<'_>, request_id: &RequestId) -> Vec<u8> {
    #[derive(Serialize)]
    struct Problem<'p> {
        r#type: String,
        title: &'p str,
        status: u16,
        detail: &'p str,
        code: &'p str,
        request_id: &'p str,
        message: &'p str,
    }
    let reason = denial.reason;
    let problem = Problem {
        r#type: format!("urn:keygate:{}", reason.code()),
        title: reason.title(),
        status: reason.status(),
        detail: &denial.detail,
        code: reason.code(),
        request_id: request_id.as_str(),
        message: &denial.detail,
    };
    // Strings and a number always become JSON.
    serde_json::to_vec(&problem).unwrap_or_default()
}

/// `text` as it stands inside a JSON string.
fn push_json_inner(out: &mut String, text: &str) {
    let quoted = serde_json::Value::from(text).to_string();
    out.push_str(quoted.get(1..quoted.len() - 1).unwrap_or_default());
}

/// `WWW-Authenticate` of a 401 or 403 (RFC 6750 §3): without `error` where no credential was sent.
fn challenge(denial: &Denial<'_>) -> Option<String> {
    match denial.reason {
        Reason::KeyMissing => Some("Bearer realm=\"keygate\"".to_owned()),
        Reason::KeyMalformed
        | Reason::KeyUnknown
        | Reason::KeyRevoked
        | Reason::KeyExpired
        | Reason::KeyNotYetValid
        | Reason::KeyOwnerDisabled => Some(format!(
            "Bearer realm=\"keygate\", error=\"invalid_token\", error_description=\"{}\"",
            denial.detail.replace(['"', '\\'], "'")
        )),
        Reason::AddressNotAllowed => Some(
            "Bearer realm=\"keygate\", error=\"invalid_token\", error_description=\"address not allowed\""
                .to_owned(),
        ),
        Reason::ScopeInsufficient => {
            let scope = denial.missing_scope.map(|scope| format!(", scope=\"{scope}\"")).unwrap_or_default();
            Some(format!("Bearer realm=\"keygate\", error=\"insufficient_scope\"{scope}"))
        }
        Reason::BadRequest
        | Reason::PathAmbiguous
        | Reason::MethodNotAllowed
        | Reason::RateLimited
        | Reason::NotFound
        | Reason::KeyStoreUnavailable
        | Reason::UpstreamUnreachable
        | Reason::UpstreamTimeout
        | Reason::Overloaded
        | Reason::RequestTimeout
        | Reason::ContentTooLarge
        | Reason::UriTooLong
        | Reason::ExpectationFailed
        | Reason::HeadersTooLarge
        | Reason::VersionNotSupported
        | Reason::LoopDetected
        | Reason::DoorRefused
        | Reason::Internal => None,
    }
}

fn reason_phrase(status: u16) -> &'static [u8] {
    match status {
        200 => b"OK",
        204 => b"No Content",
        400 => b"Bad Request",
        401 => b"Unauthorized",
        403 => b"Forbidden",
        404 => b"Not Found",
        405 => b"Method Not Allowed",
        408 => b"Request Timeout",
        413 => b"Content Too Large",
        414 => b"URI Too Long",
        417 => b"Expectation Failed",
        429 => b"Too Many Requests",
        431 => b"Request Header Fields Too Large",
        500 => b"Internal Server Error",
        502 => b"Bad Gateway",
        503 => b"Service Unavailable",
        504 => b"Gateway Timeout",
        505 => b"HTTP Version Not Supported",
        508 => b"Loop Detected",
        _ => b"",
    }
}
