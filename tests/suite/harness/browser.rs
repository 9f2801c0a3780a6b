//! What a browser does with requests and cookies, and nothing with HTML.

use std::{cell::RefCell, fmt::Write as _, net::SocketAddr};

use super::{Client, Gateway, Message};

/// What people of the tests sign in with.
pub(crate) const PASSWORD: &str = "four plain words together";

/// A browser on the admin listener, or a program that sees the same pages.
pub(crate) struct Browser {
    address: SocketAddr,
    /// `name=value` of the session, if it has one.
    cookie: RefCell<Option<String>>,
    key: Option<String>,
    /// What the page is that a request comes from.
    pub(crate) site: &'static str,
}

impl Browser {
    pub(crate) fn new(gate: &Gateway) -> Self {
        Self { address: gate.address("admin"), cookie: RefCell::default(), key: None, site: "same-origin" }
    }

    /// A program that shows a key.
    pub(crate) fn with_key(gate: &Gateway, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..Self::new(gate) }
    }

    /// The browser, once it has accepted the invitation at `path`.
    pub(crate) fn accept(self, path: &str) -> Self {
        let answer = self.post(path, &[("password", PASSWORD), ("again", PASSWORD)]);
        assert_eq!((answer.status(), answer.header("location")), (303, Some("/")), "{answer:?}");
        self
    }

    pub(crate) fn cookie(&self) -> Option<String> {
        self.cookie.borrow().clone()
    }

    /// Puts another cookie in the place of the one before, and gives that.
    pub(crate) fn replace_cookie(&self, cookie: Option<String>) -> Option<String> {
        self.cookie.replace(cookie)
    }

    pub(crate) fn get(&self, path: &str) -> Message {
        self.send(&format!("GET {path} HTTP/1.1\r\n"), "")
    }

    /// Sends a form; a field may come several times.
    pub(crate) fn post(&self, path: &str, fields: &[(&str, &str)]) -> Message {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let start = format!(
            "POST {path} HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
            body.len()
        );
        self.send(&start, &body)
    }

    /// The page, which must be there.
    pub(crate) fn page(&self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status(), 200, "{path}: {answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        answer.text().to_owned()
    }

    /// The page after a form that was taken.
    pub(crate) fn follow(&self, answer: &Message) -> Message {
        assert_eq!(answer.status(), 303, "{answer:?}");
        self.get(answer.header("location").unwrap())
    }

    fn send(&self, start: &str, body: &str) -> Message {
        let (address, site) = (self.address, self.site);
        let mut head = format!("{start}Host: {address}\r\nSec-Fetch-Site: {site}\r\n");
        head.push_str("User-Agent: Firefox/128.0 (Linux)\r\n");
        if let Some(cookie) = self.cookie() {
            write!(head, "Cookie: {cookie}\r\n").unwrap();
        }
        if let Some(key) = &self.key {
            write!(head, "Authorization: Bearer {key}\r\n").unwrap();
        }
        let answer = Client::connect(address).exchange(format!("{head}\r\n{body}"));
        for set in answer.headers("set-cookie") {
            let pair = set.split(';').next().unwrap().to_owned();
            self.replace_cookie((!set.contains("Max-Age=0")).then_some(pair));
        }
        answer
    }
}

/// The value of the first hidden field of this name.
pub(crate) fn hidden(page: &str, name: &str) -> String {
    let mark = format!("name=\"{name}\" value=\"");
    let rest = page.split_once(&mark).unwrap_or_else(|| panic!("no field {name} in {page}")).1;
    rest.split_once('"').unwrap().0.to_owned()
}
