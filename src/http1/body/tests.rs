//! Tests: bodies taken, refused, split anywhere and read back.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::http1::encode::{LAST_CHUNK, write_chunk};

/// The payload and how many bytes the body took, or the error, when `input` comes in the given pieces.
fn decode(length: BodyLength, pieces: &[&[u8]]) -> Result<(Vec<u8>, usize, BodyDecoder), BodyError> {
    let mut decoder = BodyDecoder::new(length);
    let (mut payload, mut taken) = (Vec::new(), 0);
    let mut pending = Vec::new();
    for piece in pieces {
        pending.extend_from_slice(piece);
        while !decoder.finished() && !pending.is_empty() {
            let step = decoder.decode(&pending)?;
            assert!(step.consumed > 0, "no progress");
            assert!(step.data.end <= step.consumed && step.consumed <= pending.len());
            payload.extend_from_slice(&pending[step.data]);
            taken += step.consumed;
            pending.drain(..step.consumed);
            assert_eq!(step.ended, decoder.finished());
        }
    }
    Ok((payload, taken, decoder))
}

/// The payload of a whole chunked body and what follows it, or the error.
fn chunked(input: &str) -> Result<(String, &str), BodyError> {
    let (payload, taken, mut decoder) = decode(BodyLength::Chunked, &[input.as_bytes()])?;
    decoder.at_eof()?;
    Ok((String::from_utf8(payload).unwrap(), &input[taken..]))
}

#[test]
fn chunked_bodies_that_are_taken() {
    for (input, payload, rest) in [
        ("0\r\n\r\n", "", ""),
        ("0\r\n\r\nGET / HTTP/1.1\r\n", "", "GET / HTTP/1.1\r\n"),
        ("5\r\nhello\r\n0\r\n\r\n", "hello", ""),
        ("5\r\nhello\r\nA\r\n, world\r\n\r\r\n00\r\n\r\n", "hello, world\r\n\r", ""),
        ("0000000000000005\r\nhello\r\n0\r\n\r\n", "hello", ""),
        ("1;a=b;c=\"d e\"\r\nx\r\n0;\tlast\r\n\r\n", "x", ""),
        ("1\r\nx\r\n0\r\nGrpc-Status: 0\r\nX: y\r\n\r\nrest", "x", "rest"),
    ] {
        assert_eq!(chunked(input), Ok((payload.to_owned(), rest)), "{input:?}");
    }
}

#[test]
fn chunked_bodies_that_are_refused() {
    use BodyError as E;
    for (input, error) in [
        // RFC 9112 §7.1: the size.
        ("\r\n", E::ChunkSize),
        ("x\r\n", E::ChunkSize),
        ("g\r\n", E::ChunkSize),
        ("0x5\r\nhello\r\n0\r\n\r\n", E::ChunkSize),
        ("-5\r\nhello\r\n0\r\n\r\n", E::ChunkSize),
        ("+5\r\nhello\r\n0\r\n\r\n", E::ChunkSize),
        (" 5\r\nhello\r\n0\r\n\r\n", E::ChunkSize),
        ("5 \r\nhello\r\n0\r\n\r\n", E::ChunkSize),
        ("5\t\r\nhello\r\n0\r\n\r\n", E::ChunkSize),
        ("5 ;a\r\nhello\r\n0\r\n\r\n", E::ChunkSize),
        ("5_0\r\nhello\r\n0\r\n\r\n", E::ChunkSize),
        ("5,5\r\nhello\r\n0\r\n\r\n", E::ChunkSize),
        ("5\0\r\nhello\r\n0\r\n\r\n", E::ChunkSize),
        (";a\r\nhello\r\n0\r\n\r\n", E::ChunkSize),
        ("\u{ff15}\r\nhello\r\n0\r\n\r\n", E::ChunkSize),
        ("FFFFFFFFFFFFFFFFF\r\n", E::ChunkSize),
        ("10000000000000000\r\n", E::ChunkSize),
        ("00000000000000005\r\nhello\r\n0\r\n\r\n", E::ChunkSize),
        // Bare LF and bare CR where CRLF belongs.
        ("5\nhello\r\n0\r\n\r\n", E::ChunkSize),
        ("5\r\rhello\r\n0\r\n\r\n", E::LineEnd),
        ("5\rhello\r\n0\r\n\r\n", E::LineEnd),
        ("5\r\nhello\n0\r\n\r\n", E::ChunkEnd),
        ("5\r\nhello0\r\n\r\n", E::ChunkEnd),
        ("5\r\nhello!\r\n0\r\n\r\n", E::ChunkEnd),
        ("5\r\nhello\r0\r\n\r\n", E::ChunkEnd),
        ("0\n\r\n", E::ChunkSize),
        ("0\r\n\n", E::LineEnd),
        ("0\r\n\rX", E::LineEnd),
        // RFC 9112 §7.1.1: the extension ends with CRLF, whatever else is in it.
        ("5;a\nhello\r\n0\r\n\r\n", E::ChunkExtension),
        ("5;\nhello\r\n0\r\n\r\n", E::ChunkExtension),
        ("5;a\0\r\nhello\r\n0\r\n\r\n", E::ChunkExtension),
        ("5;a\x7f\r\nhello\r\n0\r\n\r\n", E::ChunkExtension),
        ("5;\u{e9}\r\nhello\r\n0\r\n\r\n", E::ChunkExtension),
        ("5;a\rb\r\nhello\r\n0\r\n\r\n", E::LineEnd),
        // RFC 9112 §7.1.2: trailers are fields.
        ("0\r\nX: y\n\r\n", E::LineEnd),
        ("0\r\nX: y\rz\r\n\r\n", E::LineEnd),
        ("0\r\nX : y\r\n\r\n", E::Trailer(HeadError::FieldName)),
        ("0\r\nX: y\r\n z\r\n\r\n", E::Trailer(HeadError::Fold)),
        ("0\r\nX: \0\r\n\r\n", E::Trailer(HeadError::FieldValue)),
        ("0\r\nGET / HTTP/1.1\r\n\r\n", E::Trailer(HeadError::FieldName)),
        // RFC 9112 §8: cut off anywhere.
        ("", E::Truncated),
        ("5", E::Truncated),
        ("5;a", E::Truncated),
        ("5\r", E::Truncated),
        ("5\r\nhell", E::Truncated),
        ("5\r\nhello", E::Truncated),
        ("5\r\nhello\r", E::Truncated),
        ("5\r\nhello\r\n0\r\n", E::Truncated),
        ("5\r\nhello\r\n0\r\nX", E::Truncated),
        ("5\r\nhello\r\n0\r\n\r", E::Truncated),
    ] {
        assert_eq!(chunked(input), Err(error), "{input:?}");
    }
}

#[test]
fn the_largest_size_is_just_a_size() {
    let mut decoder = BodyDecoder::new(BodyLength::Chunked);
    let step = decoder.decode(b"ffffFFFFffffFFFF\r\nabc").unwrap();
    assert_eq!(step, Decoded { consumed: 21, data: 18..21, ended: false });
    assert_eq!(decoder.at_eof(), Err(BodyError::Truncated));
}

#[test]
fn overhead_has_limits() {
    let extended = |length: usize| format!("1;{}\r\nx\r\n", "a".repeat(length - 1));
    let fields = |count: usize| format!("0\r\n{}\r\n", "A:b\r\n".repeat(count));
    let trailer = |bytes: usize| format!("0\r\nA:{}\r\n\r\n", "b".repeat(bytes - 2));
    let many = |count: usize| extended(CHUNK_EXTENSION_BYTES).repeat(count) + "0\r\n\r\n";
    let all = BODY_EXTENSION_BYTES / CHUNK_EXTENSION_BYTES;
    for (input, error) in [
        (extended(CHUNK_EXTENSION_BYTES) + "0\r\n\r\n", None),
        (extended(CHUNK_EXTENSION_BYTES + 1) + "0\r\n\r\n", Some(BodyError::TooManyExtensions)),
        (many(all), None),
        (many(all).replace("0\r\n\r\n", "0;\r\n\r\n"), Some(BodyError::TooManyExtensions)),
        (extended(1).repeat(BODY_EXTENSION_BYTES + 1), Some(BodyError::TooManyExtensions)),
        (fields(TRAILER_FIELDS), None),
        (fields(TRAILER_FIELDS + 1), Some(BodyError::Trailer(HeadError::TooManyFields))),
        (trailer(TRAILER_BYTES), None),
        (trailer(TRAILER_BYTES + 1), Some(BodyError::TrailerTooLarge)),
        ("0\r\n".to_owned() + &"A:b\r\n".repeat(TRAILER_BYTES), Some(BodyError::TrailerTooLarge)),
    ] {
        assert_eq!(chunked(&input).err(), error, "{} bytes", input.len());
    }
}

#[test]
fn trailers_are_known_at_the_end() {
    let body = b"1\r\nx\r\n0\r\nGrpc-Status: 0\r\nX:\ty \r\n\r\n";
    for cut in 0..body.len() {
        let (_, _, decoder) = decode(BodyLength::Chunked, &[&body[..cut]]).unwrap();
        assert_eq!(decoder.trailers(), Fields::default(), "cut at {cut}");
    }
    let (_, _, decoder) = decode(BodyLength::Chunked, &[body]).unwrap();
    let trailers = decoder.trailers();
    let pairs: Vec<_> = trailers.iter().map(|field| (field.name, field.value)).collect();
    assert_eq!(pairs, [(&b"Grpc-Status"[..], &b"0"[..]), (b"X", b"y")]);
    assert!(!format!("{decoder:?}").contains("Grpc"), "trailers may hold secrets");
}

#[test]
fn framing_routing_and_credentials_are_no_trailers() {
    for name in
        ["Transfer-Encoding", "content-length", "HOST", "If-Match", "Authorization", "Set-Cookie", "TE"]
    {
        assert!(!may_be_trailer(name.as_bytes()), "{name}");
    }
    for name in ["grpc-status", "Grpc-Message", "Server-Timing", "Digest", "ETag", "If", "x"] {
        assert!(may_be_trailer(name.as_bytes()), "{name}");
    }
}

#[test]
fn a_known_length_is_neither_more_nor_less() {
    let (payload, taken, _) = decode(BodyLength::Known(5), &[b"hel", b"loGET"]).unwrap();
    assert_eq!((payload.as_slice(), taken), (&b"hello"[..], 5));
    let (_, _, mut short) = decode(BodyLength::Known(5), &[b"hell"]).unwrap();
    assert_eq!(short.at_eof(), Err(BodyError::Truncated));
    for none in [BodyLength::Empty, BodyLength::Known(0)] {
        let mut decoder = BodyDecoder::new(none);
        assert!(decoder.finished());
        assert_eq!(decoder.decode(b"GET"), Ok(Decoded { consumed: 0, data: 0..0, ended: true }));
        assert_eq!(decoder.at_eof(), Ok(()));
    }
}

#[test]
fn until_close_ends_with_the_connection_only() {
    let (payload, _, mut decoder) = decode(BodyLength::UntilClose, &[b"a", b"b\r\n\r\n"]).unwrap();
    assert_eq!(payload, b"ab\r\n\r\n");
    assert!(!decoder.finished());
    assert_eq!(decoder.at_eof(), Ok(()));
    assert!(decoder.finished());
}

#[test]
fn a_refused_body_stays_refused() {
    let mut decoder = BodyDecoder::new(BodyLength::Chunked);
    assert_eq!(decoder.decode(b"x"), Err(BodyError::ChunkSize));
    assert_eq!(decoder.decode(b"0\r\n\r\n"), Err(BodyError::ChunkSize));
    assert_eq!(decoder.at_eof(), Err(BodyError::ChunkSize));
    assert!(!decoder.finished());
}

fn nearly_a_chunked_body() -> impl Strategy<Value = Vec<u8>> {
    let part = prop::sample::select(vec![
        &b"1\r\nx\r\n"[..],
        b"A;e=f\r\n0123456789\r\n",
        b"3\r\n\r\n0\r\n",
        b"0\r\n",
        b"X: y\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"5",
        b";",
        b" ",
        b"\0",
        b"\xff",
    ]);
    vec(part, 0..8).prop_map(|parts| [&parts.concat(), LAST_CHUNK].concat())
}

fn pieces<'b>(bytes: &'b [u8], cuts: &[prop::sample::Index]) -> Vec<&'b [u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.sort_unstable();
    let ends = cuts.iter().copied().chain([bytes.len()]);
    let starts = [0].into_iter().chain(cuts.iter().copied());
    starts.zip(ends).map(|(start, end)| &bytes[start..end]).collect()
}

proptest! {
    #[test]
    fn any_split_of_a_body_gives_the_same(
        bytes in nearly_a_chunked_body(),
        cuts: Vec<prop::sample::Index>,
        known in 0_u64..40,
    ) {
        for length in [BodyLength::Chunked, BodyLength::Known(known), BodyLength::UntilClose] {
            let outcome = |pieces: &[&[u8]]| decode(length, pieces).map(|(payload, taken, mut decoder)| {
                let trailers = decoder.trailers().iter().map(|f| (f.name.to_vec(), f.value.to_vec())).collect();
                let trailers: Vec<(Vec<u8>, Vec<u8>)> = trailers;
                (payload, taken, decoder.at_eof(), trailers)
            });
            let whole = outcome(&[&bytes]);
            prop_assert_eq!(outcome(&pieces(&bytes, &cuts)), whole.clone());
            prop_assert_eq!(outcome(&bytes.chunks(1).collect::<Vec<_>>()), whole);
        }
    }

    #[test]
    fn what_is_written_in_chunks_is_read_back(chunks: Vec<Vec<u8>>, cuts: Vec<prop::sample::Index>) {
        let mut body = Vec::new();
        for chunk in &chunks {
            write_chunk(&mut body, chunk);
        }
        body.extend_from_slice(LAST_CHUNK);
        let (payload, taken, decoder) = decode(BodyLength::Chunked, &pieces(&body, &cuts)).unwrap();
        prop_assert_eq!(payload, chunks.concat());
        prop_assert_eq!(taken, body.len());
        prop_assert!(decoder.finished());
    }
}
