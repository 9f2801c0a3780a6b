//! Signing in and out, and what speaks against it.

use std::fs;

use keygate::keys::digest::KeyDigest;
use serde_json::{Value, json};

use super::{ROUTES, gateway, signed_in};
use crate::harness::{Browser, Gateway, browser::PASSWORD, people::config, run::keygate};

#[test]
fn whoever_may_not_sign_in_learns_nothing_else() {
    let gate = gateway();
    keygate(gate.folder(), &["people", "create", "dan", "--email", "dan@example.com", "--role", "admin"], "")
        .expect_success();
    let invited = keygate(gate.folder(), &["people", "invite", "dan"], "").expect_success();
    Browser::new(&gate).post(invited.stdout.trim(), &[("password", PASSWORD), ("again", PASSWORD)]);
    keygate(gate.folder(), &["people", "disable", "dan"], "").expect_success();
    let mut pages = Vec::new();
    for (id, password) in [("ada", "not her password"), ("eve", PASSWORD), ("dan", PASSWORD), ("", "")] {
        let browser = Browser::new(&gate);
        let answer = browser.post("/sign-in", &[("id", id), ("password", password)]);
        assert_eq!((answer.status(), browser.cookie()), (401, None), "{id}: {answer:?}");
        assert!(
            !answer.text().contains("not her password"),
            "what was typed as a password is not shown again"
        );
        pages.push(answer.text().replace(&format!("value=\"{id}\""), "value=\"\""));
    }
    assert!(pages.windows(2).all(|pair| pair[0] == pair[1]), "{pages:#?}");
    let by_email = Browser::new(&gate).post("/sign-in", &[("id", "ADA@example.com"), ("password", PASSWORD)]);
    assert_eq!(by_email.status(), 303);
}

#[test]
fn who_guesses_has_to_wait_and_keeps_the_form() {
    let gate = gateway();
    let browser = Browser::new(&gate);
    let attempt = || browser.post("/sign-in", &[("id", "ada"), ("password", "a guess"), ("next", "/keys")]);
    let refused = (0..30).map(|_| attempt()).find(|answer| answer.status() != 401).unwrap();
    assert_eq!(refused.status(), 429, "{refused:?}");
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    let page = refused.text();
    assert!(
        page.contains("value=\"ada\"") && page.contains("value=\"/keys\"") && page.contains("Too many"),
        "{page}"
    );
}

#[test]
fn a_key_that_manages_signs_in_and_one_that_does_not_is_named_to_the_operator() {
    let secret = |name: &str| format!("{name}-0123456789abcdefghijklmnopqrstuvwxyz");
    let hash = |name: &str| KeyDigest::of(secret(name).as_bytes()).to_text();
    let keys = format!(
        "version: 1
people: [{{id: ada, email: ada@example.com, role: owner}}, {{id: bob, email: bob@example.com, role: member}}]
keys:
  - {{id: console, owner: ada, hash: '{}', previous_hash: '{}', previous_until: 2020-01-01T00:00:00Z,
      scopes: ['keygate:manage'], projects: all, expires_at: never}}
  - {{id: robot, owner: bob, hash: '{}', scopes: [read], projects: all, expires_at: never}}
",
        hash("new"),
        hash("old"),
        hash("robot")
    );
    let config = config("{file: keys.yaml}", ROUTES);
    let gate = Gateway::start(&[("keygate.yaml", &config), ("keys.yaml", &keys)]);
    for (name, status) in [("robot", 401), ("old", 401), ("nobody", 401), ("new", 303)] {
        let answer = Browser::new(&gate).post("/sign-in", &[("key", &secret(name))]);
        assert_eq!(answer.status(), status, "{name}: {answer:?}");
    }
    let log = fs::read_to_string(gate.folder().join("state/audit.log")).unwrap();
    let events = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let told = events.map(|event| json!([event["event"], event["by"], event["person"]]));
    let told: Vec<_> = told.filter(|event| !event[1].is_null()).collect();
    let failed = |by: &str| json!(["sign_in_failed", by, null]);
    let expected = [
        failed("key robot"),
        failed("key console"),
        failed("key"),
        json!(["signed_in", "key console", "ada"]),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_session_begins_anew_at_sign_in_and_ends_at_sign_out() {
    let gate = gateway();
    let browser = Browser::new(&gate);
    // What somebody else has put there is no session, and stays none.
    let planted = format!("keygate={}", "A".repeat(43));
    browser.replace_cookie(Some(planted.clone()));
    assert_eq!(browser.get("/keys").header("location"), Some("/sign-in?next=%2Fkeys"));
    let answer =
        browser.post("/sign-in", &[("id", "ada"), ("password", PASSWORD), ("next", "/keys?status=active")]);
    assert_eq!(answer.header("location"), Some("/keys?status=active"));
    let first = browser.cookie().unwrap();
    assert_ne!(first, planted);
    let set = answer.header("set-cookie").unwrap();
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict") && set.contains("Path=/"), "{set}");
    assert_eq!(
        browser.get("/sign-in?next=/account").header("location"),
        Some("/account"),
        "signed in already"
    );

    browser.post("/sign-in", &[("id", "ada"), ("password", PASSWORD)]);
    let second = browser.cookie().unwrap();
    assert_ne!(first, second);
    let with = |cookie: &str| {
        let other = Browser::new(&gate);
        other.replace_cookie(Some(cookie.to_owned()));
        other.get("/keys").status()
    };
    assert_eq!((with(&first), with(&second)), (303, 200), "the session before has ended");

    let out = browser.post("/sign-out", &[]);
    assert_eq!((out.status(), out.header("location"), browser.cookie()), (303, Some("/sign-in"), None));
    assert_eq!(out.header("clear-site-data"), Some("\"cache\", \"storage\""));
    assert_eq!(with(&second), 303, "it ended at the server");
}

#[test]
fn nobody_is_led_elsewhere_after_signing_in() {
    let gate = gateway();
    for next in ["//evil.example", "https://evil.example", "/\\evil.example", "/keys\r\nX: y", ""] {
        let fields = [("id", "ada"), ("password", PASSWORD), ("next", next)];
        let answer = Browser::new(&gate).post("/sign-in", &fields);
        assert_eq!((answer.status(), answer.header("location")), (303, Some("/")), "{next:?}");
    }
}

#[test]
fn a_page_of_another_site_signs_nobody_in_or_out_and_a_link_from_there_works() {
    let gate = gateway();
    let mut browser = signed_in(&gate, "ada");
    browser.site = "cross-site";
    for path in ["/sign-in", "/sign-out", "/keys", "/account/sign-out-everywhere"] {
        assert_eq!(browser.post(path, &[("id", "mel"), ("password", PASSWORD)]).status(), 403, "{path}");
    }
    assert_eq!(browser.get("/keys").status(), 200);
    // The cookie does not come along from another site: the page leads to itself, and then it does.
    let cookie = browser.replace_cookie(None);
    let answer = browser.get("/sign-in?next=%2Fkeys");
    assert_eq!((answer.status(), answer.header("refresh")), (200, Some("0; url=/sign-in?next=%2Fkeys")));
    browser.replace_cookie(cookie);
    browser.site = "same-origin";
    let again = browser.get("/sign-in?next=%2Fkeys");
    assert_eq!((again.header("location"), again.header("refresh")), (Some("/keys"), None));
}

#[test]
fn a_link_is_used_up_by_its_button_and_not_by_looking() {
    let gate = gateway();
    keygate(
        gate.folder(),
        &["people", "create", "ina", "--email", "ina@example.com", "--role", "viewer"],
        "",
    )
    .expect_success();
    let link = keygate(gate.folder(), &["people", "invite", "ina"], "").expect_success().stdout;
    let browser = Browser::new(&gate);
    browser.post("/sign-in", &[("id", "ada"), ("password", PASSWORD)]);
    let earlier = browser.cookie();
    assert!(earlier.is_some());
    for _ in 0..3 {
        assert!(browser.page(link.trim()).contains("Welcome, ina"));
    }
    for (password, again) in [("2short4u", "2short4u"), (PASSWORD, "another password here")] {
        let answer = browser.post(link.trim(), &[("password", password), ("again", again)]);
        assert_eq!((answer.status(), browser.cookie()), (422, earlier.clone()));
        assert!(!answer.text().contains(again));
    }
    assert_eq!(browser.post(link.trim(), &[("password", PASSWORD), ("again", PASSWORD)]).status(), 303);
    assert!(browser.page("/account").contains("viewer"));
    let as_before = Browser::new(&gate);
    as_before.replace_cookie(earlier);
    assert_eq!(as_before.get("/account").status(), 303, "whoever was signed in there before is not any more");
    for path in [link.trim(), "/welcome/nonsense", &link.trim().replace("invitation", "link")] {
        assert_eq!(browser.get(path).status(), 410, "{path}");
    }
}

#[test]
fn ones_sessions_are_seen_and_ended() {
    let gate = gateway();
    let (here, there) = (signed_in(&gate, "ada"), signed_in(&gate, "ada"));
    let page = here.page("/account");
    assert!(page.contains("Firefox on Linux") && page.contains("this one"), "{page}");
    let ends: Vec<_> = page.match_indices("/account/sessions/").map(|(at, _)| &page[at..]).collect();
    // That of accepting the invitation, and that of the other browser.
    assert_eq!(ends.len(), 2);
    for end in ends {
        assert_eq!(here.post(end.split('"').next().unwrap(), &[]).status(), 303);
    }
    assert_eq!((here.get("/keys").status(), there.get("/keys").status()), (200, 303));

    let there = signed_in(&gate, "ada");
    let new = "another four plain words";
    let wrong = here.post("/account/password", &[("current", "a guess"), ("password", new), ("again", new)]);
    assert_eq!(wrong.status(), 401);
    let changed = here.post("/account/password", &[("current", PASSWORD), ("password", new), ("again", new)]);
    assert_eq!(changed.header("location"), Some("/account?done=password"));
    assert_eq!((here.get("/keys").status(), there.get("/keys").status()), (200, 303));
    assert_eq!(here.post("/account/sign-out-everywhere", &[]).status(), 303);
    assert_eq!(here.get("/keys").status(), 303);
}

#[test]
fn pages_are_small_and_guarded_and_unknown_ones_say_so() {
    let gate = gateway();
    let browser = signed_in(&gate, "ada");
    let answer = browser.get("/keys");
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.contains("script-src 'self'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!answer.text().contains("<script>") && !answer.text().contains(" style="), "nothing inline");
    let css = browser.get("/assets/console.css");
    let tag = css.header("etag").unwrap();
    assert_eq!((css.status(), css.header("cache-control")), (200, Some("no-cache")));
    assert!(tag.starts_with('"'), "{tag}");
    for (path, status) in
        [("/nowhere", 404), ("/keys/key_nobody", 404), ("/assets/none.js", 404), ("/api/nowhere", 404)]
    {
        assert_eq!(browser.get(path).status(), status, "{path}");
    }
    assert!(browser.get("/nowhere").text().contains("Sign out"), "in the frame of whoever is signed in");
    assert!(Browser::new(&gate).get("/api/nowhere").header("content-type").unwrap().contains("problem+json"));
    let fragment = Browser::new(&gate).get("/receipts/1/live");
    assert_eq!(fragment.status(), 401, "a part of a page is not led to sign in");
}
