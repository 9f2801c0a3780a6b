//! Changes: made once, on what was seen, and confirmed; lists while others change.

use std::{collections::BTreeSet, thread};

use serde_json::{Value, json};

use super::{Who, World, assert_problem, text};
use crate::harness::{Message, Postgres};

const NEW: &str = r#"{"name": "Robot", "scopes": ["read"], "projects": ["alpha"], "expires": "30d"}"#;

fn create(world: &World, who: &Who, body: &str, name: &str) -> Message {
    world.ask_with(who, "POST", "/api/v1/keys", Some(body), &[&format!("Idempotency-Key: {name}")])
}

fn key_count(world: &World, who: &Who) -> usize {
    world.ask(who, "GET", "/api/v1/keys?limit=500", None).json()["items"].as_array().unwrap().len()
}

#[test]
fn a_request_that_is_sent_twice_makes_one_key() {
    let world = World::sqlite();
    let owner = world.manager("olga");
    let before = key_count(&world, &owner);
    let first = create(&world, &owner, NEW, "one");
    assert_eq!((first.status(), first.header("cache-control")), (201, Some("no-store")), "{first:?}");
    let secret = text(&first.json()["secret"]);
    let second = create(&world, &owner, NEW, "one");
    assert_eq!(second.status(), 200, "{second:?}");
    assert_eq!(second.json()["key"]["id"], first.json()["key"]["id"]);
    assert_eq!(second.json()["secret"], Value::Null);
    assert!(!second.text().contains(&secret));
    assert_problem(&create(&world, &owner, &NEW.replace("Robot", "Other"), "one"), 422, "refused");
    let statuses: Vec<_> = thread::scope(|scope| {
        let asking: Vec<_> =
            (0..4).map(|_| scope.spawn(|| create(&world, &owner, NEW, "two").status())).collect();
        asking.into_iter().map(|asking| asking.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 201].contains(status)), "{statuses:?}");
    assert_eq!(key_count(&world, &owner), before + 2);
    // What somebody else calls the same is theirs.
    assert_eq!(create(&world, &world.manager("adam"), NEW, "one").status(), 201);
}

#[test]
fn nobody_overwrites_what_they_have_not_seen() {
    let world = World::sqlite();
    let owner = world.manager("olga");
    let (key, _) = world.key("mia", "read", &["--all-projects"]);
    for (path, change) in [
        (format!("/api/v1/keys/{key}"), r#"{"name": "NAME"}"#),
        ("/api/v1/people/mia".to_owned(), r#"{"name": "NAME"}"#),
    ] {
        let seen = world.ask(&owner, "GET", &path, None);
        let tag = seen.header("etag").unwrap().to_owned();
        let update = |name: &str, tag: &str| {
            let body = change.replace("NAME", name);
            world.ask_with(&owner, "PATCH", &path, Some(&body), &[&format!("If-Match: {tag}")])
        };
        let first = update("First", &tag);
        assert_eq!(first.status(), 200, "{first:?}");
        assert_problem(&update("Second", &tag), 412, "stale");
        assert_eq!(update("Third", first.header("etag").unwrap()).status(), 200);
        assert_eq!(update("Fourth", "*").status(), 200);
        assert_eq!(world.ask(&owner, "GET", &path, None).json()["name"], "Fourth");
    }
}

#[test]
fn nobody_rotates_or_revokes_what_they_have_not_seen() {
    let world = World::sqlite();
    let owner = world.manager("olga");
    let (key, _) = world.key("mia", "read", &["--all-projects"]);
    let path = format!("/api/v1/keys/{key}");
    let act = |deed: &str, tag: &str| {
        let seen = format!("If-Match: {tag}");
        world.ask_with(&owner, "POST", &format!("{path}/{deed}"), Some("{}"), &[&seen])
    };
    let tag = world.ask(&owner, "GET", &path, None).header("etag").unwrap().to_owned();
    let rotated = act("rotate", &tag);
    assert_eq!(rotated.status(), 200, "{rotated:?}");
    for deed in ["rotate", "revoke"] {
        assert_problem(&act(deed, &tag), 412, "stale");
    }
    let shown = world.ask(&owner, "GET", &path, None);
    assert_eq!((&shown.json()["status"], shown.header("etag")), (&json!("active"), rotated.header("etag")));
    assert_eq!(act("rotate", "*").status(), 200);

    let tag = world.ask(&owner, "GET", &path, None).header("etag").unwrap().to_owned();
    let revoked = act("revoke", &tag);
    assert_eq!((revoked.status(), &revoked.json()["key"]["status"]), (200, &json!("revoked")));
    // Whoever asks again, as the answer was lost, finds it revoked; there is nothing to overwrite.
    let again = act("revoke", &tag);
    assert_eq!((again.status(), &again.json()["change"]["changed"]), (200, &json!(false)), "{again:?}");
}

#[test]
fn pages_give_every_record_once_while_others_are_added() {
    let world = World::sqlite();
    let owner = world.manager("olga");
    let add = |mark: usize| {
        let body = json!({
            "id": format!("person-{mark:02}"), "email": format!("p{mark}@example.com"), "role": "viewer",
        });
        assert_eq!(world.ask(&owner, "POST", "/api/v1/people", Some(&body.to_string())).status(), 201);
        assert_eq!(world.ask(&owner, "POST", "/api/v1/keys", Some(NEW)).status(), 201);
    };
    (0..10).for_each(add);
    for (list, id) in [("people", "id"), ("keys", "id"), ("audit", "revision")] {
        let ids = |answer: &Message| -> Vec<String> {
            answer.json()["items"].as_array().unwrap().iter().map(|item| item[id].to_string()).collect()
        };
        let all = world.ask(&owner, "GET", &format!("/api/v1/{list}?limit=500"), None);
        let before: BTreeSet<_> = ids(&all).into_iter().collect();
        let (mut found, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = world.ask(&owner, "GET", &format!("/api/v1/{list}?limit=3{cursor}"), None);
            assert_eq!(page.status(), 200, "{page:?}");
            found.extend(ids(&page));
            pages += 1;
            if pages == 2 {
                add(50 + list.len());
            }
            match page.json()["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let once: BTreeSet<_> = found.iter().cloned().collect();
        assert_eq!(once.len(), found.len(), "{list}: {found:?}");
        assert!(once.is_superset(&before), "{list}: {:?}", before.difference(&once));
    }
    let foreign = world.ask(&owner, "GET", "/api/v1/keys?limit=3", None).json();
    let cursor = text(&foreign["next"]);
    assert_problem(
        &world.ask(&owner, "GET", &format!("/api/v1/people?cursor={cursor}"), None),
        400,
        "bad_request",
    );
}

#[test]
fn a_revocation_is_confirmed_and_its_receipt_can_be_asked_for_again() {
    let server = Postgres::start();
    let world = World::postgres(&server);
    let owner = world.manager("olga");
    let made = create(&world, &owner, NEW, "one").json();
    let (key, secret) = (text(&made["key"]["id"]), text(&made["secret"]));
    let found =
        world.ask(&owner, "POST", "/api/v1/keys/search", Some(&json!({"secret": secret}).to_string()));
    assert_eq!(found.json()["id"], key);
    let body = r#"{"reason": "found in a public repository"}"#;
    let revoked = world.ask(&owner, "POST", &format!("/api/v1/keys/{key}/revoke?wait=10s"), Some(body));
    assert_eq!(revoked.status(), 200, "{revoked:?}");
    let (key_after, change) = (&revoked.json()["key"], &revoked.json()["change"]);
    assert_eq!((&key_after["status"], &key_after["revoked_by"]), (&json!("revoked"), &json!("olga")));
    assert_eq!(change["receipt"]["confirmed"].as_array().unwrap().len(), 1, "{change}");
    let receipt =
        world.ask(&owner, "GET", &format!("/api/v1/receipts/{}?wait=10s", change["revision"]), None);
    assert_eq!(receipt.json()["complete"], true, "{receipt:?}");
    assert_problem(&world.ask(&owner, "GET", "/api/v1/receipts/999999", None), 404, "not_found");
    let trail = world.ask(&owner, "GET", &format!("/api/v1/audit?id={key}&limit=1"), None).json();
    assert_eq!(trail["items"][0]["command"], "keys revoke");
    assert!(text(&trail["items"][0]["actor"]).starts_with("person:olga key:"), "{trail}");
}

#[test]
fn disabling_and_signing_out_end_sessions() {
    let world = World::sqlite();
    let owner = world.manager("olga");
    let me = |who: &Who| world.ask(who, "GET", "/api/v1/session", None).status();
    let mia = world.session("mia", &owner);
    assert_eq!(me(&mia), 200);
    let ended = world.ask(&mia, "POST", "/api/v1/people/mia/sign-out", None);
    assert_eq!(ended.json()["ended"], 1, "{ended:?}");
    assert_eq!(me(&mia), 401);
    let mia = world.session("mia", &owner);
    assert_eq!(world.ask(&owner, "POST", "/api/v1/people/mia/disable", None).status(), 200);
    assert_eq!(me(&mia), 401);
    let vic = world.session("vic", &owner);
    let listed = world.ask(&vic, "GET", "/api/v1/sessions", None).json();
    assert_eq!(listed["items"][0]["current"], true, "{listed}");
    let path = format!("/api/v1/sessions/{}", text(&listed["items"][0]["id"]));
    assert_eq!(world.ask(&vic, "DELETE", &path, None).status(), 204);
    assert_eq!(me(&vic), 401);
}

/// A key that manages does not reach beyond its projects, neither by a key that it makes for its own owner nor by people.
#[test]
fn a_restricted_key_makes_nothing_wider_than_itself() {
    let world = World::sqlite();
    let owner = world.manager("olga");
    let new = |scopes: &str, projects: &str| {
        format!(r#"{{"name": "robot", "scopes": [{scopes}], "projects": {projects}, "expires": "30d"}}"#)
    };
    let narrow = r#""keygate:manage""#;
    let made = world.ask(&owner, "POST", "/api/v1/keys", Some(&new(narrow, r#"["alpha"]"#))).json();
    let restricted = Who::Key(text(&made["secret"]));
    let wide = world.ask(&owner, "POST", "/api/v1/keys", Some(&new(narrow, r#""all""#))).json();
    let wide = text(&wide["key"]["id"]);
    for (method, target, body, expected) in [
        ("POST", "/api/v1/keys".to_owned(), new(narrow, r#""all""#), 422),
        ("POST", "/api/v1/keys".to_owned(), new(r#""read""#, r#"["beta"]"#), 422),
        ("POST", "/api/v1/keys".to_owned(), new(r#""read""#, r#"["alpha"]"#), 201),
        ("POST", format!("/api/v1/keys/{wide}/rotate"), r#"{"overlap": "1h"}"#.to_owned(), 422),
        ("PATCH", "/api/v1/people/olga".to_owned(), r#"{"projects": ["alpha"]}"#.to_owned(), 403),
    ] {
        let answer = world.ask(&restricted, method, &target, Some(&body));
        assert_eq!(answer.status(), expected, "{method} {target} {body}: {answer:?}");
    }
}
