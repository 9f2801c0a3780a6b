//! Paths as they may be shown and counted: without what differs from one request to the next, and without what may be
//! a secret.

/// More segments than this are one.
const SEGMENTS_MAX: usize = 8;
/// A longer segment is an id, or worse.
const WORD_BYTES_MAX: usize = 24;
/// Segments are words from here on where they hold no digit.
const MIXED_BYTES_MAX: usize = 8;

/// The path of `target`, without query, authority and fragment, with `{id}` for what looks made up by a machine. Text
/// that is no UTF-8 is shown as what it is not.
pub(super) fn shape(target: &[u8]) -> String {
    let end = memchr::memchr2(b'?', b'#', target).unwrap_or(target.len());
    let path = &target[..end];
    let path = match memchr::memmem::find(path, b"://") {
        Some(scheme) => {
            let authority = &path[scheme + 3..];
            memchr::memchr(b'/', authority).map_or(&b""[..], |at| &authority[at..])
        }
        None => path,
    };
    if path.first() != Some(&b'/') {
        return "(no path)".to_owned();
    }
    let mut shape = String::new();
    for (at, segment) in path[1..].split(|byte| *byte == b'/').enumerate() {
        if at == SEGMENTS_MAX {
            shape.push_str("/…");
            break;
        }
        shape.push('/');
        shape.push_str(&of_segment(segment));
    }
    shape
}

fn of_segment(segment: &[u8]) -> String {
    let is_word = |byte: &u8| byte.is_ascii_alphabetic() || b"-_.~:@,$".contains(byte);
    let digits = segment.iter().filter(|byte| byte.is_ascii_digit()).count();
    let is_id = segment.len() > WORD_BYTES_MAX
        || (digits > 0 && digits == segment.len())
        || (digits > 0 && segment.len() > MIXED_BYTES_MAX)
        || segment.contains(&b'@');
    if is_id {
        return "{id}".to_owned();
    }
    if segment.iter().all(|byte| is_word(byte) || byte.is_ascii_digit()) {
        return String::from_utf8_lossy(segment).into_owned();
    }
    let shown = |byte: u8| {
        if byte.is_ascii_graphic() { (byte as char).to_string() } else { format!("\\x{byte:02X}") }
    };
    segment.iter().map(|byte| shown(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_and_what_may_be_a_secret_are_not_shown() {
        for (target, expected) in [
            ("/", "/"),
            ("/api/v1/projects/42/tests?key=abc#x", "/api/v1/projects/{id}/tests"),
            ("/users/0190e2a4-77d1-7cc0-a5ad-aa0bb5e9dcf9", "/users/{id}"),
            ("/in/kg_live_4eC39HqLyjWDarjtT1zdp7dc", "/in/{id}"),
            ("/users/ada@example.com/", "/users/{id}/"),
            ("/a%2Fb/..;/x", "/a%2Fb/..;/x"),
            ("/caf\u{e9}", "/caf\\xC3\\xA9"),
            ("/1/2/3/4/5/6/7/8/9/10", "/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/…"),
            ("http://user:secret@host/a?b", "/a"),
            ("http://user:secret@host", "(no path)"),
            ("*", "(no path)"),
        ] {
            assert_eq!(shape(target.as_bytes()), expected, "{target}");
        }
    }

    proptest! {
        #[test]
        fn shapes_are_short_and_plain(target in proptest::collection::vec(any::<u8>(), 0..400)) {
            let shape = shape(&target);
            prop_assert!(shape.len() <= (SEGMENTS_MAX + 1) * (4 * WORD_BYTES_MAX + 1));
            let is_plain = |character: char| character == '…' || character.is_ascii_graphic();
            prop_assert!(shape == "(no path)" || shape.chars().all(is_plain));
        }
    }
}
