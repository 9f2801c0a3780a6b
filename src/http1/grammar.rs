//! The character classes of RFC 9110 §5.5 and §5.6, and how far a run of each reaches.

/// tchar (RFC 9110 §5.6.2).
static TCHAR: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        byte += 1;
    }
    table
};

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;
const DEL: u8 = 0x7f;

/// How many bytes at the start of `bytes` are tchar (RFC 9110 §5.6.2).
pub(super) fn token_run(bytes: &[u8]) -> usize {
    bytes.iter().position(|&byte| !TCHAR[usize::from(byte)]).unwrap_or(bytes.len())
}

/// Whether `bytes` is a token: one tchar or more (RFC 9110 §5.6.2).
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && token_run(bytes) == bytes.len()
}

/// How many bytes at the start of `bytes` may stand in a field value or a reason phrase: HTAB, SP, VCHAR and
/// obs-text (RFC 9110 §5.5).
pub(super) fn text_run(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        at +=
            run(&bytes[at..], |word| below(word, b' ') | equal(word, DEL), |byte| byte < b' ' || byte == DEL);
        if bytes.get(at) != Some(&b'\t') {
            return at;
        }
        at += 1;
    }
}

/// How many bytes at the start of `bytes` may stand in a request target: visible ASCII (RFC 9112 §3.2).
pub(super) fn visible_run(bytes: &[u8]) -> usize {
    run(
        bytes,
        |word| below(word, b'!') | equal(word, DEL) | (word & HIGH),
        |byte| !(b'!'..DEL).contains(&byte),
    )
}

/// `bytes` without the SP and HTAB around it (OWS, RFC 9110 §5.6.3).
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    let Some(start) = bytes.iter().position(|&byte| !is_blank(byte)) else { return &[] };
    let end = bytes.iter().rposition(|&byte| !is_blank(byte)).map_or(start, |last| last + 1);
    &bytes[start..end]
}

/// SP or HTAB.
pub(super) fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// The offset of the first byte that ends a run, looking at eight bytes at a time: `stops_word` sets the high bit of
/// every byte that `stops` (those above the lowest one set may be wrong).
#[inline]
fn run(bytes: &[u8], stops_word: impl Fn(u64) -> u64, stops: impl Fn(u8) -> bool) -> usize {
    let (words, tail) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let found = stops_word(u64::from_le_bytes(*word));
        if found != 0 {
            return index * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    tail.iter().position(|&byte| stops(byte)).map_or(bytes.len(), |at| words.len() * 8 + at)
}

/// Sets the high bit of the bytes of `word` below `limit` (at most 128).
fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGH
}

/// Sets the high bit of the bytes of `word` equal to `byte`.
fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ (ONES * u64::from(byte)), 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn first(bytes: &[u8], stops: impl Fn(u8) -> bool) -> usize {
        bytes.iter().position(|&byte| stops(byte)).unwrap_or(bytes.len())
    }

    #[test]
    fn every_byte_is_in_its_classes_at_every_offset() {
        for byte in 0..=u8::MAX {
            let text = byte == b'\t' || (byte >= b' ' && byte != DEL);
            let visible = byte.is_ascii_graphic();
            let tchar = visible && !b"\"(),/:;<=>?@[\\]{}".contains(&byte);
            for offset in 0..20 {
                let mut bytes = [b'a'; 20];
                bytes[offset] = byte;
                let run = |member| if member { 20 } else { offset };
                assert_eq!(text_run(&bytes), run(text), "text {byte:#04x} at {offset}");
                assert_eq!(visible_run(&bytes), run(visible), "visible {byte:#04x} at {offset}");
                assert_eq!(token_run(&bytes), run(tchar), "token {byte:#04x} at {offset}");
            }
        }
    }

    proptest! {
        #[test]
        fn eight_at_a_time_is_one_at_a_time(bytes: Vec<u8>) {
            prop_assert_eq!(text_run(&bytes), first(&bytes, |b| (b < b' ' && b != b'\t') || b == DEL));
            prop_assert_eq!(visible_run(&bytes), first(&bytes, |b| !b.is_ascii_graphic()));
        }
    }
}
