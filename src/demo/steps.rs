//! What the demo shows: requests, each with the answer that it must get.

use serde_json::{Value, json};

use super::{
    command::Command,
    exchange::{Answer, Presented, Request},
    keyring::Holder,
};

/// Steps that show one thing.
pub(super) struct Chapter {
    pub(super) title: &'static str,
    pub(super) steps: &'static [Step],
}

/// A request and the answer it must get.
pub(super) struct Step {
    pub(super) what: &'static str,
    pub(super) request: Request,
    pub(super) status: u16,
    /// The code of a refusal; empty for an answer of the API.
    pub(super) code: &'static str,
    /// What else must be true of the answer.
    pub(super) holds: fn(&Answer) -> bool,
    /// Whether to show who the API took the caller for.
    pub(super) shows_identity: bool,
}

const fn step(what: &'static str, request: Request, status: u16, code: &'static str) -> Step {
    Step { what, request, status, code, holds: |_| true, shows_identity: false }
}

const PROJECTS: &str = "/api/v1/projects";
const ALPHA: &str = "/api/v1/projects/alpha";
const BETA: &str = "/api/v1/projects/beta";
const ALPHA_TESTS: &str = "/api/v1/projects/alpha/tests";

const fn get(target: &'static str, presented: Presented) -> Request {
    Request::new("GET", target, presented)
}

const fn post_test(presented: Presented) -> Request {
    Request { body: Some("log-out"), ..Request::new("POST", ALPHA_TESTS, presented) }
}

const fn key(holder: Holder) -> Presented {
    Presented::Key(holder)
}

/// Everything the demo shows but what changes while it runs, in this order.
pub(super) const CHAPTERS: &[Chapter] = &[
    Chapter {
        title: "Admitted, by scope and project",
        steps: &[
            step("a public route, without key", get("/healthz", Presented::Nothing), 200, ""),
            step("a read key reads", get(ALPHA, key(Holder::Read)), 200, ""),
            step("a write key writes", post_test(key(Holder::Write)), 201, ""),
            step("an admin key deletes", Request::new("DELETE", BETA, key(Holder::Admin)), 200, ""),
            step("a key restricted to alpha works there", post_test(key(Holder::Alpha)), 201, ""),
            Step {
                holds: |answer| answer.body["projects"] == json!(["alpha"]),
                ..step("and lists alpha alone", get(PROJECTS, key(Holder::Alpha)), 200, "")
            },
        ],
    },
    Chapter {
        title: "Who the API sees",
        steps: &[
            Step {
                holds: is_bob_and_nobody_else,
                shows_identity: true,
                ..step("identity, and never the key", get(ALPHA, key(Holder::Write)), 200, "")
            },
            Step {
                holds: is_bob_and_nobody_else,
                ..step("headers that pretend to be ada are removed", SPOOFED, 200, "")
            },
        ],
    },
    Chapter {
        title: "401: the key",
        steps: &[
            step("no key", get(ALPHA, Presented::Nothing), 401, "key_missing"),
            step(
                "another scheme",
                get(ALPHA, Presented::Text("Basic YWRhOnNlY3JldA==")),
                401,
                "key_malformed",
            ),
            step("a key nobody has", get(ALPHA, key(Holder::Stranger)), 401, "key_unknown"),
            Step {
                holds: |answer| answer.detail().contains("truncated"),
                ..step(
                    "a key cut short, and told so",
                    get(ALPHA, Presented::CutShort(Holder::Read)),
                    401,
                    "key_unknown",
                )
            },
            step("a revoked key", get(ALPHA, key(Holder::Revoked)), 401, "key_revoked"),
            step("an expired key", get(ALPHA, key(Holder::Expired)), 401, "key_expired"),
            step("a key for tomorrow", get(ALPHA, key(Holder::Future)), 401, "key_not_yet_valid"),
            step("a key of somebody who left", get(ALPHA, key(Holder::Disabled)), 401, "key_owner_disabled"),
        ],
    },
    Chapter {
        title: "403 and 405: what it may do",
        steps: &[
            Step {
                holds: |answer| answer.detail().contains("write"),
                ..step("a read key writes", post_test(key(Holder::Read)), 403, "scope_insufficient")
            },
            step(
                "an admin key of a viewer writes",
                post_test(key(Holder::Capped)),
                403,
                "scope_insufficient",
            ),
            step("a key for another network", get(ALPHA, key(Holder::Elsewhere)), 403, "address_not_allowed"),
            step(
                "a method that no route names",
                Request::new("PUT", ALPHA, key(Holder::Admin)),
                405,
                "method_not_allowed",
            ),
        ],
    },
    Chapter {
        title: "400: a path with two readings",
        steps: &[
            step(
                "dots that lead elsewhere",
                get("/api/v1/projects/alpha/../beta", key(Holder::Alpha)),
                400,
                "path_ambiguous",
            ),
            step(
                "the same, encoded",
                get("/api/v1/projects/alpha/%2e%2e/beta", key(Holder::Alpha)),
                400,
                "path_ambiguous",
            ),
        ],
    },
    OUT_OF_SIGHT,
];

/// Steps whose answers are one and the same.
pub(super) const OUT_OF_SIGHT: Chapter = Chapter {
    title: "404: what a key restricted to alpha cannot see, in one answer",
    steps: &[
        step("another project", get(BETA, key(Holder::Alpha)), 404, "not_found"),
        step("a project that never was", get("/api/v1/projects/omega", key(Holder::Alpha)), 404, "not_found"),
        step(
            "a path that the API serves and no route names",
            get("/internal/debug", key(Holder::Alpha)),
            404,
            "not_found",
        ),
    ],
};

/// What happens while the demo runs: a command changes a record, and what depends on it changes at once.
pub(super) struct Change {
    pub(super) title: &'static str,
    /// What works before.
    pub(super) before: Step,
    pub(super) command: Command,
    /// The same afterwards.
    pub(super) after: Step,
}

/// A key is revoked whose WebSocket is open.
pub(super) const REVOCATION: Change = Change {
    title: "Revoked means revoked now, with a receipt, open streams included",
    before: step("a WebSocket", EVENTS, 101, ""),
    command: Command(&["keys", "revoke", "demo-leaving", "--reason", "the demo showed it"]),
    after: step("the next request with the key", get(ALPHA, key(Holder::Leaving)), 401, "key_revoked"),
};

/// A person gets a role that permits less.
pub(super) const DEMOTION: Change = Change {
    title: "A key is never more than its owner",
    before: step("the key of eve, a member, writes", post_test(key(Holder::Demoted)), 201, ""),
    command: Command(&["people", "update", "eve", "--role", "viewer"]),
    after: step(
        "the same key, now that eve is a viewer",
        post_test(key(Holder::Demoted)),
        403,
        "scope_insufficient",
    ),
};

const EVENTS: Request = Request {
    headers: &[
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ],
    ..get("/api/v1/projects/alpha/events", key(Holder::Leaving))
};

const SPOOFED: Request = Request {
    headers: &[("X-Auth-User", "ada"), ("x_auth_role", "owner"), ("X-Auth-Key-Id", "demo-admin")],
    ..get(ALPHA, key(Holder::Write))
};

fn is_bob_and_nobody_else(answer: &Answer) -> bool {
    let identity = &answer.body["identity_headers"];
    let names = identity.as_object().map_or(0, serde_json::Map::len);
    let expected = [
        ("x-auth-key-id", "demo-write"),
        ("x-auth-user", "bob"),
        ("x-auth-email", "bob@example.com"),
        ("x-auth-role", "member"),
        ("x-auth-scopes", "read write"),
        ("x-auth-project", "alpha"),
        ("x-auth-org", "default"),
    ];
    let is_as_expected = |(name, value): &(&str, &str)| identity[*name] == **value;
    // The others are X-Auth-Key-Name and X-Auth-Projects.
    names == expected.len() + 2
        && expected.iter().all(is_as_expected)
        && answer.body["credential_seen"] == Value::Bool(false)
}
