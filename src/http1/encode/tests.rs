//! Tests: what is written, what is not, and that it is read back.

use bytes::BytesMut;
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::http1::parse::{HeadLimits, Parsed, parse_request, parse_response};

#[test]
fn a_request_is_written_as_rfc_9112_has_it() {
    let mut out = BytesMut::new();
    write_request_line(&mut out, "POST", b"/a?b").unwrap();
    write_field(&mut out, b"Host", b"x").unwrap();
    write_content_length(&mut out, u64::MAX);
    out.extend_from_slice(HEAD_END);
    assert_eq!(out, &b"POST /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551615\r\n\r\n"[..]);
}

#[test]
fn a_response_is_written_as_rfc_9112_has_it() {
    let mut out = Vec::new();
    write_status_line(&mut out, 204, b"").unwrap();
    write_chunked_coding(&mut out);
    assert_eq!(out, b"HTTP/1.1 204 \r\nTransfer-Encoding: chunked\r\n");
}

#[test]
fn chunks_are_written_with_their_size_in_hexadecimal() {
    for (size, header) in [(1, "1\r\n"), (15, "f\r\n"), (16, "10\r\n"), (0x0010_0abc, "100abc\r\n")] {
        let mut out = Vec::new();
        write_chunk_header(&mut out, NonZeroUsize::new(size).unwrap());
        assert_eq!(out, header.as_bytes());
    }
    let mut out = Vec::new();
    write_chunk(&mut out, b"hello");
    write_chunk(&mut out, b"");
    write_last_chunk(&mut out, &Fields::default()).unwrap();
    assert_eq!(out, b"5\r\nhello\r\n0\r\n\r\n");
}

#[test]
fn trailers_are_written_without_those_that_must_not_be_any() {
    let field =
        |name: &'static str, value: &'static str| Field { name: name.as_bytes(), value: value.as_bytes() };
    let trailers = |fields: &[Field<'static>]| fields.iter().copied().collect::<Fields>();
    let mut out = Vec::new();
    write_last_chunk(&mut out, &trailers(&[field("grpc-status", "0"), field("Content-Length", "5")]))
        .unwrap();
    assert_eq!(out, b"0\r\ngrpc-status: 0\r\n\r\n");

    let refused = write_last_chunk(&mut out, &trailers(&[field("a", "b"), field("c", "d\r\n")]));
    assert_eq!(refused, Err(Unwritable::FieldValue));
    assert_eq!(out, b"0\r\ngrpc-status: 0\r\n\r\n", "nothing more is written");
}

#[test]
fn nothing_can_inject_a_line_or_a_second_reading() {
    let mut out = Vec::new();
    for (outcome, error) in [
        (write_request_line(&mut out, "", b"/"), Unwritable::Method),
        (write_request_line(&mut out, "GET /", b"/"), Unwritable::Method),
        (write_request_line(&mut out, "GET\r\n", b"/"), Unwritable::Method),
        (write_request_line(&mut out, "GET", b""), Unwritable::Target),
        (write_request_line(&mut out, "GET", b"/ HTTP/1.1\r\nA: b"), Unwritable::Target),
        (write_request_line(&mut out, "GET", b"/\xff"), Unwritable::Target),
        (write_status_line(&mut out, 99, b""), Unwritable::Status),
        (write_status_line(&mut out, 1000, b""), Unwritable::Status),
        (write_status_line(&mut out, 200, b"OK\r\nA: b"), Unwritable::Reason),
        (write_field(&mut out, b"", b"b"), Unwritable::FieldName),
        (write_field(&mut out, b"a ", b"b"), Unwritable::FieldName),
        (write_field(&mut out, b"a: b\r\nc", b"d"), Unwritable::FieldName),
        (write_field(&mut out, b"a", b"b\r\nc: d"), Unwritable::FieldValue),
        (write_field(&mut out, b"a", b"b\nc: d"), Unwritable::FieldValue),
        (write_field(&mut out, b"a", b"b\r"), Unwritable::FieldValue),
        (write_field(&mut out, b"a", b"\0"), Unwritable::FieldValue),
    ] {
        assert_eq!(outcome, Err(error));
    }
    assert_eq!(out, b"");
}

/// Names and values that hold anything, mostly what may be written.
fn fields() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    let name = prop_oneof![8 => "[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,20}".prop_map(String::into_bytes), 1 => vec(any::<u8>(), 0..4)];
    let value = prop_oneof![8 => "([!-~]([ \t!-~]{0,20}[!-~])?)?".prop_map(String::into_bytes), 1 => vec(any::<u8>(), 0..4)];
    vec((name, value), 0..40)
}

fn written(fields: &[(Vec<u8>, Vec<u8>)], out: &mut Vec<u8>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let kept = fields.iter().filter(|(name, value)| write_field(out, name, value).is_ok()).cloned().collect();
    out.extend_from_slice(HEAD_END);
    kept
}

fn same(read: &Fields<'_>, kept: &[(Vec<u8>, Vec<u8>)]) -> bool {
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let trimmed = |value: &[u8]| {
        let start = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
        let end = value.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
        value[start..end].to_vec()
    };
    read.len() == kept.len()
        && read
            .iter()
            .zip(kept)
            .all(|(field, (name, value))| field.name == name && field.value == trimmed(value))
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        method in "[A-Z-]{1,32}",
        target in "[!-~]{1,100}",
        status in 100_u16..1000,
        reason in "[ \t!-~]{0,20}",
        fields in fields(),
    ) {
        let mut out = Vec::new();
        write_request_line(&mut out, &method, target.as_bytes()).unwrap();
        let kept = written(&fields, &mut out);
        let Ok(Parsed::Complete { head, length }) = parse_request(&out, &HeadLimits::default()) else {
            return Err(TestCaseError::fail("the request is not read"));
        };
        prop_assert_eq!((head.method, head.target, length), (method.as_str(), target.as_bytes(), out.len()));
        prop_assert!(same(&head.fields, &kept));

        let mut out = Vec::new();
        write_status_line(&mut out, status, reason.as_bytes()).unwrap();
        let kept = written(&fields, &mut out);
        let Ok(Parsed::Complete { head, length }) = parse_response(&out, &HeadLimits::default()) else {
            return Err(TestCaseError::fail("the response is not read"));
        };
        prop_assert_eq!((head.status, head.reason, length), (status, reason.as_bytes(), out.len()));
        prop_assert!(same(&head.fields, &kept));
    }
}
