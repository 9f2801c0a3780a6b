//! Keys that sign assertions, and what everybody may know of them (RFC 7517).

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use rustls::pki_types::{
    PrivatePkcs8KeyDer,
    pem::{self, PemObject as _},
};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize as _;

/// The most keys at once: one that signs, others that did or will.
pub const KEYS_MAX: usize = 8;

/// What is wrong with a private key. `Display` says it without any of the bytes; the file is the caller's to name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyProblem {
    /// There is no PKCS #8 block.
    NoKey,
    /// It is protected by a passphrase.
    Encrypted,
    /// There are several.
    Several,
    /// It is neither an Ed25519 key nor one of P-256, or broken.
    Unusable,
}

impl KeyProblem {
    /// What would be right.
    pub const REMEDY: &'static str = "make one: openssl genpkey -algorithm ed25519 -out assertion.pem";
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NoKey => "the file holds no private key of the form PKCS #8",
            Self::Encrypted => "the private key is protected by a passphrase",
            Self::Several => "the file holds more than one private key",
            Self::Unusable => "the private key is neither Ed25519 nor P-256, or it is broken",
        })
    }
}

impl std::error::Error for KeyProblem {}

/// A private key. Its `Debug` shows the id only.
pub struct SigningKey {
    pair: Pair,
    id: Box<str>,
    /// The JWS header of what it signs, encoded, with the dot behind it.
    header: Box<str>,
    public: Value,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

impl SigningKey {
    /// The key in `pem`, an unencrypted PKCS #8 block (RFC 5958): Ed25519, which signs as `EdDSA` (RFC 8037), or P-256,
    /// which signs as `ES256` (RFC 7518 §3.4).
    ///
    /// # Errors
    /// [`KeyProblem`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyProblem> {
        let mut der = only_block(pem)?;
        let pair = Pair::from_pkcs8(der.secret_pkcs8_der());
        der.zeroize();
        let pair = pair?;
        let mut public = pair.public();
        let id = thumbprint(&public);
        let algorithm = pair.algorithm();
        public["use"] = "sig".into();
        public["alg"] = algorithm.into();
        public["kid"] = id.as_str().into();
        let header = json!({ "alg": algorithm, "typ": "JWT", "kid": id }).to_string();
        let header = format!("{}.", BASE64URL.encode(header)).into();
        Ok(Self { pair, id: id.into(), header, public })
    }

    /// Its id: the thumbprint of the public key (RFC 7638), so that it is the same everywhere.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A JWS in compact form (RFC 7515 §7.1).
    fn sign(&self, claims: &impl Serialize) -> Result<String, Unsigned> {
        let claims = serde_json::to_vec(claims).map_err(|_| Unsigned)?;
        let mut token = self.header.to_string();
        BASE64URL.encode_string(claims, &mut token);
        let signature = self.pair.sign(token.as_bytes())?;
        token.push('.');
        BASE64URL.encode_string(signature, &mut token);
        Ok(token)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The one PKCS #8 block of `pem`.
fn only_block(pem: &[u8]) -> Result<PrivatePkcs8KeyDer<'static>, KeyProblem> {
    let mut blocks = PrivatePkcs8KeyDer::pem_slice_iter(pem);
    match (blocks.next(), blocks.next()) {
        (Some(Ok(key)), None) => Ok(key),
        (Some(Ok(_)), Some(_)) => Err(KeyProblem::Several),
        (None | Some(Err(pem::Error::NoItemsFound)), _) => {
            let is_encrypted = memchr::memmem::find(pem, b"BEGIN ENCRYPTED PRIVATE KEY").is_some();
            Err(if is_encrypted { KeyProblem::Encrypted } else { KeyProblem::NoKey })
        }
        (Some(Err(_)), _) => Err(KeyProblem::Unusable),
    }
}

impl Pair {
    fn from_pkcs8(der: &[u8]) -> Result<Self, KeyProblem> {
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8(der) {
            return Ok(Self::Ed25519(pair));
        }
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der);
        pair.map(Self::P256).map_err(|_| KeyProblem::Unusable)
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "EdDSA",
            Self::P256(_) => "ES256",
        }
    }

    /// The members of the public key that its thumbprint is made of, in their order (RFC 7638 §3.2, RFC 8037 §2).
    fn public(&self) -> Value {
        match self {
            Self::Ed25519(pair) => {
                json!({ "crv": "Ed25519", "kty": "OKP", "x": BASE64URL.encode(pair.public_key().as_ref()) })
            }
            Self::P256(pair) => {
                // An uncompressed point: 0x04, then both coordinates (SEC 1 §2.3.3).
                let point = pair.public_key().as_ref().get(1..).unwrap_or_default();
                let (x, y) = point.split_at(point.len() / 2);
                json!({ "crv": "P-256", "kty": "EC", "x": BASE64URL.encode(x), "y": BASE64URL.encode(y) })
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Result<aws_lc_rs::signature::Signature, Unsigned> {
        match self {
            Self::Ed25519(pair) => pair.try_sign(message).map_err(|_| Unsigned),
            Self::P256(pair) => pair.sign(&SystemRandom::new(), message).map_err(|_| Unsigned),
        }
    }
}

/// RFC 7638 §3, of members in their order.
fn thumbprint(public: &Value) -> String {
    BASE64URL.encode(Sha256::digest(public.to_string()))
}

/// The signature could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsigned;

/// Keys of which the first signs and all are published. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SigningKeys {
    first: Arc<SigningKey>,
    published: Arc<str>,
}

impl SigningKeys {
    /// `first` signs; it and `others` are published.
    pub fn new(first: SigningKey, others: &[SigningKey]) -> Self {
        let keys: Vec<&Value> = [&first].into_iter().chain(others).map(|key| &key.public).collect();
        let published = json!({ "keys": keys }).to_string().into();
        Self { first: Arc::new(first), published }
    }

    /// The JSON Web Key Set of the public keys (RFC 7517 §5).
    pub fn published(&self) -> &Arc<str> {
        &self.published
    }

    /// A JWS over `claims` in compact form.
    pub(super) fn sign(&self, claims: &impl Serialize) -> Result<String, Unsigned> {
        self.first.sign(claims)
    }
}
