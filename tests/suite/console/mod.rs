//! The console through the real binary, as a browser without JavaScript sees it: statuses, redirects, cookies, and what
//! stands in pages.

mod keys;
mod sign_in;

use crate::harness::{
    Browser, Gateway,
    browser::PASSWORD,
    people::{gateway_with, invited},
};

const ROUTES: &str = "\
routes:
  - {path: '/builds/{id}', methods: {GET: read, POST: write}}
  - {path: '/{*rest}', methods: {'*': admin}}
";

/// A gateway on a database with `ada`, who is owner, and `mel`, who is member; both have [`PASSWORD`].
fn gateway() -> Gateway {
    let gate = gateway_with(&[("ada", "owner"), ("mel", "member")], ROUTES);
    invited(&gate, "ada");
    invited(&gate, "mel");
    gate
}

/// `id`, signed in.
fn signed_in(gate: &Gateway, id: &str) -> Browser {
    let browser = Browser::new(gate);
    let answer = browser.post("/sign-in", &[("id", id), ("password", PASSWORD)]);
    assert_eq!(answer.status(), 303, "{answer:?}");
    browser
}
