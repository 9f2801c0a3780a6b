//! A case of the decision table as a question at a door.

use std::collections::BTreeMap;

use keygate::{cli::cases::Case, control::explain::Asker};

use super::grpc;
use crate::decisions::secret_of;

/// A family of headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    XOriginal,
    XForwarded,
}

/// `Authorization` of a case, if it has a key.
pub(super) fn authorization(case: &Case) -> Option<String> {
    match &case.asker {
        Asker::Anonymous => None,
        Asker::Key(id) => Some(format!("Bearer {}", secret_of(id).expose())),
        Asker::Secret(secret) => Some(format!("Bearer {}", secret.expose())),
    }
}

/// What a proxy asks in headers of `family` about the request of `case`.
pub(super) fn forward_auth(case: &Case, family: Family) -> Vec<u8> {
    let question = &case.question;
    let mut head = String::from("GET / HTTP/1.1\r\nHost: keygate\r\n");
    let mut put = |name: &str, value: &str| head.extend([name, ": ", value, "\r\n"]);
    let [method, target, host, scheme] = match family {
        Family::XOriginal => ["X-Original-Method", "X-Original-URI", "X-Original-Host", "X-Original-Proto"],
        Family::XForwarded => {
            ["X-Forwarded-Method", "X-Forwarded-Uri", "X-Forwarded-Host", "X-Forwarded-Proto"]
        }
    };
    put(method, &question.method);
    put(target, &question.target);
    if let Some(said) = &question.host {
        put(host, said);
    }
    put(scheme, "http");
    put("X-Forwarded-For", &question.client.to_string());
    for (name, value) in &question.fields {
        match (name.as_str(), family) {
            ("Host", _) => put(host, value),
            ("Content-Length", Family::XOriginal) => put("X-Original-Content-Length", value),
            ("Transfer-Encoding", Family::XOriginal) => put("X-Original-Transfer-Encoding", value),
            ("Upgrade", Family::XOriginal) => put("X-Original-Upgrade", value),
            ("Content-Length" | "Transfer-Encoding" | "Connection" | "Expect", _) => {}
            (name, _) => put(name, value),
        }
    }
    if let Some(value) = authorization(case) {
        put("Authorization", &value);
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// Whether headers can say what the request of `case` is about: how its connection is used they cannot, and those of Traefik
/// and Caddy do not speak of bodies.
pub(super) fn can_describe(case: &Case, family: Family) -> bool {
    let question = &case.question;
    let is_told = |name: &str| match name {
        "Connection" | "Expect" => false,
        "Content-Length" | "Transfer-Encoding" => family == Family::XOriginal,
        _ => true,
    };
    question.version == "HTTP/1.1"
        && question.fields.iter().all(|(name, _)| is_told(name))
        && !question.target.bytes().any(|byte| byte.is_ascii_control())
        && !question.method.is_empty()
}

/// What Envoy asks over HTTP about the request of `case`, if it can be said so.
pub(super) fn http_check(case: &Case) -> Option<Vec<u8>> {
    let question = &case.question;
    let (host, names_host) =
        (question.host.as_ref()?, question.fields.iter().any(|(name, _)| name == "Host"));
    let stands_in_a_line = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !can_describe(case, Family::XForwarded) || names_host || !stands_in_a_line(&question.target) {
        return None;
    }
    let mut head =
        format!("{} {} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n", question.method, question.target);
    let mut put = |name: &str, value: &str| head.extend([name, ": ", value, "\r\n"]);
    put("X-Forwarded-For", &question.client.to_string());
    for (name, value) in joined(case) {
        put(&name, &value);
    }
    head.push_str("\r\n");
    Some(head.into_bytes())
}

/// The message of a call that asks about the request of `case`, if it can be said so.
pub(super) fn check(case: &Case) -> Option<Vec<u8>> {
    let question = &case.question;
    let is_told = |name: &str| !matches!(name, "Connection" | "Host");
    if !question.fields.iter().all(|(name, _)| is_told(name)) {
        return None;
    }
    let host = question.host.clone().unwrap_or_default();
    let mut headers = joined(case);
    for (name, value) in [(":method", &question.method), (":path", &question.target), (":authority", &host)] {
        headers.insert(name.to_owned(), value.clone());
    }
    let http = grpc::Http {
        id: "1".to_owned(),
        method: question.method.clone(),
        headers,
        path: question.target.clone(),
        host,
        scheme: "http".to_owned(),
        size: -1,
        protocol: question.version.clone(),
    };
    Some(grpc::message(http, &question.client.to_string()))
}

/// The client's header lines as Envoy tells them: names in lower case, lines of one name joined.
fn joined(case: &Case) -> BTreeMap<String, String> {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    let authorization = authorization(case).map(|value| ("authorization".to_owned(), value));
    for (name, value) in case.question.fields.iter().cloned().chain(authorization) {
        let line = headers.entry(name.to_ascii_lowercase());
        line.and_modify(|known| *known = format!("{known},{value}")).or_insert(value);
    }
    headers
}
