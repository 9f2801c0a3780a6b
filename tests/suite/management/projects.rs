//! Projects: declared, begun with, removed.

use super::house::House;

#[test]
fn the_first_project_takes_consent_and_one_that_is_named_stays() {
    let house = House::open();
    let ada = house.sit("ada");
    let empty = ada.get("/projects");
    assert!(empty.text().contains("Begin to declare projects"), "{empty:?}");
    let unasked = ada.post("/projects", &[("id", "alpha"), ("submission", "s1")]);
    assert_eq!(unasked.status(), 422);
    assert!(
        unasked.text().contains("Say that you want to begin") && unasked.text().contains("value=\"alpha\"")
    );
    assert!(!unasked.text().contains("--first"), "that is for the command line");

    let declared = ada.post("/projects", &[("id", "alpha"), ("first", "yes"), ("submission", "s2")]);
    assert!(ada.follow(&declared).text().contains("Declared."));
    assert_eq!(ada.post("/projects", &[("id", "beta"), ("submission", "s3")]).status(), 303);
    assert!(!ada.get("/projects").text().contains("Begin to declare"));
    assert_eq!(ada.post("/projects", &[("id", "a/b"), ("submission", "s4")]).status(), 422);

    let (id, _) = house.key("eve", &["--name", "Robot", "--scope", "read", "--project", "alpha"]);
    let refused = ada.post("/projects/alpha/remove", &[]);
    assert_eq!(refused.status(), 422, "{refused:?}");
    assert!(refused.text().contains(&format!("key {id} names the project alpha")), "{refused:?}");
    let removed = ada.follow(&ada.post("/projects/beta/remove", &[]));
    assert!(removed.text().contains("Removed.") && !removed.text().contains("<code>beta</code>"));
    assert_eq!(ada.post("/projects/never/remove", &[]).status(), 404);
}

#[test]
fn keys_and_people_that_name_a_project_are_counted() {
    let house = House::open();
    let ada = house.sit("ada");
    ada.post("/projects", &[("id", "alpha"), ("first", "yes"), ("submission", "s")]);
    for name in ["One", "Two"] {
        house.key("eve", &["--name", name, "--scope", "read", "--project", "alpha"]);
    }
    house.run(&["people", "update", "zoe", "--project", "alpha"]).expect_success();
    let page = ada.get("/projects");
    assert!(page.text().contains("<a href=\"/keys?project=alpha\">2<"), "{page:?}");
    assert!(page.text().contains("data-label=\"People\" class=\"end number\">1<"), "{page:?}");
}
