//! The digest of a secret: the only form in which a key is stored and looked up.

use std::fmt;

use sha2::{Digest, Sha256};

/// The SHA-256 of a secret.
///
/// Why SHA-256 and not argon2 or bcrypt: slow hashes make up for passwords that people choose. A generated secret has
/// more than 200 bits of entropy, so guessing its digest is hopeless at any speed (OWASP ASVS 5.0 §11.4 and §6.5.2
/// ask for 112 bits), while a slow hash would give every stranger a lever to burn the gateway's CPU with, one request
/// at a time. Without a salt the digest is also the look-up key: the secret is never compared with anything, so there
/// is no comparison whose time could tell.
///
/// Digests never leave the store: `Debug` shows nothing of them, and there is no `Display`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// The digest of the bytes of a secret. Cost: one SHA-256 block up to 55 bytes.
    pub fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// A digest that was computed elsewhere.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digest written as `sha256:<64 hex digits>`, in either case.
    ///
    /// # Errors
    /// [`DigestError`] says what is not of that form; it never repeats the text.
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let hex = text.strip_prefix("sha256:").ok_or(DigestError::Algorithm)?.as_bytes();
        if hex.len() != 64 {
            return Err(DigestError::Length(hex.len()));
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = hex_value(pair[0])? << 4 | hex_value(pair[1])?;
        }
        Ok(Self(bytes))
    }

    /// `sha256:<64 lower-case hex digits>`, as key files hold it. For stores only.
    pub fn to_text(&self) -> String {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity(71);
        text.push_str("sha256:");
        for byte in self.0 {
            text.push(char::from(HEX[usize::from(byte >> 4)]));
            text.push(char::from(HEX[usize::from(byte & 15)]));
        }
        text
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("KeyDigest(redacted)")
    }
}

fn hex_value(digit: u8) -> Result<u8, DigestError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(DigestError::Digit),
    }
}

/// Why a text is no digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestError {
    /// It does not start with `sha256:`.
    Algorithm,
    /// This many bytes follow `sha256:` instead of 64.
    Length(usize),
    /// A byte is no hex digit.
    Digit,
}

impl fmt::Display for DigestError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Algorithm => formatter.write_str("a digest is written sha256:<64 hex digits>"),
            Self::Length(found) => {
                write!(formatter, "64 hex digits must follow sha256:, but {found} characters do")
            }
            Self::Digit => formatter.write_str("only hex digits may follow sha256:"),
        }
    }
}

impl std::error::Error for DigestError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_digest() {
        // FIPS 180-2, appendix B.1.
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(KeyDigest::of(b"abc").to_text(), text);
        assert_eq!(KeyDigest::parse(text), Ok(KeyDigest::of(b"abc")));
        assert_eq!(KeyDigest::parse(&text.to_uppercase().replace("SHA", "sha")), Ok(KeyDigest::of(b"abc")));
    }

    #[test]
    fn other_texts_are_refused() {
        let cases = [
            ("", DigestError::Algorithm),
            ("md5:00", DigestError::Algorithm),
            ("sha256:00", DigestError::Length(2)),
            (&format!("sha256:{}", "é".repeat(32)), DigestError::Digit),
            (&format!("sha256:{}", "0".repeat(65)), DigestError::Length(65)),
        ];
        for (text, expected) in cases {
            assert_eq!(KeyDigest::parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", KeyDigest::of(b"abc")), "KeyDigest(redacted)");
    }
}
