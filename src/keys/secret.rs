//! Secrets: how a new one is made, and what the form of one tells. `<brand>_<env>_<random><check>`: underscores, so
//! that a double click selects it all; at most 55 bytes, so that it hashes in one SHA-256 block.

use std::{cmp::Ordering, fmt};

use zeroize::Zeroizing;

use super::credential;

/// Base62 in ASCII order; `random` and `check` are written in it.
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Characters of the random part: 34 × log2(62) > 202 bits.
const RANDOM_LENGTH: usize = 34;

/// Characters of the check part: 62^6 > 2^32.
const CHECK_LENGTH: usize = 6;

/// Characters behind `<brand>_<env>_`.
pub const BODY_LENGTH: usize = RANDOM_LENGTH + CHECK_LENGTH;

/// The longest brand.
pub const BRAND_LENGTH_MAX: usize = 9;

/// How much of the random part a prefix shows.
const PREFIX_RANDOM_LENGTH: usize = 4;

/// From how many characters after `<brand>_<env>_` on a text is taken for one of our keys rather than for a word.
const LOOKS_LIKE_KEY_FROM: usize = 16;

/// Below this many bits an imported secret deserves a warning (OWASP ASVS 5.0 §6.5.2, §11.4).
pub const ENTROPY_BITS_WANTED: u32 = 112;

/// The first part of every key a deployment makes: `[a-z0-9]{1,9}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brand(Box<str>);

impl Default for Brand {
    /// `kg`.
    fn default() -> Self {
        Self("kg".into())
    }
}

impl Brand {
    /// The brand called `text`.
    ///
    /// # Errors
    /// [`BrandError`] if it is not of the form `[a-z0-9]{1,9}`.
    pub fn parse(text: &str) -> Result<Self, BrandError> {
        let valid = (1..=BRAND_LENGTH_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if valid { Ok(Self(text.into())) } else { Err(BrandError) }
    }

    /// The brand as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows `<brand>_<env>_` in `bytes`, if it starts so.
    fn body<'b>(&self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let rest = bytes.strip_prefix(self.0.as_bytes())?.strip_prefix(b"_")?;
        let rest = Environment::ALL.iter().find_map(|env| rest.strip_prefix(env.as_str().as_bytes()))?;
        rest.strip_prefix(b"_")
    }
}

/// A brand must be of the form `[a-z0-9]{1,9}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrandError;

impl fmt::Display for BrandError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a brand is 1 to 9 lower-case letters and digits")
    }
}

impl std::error::Error for BrandError {}

/// What a key is for, as its secret says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Environment {
    /// `live`
    #[default]
    Live,
    /// `test`
    Test,
}

impl Environment {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Live, Self::Test];

    /// The text in a secret.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }

    /// The environment called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|env| env.as_str() == name)
    }
}

/// The plaintext of a key. Shown once, by whoever calls [`KeySecret::expose`]; wiped from memory when dropped; cannot
/// be cloned, serialized or seen in `Debug`.
pub struct KeySecret(Zeroizing<String>);

impl KeySecret {
    /// A new secret, from the randomness of the operating system.
    ///
    /// # Errors
    /// What the operating system says if it has none to give.
    pub fn generate(brand: &Brand, environment: Environment) -> Result<Self, getrandom::Error> {
        let length = brand.as_str().len() + environment.as_str().len() + 2 + RANDOM_LENGTH + CHECK_LENGTH;
        // Sized at once: growing would leave copies behind that nobody wipes.
        let mut text = Zeroizing::new(String::with_capacity(length));
        text.push_str(brand.as_str());
        text.push('_');
        text.push_str(environment.as_str());
        text.push('_');
        push_random(&mut text)?;
        let check = check_characters(text.as_bytes());
        text.extend(check.iter().copied().map(char::from));
        Ok(Self(text))
    }

    /// A secret that exists already, in whatever form it has; `None` if no request could present it
    /// (see [`credential::is_secret`]).
    pub fn import(plaintext: Zeroizing<String>) -> Option<Self> {
        credential::is_secret(plaintext.as_bytes()).then_some(Self(plaintext))
    }

    /// The plaintext. Call it only to print it once, or to hash it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What listings show: brand, environment and 4 random characters. `None` for a secret that is not of our form, of
    /// which nobody can say how much may be shown.
    pub fn prefix(&self) -> Option<&str> {
        SecretForm::parse(self.0.as_bytes())?.prefix_of(self.0.as_bytes())
    }

    /// A rough upper estimate of the entropy of a secret somebody else made, in bits: separators carry none, repeated
    /// characters little, hex digits 4 each. Words are not recognised.
    pub fn estimated_entropy_bits(&self) -> u32 {
        estimated_entropy_bits(self.0.as_bytes())
    }
}

impl fmt::Debug for KeySecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("KeySecret(redacted)")
    }
}

/// Appends the random part; bytes that would favour some characters are thrown away.
fn push_random(text: &mut String) -> Result<(), getrandom::Error> {
    const UNBIASED_BELOW: u8 = 248; // 4 × 62
    let mut pool = Zeroizing::new([0u8; 2 * RANDOM_LENGTH]);
    let mut wanted = RANDOM_LENGTH;
    while wanted > 0 {
        getrandom::fill(pool.as_mut_slice())?;
        for byte in pool.iter().filter(|byte| **byte < UNBIASED_BELOW).take(wanted) {
            text.push(char::from(BASE62[usize::from(byte % 62)]));
            wanted -= 1;
        }
    }
    Ok(())
}

/// CRC-32 (IEEE 802.3) of `before` in base62, most significant first. Finds slips of the pen; authenticates nothing.
fn check_characters(before: &[u8]) -> [u8; CHECK_LENGTH] {
    let mut rest = crc32fast::hash(before);
    let mut characters = [b'0'; CHECK_LENGTH];
    for character in characters.iter_mut().rev() {
        *character = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    characters
}

/// A secret of our form whose check characters match: what a scanner can verify offline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretForm<'b> {
    /// The brand it names.
    pub brand: &'b str,
    /// The environment it names.
    pub environment: Environment,
}

impl<'b> SecretForm<'b> {
    /// The form of `secret`, of any brand; `None` if it has another form or its check characters do not match.
    pub fn parse(secret: &'b [u8]) -> Option<Self> {
        let text = std::str::from_utf8(secret).ok()?;
        let (brand, rest) = text.split_once('_')?;
        let (environment, body) = rest.split_once('_')?;
        let environment = Environment::from_name(environment)?;
        let valid = Brand::parse(brand).is_ok()
            && body.len() == BODY_LENGTH
            && is_base62(body.as_bytes())
            && secret.ends_with(&check_characters(&secret[..secret.len() - CHECK_LENGTH]));
        valid.then_some(Self { brand, environment })
    }

    /// What listings show of `secret`, which has this form.
    pub fn prefix_of<'s>(&self, secret: &'s [u8]) -> Option<&'s str> {
        let random_at = self.brand.len() + self.environment.as_str().len() + 2;
        std::str::from_utf8(secret.get(..random_at + PREFIX_RANDOM_LENGTH)?).ok()
    }
}

/// A text of the form of a key of `brand`, check characters and all, that is nobody's: to try scanners with.
pub fn specimen(brand: &Brand) -> String {
    let mut text = format!("{}_{}_", brand.as_str(), Environment::Test.as_str());
    text.extend(BASE62.iter().cycle().take(RANDOM_LENGTH).copied().map(char::from));
    let check = check_characters(text.as_bytes());
    text.extend(check.iter().copied().map(char::from));
    text
}

/// Why an unknown secret of our brand is probably unknown. A guess for its holder, made from its form alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShapeHint {
    /// It has fewer characters than a key of this brand.
    Truncated {
        /// Its length.
        length: u16,
        /// The length of a whole one.
        expected: u16,
    },
    /// It has more characters than a key of this brand.
    TooLong {
        /// Its length.
        length: u16,
        /// The length of a whole one.
        expected: u16,
    },
    /// It has the right length, but the check characters do not match.
    Mistyped,
}

impl ShapeHint {
    /// The hint for `secret`; `None` if it is not of `brand`, or its form is right.
    pub fn of(secret: &[u8], brand: &Brand) -> Option<Self> {
        let body = brand.body(secret)?;
        let whole = secret.len() - body.len() + RANDOM_LENGTH + CHECK_LENGTH;
        let [length, expected] = [secret.len(), whole].map(|count| u16::try_from(count).unwrap_or(u16::MAX));
        match length.cmp(&expected) {
            Ordering::Less => Some(Self::Truncated { length, expected }),
            Ordering::Greater => Some(Self::TooLong { length, expected }),
            Ordering::Equal => {
                let check = check_characters(&secret[..whole - CHECK_LENGTH]);
                (!secret.ends_with(&check)).then_some(Self::Mistyped)
            }
        }
    }
}

impl fmt::Display for ShapeHint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { length, expected } => {
                write!(formatter, "looks truncated: {length} of {expected} characters")
            }
            Self::TooLong { length, expected } => {
                write!(formatter, "looks too long: {length} characters instead of {expected}")
            }
            Self::Mistyped => formatter.write_str("mistyped: check characters do not match"),
        }
    }
}

/// Whether `bytes` begin like a key of `brand`, whole or cut: a place that leaks (a query) must not carry it. Cost: constant.
pub fn looks_like_key(bytes: &[u8], brand: &Brand) -> bool {
    brand.body(bytes).and_then(|body| body.get(..LOOKS_LIKE_KEY_FROM)).is_some_and(is_base62)
}

fn is_base62(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_alphanumeric)
}

fn estimated_entropy_bits(secret: &[u8]) -> u32 {
    let mut counts = [0u32; 256];
    let mut length = 0u32;
    for &byte in secret.iter().filter(|byte| !b"-_.:".contains(byte)) {
        counts[usize::from(byte)] += 1;
        length += 1;
    }
    let per_character = alphabet_bits(&counts).min(observed_bits(&counts, length));
    let bits = (per_character * f64::from(length)).floor();
    // At most 512 characters of at most 8 bits: fits without loss.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 4096")]
    let bits = bits as u32;
    bits
}

/// Bits per character if each were drawn evenly from the smallest usual alphabet that holds all that occur.
fn alphabet_bits(counts: &[u32; 256]) -> f64 {
    let occurs = |wanted: fn(&u8) -> bool| (0..=255u8).any(|b| counts[usize::from(b)] > 0 && wanted(&b));
    let lower_beyond_hex = occurs(|b| (b'g'..=b'z').contains(b));
    let upper_beyond_hex = occurs(|b| (b'G'..=b'Z').contains(b));
    let other = occurs(|b| !b.is_ascii_alphanumeric());
    let (lower, upper) = (occurs(u8::is_ascii_lowercase), occurs(u8::is_ascii_uppercase));
    if !(lower_beyond_hex || upper_beyond_hex || other || (lower && upper)) {
        return if lower || upper { 4.0 } else { 10f64.log2() };
    }
    let size = 26 * u32::from(lower)
        + 26 * u32::from(upper)
        + 10 * u32::from(occurs(u8::is_ascii_digit))
        + 32 * u32::from(other);
    f64::from(size).log2()
}

/// Bits per character by how often each occurs (Shannon), corrected for short texts (Miller and Madow).
fn observed_bits(counts: &[u32; 256], length: u32) -> f64 {
    if length == 0 {
        return 0.0;
    }
    let length = f64::from(length);
    let (mut bits, mut distinct) = (0.0, 0.0);
    for &count in counts.iter().filter(|count| **count > 0) {
        let share = f64::from(count) / length;
        bits -= share * share.log2();
        distinct += 1.0;
    }
    bits + (distinct - 1.0) / (2.0 * length * std::f64::consts::LN_2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn generate(brand: &str, environment: Environment) -> KeySecret {
        KeySecret::generate(&Brand::parse(brand).unwrap(), environment).unwrap()
    }

    fn import(text: &str) -> Option<KeySecret> {
        KeySecret::import(Zeroizing::new(text.into()))
    }

    #[test]
    fn a_new_secret_has_the_documented_form() {
        let secret = generate("acme", Environment::Test);
        let text = secret.expose();
        assert_eq!(text.len(), 4 + 1 + 4 + 1 + 34 + 6);
        assert!(text.starts_with("acme_test_") && is_base62(&text.as_bytes()[10..]));
        assert_eq!(secret.prefix(), text.get(..14));
        assert_eq!(
            SecretForm::parse(text.as_bytes()),
            Some(SecretForm { brand: "acme", environment: Environment::Test })
        );
        assert!(secret.estimated_entropy_bits() > 150);
        assert_ne!(text, generate("acme", Environment::Test).expose());
        assert_eq!(generate("abcdefghi", Environment::Live).expose().len(), 55);
    }

    #[test]
    fn a_fixed_secret_keeps_its_check_characters() {
        let random = format!("kg_live_{}", "0".repeat(34));
        let check = check_characters(random.as_bytes());
        let crc = check
            .iter()
            .fold(0u64, |sum, c| sum * 62 + BASE62.iter().position(|known| known == c).unwrap() as u64);
        assert_eq!(crc, u64::from(crc32fast::hash(random.as_bytes())));
        // CRC-32 of "123456789" is the check value of every catalogue.
        assert_eq!(crc32fast::hash(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn every_random_character_occurs() {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            seen.extend(generate("kg", Environment::Live).expose().as_bytes()[8..42].iter().copied());
        }
        assert_eq!(seen.len(), 62);
    }

    #[test]
    fn debug_hides_the_secret() {
        assert_eq!(format!("{:?}", generate("kg", Environment::Live)), "KeySecret(redacted)");
    }

    #[test]
    fn brands() {
        for good in ["a", "kg", "acme1", "123456789"] {
            assert_eq!(Brand::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "Acme", "a_b", "1234567890", "é"] {
            assert_eq!(Brand::parse(bad), Err(BrandError), "{bad}");
        }
    }

    #[test]
    fn hints_for_unknown_secrets_of_our_brand() {
        let secret = generate("kg", Environment::Live);
        let text = secret.expose();
        let hint =
            |text: &str| ShapeHint::of(text.as_bytes(), &Brand::default()).map(|hint| hint.to_string());
        assert_eq!(hint(text), None);
        assert_eq!(hint(&text[..37]).as_deref(), Some("looks truncated: 37 of 48 characters"));
        assert_eq!(hint("kg_live_").as_deref(), Some("looks truncated: 8 of 48 characters"));
        assert_eq!(
            hint(&format!("{text}{text}")).as_deref(),
            Some("looks too long: 96 characters instead of 48")
        );
        assert_eq!(hint("acme_live_abc"), None);
        assert_eq!(hint("kg_prod_abc"), None);
        assert_eq!(hint(""), None);
    }

    #[test]
    fn keys_are_recognised_where_they_leak() {
        let brand = Brand::default();
        let secret = generate("kg", Environment::Test);
        assert!(looks_like_key(secret.expose().as_bytes(), &brand));
        assert!(looks_like_key(&secret.expose().as_bytes()[..30], &brand));
        for other in ["", "kg", "kg_live_view", "kg_live_", "acme_live_0123456789abcdef0123", "kg_live_a-b"] {
            assert!(!looks_like_key(other.as_bytes(), &brand), "{other}");
        }
    }

    #[test]
    fn imported_secrets_may_have_any_form() {
        assert_eq!(import("sk-abc").unwrap().prefix(), None);
        assert!(import("").is_none() && import("a b").is_none() && import("a,b").is_none());
        assert!(import(&"x".repeat(512)).is_some() && import(&"x".repeat(513)).is_none());
    }

    #[test]
    fn entropy_of_imported_secrets() {
        let weak = [
            "a",
            "password",
            "hunter2hunter2hunter2hunter2",
            "0123456789abcdef",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ];
        let strong = [
            "9f86d081884c7d659a2feaa0c55ad015",     // 128 bits in hex
            "f47ac10b-58cc-4372-a567-0e02b2c3d479", // UUIDv4
            "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
        ];
        for text in weak {
            assert!(import(text).unwrap().estimated_entropy_bits() < ENTROPY_BITS_WANTED, "{text}");
        }
        for text in strong {
            let bits = import(text).unwrap().estimated_entropy_bits();
            assert!((ENTROPY_BITS_WANTED..=180).contains(&bits), "{text}: {bits}");
        }
    }

    proptest! {
        #[test]
        fn one_wrong_character_is_noticed(at in 0usize..48, put in 33u8..127) {
            let secret = generate("kg", Environment::Live);
            let mut bytes = secret.expose().as_bytes().to_vec();
            prop_assume!(bytes[at] != put);
            bytes[at] = put;
            prop_assert_eq!(SecretForm::parse(&bytes), None);
            let expected = (at >= 8).then_some(ShapeHint::Mistyped);
            prop_assert_eq!(ShapeHint::of(&bytes, &Brand::default()), expected);
        }

        #[test]
        fn any_bytes_are_judged_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let branded = [b"kg_live_".as_slice(), &bytes].concat();
            for bytes in [&bytes, &branded] {
                let _ = (SecretForm::parse(bytes), looks_like_key(bytes, &Brand::default()));
                let _ = (ShapeHint::of(bytes, &Brand::default()), estimated_entropy_bits(bytes));
            }
        }
    }
}
