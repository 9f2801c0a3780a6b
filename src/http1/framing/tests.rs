//! Tests: the length of a body, case by case.

use super::*;
use crate::http1::parse::{HeadLimits, Parsed, parse_request, parse_response};

fn request(lines: &str) -> Result<BodyLength, FramingError> {
    let text = format!("POST / HTTP/1.1\r\n{lines}\r\n");
    match parse_request(text.as_bytes(), &HeadLimits::default()) {
        Ok(Parsed::Complete { head, .. }) => request_body_length(&head),
        other => panic!("{other:?}"),
    }
}

fn response(status_line: &str, lines: &str, method: &str) -> Result<BodyLength, FramingError> {
    let text = format!("{status_line}\r\n{lines}\r\n");
    match parse_response(text.as_bytes(), &HeadLimits::default()) {
        Ok(Parsed::Complete { head, .. }) => response_body_length(&head, method),
        other => panic!("{other:?}"),
    }
}

/// The fields of `lines`, which outlive the call as the tests that use it are few.
fn fields(lines: &str) -> Fields<'static> {
    let text: &'static str = format!("GET / HTTP/1.1\r\n{lines}\r\n").leak();
    match parse_request(text.as_bytes(), &HeadLimits::default()) {
        Ok(Parsed::Complete { head, .. }) => head.fields,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_body_of_a_request_has_one_length_or_the_request_is_refused() {
    use BodyLength::{Chunked, Empty, Known};
    use FramingError as E;
    for (lines, expected) in [
        ("", Ok(Empty)),
        ("Content-Length: 0\r\n", Ok(Known(0))),
        ("content-LENGTH:5\t\r\n", Ok(Known(5))),
        ("Content-Length: 005\r\n", Ok(Known(5))),
        ("Content-Length: 18446744073709551615\r\n", Ok(Known(u64::MAX))),
        ("Transfer-Encoding: chunked\r\n", Ok(Chunked)),
        ("transfer-encoding: CHUNKED \r\n", Ok(Chunked)),
        // RFC 9112 §6.3: Content-Length is digits, once.
        ("Content-Length: 18446744073709551616\r\n", Err(E::Length)),
        ("Content-Length: 99999999999999999999999\r\n", Err(E::Length)),
        ("Content-Length:\r\n", Err(E::Length)),
        ("Content-Length: +5\r\n", Err(E::Length)),
        ("Content-Length: -5\r\n", Err(E::Length)),
        ("Content-Length: -0\r\n", Err(E::Length)),
        ("Content-Length: 5,5\r\n", Err(E::Length)),
        ("Content-Length: 5, 5\r\n", Err(E::Length)),
        ("Content-Length: 5,\r\n", Err(E::Length)),
        ("Content-Length: 5 5\r\n", Err(E::Length)),
        ("Content-Length: 5;\r\n", Err(E::Length)),
        ("Content-Length: 0x5\r\n", Err(E::Length)),
        ("Content-Length: 5.0\r\n", Err(E::Length)),
        ("Content-Length: 5e1\r\n", Err(E::Length)),
        ("Content-Length: \"5\"\r\n", Err(E::Length)),
        ("Content-Length: 5_0\r\n", Err(E::Length)),
        ("Content-Length: \u{665}\r\n", Err(E::Length)),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", Err(E::Length)),
        ("Content-Length: 5\r\ncontent-length: 6\r\n", Err(E::Length)),
        // RFC 9112 §6.1: Transfer-Encoding is chunked, once.
        ("Transfer-Encoding:\r\n", Err(E::Coding)),
        ("Transfer-Encoding: identity\r\n", Err(E::Coding)),
        ("Transfer-Encoding: gzip\r\n", Err(E::Coding)),
        ("Transfer-Encoding: gzip, chunked\r\n", Err(E::Coding)),
        ("Transfer-Encoding: chunked, identity\r\n", Err(E::Coding)),
        ("Transfer-Encoding: identity, chunked\r\n", Err(E::Coding)),
        ("Transfer-Encoding: chunked, chunked\r\n", Err(E::Coding)),
        ("Transfer-Encoding: chunked,\r\n", Err(E::Coding)),
        ("Transfer-Encoding: ,chunked\r\n", Err(E::Coding)),
        ("Transfer-Encoding: chunked;q=1\r\n", Err(E::Coding)),
        ("Transfer-Encoding: \"chunked\"\r\n", Err(E::Coding)),
        ("Transfer-Encoding: xchunked\r\n", Err(E::Coding)),
        ("Transfer-Encoding: chunke\r\n", Err(E::Coding)),
        ("Transfer-Encoding: chunked\u{a0}\r\n", Err(E::Coding)),
        ("Transfer-Encoding: chun\u{212a}ed\r\n", Err(E::Coding)),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Err(E::Coding)),
        ("Transfer-Encoding: chunked\r\nTransfer-encoding: x\r\n", Err(E::Coding)),
        ("Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n", Err(E::Coding)),
        // RFC 9112 §6.1: both together, CL.TE and TE.CL.
        ("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", Err(E::LengthBesideCoding)),
        ("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", Err(E::LengthBesideCoding)),
        ("Transfer-Encoding: identity\r\nContent-Length: 4\r\n", Err(E::LengthBesideCoding)),
        ("Transfer-Encoding: chunked\r\nContent-Length: x\r\n", Err(E::LengthBesideCoding)),
    ] {
        assert_eq!(request(lines), expected, "{lines:?}");
    }
}

#[test]
fn a_transfer_coding_needs_http_1_1() {
    let text = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    let Ok(Parsed::Complete { head, .. }) = parse_request(text, &HeadLimits::default()) else { panic!() };
    assert_eq!(request_body_length(&head), Err(FramingError::CodingInVersion));
    let refused = response("HTTP/1.0 200 OK", "Transfer-Encoding: chunked\r\n", "GET");
    assert_eq!(refused, Err(FramingError::CodingInVersion));
}

#[test]
fn the_body_of_a_response_depends_on_the_request_and_the_status_first() {
    use BodyLength::{Chunked, Empty, Known, UntilClose};
    let both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
    for (status_line, lines, method, expected) in [
        ("HTTP/1.1 200 OK", "", "GET", Ok(UntilClose)),
        ("HTTP/1.0 200 OK", "", "GET", Ok(UntilClose)),
        ("HTTP/1.1 200 OK", "Content-Length: 5\r\n", "GET", Ok(Known(5))),
        ("HTTP/1.1 200 OK", "Content-Length: 0\r\n", "GET", Ok(Known(0))),
        ("HTTP/1.1 200 OK", "Transfer-Encoding: chunked\r\n", "GET", Ok(Chunked)),
        ("HTTP/1.1 200 OK", "Content-Length: 5\r\n", "HEAD", Ok(Empty)),
        ("HTTP/1.1 200 OK", "Transfer-Encoding: chunked\r\n", "HEAD", Ok(Empty)),
        // RFC 9110 §9.1: methods are case-sensitive, so this is not HEAD.
        ("HTTP/1.1 200 OK", "Content-Length: 5\r\n", "head", Ok(Known(5))),
        ("HTTP/1.1 204 No Content", "Content-Length: 5\r\n", "GET", Ok(Empty)),
        ("HTTP/1.1 304 Not Modified", "Content-Length: 5\r\n", "GET", Ok(Empty)),
        ("HTTP/1.1 304 Not Modified", both, "GET", Ok(Empty)),
        ("HTTP/1.1 100 Continue", "", "POST", Ok(Empty)),
        ("HTTP/1.1 103 Early Hints", "Content-Length: 5\r\n", "GET", Ok(Empty)),
        ("HTTP/1.1 205 Reset Content", "", "GET", Ok(UntilClose)),
        ("HTTP/1.1 200 OK", both, "GET", Err(FramingError::LengthBesideCoding)),
        ("HTTP/1.1 200 OK", "Transfer-Encoding: gzip\r\n", "GET", Err(FramingError::Coding)),
        ("HTTP/1.1 200 OK", "Transfer-Encoding: gzip, chunked\r\n", "GET", Err(FramingError::Coding)),
        ("HTTP/1.1 200 OK", "Content-Length: 5, 5\r\n", "GET", Err(FramingError::Length)),
        ("HTTP/1.1 200 OK", "Content-Length: 5\r\nContent-Length: 5\r\n", "GET", Err(FramingError::Length)),
    ] {
        assert_eq!(response(status_line, lines, method), expected, "{method} {status_line} {lines:?}");
    }
}

#[test]
fn a_connection_lives_on_as_its_version_and_options_say() {
    for (version, lines, alive) in [
        (Version::Http11, "", true),
        (Version::Http11, "Connection: close\r\n", false),
        (Version::Http11, "Connection: te, CLOSE\r\n", false),
        (Version::Http11, "Connection: te\r\nConnection: \t close\r\n", false),
        (Version::Http11, "Connection: keep-alive, close\r\n", false),
        (Version::Http11, "Connection: closed\r\n", true),
        (Version::Http10, "", false),
        (Version::Http10, "Connection: Keep-Alive\r\n", true),
        (Version::Http10, "Connection: keep-alive, close\r\n", false),
        (Version::Http2, "", true),
    ] {
        assert_eq!(keeps_alive(version, &fields(lines)), alive, "{version:?} {lines:?}");
    }
}

#[test]
fn connection_options_come_from_all_lines_without_what_surrounds_them() {
    let fields = fields(
        "Connection: a,\tB ,, \r\nHost: c\r\nCONNECTION: \u{e9}\r\nConnection:\r\nConnection: d e\r\n",
    );
    let tokens: Vec<_> = connection_tokens(&fields).collect();
    assert_eq!(tokens, [&b"a"[..], b"B", "\u{e9}".as_bytes(), b"d e"]);
}

#[test]
fn only_100_continue_can_be_expected() {
    for (version, lines, expected) in [
        (Version::Http11, "", Expectation::None),
        (Version::Http11, "Expect: 100-Continue\r\n", Expectation::Continue),
        (Version::Http11, "Expect: 100-continue, x\r\n", Expectation::Other),
        (Version::Http11, "Expect: 100-continue\r\nExpect: 100-continue\r\n", Expectation::Other),
        (Version::Http11, "Expect:\r\n", Expectation::Other),
        (Version::Http10, "Expect: 100-continue\r\n", Expectation::None),
        (Version::Http10, "Expect: x\r\n", Expectation::None),
    ] {
        assert_eq!(expectation(version, &fields(lines)), expected, "{lines:?}");
    }
}
