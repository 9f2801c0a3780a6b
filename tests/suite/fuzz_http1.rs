//! Arbitrary bytes against the HTTP/1.1 codec. An ordinary test tries a few thousand; `cargo bolero test` goes on.

use bolero::check;
use keygate::http1::body::{BodyDecoder, BodyError};
use keygate::http1::encode::{HEAD_END, write_field, write_request_line, write_status_line};
use keygate::http1::framing::{
    BodyLength, connection_tokens, expectation, keeps_alive, request_body_length, response_body_length,
};
use keygate::http1::parse::{HeadLimits, Parsed, find_head_end, parse_request, parse_response};
use keygate::message::{Fields, RequestHead, ResponseHead};

/// Arbitrary bytes alone hardly ever get beyond the start line: so they also follow one, or a field name.
const REQUEST_STARTS: [&[u8]; 4] =
    [b"", b"GET /", b"POST / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nA:"];
const RESPONSE_STARTS: [&[u8]; 4] =
    [b"", b"HTTP/1.1 ", b"HTTP/1.0 200\r\n", b"HTTP/1.1 200 OK\r\nContent-Length:"];
const BODY_STARTS: [&[u8]; 4] = [b"", b"5;", b"1\r\nx\r\n", b"0\r\nA: b\r\n"];

fn request(head: &RequestHead<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    write_request_line(&mut out, head.method, head.target).expect("what was read can be written");
    write_fields(&mut out, &head.fields);
    out
}

fn response(head: &ResponseHead<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    write_status_line(&mut out, head.status, head.reason).expect("what was read can be written");
    write_fields(&mut out, &head.fields);
    out
}

fn write_fields(out: &mut Vec<u8>, fields: &Fields<'_>) {
    for field in fields.iter() {
        write_field(out, field.name, field.value).expect("what was read can be written");
    }
    out.extend_from_slice(HEAD_END);
}

/// Each start with `tail` behind it, as it is and with an end of head behind that.
fn messages(starts: [&'static [u8]; 4], tail: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    starts.into_iter().flat_map(move |start| [[start, tail].concat(), [start, tail, b"\r\n\r\n"].concat()])
}

#[test]
fn request_heads() {
    check!().for_each(|tail: &[u8]| {
        for bytes in messages(REQUEST_STARTS, tail) {
            let Ok(Parsed::Complete { head, length }) = parse_request(&bytes, &HeadLimits::default()) else {
                continue;
            };
            assert_eq!(find_head_end(&bytes, 0), Some(length));
            let _ = request_body_length(&head);
            let _ = expectation(head.version, &head.fields);
            let _ = keeps_alive(head.version, &head.fields);
            assert!(connection_tokens(&head.fields).all(|token| !token.is_empty()));

            let written = request(&head);
            let Ok(Parsed::Complete { head: again, .. }) = parse_request(&written, &HeadLimits::default())
            else {
                panic!("what was written is not read");
            };
            assert_eq!((again.method, again.target), (head.method, head.target));
            assert_eq!(request(&again), written);
        }
    });
}

#[test]
fn response_heads() {
    check!().for_each(|tail: &[u8]| {
        for bytes in messages(RESPONSE_STARTS, tail) {
            let Ok(Parsed::Complete { head, length }) = parse_response(&bytes, &HeadLimits::default()) else {
                continue;
            };
            assert_eq!(find_head_end(&bytes, 0), Some(length));
            let _ = response_body_length(&head, "GET");

            let written = response(&head);
            let Ok(Parsed::Complete { head: again, .. }) = parse_response(&written, &HeadLimits::default())
            else {
                panic!("what was written is not read");
            };
            assert_eq!((again.status, again.reason), (head.status, head.reason));
            assert_eq!(response(&again), written);
        }
    });
}

#[test]
fn chunked_bodies() {
    check!().for_each(|tail: &[u8]| {
        for bytes in messages(BODY_STARTS, tail) {
            assert_eq!(payload(&bytes, 1), payload(&bytes, usize::MAX));
            assert_eq!(payload(&bytes, 3), payload(&bytes, usize::MAX));
        }
    });
}

/// The payload of a chunked body that comes in pieces of `size`, and how many bytes it took.
fn payload(bytes: &[u8], size: usize) -> Result<(Vec<u8>, usize), BodyError> {
    let mut decoder = BodyDecoder::new(BodyLength::Chunked);
    let (mut payload, mut at) = (Vec::new(), 0);
    while at < bytes.len() && !decoder.finished() {
        let piece = &bytes[at..bytes.len().min(at.saturating_add(size))];
        let step = decoder.decode(piece)?;
        assert!(step.consumed > 0 && step.consumed <= piece.len(), "progress within the input");
        payload.extend_from_slice(&piece[step.data]);
        at += step.consumed;
    }
    decoder.at_eof()?;
    Ok((payload, at))
}
