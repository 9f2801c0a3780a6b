//! Who may do what: every operation of the served description, asked by everybody.

use std::collections::BTreeSet;

use super::{Who, World, text};

/// The answers to those who are not let in: nobody, a key that is none, one that does not manage, one of a viewer, one of a
/// member, a revoked one, one whose time has not come.
const OUTSIDE: &str = "1133311";

/// An operation, how it is asked for, and its answers to an admin, an owner, an admin restricted to a project, an owner's key
/// restricted to one, the owner of another organization; to a viewer, member, admin and owner who are signed in; and to a
/// page of another site: 2 done, 3 forbidden, 4 not there for them, x refused. `KEY` and `MARK` are filled in.
const TABLE: [(&str, &str, &str, Option<&str>, &str); 31] = [
    ("list_keys", "GET", "/keys", None, "2222222222"),
    (
        "create_key",
        "POST",
        "/keys",
        Some(r#"{"name": "n", "scopes": ["read"], "projects": ["alpha"], "expires": "1d"}"#),
        "2222x22223",
    ),
    ("search_key", "POST", "/keys/search", Some(r#"{"secret": "SECRET"}"#), "2222442223"),
    ("show_key", "GET", "/keys/KEY", None, "2222442222"),
    ("update_key", "PATCH", "/keys/KEY", Some(r#"{"name": "Renamed"}"#), "2222442223"),
    ("show_key_usage", "GET", "/keys/KEY/usage", None, "2222442222"),
    ("rotate_key", "POST", "/keys/KEY/rotate?wait=0", Some(r#"{"overlap": "1h"}"#), "2222442223"),
    (
        "explain_request",
        "POST",
        "/explain",
        Some(r#"{"method": "GET", "target": "/any/x", "key_id": "KEY"}"#),
        "2222433223",
    ),
    ("revoke_key", "POST", "/keys/KEY/revoke?wait=0", None, "2222442223"),
    ("list_people", "GET", "/people", None, "2222222222"),
    (
        "create_person",
        "POST",
        "/people",
        Some(r#"{"id": "new-MARK", "email": "MARK@example.com", "role": "viewer", "projects": ["alpha"]}"#),
        "2222x33223",
    ),
    ("show_person", "GET", "/people/zoe", None, "2222444222"),
    ("update_person", "PATCH", "/people/zoe", Some(r#"{"name": "Renamed"}"#), "2222444223"),
    ("invite_person", "POST", "/people/zoe/invitation", None, "2222444223"),
    ("sign_out_person", "POST", "/people/zoe/sign-out", None, "2222444223"),
    ("disable_person", "POST", "/people/zoe/disable?wait=0", None, "2222444223"),
    ("enable_person", "POST", "/people/zoe/enable?wait=0", None, "2222444223"),
    ("list_projects", "GET", "/projects", None, "2222222222"),
    ("create_project", "POST", "/projects", Some(r#"{"id": "new-MARK"}"#), "2233233223"),
    ("remove_project", "DELETE", "/projects/old-MARK", None, "2244433223"),
    ("list_organizations", "GET", "/organizations", None, "2222222222"),
    ("list_audit", "GET", "/audit", None, "2222233222"),
    ("list_routes", "GET", "/routes", None, "2222233222"),
    ("reload_gateway", "POST", "/reload", None, "2222233223"),
    ("list_replicas", "GET", "/replicas", None, "2222233222"),
    ("show_receipt", "GET", "/receipts/1", None, "2222222222"),
    ("show_session", "GET", "/session", None, "2222222222"),
    ("list_sessions", "GET", "/sessions", None, "2222222222"),
    ("end_session", "DELETE", "/sessions/ses_none", None, "4444444443"),
    ("sign_out", "DELETE", "/session", None, "4444422223"),
    // Once more, by those who have signed out.
    ("show_session", "GET", "/session", None, "2222211111"),
];

#[test]
fn everybody_does_what_they_may_and_nothing_else() {
    let world = World::sqlite();
    let callers = callers(&world);
    let owner = &callers[8];
    let (key, secret) = world.key("mia", "read", &["--project", "alpha"]);
    for mark in 0..callers.len() {
        let declared =
            world.ask(owner, "POST", "/api/v1/projects", Some(&format!(r#"{{"id": "old-{mark}"}}"#)));
        assert_eq!(declared.status(), 201, "{declared:?}");
    }
    let in_force = world.ask(owner, "POST", "/api/v1/projects?wait=10s", Some(r#"{"id": "last"}"#));
    assert_eq!(in_force.json()["receipt"]["pending"].as_array().map(Vec::len), Some(0), "{in_force:?}");
    let mut wrong = Vec::new();
    for (operation, method, target, body, expected) in TABLE {
        let expected = format!("{OUTSIDE}{expected}");
        let answer = |(mark, who): (usize, &Who)| {
            let fill = |text: &str| {
                text.replace("KEY", &key).replace("SECRET", &secret).replace("MARK", &mark.to_string())
            };
            let body = body.map(fill);
            let answer = world.ask(who, method, &format!("/api/v1{}", fill(target)), body.as_deref());
            class(answer.status())
        };
        let found: String = callers.iter().enumerate().map(answer).collect();
        if found != expected {
            wrong.push(format!("{operation}: {found}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_has_every_operation_that_is_served() {
    let world = World::sqlite();
    let owner = world.manager("olga");
    let document = world.ask(&owner, "GET", "/api/v1/openapi.json", None).json();
    let paths = document["paths"].as_object().unwrap();
    let served: BTreeSet<_> = paths
        .values()
        .flat_map(|item| item.as_object().unwrap().values())
        .map(|operation| text(&operation["operationId"]))
        .collect();
    let tabled: BTreeSet<_> = TABLE.iter().map(|(operation, ..)| (*operation).to_owned()).collect();
    assert_eq!(served, tabled);
    for path in ["/api/v1/openapi.json", "/api/v1/docs"] {
        assert_ne!(world.ask(&Who::Nobody, "GET", path, None).status(), 200, "{path}");
    }
}

fn callers(world: &World) -> Vec<Who> {
    let key = |owner, scope, more: &[&str]| Who::Key(world.key(owner, scope, more).1);
    let demoted = |id: &str, role: &str| {
        let email = format!("{id}@example.com");
        let create = ["people", "create", id, "--email", &email, "--role", "admin", "--organization", "main"];
        world.place.run(&create).expect_success();
        let who = world.manager(id);
        world.place.run(&["people", "update", id, "--role", role]).expect_success();
        who
    };
    let (revoked, secret) = world.key("olga", "keygate:manage", &["--all-projects"]);
    world.place.run(&["keys", "revoke", &revoked]).expect_success();
    let early = key(
        "olga",
        "keygate:manage",
        &["--all-projects", "--not-before", "2999-01-01", "--expires", "never"],
    );
    let owner = world.manager("olga");
    let sessions = ["vic", "mia", "adam", "olga"].map(|person| world.session(person, &owner));
    let cross = match &sessions[3] {
        Who::Session(cookie) => Who::CrossSite(cookie.clone()),
        other => other.clone(),
    };
    let keys = [
        Who::Nobody,
        Who::Key("kg_live_nonsense".to_owned()),
        key("olga", "read", &["--all-projects"]),
        demoted("vera", "viewer"),
        demoted("mark", "member"),
        Who::Key(secret),
        early,
        world.manager("adam"),
        owner.clone(),
        key("nara", "keygate:manage", &["--project", "alpha"]),
        key("olga", "keygate:manage", &["--project", "alpha"]),
        world.manager("oscar"),
    ];
    keys.into_iter().chain(sessions).chain([cross]).collect()
}

fn class(status: u16) -> char {
    match status {
        200..300 => '2',
        401 => '1',
        403 => '3',
        404 => '4',
        422 => 'x',
        _ => '?',
    }
}
