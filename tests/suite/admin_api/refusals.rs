//! What is refused, and how: problem details for everything, with nothing in them that is nobody's business.

use std::fs;

use keygate::keys::digest::KeyDigest;

use super::{Who, World, assert_problem, text};
use crate::harness::{Postgres, store_place::StorePlace};

#[test]
fn refusals_are_problems_that_say_what_would_be_right() {
    let world = World::sqlite();
    let owner = world.manager("olga");
    let new = r#"{"name": "", "scopes": [], "projects": "all", "expires": "soon"}"#;
    let answer = world.ask(&owner, "POST", "/api/v1/keys", Some(new));
    assert_problem(&answer, 422, "refused");
    let pointers: Vec<_> =
        answer.json()["errors"].as_array().unwrap().iter().map(|error| text(&error["pointer"])).collect();
    assert_eq!(pointers, ["/name", "/scopes", "/expires"]);
    for id in ["new", ".", ".."] {
        let person = format!(r#"{{"id": "{id}", "email": "n@example.com", "role": "member"}}"#);
        let project = format!(r#"{{"id": "{id}"}}"#);
        for (list, body) in [("people", person), ("projects", project)] {
            let answer = world.ask(&owner, "POST", &format!("/api/v1/{list}"), Some(&body));
            assert_problem(&answer, 422, "refused");
            assert_eq!(answer.json()["errors"][0]["pointer"], "/id", "{list}: {answer:?}");
        }
    }
    let king = r#""{"id": "eve", "email": "eve@example.com", "role": "king"}"#;
    for (method, target, body, status, code) in [
        ("GET", "/api/v1/keys?limit=0", None, 400, "bad_request"),
        ("GET", "/api/v1/keys?limit=abc", None, 400, "bad_request"),
        ("GET", "/api/v1/keys?limit=1&limit=2", None, 400, "bad_request"),
        ("GET", "/api/v1/keys?organisation=main", None, 400, "bad_request"),
        ("GET", "/api/v1/keys?status=sleeping", None, 400, "bad_request"),
        ("GET", "/api/v1/keys?cursor=nonsense", None, 400, "bad_request"),
        ("GET", "/api/v1/session?wait=1s", None, 400, "bad_request"),
        ("GET", "/api/v1/audit?since=yesterday", None, 400, "bad_request"),
        ("GET", "/api/v1/keys/%ff", None, 404, "not_found"),
        ("GET", "/api/v1/people/%00", None, 404, "not_found"),
        ("GET", "/api/v1/receipts/-1", None, 404, "not_found"),
        ("GET", "/api/v1/nothing", None, 404, "not_found"),
        ("PUT", "/api/v1/keys", Some("{}"), 405, "method_not_allowed"),
        ("POST", "/api/v1/keys", Some("[]"), 400, "bad_request"),
        ("POST", "/api/v1/keys", Some("{"), 400, "bad_request"),
        ("POST", "/api/v1/keys", Some(r#"{"nome": "x"}"#), 400, "bad_request"),
        ("POST", "/api/v1/reload", Some(r#"{"force": true}"#), 400, "bad_request"),
        ("POST", "/api/v1/reload?wait=90s", None, 400, "bad_request"),
        ("POST", "/api/v1/people", Some(king), 400, "bad_request"),
        (
            "POST",
            "/api/v1/explain",
            Some(r#"{"method": "GET", "target": "/", "client": "here"}"#),
            422,
            "refused",
        ),
        (
            "POST",
            "/api/v1/explain",
            Some("{\"method\": \"GET\", \"target\": \"/\\r\\nX: y\"}"),
            422,
            "refused",
        ),
    ] {
        let answer = world.ask(&owner, method, target, body);
        assert_eq!(answer.status(), status, "{method} {target}: {answer:?}");
        assert_problem(&answer, status, code);
    }
}

#[test]
fn requests_have_limits_and_no_other_method_than_their_own() {
    let world = World::sqlite();
    let owner = world.manager("olga");
    let key = world.key("mia", "read", &["--all-projects"]).0;
    let path = format!("/api/v1/keys/{key}");
    let overridden = world.ask_with(&owner, "GET", &path, None, &["X-HTTP-Method-Override: PATCH"]);
    assert_eq!((overridden.status(), &overridden.json()["name"]), (200, &"Test".into()));
    let long_name = format!("Idempotency-Key: {}", "n".repeat(256));
    let answer = world.ask_with(&owner, "POST", "/api/v1/keys", Some("{}"), &[&long_name]);
    assert_problem(&answer, 400, "bad_request");
}

#[test]
fn no_answer_has_a_secret_or_digest_but_the_one_that_makes_it() {
    let world = World::sqlite();
    let (owner_key, owner_secret) = world.key("olga", "keygate:manage", &["--all-projects"]);
    let owner = Who::Key(owner_secret.clone());
    let (key, secret) = world.key("mia", "read", &["--all-projects"]);
    let digests = [&secret, &owner_secret].map(|secret| {
        let text = KeyDigest::of(secret.as_bytes()).to_text();
        text.trim_start_matches("sha256:").to_owned()
    });
    for path in [
        "keys",
        "people",
        "projects",
        "organizations",
        "audit",
        "routes",
        "replicas",
        "receipts/1",
        "session",
        "sessions",
        &format!("keys/{key}"),
        &format!("keys/{owner_key}"),
        &format!("keys/{key}/usage"),
        "people/mia",
        "docs",
        "openapi.json",
    ] {
        let answer = world.ask(&owner, "GET", &format!("/api/v1/{path}"), None);
        assert_eq!((answer.status(), answer.header("cache-control")), (200, Some("no-store")), "{path}");
        for hidden in digests.iter().chain([&secret, &owner_secret]) {
            assert!(!answer.text().contains(hidden.as_str()), "{path}: {}", answer.text());
        }
    }
    let search = format!(r#"{{"secret": "{secret}"}}"#);
    let found = world.ask(&owner, "POST", "/api/v1/keys/search", Some(&search));
    assert!(found.status() == 200 && !found.text().contains(&secret), "{found:?}");
    let explain = format!(r#"{{"method": "GET", "target": "/any/x", "secret": "{secret}"}}"#);
    let explained = world.ask(&owner, "POST", "/api/v1/explain", Some(&explain));
    assert!(explained.status() == 200 && !explained.text().contains(&secret), "{explained:?}");
    assert!(!world.gate.output().contains(&secret) && !world.gate.output().contains(&owner_secret));
}

#[test]
fn a_database_that_is_gone_is_told_without_its_whereabouts() {
    let mut server = Postgres::start();
    let world = World::on(StorePlace::postgres(&server));
    let owner = world.manager("olga");
    assert_eq!(world.ask(&owner, "GET", "/api/v1/keys", None).status(), 200);
    server.kill();
    for (method, target, body) in [
        ("GET", "/api/v1/keys", None),
        ("GET", "/api/v1/audit", None),
        ("POST", "/api/v1/reload", None),
        ("POST", "/api/v1/keys/search", Some(r#"{"secret": "x"}"#)),
    ] {
        let answer = world.ask(&owner, method, target, body);
        assert_problem(&answer, 503, "store_unavailable");
        for hidden in ["postgres", "127.0.0.1", &server.port().to_string(), "refused"] {
            assert!(!answer.text().contains(hidden), "{hidden}: {}", answer.text());
        }
    }
}

#[test]
fn what_is_served_is_what_the_repository_describes() {
    let world = World::sqlite();
    let served = world.ask(&world.manager("olga"), "GET", "/api/v1/openapi.json", None);
    assert_eq!(served.header("content-type"), Some("application/json"));
    let stored = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/openapi.json");
    let stored: serde_json::Value = serde_json::from_str(&fs::read_to_string(stored).unwrap()).unwrap();
    assert_eq!(served.json(), stored);
    assert_eq!(stored["openapi"], "3.1.0");
}
