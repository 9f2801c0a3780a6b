//! People: added, changed, disabled, signed out.

use super::house::House;
use crate::harness::browser::hidden;

#[test]
fn a_person_is_added_gets_a_link_once_and_signs_in_by_it() {
    let house = House::open();
    let ada = house.sit("ada");
    let form = ada.get("/people/new");
    let submission = hidden(form.text(), "submission");
    let fields = [
        ("submission", &*submission),
        ("id", "idp|kim+1@example.com"),
        ("email", "kim@example.com"),
        ("name", "<script>alert(1)</script>"),
        ("role", "member"),
        ("projects", "chosen"),
        ("project_ids", "alpha, beta"),
    ];
    let made = ada.post("/people", &fields);
    assert_eq!(made.status(), 200, "{made:?}");
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let link = made.text().split_once("/invitation/").unwrap().1.split(['<', '"']).next().unwrap();
    let again = ada.follow(&ada.post("/people", &fields));
    assert!(again.text().contains("They were added already") && !again.text().contains(link));

    let list = ada.get("/people?q=KIM");
    assert!(list.text().contains("/people/idp%7Ckim%2B1%40example.com"), "{list:?}");
    assert!(!list.text().contains("<script>alert") && !list.text().contains(">zoe<"));
    let kim = house.stranger().accept(&format!("/invitation/{link}"));
    assert_eq!(kim.get("/people").status(), 403);
    let page = ada.get("/people/idp%7Ckim%2B1%40example.com");
    assert!(
        !page.text().contains("<script>alert") && page.text().contains("value=\"alpha, beta\""),
        "{page:?}"
    );
    assert!(page.text().contains("Sign them out everywhere"));

    let out = ada.post("/people/idp%7Ckim%2B1%40example.com/sign-out", &[]);
    assert!(ada.follow(&out).text().contains("signed out everywhere"));
    assert_eq!(kim.get("/").status(), 303, "the session has ended");
}

#[test]
fn what_is_wrong_stands_at_its_field_and_what_was_typed_stays() {
    let ada = House::open();
    let ada = ada.sit("ada");
    let fields = [
        ("id", "no spaces"),
        ("email", "\"><img src=x onerror=alert(1)>"),
        ("role", "king"),
        ("projects", "chosen"),
    ];
    let answer = ada.post("/people", &fields);
    assert_eq!(answer.status(), 422, "{answer:?}");
    for expected in
        ["f-id-problem", "f-email-problem", "f-role-problem", "value=\"no spaces\"", "at least one project"]
    {
        assert!(answer.text().contains(expected), "no {expected} in {answer:?}");
    }
    assert!(!answer.text().contains("<img"));
}

#[test]
fn a_stale_page_overwrites_nothing_and_keeps_what_was_typed() {
    let house = House::open();
    let ada = house.sit("ada");
    let seen = hidden(ada.get("/people/eve").text(), "etag");
    let fields = |etag: &str, role: &str, email: &str| {
        [("etag", etag), ("email", email), ("role", role), ("projects", "all")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let post = |fields: [(String, String); 4]| {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        ada.post("/people/eve", &fields)
    };
    let saved = post(fields(&seen, "viewer", "eve@example.com"));
    assert!(ada.follow(&saved).text().contains("Saved."));

    let stale = post(fields(&seen, "admin", "typed@example.com"));
    assert_eq!(stale.status(), 412, "{stale:?}");
    assert!(stale.text().contains("Somebody else changed this person"));
    assert!(stale.text().contains("value=\"typed@example.com\""), "what was typed stays");
    assert!(stale.text().contains("eve@example.com · viewer"), "what is in force is told");
    assert!(house.run(&["people", "show", "eve"]).stdout.contains("viewer"));
    let now = hidden(stale.text(), "etag");
    assert_eq!(post(fields(&now, "admin", "typed@example.com")).status(), 303);

    let disabled = ada.post("/people/eve/disable", &[("etag", &seen)]);
    assert_eq!(disabled.status(), 412);
    assert!(disabled.text().contains("Nothing was done"));
}

#[test]
fn disabling_somebody_stops_their_keys_and_signs_them_out() {
    let house = House::open();
    let (ada, eve) = (house.sit("ada"), house.sit("eve"));
    house.key("eve", &["--name", "Robot", "--scope", "read"]);
    let page = ada.get("/people/eve");
    assert!(page.text().contains("1 key stops at once") && page.text().contains(">Robot<"), "{page:?}");
    let etag = hidden(page.text(), "etag");
    let page = ada.follow(&ada.post("/people/eve/disable", &[("etag", &etag)]));
    assert!(page.text().contains("disabled") && page.text().contains("Enable eve"), "{page:?}");
    assert!(page.text().contains("owner disabled"), "the key says why it does not work");
    assert_eq!(eve.get("/").status(), 303);
    let etag = hidden(page.text(), "etag");
    let page = ada.follow(&ada.post("/people/eve/enable", &[("etag", &etag)]));
    assert!(page.text().contains("Disable eve"), "{page:?}");
}

#[test]
fn an_admin_is_not_offered_what_concerns_owners() {
    let house = House::open();
    let (ada, bob) = (house.sit("ada"), house.sit("bob"));
    let of_owner = bob.get("/people/ada");
    for offer in ["<button class=\"button main\">Save", "Disable ada", "choose a password", "Sign them out"] {
        assert!(!of_owner.text().contains(offer), "{offer}");
    }
    let form = bob.get("/people/new");
    assert!(form.text().contains("value=\"admin\"") && !form.text().contains("value=\"owner\""));
    assert!(ada.get("/people/new").text().contains("value=\"owner\""));
    assert!(!ada.get("/people/ada").text().contains("Disable ada"), "nobody disables themselves");
    let etag = hidden(ada.get("/people/ada").text(), "etag");
    for (path, fields) in [
        (
            "/people/ada",
            &[("etag", &*etag), ("email", "a@example.com"), ("role", "viewer"), ("projects", "all")][..],
        ),
        ("/people/ada/disable", &[("etag", &etag)]),
        ("/people/ada/invite", &[]),
        ("/people/ada/sign-out", &[]),
    ] {
        assert_eq!(bob.post(path, fields).status(), 403, "{path}");
    }
}
