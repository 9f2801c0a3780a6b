//! The request path: parsed once, used for matching, for authorising and for forwarding.
//!
//! A path that has two readings is refused or fails to match; nothing is ever repaired. Beside the path as it stands
//! there is its *lax fold*: the reading of the laxest back end one can imagine. Where both readings lead to the same
//! route and project, the path passes byte for byte.

use std::fmt;

use memchr::memchr;
use smallvec::SmallVec;

use super::reason::Reason;

/// A path (RFC 3986 §3.3) without query that has no forbidden reading, with its lax fold.
#[derive(Debug, Clone)]
pub struct RequestPath<'b> {
    raw: &'b str,
    fold: Option<Folded>,
    tail_only: TailOnly,
}

pub(crate) type Folded = SmallVec<[u8; 256]>;

/// Why a path is refused on every route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathError {
    /// Does not begin with `/`.
    NotAbsolute,
    /// Holds a space, `#`, `"`, `<`, `>`, a control or a non-ASCII byte as it stands.
    ForbiddenByte,
    /// A `%` that no two hexadecimal digits follow (RFC 3986 §2.1).
    BrokenPercent,
    /// A backslash, which many back ends read as `/`.
    Backslash,
    /// A control byte or DEL at some decoding depth.
    EncodedControl,
    /// A segment that is `.` or `..` at some decoding depth (RFC 3986 §5.2.4).
    DotSegment,
}

impl PathError {
    /// The row-1 reason this error is answered with.
    pub fn reason(self) -> Reason {
        match self {
            Self::NotAbsolute | Self::ForbiddenByte | Self::BrokenPercent => Reason::BadRequest,
            Self::Backslash | Self::EncodedControl | Self::DotSegment => Reason::PathAmbiguous,
        }
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotAbsolute => "the request path does not begin with \"/\"",
            Self::ForbiddenByte => "the request path holds a byte that must be percent-encoded",
            Self::BrokenPercent => "the request path holds a \"%\" without two hexadecimal digits",
            Self::Backslash => "the request path holds a backslash",
            Self::EncodedControl => "the request path holds an encoded control character",
            Self::DotSegment => "the request path holds a dot segment",
        })
    }
}

/// What only some routes permit, and only in their tail (`allow_in_tail`).
#[expect(clippy::struct_excessive_bools, reason = "four independent permissions of the config")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TailAllowance {
    /// `%2F`.
    pub encoded_slash: bool,
    /// `%5C`.
    pub encoded_backslash: bool,
    /// `//`.
    pub double_slash: bool,
    /// Percent-encoded bytes that are not UTF-8.
    pub invalid_utf8: bool,
}

/// Where each of the things of [`TailAllowance`] first stands in the path, in bytes.
#[derive(Debug, Clone, Copy, Default)]
struct TailOnly {
    encoded_slash: Option<usize>,
    encoded_backslash: Option<usize>,
    double_slash: Option<usize>,
    invalid_utf8: Option<usize>,
}

impl<'b> RequestPath<'b> {
    /// Reads `raw`, the path of an origin-form target (RFC 9112 §3.2.1) up to its `?`.
    ///
    /// Cost: linear in the length, no heap memory up to 256 bytes of fold.
    ///
    /// # Errors
    /// [`PathError`] for what no route may permit.
    pub fn parse(raw: &'b [u8]) -> Result<Self, PathError> {
        if raw.first() != Some(&b'/') {
            return Err(PathError::NotAbsolute);
        }
        let mut plain = true;
        let mut percent = false;
        let mut previous = 0u8;
        for &byte in raw {
            match CLASS[byte as usize] {
                Class::Plain => {
                    plain &= !matches!((previous, byte), (b'/' | b'.', b'/') | (b':', b':' | b'$'));
                }
                Class::Folds => plain = false,
                Class::Percent => percent = true,
                Class::Backslash => return Err(PathError::Backslash),
                Class::Forbidden => return Err(PathError::ForbiddenByte),
            }
            previous = byte;
        }
        // Every byte was found to be ASCII above.
        let raw = std::str::from_utf8(raw).map_err(|_| PathError::ForbiddenByte)?;
        let mut tail_only = TailOnly { double_slash: find_double_slash(raw), ..TailOnly::default() };
        if percent {
            check_percent(raw, &mut tail_only)?;
        }
        let needs_fold = percent || !plain || (matches!(previous, b'/' | b'.') && raw.len() > 1);
        let decoded = needs_fold.then(|| decode_to_fixpoint(raw.as_bytes()));
        let readable = decoded.as_deref().unwrap_or(raw.as_bytes());
        check_dot_segments(readable)?;
        if percent && readable.iter().any(|&byte| is_control(byte)) {
            return Err(PathError::EncodedControl);
        }
        Ok(Self { raw, fold: decoded.map(|decoded| fold(&decoded)), tail_only })
    }

    /// The path exactly as it was sent: what is matched, authorised and forwarded.
    pub fn as_str(&self) -> &'b str {
        self.raw
    }

    /// The lax fold: decoded to a fixpoint, compatibility forms of `/ \ . ; ? # %` taken as those, `\` as `/`, `;…`, the
    /// stream of NTFS (`::…`, `:$…`), and dots and blanks at the end cut from segments, everything from `?` or `#` cut, `//` collapsed, a trailing `/` dropped, lower case.
    pub fn fold(&self) -> &[u8] {
        self.fold.as_deref().unwrap_or(self.raw.as_bytes())
    }

    /// Whether the path is its own fold, so that the lax reading needs no second look.
    pub fn is_plain(&self) -> bool {
        self.fold.is_none()
    }

    /// Whether everything that needs an allowance stands at or after `tail_start` (bytes) and is in `allowed`.
    pub fn permitted_in_tail(&self, tail_start: Option<usize>, allowed: TailAllowance) -> bool {
        let fine = |first: Option<usize>, allowed: bool| match (first, tail_start) {
            (None, _) => true,
            (Some(first), Some(start)) => allowed && first >= start,
            (Some(_), None) => false,
        };
        let found = self.tail_only;
        fine(found.encoded_slash, allowed.encoded_slash)
            && fine(found.encoded_backslash, allowed.encoded_backslash)
            && fine(found.double_slash, allowed.double_slash)
            && fine(found.invalid_utf8, allowed.invalid_utf8)
    }
}

/// The fold of a route literal, in the same form as [`RequestPath::fold`] gives for paths.
pub(super) fn fold_literal(segment: &str) -> Vec<u8> {
    name_of(&decode_to_fixpoint(segment.as_bytes())).to_ascii_lowercase()
}

#[derive(Clone, Copy, PartialEq)]
enum Class {
    /// Stands for itself in every reading.
    Plain,
    /// Stands for itself, but not in the fold: upper case and `;`.
    Folds,
    Percent,
    Backslash,
    Forbidden,
}

/// RFC 3986 §3.3 `pchar` and `/`, and the few raw bytes that real clients send unencoded and no back end reads as
/// anything else (`[ ] { } | ^` and the grave accent).
const CLASS: [Class; 256] = {
    let mut table = [Class::Forbidden; 256];
    let mut byte = 0x21u8;
    while byte < 0x7f {
        table[byte as usize] = match byte {
            b'A'..=b'Z' | b';' => Class::Folds,
            b'%' => Class::Percent,
            b'\\' => Class::Backslash,
            b'#' | b'?' | b'"' | b'<' | b'>' => Class::Forbidden,
            _ => Class::Plain,
        };
        byte += 1;
    }
    table
};

fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f
}

fn find_double_slash(raw: &str) -> Option<usize> {
    raw.as_bytes().windows(2).position(|pair| pair == b"//").map(|at| at + 1)
}

/// Refuses broken triplets, and notes what only a tail may hold: `%2F`, `%5C`, bytes that are not UTF-8.
fn check_percent(raw: &str, tail_only: &mut TailOnly) -> Result<(), PathError> {
    let bytes = raw.as_bytes();
    let mut decoded: SmallVec<[u8; 256]> = SmallVec::new();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'%' {
            decoded.push(bytes[at]);
            at += 1;
            continue;
        }
        let byte = bytes.get(at + 1..at + 3).and_then(hex_pair).ok_or(PathError::BrokenPercent)?;
        match byte {
            b'/' => tail_only.encoded_slash = tail_only.encoded_slash.or(Some(at)),
            b'\\' => tail_only.encoded_backslash = tail_only.encoded_backslash.or(Some(at)),
            _ => {}
        }
        decoded.push(byte);
        at += 3;
    }
    if let Err(error) = std::str::from_utf8(&decoded) {
        tail_only.invalid_utf8 = Some(raw_offset(bytes, error.valid_up_to()));
    }
    Ok(())
}

/// Where the decoded byte number `decoded` begins in `raw`, all of whose triplets are whole.
fn raw_offset(raw: &[u8], decoded: usize) -> usize {
    let mut at = 0;
    for _ in 0..decoded {
        at += if raw[at] == b'%' { 3 } else { 1 };
    }
    at
}

fn hex_pair(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16);
    match digits {
        [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
        _ => None,
    }
}

/// Decodes `%XX`, overlong UTF-8 and compatibility forms until nothing is left to decode. One pass: a triplet never
/// overlaps another, so the order of decoding does not matter and each end of the output is looked at again.
pub(crate) fn decode_to_fixpoint(raw: &[u8]) -> Folded {
    let mut out = Folded::new();
    for &byte in raw {
        out.push(byte);
        while let Some((length, replacement)) = reducible_end(&out) {
            out.truncate(out.len() - length);
            out.extend_from_slice(replacement.as_slice());
        }
    }
    out
}

/// What the end of the output stands for.
enum Replacement {
    Byte([u8; 1]),
    Text(&'static [u8]),
}

impl Replacement {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Byte(byte) => byte,
            Self::Text(text) => text,
        }
    }
}

/// The length of a reducible sequence at the end of `out`, and what it stands for.
fn reducible_end(out: &[u8]) -> Option<(usize, Replacement)> {
    if let [.., b'%', high, low] = out {
        return hex_pair(&[*high, *low]).map(|byte| (3, Replacement::Byte([byte])));
    }
    match out {
        [.., lead @ (0xc0 | 0xc1), next @ 0x80..=0xbf] => {
            Some((2, Replacement::Byte([(lead & 1) << 6 | (next & 0x3f)])))
        }
        [.., 0xe0, middle @ (0x80 | 0x81), last @ 0x80..=0xbf] => {
            Some((3, Replacement::Byte([(middle & 1) << 6 | (last & 0x3f)])))
        }
        [.., 0xcd, 0xbe] => Some((2, Replacement::Text(b";"))),
        // ſ and ı: whoever compares without case takes them for the letters that they become in upper case.
        [.., 0xc5, 0xbf] => Some((2, Replacement::Text(b"s"))),
        [.., 0xc4, 0xb1] => Some((2, Replacement::Text(b"i"))),
        [.., first @ (0xe2 | 0xe3 | 0xef), second, third] => {
            compatibility([*first, *second, *third]).map(|text| (3, Replacement::Text(text)))
        }
        _ => None,
    }
}

/// Unicode characters whose compatibility decomposition (NFKC) holds one of `/ \ . ; ? # %`, and the slashes that
/// best-fit code pages turn into `/` or `\`; as UTF-8.
fn compatibility(utf8: [u8; 3]) -> Option<&'static [u8]> {
    let character = std::str::from_utf8(&utf8).ok()?.chars().next()?;
    Some(match character {
        '\u{2044}' | '\u{2215}' | '\u{29f8}' | '\u{ff0f}' => b"/",
        '\u{2100}' => b"a/c",
        '\u{2101}' => b"a/s",
        '\u{2105}' => b"c/o",
        '\u{2106}' => b"c/u",
        '\u{2216}' | '\u{29f5}' | '\u{29f9}' | '\u{fe68}' | '\u{ff3c}' => b"\\",
        '\u{2024}' | '\u{fe52}' | '\u{ff0e}' | '\u{3002}' | '\u{ff61}' | '\u{fe12}' => b".",
        '\u{2025}' | '\u{fe30}' => b"..",
        '\u{2026}' | '\u{fe19}' => b"...",
        '\u{fe14}' | '\u{fe54}' | '\u{ff1b}' => b";",
        '\u{2047}' => b"??",
        '\u{2048}' => b"?!",
        '\u{2049}' => b"!?",
        '\u{fe16}' | '\u{fe56}' | '\u{ff1f}' => b"?",
        '\u{fe5f}' | '\u{ff03}' => b"#",
        '\u{fe6a}' | '\u{ff05}' => b"%",
        // The Kelvin sign is K in lower case.
        '\u{212a}' => b"k",
        // Full-width letters and digits: a back end that normalises reads them as their ASCII selves.
        '\u{ff01}'..='\u{ff5e}' => return full_width(character),
        _ => return None,
    })
}

fn full_width(character: char) -> Option<&'static [u8]> {
    const ASCII: &[u8; 95] =
        b" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~";
    let at = usize::try_from(u32::from(character) - 0xff00).ok()?;
    ASCII.get(at..=at)
}

/// Refuses segments that are `.` or `..`, also with trailing dots, spaces or tabs, also before `;`, `?` or `#`.
fn check_dot_segments(decoded: &[u8]) -> Result<(), PathError> {
    if memchr(b'.', decoded).is_none() {
        return Ok(());
    }
    for segment in decoded.split(|byte| matches!(byte, b'/' | b'\\')) {
        let end = segment.iter().position(|byte| matches!(byte, b';' | b'?' | b'#')).unwrap_or(segment.len());
        let name = without_stream(&segment[..end]);
        if name.contains(&b'.') && name.iter().all(|byte| matches!(byte, b'.' | b' ' | b'\t')) {
            return Err(PathError::DotSegment);
        }
    }
    Ok(())
}

fn fold(decoded: &[u8]) -> Folded {
    let end = decoded.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(decoded.len());
    let mut out = Folded::new();
    for segment in decoded[..end].split(|byte| matches!(byte, b'/' | b'\\')) {
        let name = name_of(segment);
        if !name.is_empty() {
            out.push(b'/');
            out.extend(name.iter().map(u8::to_ascii_lowercase));
        }
    }
    if out.is_empty() {
        out.push(b'/');
    }
    out
}

/// What names a file in a decoded segment: `;…` cut, and as Windows does, the stream (`::$DATA`), then dots and blanks
/// at the end.
fn name_of(segment: &[u8]) -> &[u8] {
    let name = without_stream(memchr(b';', segment).map_or(segment, |at| &segment[..at]));
    let last = name.iter().rposition(|byte| !matches!(byte, b'.' | b' ' | b'\t'));
    last.map_or(&[], |last| &name[..=last])
}

/// A segment without the name of an NTFS stream or its type.
fn without_stream(segment: &[u8]) -> &[u8] {
    let at = segment.windows(2).position(|pair| matches!(pair, b"::" | b":$"));
    at.map_or(segment, |at| &segment[..at])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folded(path: &str) -> String {
        String::from_utf8_lossy(RequestPath::parse(path.as_bytes()).unwrap().fold()).into_owned()
    }

    #[test]
    fn refused_everywhere() {
        let cases: &[(&str, PathError)] = &[
            ("", PathError::NotAbsolute),
            ("a", PathError::NotAbsolute),
            ("*", PathError::NotAbsolute),
            ("/a b", PathError::ForbiddenByte),
            ("/a#b", PathError::ForbiddenByte),
            ("/é", PathError::ForbiddenByte),
            ("/a\x7f", PathError::ForbiddenByte),
            ("/a\0", PathError::ForbiddenByte),
            ("/a\\b", PathError::Backslash),
            ("/%", PathError::BrokenPercent),
            ("/%4", PathError::BrokenPercent),
            ("/%zz", PathError::BrokenPercent),
            ("/%u002f", PathError::BrokenPercent),
            ("/a/%%30", PathError::BrokenPercent),
            ("/%00", PathError::EncodedControl),
            ("/%2500", PathError::EncodedControl),
            ("/%0d%0a", PathError::EncodedControl),
            ("/%7F", PathError::EncodedControl),
            ("/%c0%80", PathError::EncodedControl),
            ("/.", PathError::DotSegment),
            ("/..", PathError::DotSegment),
            ("/a/../b", PathError::DotSegment),
            ("/a/./b", PathError::DotSegment),
            ("/a/...", PathError::DotSegment),
            ("/a/..;x=1/b", PathError::DotSegment),
            ("/a/;/../b", PathError::DotSegment),
            ("/a/%2e%2E/b", PathError::DotSegment),
            ("/a/%252e%252e/b", PathError::DotSegment),
            ("/a/%25252e%25252e/b", PathError::DotSegment),
            ("/a/..%2fb", PathError::DotSegment),
            ("/a/..%5cb", PathError::DotSegment),
            ("/a/..%20/b", PathError::DotSegment),
            ("/a/..%09/b", PathError::DotSegment),
            ("/a/..%3bx/b", PathError::DotSegment),
            ("/a/..%3f", PathError::DotSegment),
            ("/a/..%23", PathError::DotSegment),
            ("/a/%c0%ae%c0%ae/b", PathError::DotSegment),
            ("/a/%e0%80%ae./b", PathError::DotSegment),
            ("/a/%ef%bc%8e%ef%bc%8e/b", PathError::DotSegment),
            ("/a/%e2%80%a5/b", PathError::DotSegment),
            ("/a/%ef%bc%852e%ef%bc%852e/b", PathError::DotSegment),
            ("/a/%ef%bc%852%65./b", PathError::DotSegment),
            ("/a/..::$INDEX_ALLOCATION/b", PathError::DotSegment),
            ("/a/.%3a$x", PathError::DotSegment),
        ];
        for (path, expected) in cases {
            assert_eq!(RequestPath::parse(path.as_bytes()).err(), Some(*expected), "{path:?}");
        }
    }

    #[test]
    fn everyday_paths_pass_as_they_stand() {
        for path in [
            "/",
            "/a",
            "/a/",
            "/.well-known/x",
            "/a..b",
            "/..a",
            "/a/%7Efoo",
            "/a;jsessionid=1",
            "/@scope/x",
            "/a:b",
            "/%E2%82%AC",
            "/a+b",
            "/a%20b",
            "/a//b",
            "/a%2Fb",
            "/x[1]",
            "/a%25b",
            "/100%25",
        ] {
            assert_eq!(RequestPath::parse(path.as_bytes()).unwrap().as_str(), path);
        }
    }

    #[test]
    fn fold_is_the_laxest_reading() {
        let cases = [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/", "/a"),
            ("/A/b", "/a/b"),
            ("//a///b//", "/a/b"),
            ("/a;x=1/b;y", "/a/b"),
            ("/;x/a", "/a"),
            ("/%61dmin", "/admin"),
            ("/%2561dmin", "/admin"),
            ("/a%2Fb", "/a/b"),
            ("/a%5cb", "/a/b"),
            ("/a%3Fb/c", "/a"),
            ("/a%23b/c", "/a"),
            ("/%c5%bfecret/admin%c4%b1/%e2%84%aaeys", "/secret/admini/keys"),
            ("/a%3Bb/c", "/a/c"),
            ("/%C0%AFa", "/a"),
            ("/a%EF%BC%8Fb", "/a/b"),
            ("/a%ef%bc%bcb", "/a/b"),
            ("/%ef%bc%a1dmin", "/admin"),
            ("/%ef%bc%8561", "/a"),
            ("/%e2%84%80", "/a/c"),
            ("/a%cd%beb", "/a"),
            ("/admin.", "/admin"),
            ("/admin./x", "/admin/x"),
            ("/admin..%20./x", "/admin/x"),
            ("/admin%20", "/admin"),
            ("/admin%2e;x", "/admin"),
            ("/admin::$DATA", "/admin"),
            ("/admin.::$data", "/admin"),
            ("/admin%3a%3A$DATA/x", "/admin/x"),
            ("/admin:$I30:$INDEX_ALLOCATION/x", "/admin/x"),
            ("/a/::$DATA/b", "/a/b"),
            ("/v1/x:batch", "/v1/x:batch"),
            ("/.a/b.c/..d", "/.a/b.c/..d"),
        ];
        for (path, expected) in cases {
            assert_eq!(folded(path), expected, "{path:?}");
        }
    }

    #[test]
    fn tail_only_things_are_placed() {
        let all = TailAllowance {
            encoded_slash: true,
            encoded_backslash: true,
            double_slash: true,
            invalid_utf8: true,
        };
        for path in ["/f/a%2Fb", "/f/a%5Cb", "/f//b", "/f/%ff", "/f/%e2%82"] {
            let parsed = RequestPath::parse(path.as_bytes()).unwrap();
            assert!(parsed.permitted_in_tail(Some(3), all), "{path}");
            assert!(!parsed.permitted_in_tail(Some(3), TailAllowance::default()), "{path}");
            assert!(!parsed.permitted_in_tail(None, all), "{path}");
            assert!(!parsed.permitted_in_tail(Some(path.len()), all), "{path}");
        }
        let plain = RequestPath::parse(b"/f/%e2%82%ac").unwrap();
        assert!(plain.permitted_in_tail(None, TailAllowance::default()));
    }

    /// The fixpoint by repeated passes, as the definition says it, against which the one-pass form is held.
    fn decode_in_passes(raw: &[u8]) -> Vec<u8> {
        let mut text = raw.to_vec();
        loop {
            let mut next = Vec::new();
            let mut at = 0;
            while at < text.len() {
                match text.get(at..at + 3) {
                    Some([b'%', high, low]) if hex_pair(&[*high, *low]).is_some() => {
                        next.extend(hex_pair(&[*high, *low]));
                        at += 3;
                    }
                    _ => {
                        next.push(text[at]);
                        at += 1;
                    }
                }
            }
            if next == text {
                return text;
            }
            text = next;
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = RequestPath::parse(&bytes);
        }

        #[test]
        fn fixpoint_is_what_repeated_passes_give(path in "(%25|%32|%35|%41|%2|[%2541a/.])*") {
            prop_assert_eq!(decode_to_fixpoint(path.as_bytes()).to_vec(), decode_in_passes(path.as_bytes()));
        }

        #[test]
        fn fold_is_idempotent_and_free_of_special_bytes(path in "/([a-zA-Z0-9._~/;:$@-]|%[0-9a-fA-F]{2}|%25|%2F)*") {
            if let Ok(parsed) = RequestPath::parse(path.as_bytes()) {
                let folded = parsed.fold().to_vec();
                prop_assert!(!folded.windows(2).any(|pair| pair == b"//"));
                prop_assert!(folded.len() == 1 || folded.last() != Some(&b'/'));
                prop_assert!(!folded.iter().any(|b| b";?#\\".contains(b) || b.is_ascii_uppercase()));
                prop_assert!(!folded.windows(2).any(|pair| matches!(pair, b"./" | b" /" | b"::" | b":$")));
                prop_assert!(!matches!(folded.last(), Some(b'.' | b' ')));
                prop_assert_eq!(fold(&decode_to_fixpoint(path.as_bytes())).to_vec(), folded.clone());
                prop_assert_eq!(fold(&decode_to_fixpoint(&folded)).to_vec(), folded);
            }
        }

        #[test]
        fn no_accepted_path_has_a_dot_segment_in_any_pass(path in "/([a./;]|%2e|%2f|%252e|%5c|%20|%25)*") {
            if RequestPath::parse(path.as_bytes()).is_ok() {
                let decoded = String::from_utf8_lossy(&decode_in_passes(path.as_bytes())).into_owned();
                for segment in decoded.split(['/', '\\']) {
                    let name = segment.split(';').next().unwrap_or("").trim_end_matches([' ', '\t']);
                    prop_assert!(name != "." && name != "..", "{} has {:?}", path, segment);
                }
            }
        }
    }
}
