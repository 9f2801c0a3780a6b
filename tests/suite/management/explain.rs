//! Routes, and what the gateway decides about a request.

use super::house::House;

#[test]
fn routes_are_shown_with_what_they_need() {
    let house = House::open();
    let page = house.sit("bob").get("/routes");
    for expected in
        ["<code>/projects/{project}/{*rest}</code>", "path:project", ">write<", "public", "127.0.0.1:9"]
    {
        assert!(page.text().contains(expected), "no {expected} in {page:?}");
    }
}

#[test]
fn a_request_is_explained_with_the_row_that_decided() {
    let house = House::open();
    let ada = house.sit("ada");
    let (reads, secret) =
        house.key("eve", &["--name", "<i>Reader</i>", "--scope", "read", "--project", "alpha"]);
    let (of_ada, _) = house.key("ada", &["--name", "Other", "--scope", "read", "--project", "beta"]);
    for (method, target, key, row, words) in [
        ("GET", "/healthz", ("key_id", ""), "Row 3 decided", "let through"),
        ("GET", "/projects/alpha/x", ("key_id", ""), "Row 4 decided", "401 key_missing"),
        ("GET", "/projects/alpha/x", ("key", "not-a-known-key"), "Row 6 decided", "401 key_unknown"),
        ("GET", "/projects/../x", ("key_id", &*reads), "Row 1 decided", "refused"),
        ("GET", "/nothing", ("key_id", &reads), "Row 9 decided", "404 not_found"),
        ("GET", "/projects/alpha/x", ("key_id", &of_ada), "Row 10 decided", "404 not_found"),
        ("POST", "/projects/alpha/x", ("key_id", &reads), "Row 12 decided", "403 scope_insufficient"),
        ("GET", "/projects/alpha/x", ("key_id", &reads), "Row 13 decided", "forwarded to api"),
        ("GET", "/projects/alpha/x", ("key", &secret), "Row 13 decided", "forwarded to api"),
        ("TRACE", "/", ("key_id", ""), "Row 2 decided", "405 method_not_allowed"),
    ] {
        let page = ada.post("/routes/explain", &[("method", method), ("target", target), key]);
        assert_eq!(page.status(), 200, "{method} {target}: {page:?}");
        assert!(
            page.text().contains(row) && page.text().contains(words),
            "{method} {target} {key:?}: {page:?}"
        );
        assert_eq!(page.text().matches("aria-current=\"true\"").count(), 1, "one row is marked");
        assert!(!page.text().contains(&secret) && !page.text().contains("<i>Reader"), "{method} {target}");
    }
}

#[test]
fn a_key_in_the_wrong_field_is_not_shown_again() {
    let house = House::open();
    let ada = house.sit("ada");
    let (_, secret) = house.key("eve", &["--name", "Reader", "--scope", "read"]);
    for (field, value) in [
        ("key_id", secret.clone()),
        ("target", format!("/x?key={secret}")),
        ("host", secret.clone()),
        ("headers", format!("X-Api-Key: {secret}")),
        ("headers", format!("Authorization: Bearer {secret}")),
    ] {
        let mut fields = vec![("method", "GET"), (field, &*value)];
        if field != "target" {
            fields.push(("target", "/x"));
        }
        let answer = ada.post("/routes/explain", &fields);
        assert_eq!(answer.status(), 422, "{field}: {answer:?}");
        assert!(answer.text().contains("A key stands where"), "{field}: {answer:?}");
        assert!(!answer.text().contains(&secret), "{field}");
    }
    for (fields, words) in [
        (&[("target", "/x"), ("key_id", "key_unknown")][..], "No key has this id."),
        (&[("target", "/x"), ("address", "<b>")], "This is no address"),
        (&[("target", "/x"), ("headers", "no colon")], "one header a line"),
        (&[("target", "/x"), ("key_id", "a"), ("key", "b")], "not both"),
        (&[("target", "")], "Give a path"),
    ] {
        let answer = ada.post("/routes/explain", &[&[("method", "GET")], fields].concat());
        assert_eq!(answer.status(), 422, "{fields:?}");
        assert!(answer.text().contains(words) && !answer.text().contains("<b>\""), "{fields:?}: {answer:?}");
    }
}
