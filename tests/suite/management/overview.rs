//! The overview, and what its cards lead to.

use super::house::House;

/// How many keys the card at `href` counts.
fn counted(page: &str, href: &str) -> String {
    let card = page.split_once(&format!("href=\"/keys-to-look-at/{href}\"")).unwrap().1;
    card.split_once("<b>").unwrap().1.split_once("</b>").unwrap().0.to_owned()
}

#[test]
fn keys_that_are_worth_a_look_are_counted_and_named() {
    let house = House::open();
    let (ada, eve) = (house.sit("ada"), house.sit("eve"));
    let fresh = ada.get("/");
    assert!(fresh.text().contains("No key exists yet"), "{fresh:?}");
    house.key("ada", &["--name", "<u>Forever</u>", "--scope", "read", "--expires", "never"]);
    house.key("eve", &["--name", "Soon", "--scope", "read", "--expires", "3d"]);
    house.key("eve", &["--name", "Fine", "--scope", "read", "--expires", "60d"]);

    let page = ada.get("/");
    assert!(!page.text().contains("No key exists yet") && page.text().contains("Latest changes"), "{page:?}");
    let counts = |page: &str| ["never-expires", "expires-soon", "unused"].map(|card| counted(page, card));
    assert_eq!(counts(page.text()), ["1", "1", "0"]);
    assert!(page.text().contains("Requests by outcome") && page.text().contains("live"), "{page:?}");
    let named = ada.get("/keys-to-look-at/never-expires");
    assert!(named.text().contains("Forever") && !named.text().contains("<u>"), "{named:?}");
    assert!(!named.text().contains("Soon"));

    let own = eve.get("/");
    assert_eq!(counts(own.text()), ["0", "1", "0"], "their own keys");
    assert!(own.text().contains("Requests with your keys"), "{own:?}");
    for others in ["Latest changes", "Requests by outcome", "Forever", "keygate.db"] {
        assert!(!own.text().contains(others), "{others}");
    }
    assert!(!eve.get("/keys-to-look-at/never-expires").text().contains("Forever"));
}
