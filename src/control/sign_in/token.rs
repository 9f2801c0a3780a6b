//! Tokens of sessions and one-time links: 32 bytes that only their holder has; stores keep the digest.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::store::accounts::TokenDigest;

/// Bytes of a token (OWASP ASVS 5.0 §7.2.3 asks for 128 bits of entropy).
const LENGTH: usize = 32;

/// A token, as base64url (RFC 4648 §5) without padding. Wiped from memory when dropped; not seen in `Debug`.
pub struct Token(Zeroizing<String>);

impl Token {
    /// A new token, from the randomness of the operating system.
    ///
    /// # Errors
    /// What the operating system says if it has none to give.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; LENGTH]);
        getrandom::fill(bytes.as_mut_slice())?;
        Ok(Self(Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()))))
    }

    /// The token in a cookie or URL; `None` if it has not the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        // The length first, so that a huge text is not decoded. Trailing bits that do not count make it another text.
        let bytes = Zeroizing::new((text.len() == 43).then(|| URL_SAFE_NO_PAD.decode(text).ok())??);
        (bytes.len() == LENGTH).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The text, to be given to its holder once.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What stores keep of it.
    pub fn digest(&self) -> TokenDigest {
        TokenDigest(Sha256::digest(self.0.as_bytes()).into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_and_another_text_is_none() {
        let token = Token::generate().unwrap();
        assert_eq!(token.expose().len(), 43);
        assert_eq!(Token::parse(token.expose()).unwrap().digest(), token.digest());
        assert_ne!(Token::generate().unwrap().digest(), token.digest());
        assert_eq!(format!("{token:?}"), "Token(redacted)");
        let longer = "A".repeat(44);
        for bad in ["", "A", &longer[..42], &longer, &"é".repeat(21), &"+".repeat(43), &"=".repeat(43)] {
            assert!(Token::parse(bad).is_none(), "{bad}");
        }
    }
}
