//! Keys: made once, seen once, changed by nobody who has not looked.

use super::{gateway, signed_in};
use crate::harness::{Browser, browser::hidden};

/// What the form for a new key sends.
fn new_key<'f>(name: &'f str, submission: &'f str) -> Vec<(&'static str, &'f str)> {
    vec![
        ("submission", submission),
        ("name", name),
        ("owner", "ada"),
        ("environment", "live"),
        ("scopes", "read"),
        ("scopes", "write"),
        ("projects", "all"),
        ("expires", "30"),
    ]
}

/// Makes a key by the form: its page, and its secret.
fn make(browser: &Browser, name: &str) -> (String, String) {
    let form = browser.page("/keys/new");
    let answer = browser.post("/keys", &new_key(name, &hidden(&form, "submission")));
    assert_eq!((answer.status(), answer.header("cache-control")), (200, Some("no-store")), "{answer:?}");
    (page_of(answer.text()), secret(answer.text()).expect("a secret"))
}

fn page_of(text: &str) -> String {
    let at = text.find("/keys/key_").unwrap_or_else(|| panic!("no key in {text}"));
    text[at..]
        .split(['"', '/', '?'])
        .take(3)
        .skip(1)
        .fold(String::new(), |path, part| format!("{path}/{part}"))
}

fn secret(text: &str) -> Option<String> {
    let at = text.find("kg_live_")?;
    let end = text[at..].find(|character: char| !character.is_ascii_alphanumeric() && character != '_')?;
    (end > 20).then(|| text[at..at + end].to_owned())
}

#[test]
fn a_key_is_made_once_and_its_secret_is_shown_once() {
    let gate = gateway();
    let browser = signed_in(&gate, "ada");
    let submission = hidden(&browser.page("/keys/new"), "submission");
    let first = browser.post("/keys", &new_key("CI", &submission));
    let shown = secret(first.text()).unwrap();
    assert!(first.text().contains("curl"), "{}", first.text());
    let second = browser.post("/keys", &new_key("CI", &submission));
    assert_eq!((second.status(), secret(second.text())), (200, None), "the secret is not shown again");
    assert!(
        second.text().contains("shown already") && second.text().contains("/rotate"),
        "{}",
        second.text()
    );
    assert_eq!(page_of(first.text()), page_of(second.text()));
    let listed = browser.page("/keys");
    assert_eq!(listed.matches(">CI</a>").count(), 1, "{listed}");

    let other = browser.post("/keys", &new_key("CI two", &submission));
    assert_eq!(other.status(), 422, "another form under the same name is another mistake");
    for path in ["/keys", &page_of(first.text())] {
        let page = browser.page(path);
        assert!(!page.contains(&shown) && page.contains("CI"), "{path}");
    }
    assert!(!gate.output().contains(&shown), "no secret in the log");
}

#[test]
fn what_is_wrong_is_told_at_its_field_and_what_was_typed_stays() {
    let gate = gateway();
    let browser = signed_in(&gate, "ada");
    let fields = [
        ("submission", "s1"),
        ("name", ""),
        ("owner", "mel"),
        ("scopes", "admin"),
        ("projects", "chosen"),
        ("project_ids", ""),
        ("expires", "on"),
        ("expires_on", "2020-01-01"),
        ("addresses", "10.0.0.1/8\r\n10.0.0.0/8"),
        ("environment", "test"),
    ];
    let answer = browser.post("/keys", &fields);
    assert_eq!(answer.status(), 422);
    let page = answer.text();
    for problem in ["f-name-problem", "f-expires-problem", "f-addresses-problem", "f-projects-problem"] {
        assert!(page.contains(problem), "{problem}: {page}");
    }
    for kept in [
        "10.0.0.1/8",
        "value=\"2020-01-01\"",
        "value=\"test\" checked",
        "value=\"s1\"",
        "value=\"mel\" selected",
    ] {
        assert!(page.contains(kept), "{kept}: {page}");
    }
    // A member's key is never more than they are.
    let beyond = browser.post(
        "/keys",
        &[
            &new_key("x", "s2")[..2],
            &[("owner", "mel"), ("scopes", "admin"), ("projects", "all"), ("expires", "30")],
        ]
        .concat(),
    );
    assert_eq!(beyond.status(), 422);
    assert!(beyond.text().contains("f-scopes-problem"), "{}", beyond.text());
}

#[test]
fn names_are_text_wherever_they_stand() {
    let gate = gateway();
    let browser = signed_in(&gate, "ada");
    let name = "<script>alert(1)</script>\"'&amp;<img src=x onerror=alert(1)>";
    let (page, _) = make(&browser, name);
    let form = browser.page(&format!("{page}/edit"));
    let etag = hidden(&form, "etag");
    let label = "team=\"><svg onload=alert(1)>";
    let fields = [
        ("etag", &*etag),
        ("name", name),
        ("labels", label),
        ("scopes", "read"),
        ("projects", "all"),
        ("addresses", ""),
    ];
    assert_eq!(browser.post(&format!("{page}/edit"), &fields).status(), 303);
    let wrong = browser.post(&format!("{page}/revoke"), &[("confirm", name), ("reason", &"<b>".repeat(60))]);
    assert_eq!(wrong.status(), 422);
    let paths =
        ["/keys", "/keys?q=%3Cscript%3Ealert(1)%3C/script%3E%22%27", "/keys?owner=%22%3E%3Cscript%3E"];
    let mut pages: Vec<_> = paths.map(|path| browser.page(path)).into();
    pages.push(wrong.text().to_owned());
    pages.extend(["", "/edit", "/rotate", "/revoke"].map(|part| browser.page(&format!("{page}{part}"))));
    pages.push(
        Browser::new(&gate)
            .post("/sign-in", &[("id", name), ("password", "x"), ("next", name)])
            .text()
            .to_owned(),
    );
    for page in pages {
        for markup in ["<script>", "<img", "<svg onload", "<b><b>", "\"><"] {
            let is_ours =
                markup == "\"><" && !page.contains("\"><script") && !page.contains("\"><svg onload");
            assert!(is_ours || !page.contains(markup), "{markup}: {page}");
        }
    }
}

#[test]
fn a_page_that_is_out_of_date_overwrites_nothing() {
    let gate = gateway();
    let (one, two) = (signed_in(&gate, "ada"), signed_in(&gate, "ada"));
    let (page, _) = make(&one, "CI");
    let edit = format!("{page}/edit");
    let (etag, stale) = (hidden(&one.page(&edit), "etag"), hidden(&two.page(&edit), "etag"));
    let fields = |etag, name, scopes| {
        [
            ("etag", etag),
            ("name", name),
            ("labels", ""),
            ("scopes", scopes),
            ("projects", "all"),
            ("addresses", ""),
        ]
    };
    let changed = one.post(&edit, &fields(&etag, "CI of ada", "read"));
    assert_eq!(changed.header("location"), Some(&*format!("{page}?done=changed")));
    let refused = two.post(&edit, &fields(&stale, "CI of two", "write"));
    assert_eq!(refused.status(), 412);
    let text = refused.text();
    assert!(text.contains("CI of ada") && text.contains("value=\"CI of two\""), "{text}");
    assert!(one.page(&page).contains("CI of ada"));
    // Who has seen it may go on, but not to more than it has.
    let fresh = hidden(text, "etag");
    assert_eq!(two.post(&edit, &fields(&fresh, "CI of two", "write")).status(), 422);
    assert_eq!(two.post(&edit, &fields(&fresh, "CI of two", "read")).status(), 303);
}

#[test]
fn a_whole_key_is_found_and_stands_in_no_address() {
    let gate = gateway();
    let browser = signed_in(&gate, "ada");
    let (page, secret) = make(&browser, "CI");
    let found = browser.post("/keys/search", &[("q", &secret), ("status", "active")]);
    assert_eq!((found.status(), found.header("location")), (303, Some(&*page)));
    let last = if secret.ends_with('x') { 'y' } else { 'x' };
    let other = format!("{}{last}", &secret[..secret.len() - 1]);
    let missing = browser.post("/keys/search", &[("q", &other)]);
    assert_eq!(missing.header("location"), Some("/keys?missing=1"));
    assert!(browser.page("/keys?missing=1").contains("No key of this organization has that secret"));
    let by_id = browser.post("/keys/search", &[("q", page.trim_start_matches("/keys/"))]);
    assert_eq!(by_id.header("location"), Some(&*page));
    let by_name = browser.post("/keys/search", &[("q", "ci"), ("status", "active"), ("owner", "ada")]);
    assert_eq!(by_name.header("location"), Some("/keys?q=ci&status=active&owner=ada"));
    assert!(browser.page("/keys?q=ci&status=active&owner=ada").contains(&page));
    assert!(!browser.page("/keys?q=nothing").contains(&page));
    assert!(!gate.output().contains(&secret[12..]), "no secret in the log");
    // Of others' keys a member learns nothing, however they ask.
    let mel = signed_in(&gate, "mel");
    assert_eq!(mel.post("/keys/search", &[("q", &secret)]).header("location"), Some("/keys?missing=1"));
    for part in ["", "/edit", "/rotate", "/revoke", "/rotate/live"] {
        assert_eq!(mel.get(&format!("{page}{part}")).status(), 404, "{part}");
    }
    assert!(!mel.page("/keys").contains(&page));
}

#[test]
fn rotation_shows_the_new_secret_once_and_revocation_takes_the_name_and_gives_a_receipt() {
    let gate = gateway();
    let browser = signed_in(&gate, "ada");
    let (page, old) = make(&browser, "CI");
    let rotate = format!("{page}/rotate");
    let submission = hidden(&browser.page(&rotate), "submission");
    let rotated = browser.post(&rotate, &[("submission", &submission), ("overlap", "1h")]);
    let new = secret(rotated.text()).unwrap();
    assert_ne!(old, new);
    let again = browser.post(&rotate, &[("submission", &submission), ("overlap", "1h")]);
    assert_eq!((again.status(), secret(again.text())), (200, None));
    assert!(browser.page(&page).contains("Two secrets work"));
    assert!(browser.page(&format!("{rotate}/live")).contains("data-poll"));
    assert_eq!(browser.post(&rotate, &[("overlap", "soon")]).status(), 422);

    let revoke = format!("{page}/revoke");
    let refused = browser.post(&revoke, &[("confirm", "Ci"), ("reason", "leaked")]);
    assert_eq!(refused.status(), 422);
    assert!(refused.text().contains("value=\"leaked\""), "{}", refused.text());
    let revoked = browser.post(&revoke, &[("confirm", "CI"), ("reason", "leaked")]);
    let receipt = revoked.header("location").unwrap().to_owned();
    assert!(revoked.status() == 303 && receipt.starts_with("/receipts/"), "{revoked:?}");
    let shown = browser.page(&receipt);
    assert!(shown.contains("is revoked") && shown.contains("id=\"receipt\""), "{shown}");
    let live = format!("{}/live", receipt.split('?').next().unwrap());
    while !browser.page(&live).contains("data-done") {}
    let after = browser.page(&page);
    assert!(after.contains("leaked") && after.contains("by ada") && !after.contains("/rotate"), "{after}");
    for path in [&rotate, &revoke, &format!("{page}/edit")] {
        assert_eq!(browser.get(path).status(), 409, "{path}");
    }
    assert_eq!(browser.get("/receipts/99999").status(), 404);
    assert_eq!(browser.get("/receipts/x").status(), 404);
}

#[test]
fn a_long_list_has_pages_that_lead_both_ways() {
    let gate = gateway();
    let browser = signed_in(&gate, "ada");
    for at in 0..101 {
        let (name, submission) = (format!("key {at}"), format!("s{at}"));
        assert_eq!(browser.post("/keys", &new_key(&name, &submission)).status(), 200);
    }
    let link = |page: &str, rel: &str| {
        let end = page.find(&format!("\" rel=\"{rel}\""))?;
        let start = page[..end].rfind('"')? + 1;
        Some(page[start..end].replace("&#38;", "&").replace("&amp;", "&"))
    };
    let mut seen = vec!["/keys".to_owned()];
    while let Some(next) = link(&browser.page(seen.last().unwrap()), "next") {
        seen.push(next);
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert!(browser.page(&seen[2]).contains("101–101 of 101"));
    let back = link(&browser.page(&seen[2]), "prev").unwrap();
    assert!(browser.page(&back).contains("51–100 of 101"));
    let first = link(&browser.page(&back), "prev").unwrap();
    assert_eq!(first, "/keys");
}
