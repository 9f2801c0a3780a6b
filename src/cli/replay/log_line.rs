//! One line of an access log, in whatever form proxies write it.

use std::{borrow::Cow, net::SocketAddr};

use serde_json::Value;

use super::Format;
use crate::policy::reason::Reason;

/// What a line tells of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogLine<'l> {
    /// Who asked, as the proxy knew it: an address or a name.
    pub(super) client: Option<Cow<'l, str>>,
    /// The Host.
    pub(super) host: Option<Cow<'l, [u8]>>,
    /// What was asked.
    pub(super) sent: Sent<'l>,
    /// How it was answered.
    pub(super) status: Option<u16>,
    /// What a route of ours recorded that observes.
    pub(super) recorded: Option<Recorded<'l>>,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sent<'l> {
    /// Method and target, byte for byte as they were sent.
    Request { method: Cow<'l, [u8]>, target: Cow<'l, [u8]> },
    /// Nothing that the proxy took for a request: `-`, bytes of TLS.
    Nothing,
}

/// What a gateway with a route that observes wrote down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recorded<'l> {
    /// What the request would have been refused for.
    pub(super) reason: Reason,
    /// The pattern of the route.
    pub(super) route: Cow<'l, str>,
    /// The key, where it was found.
    pub(super) key_id: Option<Cow<'l, str>>,
}

impl<'l> LogLine<'l> {
    /// Reads `line`, which is not blank; `None` where it is no line of an access log.
    pub(super) fn parse(line: &'l [u8], format: Format) -> Option<Self> {
        let is_json = match format {
            Format::Json => true,
            Format::Combined => false,
            Format::Auto => line.first() == Some(&b'{'),
        };
        if is_json { Self::of_json(line) } else { Self::of_text(line) }
    }

    /// `CLIENT IDENT USER [TIME] "METHOD TARGET PROTOCOL" STATUS …`, perhaps after `HOST:PORT`.
    fn of_text(line: &'l [u8]) -> Option<Self> {
        let time = memchr::memchr(b'[', line)?;
        let after_time = time + memchr::memchr(b']', &line[time..])? + 1;
        let mut names = line[..time].split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let (first, second, third, fourth) = (names.next()?, names.next()?, names.next(), names.next());
        // `%v:%p %h %l %u`: the host stands before the client.
        let has_host = third.is_some() && fourth.is_some() && is_address(second) && !is_address(first);
        let (host, client) = if has_host { (Some(first), second) } else { (None, first) };
        let (request, rest) = quoted(&line[after_time..])?;
        let status = rest.split(u8::is_ascii_whitespace).find(|word| !word.is_empty());
        Some(Self {
            client: Some(String::from_utf8_lossy(client)),
            host: host.map(|host| Cow::Borrowed(without_default_port(host))),
            sent: Sent::of_line(&request),
            status: status.and_then(|status| std::str::from_utf8(status).ok()?.parse().ok()),
            recorded: None,
        })
    }

    fn of_json(line: &[u8]) -> Option<Self> {
        let object: Value = serde_json::from_slice(line).ok().filter(Value::is_object)?;
        let text = |names: &[&str]| names.iter().find_map(|name| text_at(&object, name));
        let method = text(&METHOD);
        let target = text(&TARGET);
        let sent = match (method, target, text(&["request", "request_line"])) {
            (Some(method), Some(target), _) => Sent::Request {
                method: Cow::Owned(method.into_bytes()),
                target: Cow::Owned(target.into_bytes()),
            },
            (_, _, Some(line)) => Sent::of_line(line.as_bytes()),
            (_, _, None) => return None,
        };
        let is_ours = object.get("outcome").is_some() && object.get("revision").is_some();
        let reason = text(&["observed"]).filter(|_| is_ours);
        let reason = reason.and_then(|code| Reason::ALL.into_iter().find(|known| known.code() == code));
        Some(Self {
            client: text(&CLIENT).map(|client| Cow::Owned(without_port(client))),
            host: text(&HOST).map(|host| Cow::Owned(host.into_bytes())),
            sent,
            status: STATUS.iter().find_map(|name| number_at(&object, name)),
            recorded: reason.map(|reason| Recorded {
                reason,
                route: Cow::Owned(text(&["route"]).unwrap_or_default()),
                key_id: text(&["key_id"]).map(Cow::Owned),
            }),
        })
    }
}

/// Names in JSON logs of Keygate, Caddy, Traefik, Envoy, nginx and cloud balancers; a dot leads into an object. What was
/// sent stands before what the proxy made of it.
const METHOD: [&str; 5] =
    ["method", "request_method", "RequestMethod", "request.method", "httpRequest.requestMethod"];
const TARGET: [&str; 8] =
    ["request_uri", "RequestPath", "request.uri", "path", "uri", "target", "url", "httpRequest.requestUrl"];
const HOST: [&str; 6] = ["host", "http_host", "authority", "RequestHost", "request.host", "server_name"];
const CLIENT: [&str; 9] = [
    "client",
    "client_ip",
    "request.client_ip",
    "request.remote_ip",
    "ClientHost",
    "remote_addr",
    "remote_ip",
    "downstream_remote_address",
    "httpRequest.remoteIp",
];
const STATUS: [&str; 5] =
    ["status", "response_code", "DownstreamStatus", "status_code", "httpRequest.status"];

fn value_at<'v>(object: &'v Value, name: &str) -> Option<&'v Value> {
    name.split('.').try_fold(object, |value, part| value.get(part))
}

/// The text under `name`; `-`, empty and `null` say nothing.
fn text_at(object: &Value, name: &str) -> Option<String> {
    let text = value_at(object, name)?.as_str()?;
    (!matches!(text, "" | "-")).then(|| text.to_owned())
}

fn number_at(object: &Value, name: &str) -> Option<u16> {
    let value = value_at(object, name)?;
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    u16::try_from(number).ok()
}

impl Sent<'_> {
    /// A request line; what stands between the method and the protocol is the target, blanks too.
    fn of_line(line: &[u8]) -> Sent<'static> {
        let Some(at) = memchr::memchr(b' ', line) else { return Sent::Nothing };
        let (method, rest) = (&line[..at], &line[at + 1..]);
        let target = match memchr::memrchr(b' ', rest) {
            Some(end) if rest[end + 1..].starts_with(b"HTTP/") => &rest[..end],
            Some(_) | None => rest,
        };
        if method.is_empty() || target.is_empty() {
            return Sent::Nothing;
        }
        Sent::Request { method: Cow::Owned(method.to_vec()), target: Cow::Owned(target.to_vec()) }
    }
}

/// The text in the first pair of quotes, unescaped as nginx (`\xHH`) and Apache (`\"`, `\n`) escape it, and what follows.
fn quoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let start = memchr::memchr(b'"', text)? + 1;
    let mut out = Vec::new();
    let mut at = start;
    loop {
        match *text.get(at)? {
            b'"' => return Some((out, &text[at + 1..])),
            b'\\' => {
                let (byte, length) = unescaped(&text[at + 1..]);
                out.push(byte);
                at += length;
            }
            byte => {
                out.push(byte);
                at += 1;
            }
        }
    }
}

/// The byte that the escape behind a backslash stands for, and its length with the backslash; a backslash alone is one.
fn unescaped(escape: &[u8]) -> (u8, usize) {
    match escape {
        [b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
            let digit = |byte: u8| (byte as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            (digit(*high).unwrap_or_default() << 4 | digit(*low).unwrap_or_default(), 4)
        }
        [b'"', ..] => (b'"', 2),
        [b'\\', ..] => (b'\\', 2),
        [b'n', ..] => (b'\n', 2),
        [b'r', ..] => (b'\r', 2),
        [b't', ..] => (b'\t', 2),
        _ => (b'\\', 1),
    }
}

fn is_address(word: &[u8]) -> bool {
    std::str::from_utf8(word).is_ok_and(|word| word.parse::<std::net::IpAddr>().is_ok())
}

/// An address without its port, as Envoy writes it.
fn without_port(client: String) -> String {
    client.parse::<SocketAddr>().map_or(client, |address| address.ip().to_string())
}

fn without_default_port(host: &[u8]) -> &[u8] {
    [&b":443"[..], b":80"].iter().find_map(|port| host.strip_suffix(*port)).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(line: &str) -> Option<(String, String, String, Option<u16>)> {
        let line = LogLine::parse(line.as_bytes(), Format::Auto)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let request = match &line.sent {
            Sent::Request { method, target } => format!("{} {}", text(method), text(target)),
            Sent::Nothing => "nothing".into(),
        };
        let host = line.host.as_deref().map(text).unwrap_or_default();
        Some((line.client.unwrap_or_default().into_owned(), host, request, line.status))
    }

    #[test]
    fn the_forms_that_proxies_write() {
        let cases = [
            (
                r#"192.0.2.7 - ada [21/Nov/2026:10:00:00 +0000] "GET /a?b=c HTTP/1.1" 200 12 "-" "curl/8""#,
                ("192.0.2.7", "", "GET /a?b=c", Some(200)),
            ),
            (
                r#"client.example - - [t] "POST /a HTTP/2.0" 404 -"#,
                ("client.example", "", "POST /a", Some(404)),
            ),
            (
                r#"api.example.com:443 2001:db8::1 - - [t] "GET / HTTP/1.1" 301 0"#,
                ("2001:db8::1", "api.example.com", "GET /", Some(301)),
            ),
            (r#"192.0.2.7 - - [t] "-" 408 0 "-" "-""#, ("192.0.2.7", "", "nothing", Some(408))),
            (r#"192.0.2.7 - - [t] "\x16\x03\x01" 400 0"#, ("192.0.2.7", "", "nothing", Some(400))),
            (
                r#"192.0.2.7 - - [t] "GET /a\x22b\\c\"d HTTP/1.1" 200 0"#,
                ("192.0.2.7", "", "GET /a\"b\\c\"d", Some(200)),
            ),
            (r#"192.0.2.7 - - [t] "GET /a b HTTP/1.1" 200 0"#, ("192.0.2.7", "", "GET /a b", Some(200))),
            (
                r#"{"level":"info","msg":"handled request","request":{"remote_ip":"192.0.2.7","client_ip":"192.0.2.8","method":"GET","host":"a.example","uri":"/a?b"},"status":200}"#,
                ("192.0.2.8", "a.example", "GET /a?b", Some(200)),
            ),
            (
                r#"{"ClientHost":"192.0.2.7","RequestMethod":"PUT","RequestPath":"/a","RequestHost":"a.example","DownstreamStatus":204}"#,
                ("192.0.2.7", "a.example", "PUT /a", Some(204)),
            ),
            (
                r#"{"method":"GET","path":"/a","authority":"a.example:8443","downstream_remote_address":"192.0.2.7:51234","response_code":503,"request_id":"-"}"#,
                ("192.0.2.7", "a.example:8443", "GET /a", Some(503)),
            ),
            (
                r#"{"remote_addr":"192.0.2.7","request":"DELETE /a HTTP/1.1","status":"200","host":"-"}"#,
                ("192.0.2.7", "", "DELETE /a", Some(200)),
            ),
        ];
        for (line, (client, host, request, status)) in cases {
            assert_eq!(read(line), Some((client.into(), host.into(), request.into(), status)), "{line}");
        }
        for line in
            ["", "hello", "[", "a b c [t] no quotes", "a b [t] \"GET /", "{", "{}", "{\"method\":1}", "[1]"]
        {
            assert_eq!(read(line), None, "{line}");
        }
    }

    #[test]
    fn what_a_route_of_ours_recorded() {
        fn recorded(text: &str) -> Option<Recorded<'_>> {
            LogLine::parse(text.as_bytes(), Format::Auto).unwrap().recorded
        }
        let line = |observed: &str| {
            format!(
                r#"{{"time":"t","client":"192.0.2.7","method":"GET","path":"/a","route":"/{{*rest}}","key_id":"ci","outcome":"forwarded","observed":"{observed}","status":200,"revision":3}}"#
            )
        };
        let revoked = line("key_revoked");
        let known = recorded(&revoked).unwrap();
        assert_eq!(
            (known.reason, &*known.route, known.key_id.as_deref()),
            (Reason::KeyRevoked, "/{*rest}", Some("ci"))
        );
        assert_eq!(recorded(&line("something_new")), None);
        assert_eq!(recorded(r#"{"method":"GET","path":"/a","observed":"key_missing"}"#), None);
    }

    proptest! {
        #[test]
        fn no_line_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0usize..80) {
            let line = br#"192.0.2.7 - - [21/Nov/2026:10:00:00 +0000] "GET /a HTTP/1.1" 200 12 "-" "-""#;
            let at = at.min(line.len());
            let mixed = [&line[..at], &bytes, &line[at..]].concat();
            for text in [&bytes, &mixed] {
                for format in [Format::Auto, Format::Combined, Format::Json] {
                    let _ = LogLine::parse(text, format);
                }
            }
        }

        #[test]
        fn what_was_escaped_is_what_was_sent(target in proptest::collection::vec(1u8..=255, 1..60)) {
            let escape = |byte: &u8| match byte {
                b'"' | b'\\' | 0..=31 | 127..=255 => format!("\\x{byte:02X}"),
                byte => (*byte as char).to_string(),
            };
            let escaped: String = target.iter().map(escape).collect();
            let line = format!("192.0.2.7 - - [t] \"GET {escaped} HTTP/1.1\" 200 0");
            let read = LogLine::parse(line.as_bytes(), Format::Auto).unwrap();
            let expected = Sent::Request { method: Cow::Borrowed(b"GET"), target: Cow::Owned(target) };
            prop_assert_eq!(read.sent, expected);
        }
    }
}
