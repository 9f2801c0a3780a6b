//! Pages of the console for owners and admins, as a browser without JavaScript sees them: people, projects, routes, audit,
//! replicas and the overview.

mod explain;
mod house;
mod overview;
mod people;
mod projects;
mod trail;

use self::house::{House, file_config};
use crate::harness::Browser;

/// Who may see which page: a letter for owner, admin, member and viewer.
#[test]
fn every_page_is_for_whom_it_is_for() {
    let house = House::open();
    let seats = ["ada", "bob", "eve", "zoe"].map(|id| house.sit(id));
    let stranger = house.stranger();
    for (path, expected) in [
        ("/", [200, 200, 200, 200]),
        ("/keys-to-look-at/never-expires", [200, 200, 200, 200]),
        ("/keys-to-look-at/unused", [200, 200, 200, 200]),
        ("/keys-to-look-at/broader-than-its-use", [200, 200, 200, 200]),
        ("/keys-to-look-at/expires-soon", [200, 200, 200, 200]),
        ("/keys-to-look-at/other", [404, 404, 404, 404]),
        ("/people", [200, 200, 403, 403]),
        ("/people/new", [200, 200, 403, 403]),
        ("/people/ada", [200, 200, 403, 403]),
        ("/people/eve", [200, 200, 403, 403]),
        ("/people/nobody", [404, 404, 403, 403]),
        ("/projects", [200, 200, 403, 403]),
        ("/routes", [200, 200, 403, 403]),
        ("/audit", [200, 200, 403, 403]),
        ("/replicas", [200, 200, 403, 403]),
        ("/replicas/live", [200, 200, 403, 403]),
    ] {
        let found = seats.each_ref().map(|seat| seat.get(path).status());
        assert_eq!(found, expected, "{path}");
        let refused = stranger.get(path);
        assert!([303, 401].contains(&refused.status()), "{path}: {refused:?}");
    }
    let told = seats[2].get("/people");
    assert!(told.text().contains("eve is member. Owners and admins of the organization see this page."));
}

/// What changes something is refused to those whose page it is not, whatever they send.
#[test]
fn members_and_viewers_change_nothing() {
    let house = House::open();
    let eve = house.sit("eve");
    for path in [
        "/people",
        "/people/zoe",
        "/people/zoe/disable",
        "/people/zoe/enable",
        "/people/zoe/invite",
        "/people/ada/invite",
        "/people/zoe/sign-out",
        "/projects",
        "/projects/alpha/remove",
        "/routes/explain",
        "/replicas/reload",
    ] {
        let answer = eve.post(path, &[("id", "x"), ("role", "owner"), ("email", "x@example.com")]);
        assert_eq!(answer.status(), 403, "{path}: {answer:?}");
        assert_eq!(house.stranger().post(path, &[]).status(), 401, "{path}");
    }
}

/// Where keys are files, the pages show them and say so, and every change is answered with what to paste into the file.
#[test]
fn in_file_mode_pages_are_read_only_and_say_so() {
    let (gateway, secret) = house::file_mode();
    let ada = Browser::with_key(&gateway, &secret);
    for path in
        ["/", "/people", "/people/ada", "/projects", "/routes", "/replicas", "/keys-to-look-at/unused"]
    {
        let page = ada.get(path);
        assert_eq!(page.status(), 200, "{path}: {page:?}");
        assert!(page.text().contains("Keys live in <code>"), "{path}");
    }
    let before = std::fs::read_to_string(gateway.folder().join("keys.yaml")).unwrap();
    for (path, fields) in [
        (
            "/people",
            &[("id", "nia"), ("email", "n@example.com"), ("role", "viewer"), ("projects", "all")][..],
        ),
        ("/projects", &[("id", "alpha"), ("first", "yes"), ("submission", "s1")]),
    ] {
        let answer = ada.post(path, fields);
        assert_eq!(answer.status(), 200, "{path}: {answer:?}");
        assert!(answer.text().contains("keys.yaml"), "{path}");
    }
    assert_eq!(std::fs::read_to_string(gateway.folder().join("keys.yaml")).unwrap(), before);
    assert!(file_config().contains("keys.yaml"));
}
