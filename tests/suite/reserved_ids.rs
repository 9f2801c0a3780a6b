//! Ids that mean something else in addresses: nothing new gets one, at no door, and what has one already goes on.

use std::fs;

use serde_json::json;

use crate::harness::{
    Browser, Message,
    browser::PASSWORD,
    people::{gateway_with, invited},
    store_place::{StorePlace, on_every_store},
};

const RESERVED: [&str; 3] = ["new", ".", ".."];
const ROUTES: &str = "routes: [{path: '/{*rest}', methods: {'*': write}}]\n";

fn assert_refused_at_the_id(answer: &Message, id: &str) {
    assert_eq!(answer.status(), 422, "{id}: {answer:?}");
    assert!(answer.text().contains("f-id-problem"), "{id}: {answer:?}");
    assert!(answer.text().contains("none of new, . and .."), "{id}: {answer:?}");
}

#[test]
fn the_command_line_makes_nothing_with_such_an_id() {
    on_every_store(|place| {
        for id in RESERVED {
            for arguments in [
                &["people", "create", id, "--email", "n@example.com", "--role", "member"][..],
                &["projects", "create", id, "--first"],
                &["organizations", "create", id, "--project", "alpha"],
                &["organizations", "create", "acme", "--project", "alpha", "--project", id],
            ] {
                let run = place.run(arguments);
                assert_eq!(run.code, Some(2), "{arguments:?}: {}", run.stderr);
                assert!(run.stderr.contains("none of new, . and .."), "{arguments:?}: {}", run.stderr);
            }
        }
        for list in ["people", "projects"] {
            assert_eq!(place.json(&[list, "list"]), json!([]), "{list}");
        }
        let organizations = place.json(&["organizations", "list"]).to_string();
        assert!(!organizations.contains("acme") && !organizations.contains("alpha"), "{organizations}");
    });
}

#[test]
fn the_console_makes_nobody_and_no_project_with_such_an_id() {
    let gate = gateway_with(&[("ada", "owner")], ROUTES);
    let ada = invited(&gate, "ada");
    for id in RESERVED {
        let person = [("id", id), ("email", "n@example.com"), ("role", "member"), ("projects", "all")];
        assert_refused_at_the_id(&ada.post("/people", &person), id);
        assert_refused_at_the_id(&ada.post("/projects", &[("id", id), ("first", "yes")]), id);
    }
    assert_eq!(ada.post("/projects", &[("id", "news"), ("first", "yes")]).status(), 303);
}

#[test]
fn the_first_owner_has_no_such_id() {
    let gate = gateway_with(&[], ROUTES);
    gate.wait_for_line("nobody is owner yet");
    let link = fs::read_to_string(gate.folder().join("state/first-owner-link")).unwrap();
    let path = &link.trim()[link.find("/welcome/").unwrap()..];
    let stranger = Browser::new(&gate);
    let begin = |id| {
        let owner = [("id", id), ("email", "a@example.com"), ("password", PASSWORD), ("again", PASSWORD)];
        stranger.post(path, &owner)
    };
    for id in RESERVED {
        assert_refused_at_the_id(&begin(id), id);
    }
    assert_eq!(begin("ada").status(), 303);
}

#[test]
fn what_has_such_an_id_already_goes_on() {
    let place = StorePlace::key_file();
    let file = place.folder.path().join("keys.yaml");
    let records = "version: 1\npeople:\n  - {id: new, email: n@example.com, role: member}\n\
                   organizations:\n  - id: .\n    projects: [new, ..]\nkeys: []\n";
    fs::write(&file, records).unwrap();
    place.run(&["check", "--config", "keygate.yaml"]).expect_success();
    place.run(&["people", "update", "new", "--role", "admin"]).expect_success();
    place.run(&["projects", "create", "new"]).expect_success();
    place.run(&["projects", "create", "alpha"]).expect_success();
    assert_eq!(place.json(&["people", "list"])[0]["role"], "admin");
    assert_eq!(place.json(&["projects", "list"]).as_array().map(Vec::len), Some(3));
}
