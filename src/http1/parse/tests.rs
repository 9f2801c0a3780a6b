//! Tests: heads taken and refused, case by case and against httparse.

use proptest::{collection::vec, prelude::*};

use super::*;

const LIMITS: HeadLimits = HeadLimits { head_bytes: 256, target_bytes: 32, fields: 4 };

fn request(bytes: &[u8]) -> Result<Parsed<RequestHead<'_>>, HeadError> {
    parse_request(bytes, &LIMITS)
}

fn response(bytes: &[u8]) -> Result<Parsed<ResponseHead<'_>>, HeadError> {
    parse_response(bytes, &LIMITS)
}

fn whole<T>(parsed: Result<Parsed<T>, HeadError>) -> (T, usize) {
    match parsed {
        Ok(Parsed::Complete { head, length }) => (head, length),
        Ok(Parsed::Partial) => panic!("partial"),
        Err(error) => panic!("{error}"),
    }
}

fn field<'b>(name: &'b str, value: &'b str) -> Field<'b> {
    Field { name: name.as_bytes(), value: value.as_bytes() }
}

#[test]
fn a_request_is_taken_apart_and_the_body_left() {
    let bytes = b"POST /v1/a?b=%20c HTTP/1.1\r\nHost: x\r\nX-Empty:\r\nx-Odd:\t a \t b\xff \t\r\n\r\nbody";
    let (head, length) = whole(request(bytes));
    assert_eq!((head.method, head.target, head.version), ("POST", &b"/v1/a?b=%20c"[..], Version::Http11));
    assert_eq!(head.authority, None);
    assert_eq!(
        head.fields.iter().copied().collect::<Vec<_>>(),
        [field("Host", "x"), field("X-Empty", ""), Field { name: b"x-Odd", value: b"a \t b\xff" }],
    );
    assert_eq!(&bytes[length..], b"body");
}

#[test]
fn requests_that_are_taken() {
    for (bytes, method, target) in [
        ("GET / HTTP/1.1\r\n\r\n", "GET", "/"),
        ("GET / HTTP/1.0\r\n\r\n", "GET", "/"),
        // RFC 9112 §2.2: an empty line that a client left behind its previous body.
        ("\r\nGET / HTTP/1.1\r\n\r\n", "GET", "/"),
        // RFC 9112 §3.2: the four forms.
        ("GET http://h/p HTTP/1.1\r\n\r\n", "GET", "http://h/p"),
        ("CONNECT h:443 HTTP/1.1\r\n\r\n", "CONNECT", "h:443"),
        ("OPTIONS * HTTP/1.1\r\n\r\n", "OPTIONS", "*"),
        ("m-!#$%&'*+.^_`|~1 / HTTP/1.1\r\n\r\n", "m-!#$%&'*+.^_`|~1", "/"),
    ] {
        let (head, length) = whole(request(bytes.as_bytes()));
        assert_eq!((head.method, head.target, length), (method, target.as_bytes(), bytes.len()), "{bytes:?}");
    }
}

#[test]
fn requests_that_are_refused() {
    use HeadError as E;
    for (bytes, error) in [
        // RFC 9112 §2.2: CRLF and nothing else ends a line; one empty line may stand in front.
        ("GET / HTTP/1.1\n\n", E::LineEnd),
        ("GET / HTTP/1.1\r\r\n\r\n", E::LineEnd),
        ("GET / HTTP/1.1\r\nA: b\n\r\n", E::LineEnd),
        ("GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", E::LineEnd),
        ("GET / HTTP/1.1\r\nA: b\r\n\n", E::LineEnd),
        ("GET / HTTP/1.1\r\nA: b\r\n\rX", E::LineEnd),
        ("\nGET / HTTP/1.1\r\n\r\n", E::Method),
        ("\r\n\r\nGET / HTTP/1.1\r\n\r\n", E::Method),
        // RFC 9112 §3: one space, and only there.
        (" GET / HTTP/1.1\r\n\r\n", E::Method),
        ("GET  / HTTP/1.1\r\n\r\n", E::Target),
        ("GET\t/ HTTP/1.1\r\n\r\n", E::Method),
        ("GET /  HTTP/1.1\r\n\r\n", E::StartLine),
        ("GET / HTTP/1.1 \r\n\r\n", E::LineEnd),
        ("GET / a HTTP/1.1\r\n\r\n", E::StartLine),
        ("GET\r\n\r\n", E::Method),
        ("GET /\r\n\r\n", E::Target),
        ("GET / \r\n\r\n", E::StartLine),
        // RFC 9110 §9.1.
        ("GE(T / HTTP/1.1\r\n\r\n", E::Method),
        ("G\u{c9}T / HTTP/1.1\r\n\r\n", E::Method),
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWXYZ / HTTP/1.1\r\n\r\n", E::Method),
        // RFC 9112 §3.2.
        ("GET /\u{e9} HTTP/1.1\r\n\r\n", E::Target),
        ("GET /\0 HTTP/1.1\r\n\r\n", E::Target),
        ("GET /\x7f HTTP/1.1\r\n\r\n", E::Target),
        ("GET /a\tb HTTP/1.1\r\n\r\n", E::Target),
        ("GET /23456789012345678901234567890123 HTTP/1.1\r\n\r\n", E::TargetTooLong),
        // RFC 9112 §2.3: case matters, and nothing near it is a version.
        ("GET / HTTP/1.2\r\n\r\n", E::Version),
        ("GET / HTTP/0.9\r\n\r\n", E::Version),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", E::Version),
        ("GET / http/1.1\r\n\r\n", E::StartLine),
        ("GET / HTTP/1.10\r\n\r\n", E::LineEnd),
        ("GET / HTTP/11\r\n\r\n", E::StartLine),
        ("GET / HTTPS/1.1\r\n\r\n", E::StartLine),
        // RFC 9112 §5.1: no white space before the colon, and a name.
        ("GET / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n", E::FieldName),
        ("GET / HTTP/1.1\r\nContent-Length\t: 5\r\n\r\n", E::FieldName),
        ("GET / HTTP/1.1\r\n: a\r\n\r\n", E::FieldName),
        ("GET / HTTP/1.1\r\nHost\r\n\r\n", E::FieldName),
        ("GET / HTTP/1.1\r\nHo st: a\r\n\r\n", E::FieldName),
        ("GET / HTTP/1.1\r\nHo\0st: a\r\n\r\n", E::FieldName),
        ("GET / HTTP/1.1\r\n\x0bTransfer-Encoding: chunked\r\n\r\n", E::FieldName),
        ("GET / HTTP/1.1\r\n\u{feff}Host: a\r\n\r\n", E::FieldName),
        // RFC 9112 §5.2 and §2.2: no line starts with white space.
        ("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", E::Fold),
        ("GET / HTTP/1.1\r\nTransfer-Encoding:\r\n\tchunked\r\n\r\n", E::Fold),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", E::Fold),
        // RFC 9110 §5.5.
        ("GET / HTTP/1.1\r\nA: b\0\r\n\r\n", E::FieldValue),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", E::FieldValue),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\x0c\r\n\r\n", E::FieldValue),
        ("GET / HTTP/1.1\r\nA: \x7f\r\n\r\n", E::FieldValue),
        ("GET / HTTP/1.1\r\nA:1\r\nA:2\r\nA:3\r\nA:4\r\nA:5\r\n\r\n", E::TooManyFields),
        // A TLS ClientHello on a plain port.
        ("\x16\x03\x01\x02\0\x01", E::Method),
        ("SSH-2.0-OpenSSH_9.6\r\n", E::Method),
    ] {
        assert_eq!(request(bytes.as_bytes()), Err(error), "{bytes:?}");
    }
}

#[test]
fn what_is_wrong_or_too_long_is_refused_before_it_ends() {
    let long = |start: &str, count: usize| [start.as_bytes(), &b"a".repeat(count)].concat();
    for (bytes, error) in [
        (long("GET /", 31), None),
        (long("GET /", 32), Some(HeadError::TargetTooLong)),
        (long("", METHOD_BYTES), None),
        (long("", METHOD_BYTES + 1), Some(HeadError::Method)),
        (long("GET / HTTP/1.1\r\nA: ", 255 - 19), None),
        (long("GET / HTTP/1.1\r\nA: ", 256 - 19), Some(HeadError::HeadTooLarge)),
        (long("GET / HTTP/1.1\r\nA", 256), Some(HeadError::HeadTooLarge)),
        (long("GET / HTTX", 0), Some(HeadError::StartLine)),
    ] {
        let parsed = request(&bytes);
        assert_eq!(parsed.err(), error, "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_head_may_fill_its_limit_whatever_follows() {
    let head = [b"GET / HTTP/1.1\r\nA: ".as_slice(), &b"a".repeat(256 - 19 - 4), b"\r\n\r\n"].concat();
    let (_, length) = whole(request(&[head, b"body".repeat(100)].concat()));
    assert_eq!(length, 256);
}

#[test]
fn a_refusal_has_the_status_of_its_cause() {
    for (error, status) in [
        (HeadError::StartLine, 400),
        (HeadError::Fold, 400),
        (HeadError::TargetTooLong, 414),
        (HeadError::HeadTooLarge, 431),
        (HeadError::TooManyFields, 431),
        (HeadError::Version, 505),
    ] {
        assert_eq!(error.status(), status, "{error}");
    }
}

#[test]
fn responses_that_are_taken() {
    for (bytes, version, status, reason) in [
        ("HTTP/1.1 200 OK\r\n\r\n", Version::Http11, 200, "OK"),
        ("HTTP/1.0 404 Not Found\r\n\r\n", Version::Http10, 404, "Not Found"),
        // RFC 9112 §4: the phrase may be absent (Tomcat sends the space), and some leave out the space too.
        ("HTTP/1.1 200 \r\n\r\n", Version::Http11, 200, ""),
        ("HTTP/1.1 200\r\n\r\n", Version::Http11, 200, ""),
        ("HTTP/1.1 999 \tna\u{ef}f \r\n\r\n", Version::Http11, 999, "\tna\u{ef}f "),
        ("HTTP/1.1 100 Continue\r\n\r\n", Version::Http11, 100, "Continue"),
    ] {
        let (head, length) = whole(response(bytes.as_bytes()));
        let expected = (version, status, reason.as_bytes(), bytes.len());
        assert_eq!((head.version, head.status, head.reason, length), expected, "{bytes:?}");
    }
}

#[test]
fn responses_that_are_refused() {
    use HeadError as E;
    for (bytes, error) in [
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", E::StartLine),
        ("ICY 200 OK\r\n\r\n", E::StartLine),
        ("HTTP/2.0 200 OK\r\n\r\n", E::Version),
        ("HTTP/1.1  200 OK\r\n\r\n", E::Status),
        ("HTTP/1.1\t200 OK\r\n\r\n", E::StartLine),
        ("HTTP/1.1 20 OK\r\n\r\n", E::Status),
        ("HTTP/1.1 099 OK\r\n\r\n", E::Status),
        ("HTTP/1.1 2000 OK\r\n\r\n", E::Status),
        ("HTTP/1.1 +20 OK\r\n\r\n", E::Status),
        ("HTTP/1.1 200\tOK\r\n\r\n", E::Status),
        ("HTTP/1.1 200 O\0K\r\n\r\n", E::Reason),
        ("HTTP/1.1 200 OK\n\n", E::LineEnd),
        ("HTTP/1.1 200 OK\rX", E::LineEnd),
        ("HTTP/1.1 200 OK\r\nA: b\n\n", E::LineEnd),
        ("HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n", E::FieldName),
        ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", E::Fold),
        ("HTTP/1.1 200 OK\r\nA: \x01\r\n\r\n", E::FieldValue),
    ] {
        assert_eq!(response(bytes.as_bytes()), Err(error), "{bytes:?}");
    }
}

#[test]
fn the_end_of_a_head_is_found_wherever_reading_paused() {
    for (bytes, end) in [
        ("GET / HTTP/1.1\r\nA: b\r\n\r\nrest", Some(24)),
        ("GET / HTTP/1.1\r\nA: b\n\nrest", Some(22)),
        ("GET / HTTP/1.1\r\nA: b\n\r\nrest", Some(23)),
        ("\r\nGET / HTTP/1.1\r\nA: b\r\n", None),
        ("", None),
    ] {
        assert_eq!(find_head_end(bytes.as_bytes(), 0), end, "{bytes:?}");
        for seen in 0..=bytes.len() {
            if find_head_end(&bytes.as_bytes()[..seen], 0).is_none() {
                assert_eq!(find_head_end(bytes.as_bytes(), seen), end, "{bytes:?} after {seen}");
            }
        }
    }
    assert_eq!(find_head_end(b"short", 100), None);
}

/// Bytes that look like a head, with the things in them that parsers disagree on.
fn nearly_a_head() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => Just(&b"\r\n"[..]),
        1 => prop::sample::select(vec![&b"\n"[..], b"\r", b" ", b"\t", b"\0", b"\x0b", b"\x7f", b"\xff", b":", b","]),
        4 => prop::sample::select(vec![&b"Host: a\r\n"[..], b"X: \t b c \r\n", b"A:\r\n", b"Content-Length: 5\r\n"]),
        1 => prop::sample::select(vec![&b"a"[..], b"GET ", b"HTTP/1.1", b"12345678"]),
    ];
    let start = prop::sample::select(vec![
        &b"GET /a HTTP/1.1\r\n"[..],
        b"\r\nPUT * HTTP/1.0\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 304\r\n",
        b"HTTP/1.1 200 \xff\r\n",
        b"",
    ]);
    (start, vec(part, 0..8)).prop_map(|(start, parts)| [start, &parts.concat(), b"\r\n\r\n"].concat())
}

fn pairs(headers: &[httparse::Header<'_>]) -> Vec<(Vec<u8>, Vec<u8>)> {
    headers.iter().map(|header| (header.name.as_bytes().to_vec(), header.value.to_vec())).collect()
}

fn own_pairs(fields: &Fields<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    fields.iter().map(|field| (field.name.to_vec(), field.value.to_vec())).collect()
}

proptest! {
    #[test]
    fn what_is_taken_as_a_request_httparse_reads_the_same(bytes in nearly_a_head()) {
        if let Ok(Parsed::Complete { head, length }) = parse_request(&bytes, &HeadLimits::default()) {
            let mut headers = [httparse::EMPTY_HEADER; 100];
            let mut oracle = httparse::Request::new(&mut headers);
            prop_assert_eq!(oracle.parse(&bytes), Ok(httparse::Status::Complete(length)));
            prop_assert_eq!(oracle.method, Some(head.method));
            prop_assert_eq!(oracle.path.map(str::as_bytes), Some(head.target));
            prop_assert_eq!(oracle.version, Some(u8::from(head.version == Version::Http11)));
            prop_assert_eq!(pairs(oracle.headers), own_pairs(&head.fields));
        }
    }

    #[test]
    fn what_is_taken_as_a_response_httparse_reads_the_same(bytes in nearly_a_head()) {
        if let Ok(Parsed::Complete { head, length }) = parse_response(&bytes, &HeadLimits::default()) {
            let mut headers = [httparse::EMPTY_HEADER; 100];
            let mut oracle = httparse::Response::new(&mut headers);
            prop_assert_eq!(oracle.parse(&bytes), Ok(httparse::Status::Complete(length)));
            prop_assert_eq!(oracle.code, Some(head.status));
            let reason = if head.reason.is_ascii() { head.reason } else { b"" };
            prop_assert_eq!(oracle.reason.map(str::as_bytes), Some(reason));
            prop_assert_eq!(oracle.version, Some(u8::from(head.version == Version::Http11)));
            prop_assert_eq!(pairs(oracle.headers), own_pairs(&head.fields));
        }
    }

    #[test]
    fn more_bytes_never_change_what_was_said(bytes in nearly_a_head()) {
        let final_request = request(&bytes);
        let final_response = response(&bytes);
        for cut in 0..bytes.len() {
            match request(&bytes[..cut]) {
                Ok(Parsed::Partial) => {}
                early => prop_assert_eq!(&early, &final_request, "cut at {}", cut),
            }
            match response(&bytes[..cut]) {
                Ok(Parsed::Partial) => {}
                early => prop_assert_eq!(&early, &final_response, "cut at {}", cut),
            }
        }
    }

    #[test]
    fn whoever_waits_for_the_end_of_a_head_misses_nothing(bytes in nearly_a_head()) {
        if let Ok(Parsed::Complete { length, .. }) = request(&bytes) {
            let end = find_head_end(&bytes, 0);
            prop_assert_eq!(end, Some(length));
        }
    }
}
