//! What a browser does with requests and cookies, and nothing with HTML.

use std::net::SocketAddr;

use crate::harness::{Client, Gateway, Message};

/// A browser on the admin listener.
pub(super) struct Browser {
    address: SocketAddr,
    /// `name=value` of the session, if it has one.
    pub(super) cookie: Option<String>,
    /// What the page is that a request comes from.
    pub(super) site: &'static str,
}

impl Browser {
    pub(super) fn new(gate: &Gateway) -> Self {
        Self { address: gate.address("admin"), cookie: None, site: "same-origin" }
    }

    pub(super) fn get(&mut self, path: &str) -> Message {
        self.send(&format!("GET {path} HTTP/1.1\r\n"), "")
    }

    /// Sends a form; a field may come several times.
    pub(super) fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Message {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let start = format!(
            "POST {path} HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
            body.len()
        );
        self.send(&start, &body)
    }

    /// The page, which must be there.
    pub(super) fn page(&mut self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status(), 200, "{path}: {answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        answer.text().to_owned()
    }

    fn send(&mut self, start: &str, body: &str) -> Message {
        let cookie = self.cookie.as_ref().map(|cookie| format!("Cookie: {cookie}\r\n")).unwrap_or_default();
        let (address, site) = (self.address, self.site);
        let answer = Client::connect(address).exchange(format!(
            "{start}Host: {address}\r\nSec-Fetch-Site: {site}\r\nUser-Agent: Firefox/128.0 (Linux)\r\n{cookie}\r\n{body}"
        ));
        for set in answer.headers("set-cookie") {
            let pair = set.split(';').next().unwrap().to_owned();
            self.cookie = (!set.contains("Max-Age=0")).then_some(pair);
        }
        answer
    }
}

/// The value of the first hidden field of this name.
pub(super) fn hidden(page: &str, name: &str) -> String {
    let mark = format!("name=\"{name}\" value=\"");
    let rest = page.split_once(&mark).unwrap_or_else(|| panic!("no field {name} in {page}")).1;
    rest.split_once('"').unwrap().0.to_owned()
}
