//! What Envoy says, right and wrong.

use std::collections::HashMap;

use proptest::prelude::*;

use super::{
    messages::{Address, AttributeContext, HeaderMap, HeaderValue, Peer, Request, SocketAddress},
    *,
};

fn http(method: &str, path: &str, headers: &[(&str, &str)]) -> HttpRequest {
    let pseudo = [(":method", method), (":path", path), (":authority", "api.example"), (":scheme", "http")];
    let all = pseudo.iter().chain(headers).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    HttpRequest {
        method: method.to_owned(),
        headers: all.collect(),
        path: path.to_owned(),
        host: "api.example".to_owned(),
        scheme: "http".to_owned(),
        protocol: "HTTP/1.1".to_owned(),
        header_map: None,
    }
}

fn check(http: Option<HttpRequest>, address: &str) -> CheckRequest {
    let socket_address = Some(SocketAddress { address: address.to_owned() });
    CheckRequest {
        attributes: Some(AttributeContext {
            source: Some(Peer { address: Some(Address { socket_address }) }),
            request: Some(Request { http }),
        }),
    }
}

fn told(http: HttpRequest) -> Result<String, AskError> {
    let check = Check(check(Some(http), "203.0.113.9"));
    let head = check.describe(&HeadLimits::default())?;
    let mut lines: Vec<_> = head
        .fields
        .iter()
        .map(|field| {
            format!("{}: {}", String::from_utf8_lossy(field.name), String::from_utf8_lossy(field.value))
        })
        .collect();
    lines.sort();
    Ok(format!("{} {} | {}", head.method, String::from_utf8_lossy(head.target), lines.join(" | ")))
}

#[test]
fn a_check_describes_one_request() {
    let asked = http("POST", "/a?b=c", &[("authorization", "Bearer x"), ("accept", "*/*")]);
    assert_eq!(
        told(asked).unwrap(),
        "POST /a?b=c | accept: */* | authorization: Bearer x | host: api.example"
    );
}

#[test]
fn a_body_without_a_length_is_told_of_in_a_header_of_envoys_own() {
    let partial = &[(PARTIAL_BODY, "false")][..];
    let in_chunks = told(http("GET", "/a", partial)).unwrap();
    assert!(in_chunks.contains("| transfer-encoding: chunked"), "{in_chunks}");
    let known = told(http("GET", "/a", &[(PARTIAL_BODY, "true"), ("content-length", "3")])).unwrap();
    assert!(known.contains("content-length: 3") && !known.contains("transfer-encoding"), "{known}");
    for (headers, ends_stream) in [(partial, false), (&[], true)] {
        let check = Check(check(
            Some(HttpRequest { protocol: "HTTP/2".to_owned(), ..http("GET", "/a", headers) }),
            "::1",
        ));
        let head = check.describe(&HeadLimits::default()).unwrap();
        assert_eq!(head.ends_stream, ends_stream);
        assert!(head.fields.all("transfer-encoding").next().is_none());
    }
}

#[test]
fn raw_lines_count_where_they_are_told() {
    let line = |key: &str, value: &str, raw: &[u8]| HeaderValue {
        key: key.to_owned(),
        value: value.to_owned(),
        raw_value: raw.to_vec(),
    };
    let mut asked = http("GET", "/a", &[("authorization", "Bearer x")]);
    asked.header_map = Some(HeaderMap {
        headers: vec![
            line(":path", "", b"/a"),
            line("authorization", "", b"Bearer y"),
            line("authorization", "Bearer z", b""),
        ],
    });
    assert_eq!(
        told(asked.clone()).unwrap(),
        "GET /a | authorization: Bearer y | authorization: Bearer z | host: api.example"
    );
    // Envoy writes "!" for what is no UTF-8 in a string.
    asked.header_map = Some(HeaderMap { headers: vec![line(":path", "", b"/\xff")] });
    asked.path = "/!".to_owned();
    assert_eq!(told(asked), Err(Unclear::Contradicting(":path").into()));
}

#[test]
fn what_is_no_request_is_no_description() {
    assert_eq!(told(http("GET", "", &[])), Err(Unclear::Missing("attributes.request.http.path").into()));
    assert_eq!(told(http("G T", "/a", &[])), Err(HeadError::Method.into()));
    assert_eq!(told(http("GET", "/a b", &[])), Err(HeadError::Target.into()));
    assert_eq!(told(http("GET", &"/a".repeat(9000), &[])), Err(HeadError::TargetTooLong.into()));
    assert_eq!(told(http("GET", "/a", &[("x", "a\r\nb: c")])), Err(HeadError::FieldValue.into()));
    assert_eq!(told(http("GET", "/a", &[("x y", "a")])), Err(HeadError::FieldName.into()));
    assert_eq!(told(http("GET", "/a", &[("x", &"a".repeat(40_000))])), Err(HeadError::HeadTooLarge.into()));
    let mut strange = http("GET", "/a", &[]);
    strange.protocol = "HTTP/1.2".to_owned();
    assert_eq!(told(strange), Err(HeadError::Version.into()));
    let mut contradicting = http("GET", "/a", &[]);
    contradicting.headers.insert(":method".to_owned(), "PUT".to_owned());
    assert_eq!(told(contradicting), Err(Unclear::Contradicting(":method").into()));
    let nothing = Check(check(None, "203.0.113.9"));
    assert_eq!(
        nothing.describe(&HeadLimits::default()),
        Err(Unclear::Missing("attributes.request.http").into())
    );
    // CONNECT has no path; that it is never served is for the gate to say.
    assert!(told(http("CONNECT", "", &[])).unwrap().starts_with("CONNECT api.example "));
}

#[test]
fn the_peer_of_envoy_is_who_it_says() {
    let client = |address: &str| Check(check(None, address)).source();
    assert_eq!(client("203.0.113.9"), Ok("203.0.113.9".parse().unwrap()));
    assert_eq!(client("::ffff:203.0.113.9"), Ok("203.0.113.9".parse().unwrap()));
    assert_eq!(client("/tmp/socket"), Err(Unclear::Malformed("attributes.source.address")));
    assert_eq!(Check(CheckRequest::default()).source(), Err(Unclear::Missing("attributes.source.address")));
}

#[test]
fn a_call_is_one_whole_message() {
    let message = check(Some(http("GET", "/a", &[])), "::1").encode_to_vec();
    let framed = |flag: u8, length: usize| {
        let length = u32::try_from(length).unwrap();
        [&[flag], &length.to_be_bytes()[..], &message].concat()
    };
    assert!(Check::decode(&framed(0, message.len())).is_ok());
    for wrong in [framed(1, message.len()), framed(0, message.len() - 1), framed(0, message.len() + 1)] {
        assert_eq!(Check::decode(&wrong).unwrap_err(), Unclear::Malformed("CheckRequest"));
    }
    assert!(Check::decode(b"").is_err());
}

#[test]
fn an_answer_is_read_back_as_it_was_written() {
    let response = CheckResponse {
        status: Some(Status { code: 7, message: String::new() }),
        http_response: Some(HttpResponse::Denied(DeniedHttpResponse {
            status: Some(HttpStatus { code: 404 }),
            headers: vec![HeaderValueOption::overwrite("X-A", "b")],
            body: "{}".to_owned(),
        })),
    };
    let bytes = encode(&response);
    assert_eq!(CheckResponse::decode(&bytes[PREFIX_BYTES..]), Ok(response));
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(body: Vec<u8>) {
        if let Ok(check) = Check::decode(&body) {
            let _ = check.describe(&HeadLimits::default());
        }
    }

    #[test]
    fn what_is_described_could_stand_in_a_head(
        method in "\\PC{0,8}",
        path in "\\PC{0,16}",
        headers in prop::collection::vec(("\\PC{0,8}", "[\\PC\r\n]{0,8}"), 0..4),
    ) {
        let mut asked = http(&method, &path, &[]);
        asked.headers = headers.into_iter().collect::<HashMap<_, _>>();
        let check = Check(check(Some(asked), "::1"));
        if let Ok(head) = check.describe(&HeadLimits::default()) {
            let mut bytes = [head.method.as_bytes(), b" ", head.target, b" HTTP/1.1\r\n"].concat();
            for field in head.fields.iter() {
                bytes.extend([field.name, b": ", field.value, b"\r\n"].concat());
            }
            bytes.extend(b"\r\n");
            let parsed = crate::http1::parse::parse_request(&bytes, &HeadLimits::default()).unwrap();
            let crate::http1::parse::Parsed::Complete { head: again, length } = parsed else { panic!("partial") };
            prop_assert_eq!((again.fields.len(), length), (head.fields.len(), bytes.len()));
        }
    }
}
