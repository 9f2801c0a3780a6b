//! The door of nginx `auth_request`, Traefik `forwardAuth` and Caddy `forward_auth`: the request is described in headers of
//! one family, and everything else that the client sent comes along as it is.

use super::{AskError, Unclear, may_have_body};
use crate::{
    config::model::HeaderFamily,
    http1::parse::{HeadLimits, check_request_line},
    message::{Field, Fields, RequestHead, Version},
};

/// The names of one family: those that must stand exactly once, and those that may.
struct Family {
    method: Name,
    target: Name,
    host: Name,
    scheme: Name,
    length: Option<Name>,
    coding: Option<Name>,
    upgrade: Option<Name>,
}

/// A name as it is written, and in lower case.
#[derive(Clone, Copy)]
struct Name(&'static str, &'static str);

static X_ORIGINAL: Family = Family {
    method: Name("X-Original-Method", "x-original-method"),
    target: Name("X-Original-URI", "x-original-uri"),
    host: Name("X-Original-Host", "x-original-host"),
    scheme: Name("X-Original-Proto", "x-original-proto"),
    length: Some(Name("X-Original-Content-Length", "x-original-content-length")),
    coding: Some(Name("X-Original-Transfer-Encoding", "x-original-transfer-encoding")),
    upgrade: Some(Name("X-Original-Upgrade", "x-original-upgrade")),
};

static X_FORWARDED: Family = Family {
    method: Name("X-Forwarded-Method", "x-forwarded-method"),
    target: Name("X-Forwarded-Uri", "x-forwarded-uri"),
    host: Name("X-Forwarded-Host", "x-forwarded-host"),
    scheme: Name("X-Forwarded-Proto", "x-forwarded-proto"),
    length: None,
    coding: None,
    upgrade: None,
};

/// The request that `ask` describes, within `limits`: its method, target, host, and the fields that its client sent.
///
/// The fields that speak of the connection between the asking proxy and us are left out; what the family says of those of
/// the client's own request takes their place. The ask's own target is not looked at.
///
/// # Errors
/// [`AskError`].
pub fn describe<'b>(
    ask: &RequestHead<'b>,
    family: HeaderFamily,
    limits: &HeadLimits,
) -> Result<RequestHead<'b>, AskError> {
    let (said, other, other_family) = match family {
        HeaderFamily::XOriginal => (&X_ORIGINAL, &X_FORWARDED, HeaderFamily::XForwarded),
        HeaderFamily::XForwarded => (&X_FORWARDED, &X_ORIGINAL, HeaderFamily::XOriginal),
    };
    if may_have_body(ask) {
        return Err(Unclear::Body.into());
    }
    let method = required(ask, said.method).map_err(|unclear| match unclear {
        Unclear::Missing(name) if required(ask, other.method).and(required(ask, other.target)).is_ok() => {
            Unclear::OtherFamily(name, other_family)
        }
        unclear => unclear,
    })?;
    let target = required(ask, said.target)?;
    let host = required(ask, said.host)?;
    let scheme = required(ask, said.scheme)?;
    if !matches!(scheme, b"http" | b"https" | b"ws" | b"wss") {
        return Err(Unclear::Malformed(said.scheme.0).into());
    }
    // An absolute form has an authority of its own, beside the host that is told.
    if target.first() != Some(&b'/') && memchr::memmem::find(target, b"://").is_some() {
        return Err(Unclear::Malformed(said.target.0).into());
    }
    // nginx, Traefik and Caddy ask by GET; one that keeps the method must not say two.
    if !matches!(ask.method, "GET" | "HEAD") && ask.method.as_bytes() != method {
        return Err(Unclear::Contradicting(said.method.0).into());
    }
    for (name, value) in [(other.method, method), (other.target, target), (other.host, host)] {
        if ask.fields.all(name.1).any(|also| also != value) {
            return Err(Unclear::Contradicting(name.0).into());
        }
    }
    // Without it the client's address would be that of the proxy.
    if ask.fields.all("x-forwarded-for").all(<[u8]>::is_empty) {
        return Err(Unclear::Missing("X-Forwarded-For").into());
    }
    let method = check_request_line(method, target, limits)?;
    let mut fields: Fields<'b> =
        ask.fields.iter().filter(|field| !is_of_the_ask(field, said)).copied().collect();
    fields.push(Field { name: b"Host", value: host });
    let stands_for =
        [(said.length, "Content-Length"), (said.coding, "Transfer-Encoding"), (said.upgrade, "Upgrade")];
    for (name, meant) in stands_for {
        let Some(name) = name else { continue };
        for value in ask.fields.all(name.1) {
            fields.push(Field { name: meant.as_bytes(), value });
        }
    }
    Ok(RequestHead { method, target, authority: None, version: Version::Http11, ends_stream: false, fields })
}

/// The one value of a header that must be there.
fn required<'b>(ask: &RequestHead<'b>, name: Name) -> Result<&'b [u8], Unclear> {
    match ask.fields.only(name.1) {
        Ok(Some(value)) if !value.is_empty() => Ok(value),
        Ok(Some(_) | None) => Err(Unclear::Missing(name.0)),
        Err(_) => Err(Unclear::Repeated(name.0)),
    }
}

/// Fields that say how the ask came, not what the client sent, and those of the two families.
fn is_of_the_ask(field: &Field<'_>, said: &Family) -> bool {
    const OF_THE_CONNECTION: [&str; 9] = [
        "host",
        "connection",
        "proxy-connection",
        "keep-alive",
        "te",
        "trailer",
        "expect",
        "content-length",
        "transfer-encoding",
    ];
    let describes = |family: &Family| {
        let always = [family.method, family.target, family.host, family.scheme];
        let perhaps = [family.length, family.coding, family.upgrade].into_iter().flatten();
        always.into_iter().chain(perhaps).any(|name| field.is(name.1))
    };
    OF_THE_CONNECTION.iter().any(|name| field.is(name))
        || (said.upgrade.is_some() && field.is("upgrade"))
        || describes(&X_ORIGINAL)
        || describes(&X_FORWARDED)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NGINX: &[(&str, &str)] = &[
        ("Host", "keygate"),
        ("X-Original-Method", "POST"),
        ("X-Original-URI", "/v1/projects/alpha?x=1"),
        ("X-Original-Host", "api.example.com"),
        ("X-Original-Proto", "https"),
        ("X-Forwarded-For", "203.0.113.9"),
    ];
    const CADDY: &[(&str, &str)] = &[
        ("Host", "127.0.0.1:8090"),
        ("X-Forwarded-Method", "POST"),
        ("X-Forwarded-Uri", "/v1/projects/alpha?x=1"),
        ("X-Forwarded-Host", "api.example.com"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-For", "203.0.113.9"),
    ];

    fn ask<'b>(method: &'b str, lines: &[(&'b str, &'b str)]) -> RequestHead<'b> {
        let field =
            |(name, value): &(&'b str, &'b str)| Field { name: name.as_bytes(), value: value.as_bytes() };
        RequestHead {
            method,
            target: b"/",
            authority: None,
            version: Version::Http11,
            ends_stream: false,
            fields: lines.iter().map(field).collect(),
        }
    }

    fn told(method: &str, lines: &[(&str, &str)], family: HeaderFamily) -> Result<String, AskError> {
        let described = ask(method, lines);
        let described = describe(&described, family, &HeadLimits::default())?;
        let lines = described.fields.iter().map(|field| {
            format!("{}: {}", String::from_utf8_lossy(field.name), String::from_utf8_lossy(field.value))
        });
        let target = String::from_utf8_lossy(described.target);
        Ok(format!("{} {target} | {}", described.method, lines.collect::<Vec<_>>().join(" | ")))
    }

    #[test]
    fn each_family_describes_one_request() {
        let plain = "POST /v1/projects/alpha?x=1 | X-Forwarded-For: 203.0.113.9 | Host: api.example.com";
        for (family, lines) in [(HeaderFamily::XOriginal, NGINX), (HeaderFamily::XForwarded, CADDY)] {
            assert_eq!(told("GET", lines, family).unwrap(), plain);
            assert_eq!(told("POST", lines, family).unwrap(), plain);
            assert_eq!(
                told("PUT", lines, family),
                Err(Unclear::Contradicting(if lines == NGINX {
                    "X-Original-Method"
                } else {
                    "X-Forwarded-Method"
                })
                .into())
            );
        }
    }

    #[test]
    fn what_is_missing_doubled_or_contradicting_is_no_description() {
        for (family, lines, other) in
            [(HeaderFamily::XOriginal, NGINX, CADDY), (HeaderFamily::XForwarded, CADDY, NGINX)]
        {
            for (at, (name, value)) in lines.iter().enumerate().skip(1) {
                let without: Vec<_> = lines.iter().filter(|line| line.0 != *name).copied().collect();
                assert_eq!(told("GET", &without, family), Err(Unclear::Missing(name).into()));
                let mut empty = lines.to_vec();
                empty[at].1 = "";
                assert!(told("GET", &empty, family).is_err(), "{name}");
                if *name != "X-Forwarded-For" {
                    let twice = [lines, &[(*name, *value)]].concat();
                    assert_eq!(told("GET", &twice, family), Err(Unclear::Repeated(name).into()));
                }
            }
            assert_eq!(
                told("GET", other, family),
                Err(Unclear::OtherFamily(
                    lines[1].0,
                    if family == HeaderFamily::XOriginal {
                        HeaderFamily::XForwarded
                    } else {
                        HeaderFamily::XOriginal
                    }
                )
                .into())
            );
            let both: Vec<_> = [lines, &other[1..5]].concat();
            assert!(told("GET", &both, family).is_ok(), "two families that agree");
            for differing in &other[1..4] {
                let both = [lines, &[(differing.0, "/other")]].concat();
                assert_eq!(told("GET", &both, family), Err(Unclear::Contradicting(differing.0).into()));
            }
        }
        let gopher: Vec<_> = NGINX
            .iter()
            .map(|line| if line.0 == "X-Original-Proto" { (line.0, "gopher") } else { *line })
            .collect();
        let absolute: Vec<_> = NGINX
            .iter()
            .map(|line| if line.0 == "X-Original-URI" { (line.0, "http://api.example.com/a") } else { *line })
            .collect();
        assert_eq!(
            told("GET", &absolute, HeaderFamily::XOriginal),
            Err(Unclear::Malformed("X-Original-URI").into())
        );
        assert_eq!(
            told("GET", &gopher, HeaderFamily::XOriginal),
            Err(Unclear::Malformed("X-Original-Proto").into())
        );
    }

    #[test]
    fn bodies_are_not_sent_here_but_told_of() {
        for line in [("Content-Length", "3"), ("Transfer-Encoding", "chunked"), ("Content-Length", "+1")] {
            let lines = [NGINX, &[line]].concat();
            assert_eq!(told("GET", &lines, HeaderFamily::XOriginal), Err(Unclear::Body.into()));
        }
        let lines = [
            NGINX,
            &[
                ("Content-Length", "0"),
                ("X-Original-Content-Length", "3"),
                ("X-Original-Upgrade", "websocket"),
            ],
        ]
        .concat();
        let told = told("GET", &lines, HeaderFamily::XOriginal).unwrap();
        assert!(told.ends_with("| Host: api.example.com | Content-Length: 3 | Upgrade: websocket"), "{told}");
    }

    proptest! {
        #[test]
        fn what_is_described_could_stand_in_a_request_line(
            method in "\\PC{0,40}",
            target in "\\PC{0,40}",
            host in "\\PC{0,20}",
        ) {
            let lines = [
                ("X-Original-Method", method.as_str()),
                ("X-Original-URI", &target),
                ("X-Original-Host", &host),
                ("X-Original-Proto", "http"),
                ("X-Forwarded-For", "::1"),
            ];
            let ask = ask("GET", &lines);
            if let Ok(head) = describe(&ask, HeaderFamily::XOriginal, &HeadLimits::default()) {
                let line = [head.method.as_bytes(), b" ", head.target, b" HTTP/1.1\r\n\r\n"].concat();
                prop_assert!(crate::http1::parse::parse_request(&line, &HeadLimits::default()).is_ok());
            }
        }
    }
}
