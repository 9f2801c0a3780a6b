//! Audit and replicas.

use super::house::House;

#[test]
fn changes_are_shown_by_whom_and_where_and_in_pages() {
    let house = House::open();
    let ada = house.sit("ada");
    for number in 0..55 {
        let id = format!("p{number}");
        let declared = ada.post("/projects", &[("id", &id), ("first", "yes"), ("submission", &id)]);
        assert_eq!(declared.status(), 303, "{declared:?}");
    }
    let page = ada.get("/audit");
    assert!(page.text().contains("declared a project") && page.text().contains("127.0.0.1"), "{page:?}");
    assert!(page.text().contains("<a href=\"/people/ada\">ada</a>") && page.text().contains("/receipts/"));
    assert_eq!(page.text().matches("declared a project").count(), 50);
    let older = page.text().split_once("rel=\"next\"").unwrap().0.rsplit_once("href=\"").unwrap().1;
    let older = ada.get(&older.trim_end_matches(['"', ' ']).replace("&#38;", "&"));
    assert_eq!(older.text().matches("declared a project").count(), 5, "{older:?}");
    assert!(older.text().contains("added a person") && older.text().contains("at the command line"));

    for (query, has, lacks) in [
        ("record=person", "added a person", "declared a project"),
        ("by=ada", "declared a project", "added a person"),
        ("id=p7", ">p7<", ">p8<"),
        ("until=2020-01-01", "No such record", "declared a project"),
        ("since=%3Cb%3E", "declared a project", "<b>\""),
    ] {
        let page = ada.get(&format!("/audit?{query}"));
        assert!(page.text().contains(has) && !page.text().contains(lacks), "{query}: {page:?}");
    }
}

#[test]
fn replicas_are_shown_and_this_one_reloads() {
    let house = House::open();
    let ada = house.sit("ada");
    let page = ada.get("/replicas");
    assert!(page.text().contains("keygate.db") && page.text().contains("live"), "{page:?}");
    assert!(page.text().contains("data-poll=\"/replicas/live\""), "{page:?}");
    let part = ada.get("/replicas/live");
    assert!(part.text().trim_start().starts_with("<div class=\"card\" id=\"replica-table\""), "{part:?}");
    let reloaded = ada.follow(&ada.post("/replicas/reload", &[]));
    assert!(reloaded.text().contains("This replica looked at its sources"), "{reloaded:?}");
}
