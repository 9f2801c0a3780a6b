//! Finds keys of the form that Keygate makes in a stream of bytes, and verifies them by their check characters: without
//! network, in constant memory, wherever a piece of the stream ends.
//!
//! Nothing has to stand around a key: check characters tell one from what looks like it, so that one is found in minified
//! code, behind `\n` in JSON, or in a program. Zero bytes are passed over, which makes UTF-16 readable.

use memchr::{memchr, memchr_iter, memrchr};
use zeroize::Zeroizing;

use super::secret::{BODY_LENGTH, BRAND_LENGTH_MAX, Brand, SecretForm};

/// What stands between the brand and the rest.
const MARKS: [&[u8]; 2] = [b"_live_", b"_test_"];

/// From the start of a mark to the end of its key.
const FROM_MARK: usize = MARKS[0].len() + BODY_LENGTH;

/// Looks for keys in one stream.
#[derive(Debug)]
pub struct SecretScan<'b> {
    /// Only these; none: any.
    brands: &'b [Brand],
    /// The bytes that were not passed yet: while none come, no more than one key could still begin in.
    held: Zeroizing<Vec<u8>>,
    /// How many of them no mark has to be looked for in any more.
    judged: usize,
    here: Place,
}

/// Where something stands in a stream, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line, by line feeds.
    pub line: u64,
    /// Byte in the line.
    pub column: u64,
}

/// A key that was found.
#[derive(Debug, Clone, Copy)]
pub struct FoundSecret<'s> {
    /// The secret: to be hashed, never shown.
    pub secret: &'s [u8],
    /// Its form.
    pub form: SecretForm<'s>,
    /// Where it begins.
    pub place: Place,
}

impl<'b> SecretScan<'b> {
    /// A stream in which keys of `brands` are looked for; of any brand where none is given.
    pub fn new(brands: &'b [Brand]) -> Self {
        Self { brands, held: Zeroizing::default(), judged: 0, here: Place { line: 1, column: 1 } }
    }

    /// Takes the next piece of the stream, and tells each key that is whole now, in their order. Cost: linear; holds the
    /// piece and less than a key.
    pub fn feed(&mut self, piece: &[u8], mut found: impl FnMut(FoundSecret<'_>)) {
        if memchr(0, piece).is_some() {
            self.held.extend(piece.iter().filter(|byte| **byte != 0));
        } else {
            self.held.extend_from_slice(piece);
        }
        let (mut place, mut passed) = (self.here, 0);
        for (start, end) in self.keys() {
            place = place.behind(&self.held[passed..start]);
            passed = start;
            let secret = &self.held[start..end];
            if let Some(form) = SecretForm::parse(secret) {
                found(FoundSecret { secret, form, place });
            }
        }
        self.pass_on();
    }

    /// From where to where keys stand whose marks were not judged yet.
    fn keys(&self) -> impl Iterator<Item = (usize, usize)> {
        let whole = self.held.len().saturating_sub(FROM_MARK - 1).max(self.judged);
        let underscores = memchr_iter(b'_', &self.held[self.judged..whole]).map(|at| self.judged + at);
        let marks = underscores.filter(|at| MARKS.iter().any(|mark| self.held[*at..].starts_with(mark)));
        marks.filter_map(|mark| Some((self.start(mark)?, mark + FROM_MARK)))
    }

    /// Where the key begins that the mark at `mark` belongs to, if it is one.
    fn start(&self, mark: usize) -> Option<usize> {
        let end = mark + FROM_MARK;
        let is_body = self.held[end - BODY_LENGTH..end].iter().all(u8::is_ascii_alphanumeric);
        let before = self.held[..mark].iter().rev().take(BRAND_LENGTH_MAX);
        let brand = before.take_while(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()).count();
        (1..=if is_body { brand } else { 0 })
            .map(|length| mark - length)
            .find(|start| SecretForm::parse(&self.held[*start..end]).is_some_and(|form| self.is_wanted(form)))
    }

    fn is_wanted(&self, form: SecretForm<'_>) -> bool {
        self.brands.is_empty() || self.brands.iter().any(|brand| brand.as_str() == form.brand)
    }

    /// Lets go of all that no key can begin in any more.
    fn pass_on(&mut self) {
        let judged = self.held.len().saturating_sub(FROM_MARK - 1);
        let passed = judged.saturating_sub(BRAND_LENGTH_MAX);
        self.here = self.here.behind(&self.held[..passed]);
        self.held.drain(..passed);
        self.judged = judged - passed;
    }
}

impl Place {
    /// The place behind `bytes` that begin here.
    fn behind(self, bytes: &[u8]) -> Self {
        let Some(last) = memrchr(b'\n', bytes) else {
            return Self { column: self.column + bytes.len() as u64, ..self };
        };
        let lines = memchr_iter(b'\n', bytes).count() as u64;
        Self { line: self.line + lines, column: (bytes.len() - last) as u64 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keys::secret::{Environment, KeySecret};

    fn secret(brand: &str, environment: Environment) -> String {
        KeySecret::generate(&Brand::parse(brand).unwrap(), environment).unwrap().expose().to_owned()
    }

    /// What is found in `bytes`, given in pieces of `size` bytes.
    fn scan(bytes: &[u8], size: usize, brands: &[Brand]) -> Vec<(String, u64, u64)> {
        let mut scan = SecretScan::new(brands);
        let mut all = Vec::new();
        for piece in bytes.chunks(size) {
            scan.feed(piece, |FoundSecret { secret, place, .. }| {
                all.push((String::from_utf8(secret.to_vec()).unwrap(), place.line, place.column));
            });
            assert!(scan.held.len() < FROM_MARK + BRAND_LENGTH_MAX + size);
        }
        all
    }

    #[test]
    fn keys_are_found_whatever_stands_around_them() {
        let (live, test) = (secret("kg", Environment::Live), secret("acme", Environment::Test));
        for (text, expected) in [
            (live.clone(), vec![(&live, 1, 1)]),
            (format!("a\nKEY={live}\n\n  {test};"), vec![(&live, 2, 5), (&test, 4, 3)]),
            (format!("\"\\n{live}abc"), vec![(&live, 1, 4)]),
            (format!("{live}{test}"), vec![(&live, 1, 1), (&test, 1, 49)]),
            (format!("{test}_live_{live}"), vec![(&test, 1, 1), (&live, 1, 57)]),
            (format!("xx_live_{live}"), vec![(&live, 1, 9)]),
        ] {
            let expected: Vec<_> =
                expected.into_iter().map(|(key, line, at)| (key.clone(), line, at)).collect();
            for size in [1, 7, 4096] {
                assert_eq!(scan(text.as_bytes(), size, &[]), expected, "{text} by {size}");
            }
        }
    }

    #[test]
    fn what_only_looks_like_a_key_is_none() {
        let live = secret("kg", Environment::Live);
        let other = if live.ends_with('0') { "1" } else { "0" };
        for text in [
            live[..47].to_owned(),
            format!("{}{other}", &live[..47]),
            live.to_uppercase(),
            live.replace("_live_", "_prod_"),
            live.replacen("kg", "kh", 1),
            format!("_live_{}", &live[8..]),
            format!("{}-{}", &live[..20], &live[20..]),
        ] {
            assert_eq!(scan(text.as_bytes(), 5, &[]), [], "{text}");
        }
    }

    #[test]
    fn only_the_brands_that_are_asked_for() {
        let (kg, acme) = (secret("kg", Environment::Live), secret("acme", Environment::Live));
        let text = format!("{kg} {acme}");
        let brands = ["acme", "other"].map(|brand| Brand::parse(brand).unwrap());
        assert_eq!(scan(text.as_bytes(), 9, &brands), [(acme, 1, 50)]);
    }

    #[test]
    fn utf_16_is_read_too() {
        let key = secret("kg", Environment::Live);
        let text = format!("first\nkey={key}");
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for bytes in [little, big] {
            assert_eq!(scan(&bytes, 13, &[]), [(key.clone(), 2, 5)]);
        }
    }

    proptest! {
        #[test]
        fn pieces_change_nothing(
            noise in proptest::collection::vec("[a-z0-9_\n]{0,40}(_live_|_test_)?", 0..6),
            size in 1usize..100,
        ) {
            let key = secret("kg", Environment::Live);
            let text = noise.join(&format!("\n{key}_live_"));
            let whole = scan(text.as_bytes(), text.len().max(1), &[]);
            prop_assert_eq!(whole.len(), noise.len().saturating_sub(1));
            prop_assert_eq!(scan(text.as_bytes(), size, &[]), whole);
        }

        #[test]
        fn any_bytes_are_scanned(bytes in proptest::collection::vec(any::<u8>(), 0..300), size in 1usize..64) {
            prop_assert_eq!(scan(&bytes, size, &[]), []);
        }
    }
}
