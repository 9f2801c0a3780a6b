//! A case of the decision table as a question at a door.

use keygate::{cli::cases::Case, control::explain::Asker};

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
