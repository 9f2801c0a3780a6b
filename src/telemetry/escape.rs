//! What must not stand in any line of ours: characters that fake or reorder lines, and anything like a secret.

use std::borrow::Cow;

/// Whether a character could fake, hide or reorder text in a terminal or log viewer: control characters (C0, DEL,
/// C1), bidirectional marks and overrides, line and paragraph separators, and zero-width characters.
pub fn is_deceptive(character: char) -> bool {
    matches!(character,
        '\0'..='\x1f' | '\x7f'..='\u{9f}'
        | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Appends `character` as JSON writes it: `\uXXXX`, twice where it takes a surrogate pair (RFC 8259 §7).
pub(super) fn push_unicode_escape(out: &mut Vec<u8>, character: char) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        out.extend_from_slice(b"\\u");
        for shift in [12, 8, 4, 0] {
            out.push(b"0123456789abcdef"[usize::from(*unit >> shift & 15)]);
        }
    }
}

/// Stands where a secret stood.
const MASK: &[u8] = b"***";
/// What of the random part is kept, as lists show it.
const SHOWN: usize = 4;
/// Fewer characters than this after `_live_` are no secret.
const SECRET_MIN: usize = 16;

/// Masks what looks like a secret: `<brand>_<live|test>_<16 or more of base62>` (underscores also as `%5F`) keeps its
/// first characters, `sha256:<hex>` and what follows `Bearer` or `Basic` keep nothing. Cost: one pass; no allocation
/// where nothing is found.
pub(super) fn mask(text: &[u8]) -> Cow<'_, [u8]> {
    let mut masked: Option<Vec<u8>> = None;
    let (mut copied, mut at) = (0, 0);
    while let Some(found) = text.get(at..).and_then(|rest| memchr::memchr3(b'_', b'%', b':', rest)) {
        let mark = at + found;
        let Some((from, to)) = secret_at(text, mark) else {
            at = mark + 1;
            continue;
        };
        let out = masked.get_or_insert_with(|| Vec::with_capacity(text.len()));
        out.extend_from_slice(&text[copied..from]);
        out.extend_from_slice(MASK);
        (copied, at) = (to, to);
    }
    let keys_masked = match masked {
        None => Cow::Borrowed(text),
        Some(mut out) => {
            out.extend_from_slice(&text[copied..]);
            Cow::Owned(out)
        }
    };
    match mask_credentials(&keys_masked) {
        None => keys_masked,
        Some(out) => Cow::Owned(out),
    }
}

/// The bytes to hide of a secret whose first separator stands at `mark`.
fn secret_at(text: &[u8], mark: usize) -> Option<(usize, usize)> {
    if text[mark] == b':' {
        let digits = run(text, mark + 1, u8::is_ascii_hexdigit);
        let digest = text[..mark].ends_with(b"sha256") && digits - mark > 16;
        return digest.then_some((mark + 1, digits));
    }
    let word = after_underscore(text, mark)?;
    let environment = text.get(word..word + 4)?;
    if environment != b"live" && environment != b"test" {
        return None;
    }
    let random = after_underscore(text, word + 4)?;
    let end = run(text, random, u8::is_ascii_alphanumeric);
    (end - random >= SECRET_MIN).then_some((random + SHOWN, end))
}

fn after_underscore(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at)? {
        b'_' => Some(at + 1),
        b'%' => text.get(at + 1..at + 3).filter(|hex| hex.eq_ignore_ascii_case(b"5f")).map(|_| at + 3),
        _ => None,
    }
}

/// The end of the bytes from `start` on that `belong`.
fn run(text: &[u8], start: usize, belong: impl Fn(&u8) -> bool) -> usize {
    start + text[start..].iter().take_while(|byte| belong(byte)).count()
}

/// Masks the credential after each authentication scheme (RFC 9110 §11.4), if there is one.
fn mask_credentials(text: &[u8]) -> Option<Vec<u8>> {
    let mut out: Option<Vec<u8>> = None;
    let (mut copied, mut at) = (0, 0);
    while let Some(found) = text.get(at..).and_then(|rest| memchr::memchr2(b'B', b'b', rest)) {
        at += found + 1;
        let Some(start) = credential_start(text, at - 1) else { continue };
        let end = run(text, start, |byte| byte.is_ascii_alphanumeric() || b"-._~+/=*".contains(byte));
        // A short word after "basic" is English, not a credential.
        if end - start >= 8 {
            let out = out.get_or_insert_with(|| Vec::with_capacity(text.len()));
            out.extend_from_slice(&text[copied..start]);
            out.extend_from_slice(MASK);
            copied = end;
        }
        at = end;
    }
    out.map(|mut out| {
        out.extend_from_slice(&text[copied..]);
        out
    })
}

fn credential_start(text: &[u8], at: usize) -> Option<usize> {
    let scheme = [&b"bearer "[..], b"basic "].into_iter().find(|scheme| {
        text.get(at..at + scheme.len()).is_some_and(|word| word.eq_ignore_ascii_case(scheme))
    })?;
    Some(run(text, at + scheme.len(), |byte| *byte == b' '))
}

/// A line that may be shown: secrets masked, deceptive characters as `\uXXXX`; its last newline stays.
pub(super) fn safe_line(line: &[u8]) -> Vec<u8> {
    let (body, end) = line.strip_suffix(b"\n").map_or((line, &b""[..]), |body| (body, b"\n"));
    let masked = mask(body);
    let mut out = Vec::with_capacity(masked.len() + 1);
    for character in String::from_utf8_lossy(&masked).chars() {
        if is_deceptive(character) {
            push_unicode_escape(&mut out, character);
        } else {
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    out.extend_from_slice(end);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "acme_live_7Qd3xK9mPq2Rs8Tv5Wy1Zb4Nc6Mf0Gh3Jk7LpQrStUvW";

    #[test]
    fn what_looks_like_a_secret_is_masked() {
        let cases = [
            (format!("/api/{SECRET}/x"), "/api/acme_live_7Qd3***/x"),
            (SECRET.replace('_', "%5f"), "acme%5flive%5f7Qd3***"),
            (format!("{SECRET},{SECRET}"), "acme_live_7Qd3***,acme_live_7Qd3***"),
            (format!("sha256:{}", "ab".repeat(32)), "sha256:***"),
            (format!("authorization: bearer {SECRET}"), "authorization: bearer ***"),
            ("Authorization: Basic dXNlcjpwYXNzd29yZA==.".into(), "Authorization: Basic ***"),
            ("/my_test_case_for_basic auth".into(), "/my_test_case_for_basic auth"),
            ("/api/v1/projects/alpha".into(), "/api/v1/projects/alpha"),
            ("a_live_".into(), "a_live_"),
        ];
        for (text, expected) in cases {
            assert_eq!(String::from_utf8_lossy(&mask(text.as_bytes())), expected);
        }
    }

    #[test]
    fn deceptive_characters_are_spelled_out() {
        let line = safe_line("a\u{202e}b\r\nc\u{1b}[31m\u{2028}\u{e0041}ü\n".as_bytes());
        let expected = "a\\u202eb\\u000d\\u000ac\\u001b[31m\\u2028\\udb40\\udc41ü\n";
        assert_eq!(String::from_utf8_lossy(&line), expected);
    }

    proptest! {
        #[test]
        fn a_line_stays_one_line(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let line = safe_line(&bytes);
            let body = line.strip_suffix(b"\n").unwrap_or(&line);
            prop_assert!(!str::from_utf8(body).unwrap().chars().any(is_deceptive));
        }

        #[test]
        fn no_secret_survives(before in "[a-z/%_:]{0,20}", after in "[/ ,%_:]{0,20}") {
            let masked = mask(format!("{before}/{SECRET}{after}").as_bytes()).into_owned();
            prop_assert!(memchr::memmem::find(&masked, b"K9mPq2").is_none());
        }
    }
}
