//! Whether what would go on to an upstream holds a key of ours, however it was written. No upstream may see one.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use memchr::{memchr, memmem};

use super::Policy;
use crate::{
    keys::{
        credential::SECRET_BYTES_MAX,
        secret::{Brand, looks_like_key},
        snapshot::KeySnapshot,
    },
    message::Fields,
    policy::path::decode_to_fixpoint,
};

/// A credential of more places at which a key could begin or end than this does not go on. Each costs a digest.
const PLACES_MAX: usize = 64;

/// What ends a word of a credential, whatever the form of keys.
const BETWEEN_WORDS: &[u8] = b" \t,;\"'`<>()[]{}|";

/// What may stand beside a key in one word: parameters, user and password, addresses.
const BESIDE_KEYS: &[u8] = b"=:/@?&.";

/// Whether a credential field of a request is or holds a key of ours, in force or not, in any of the ways that clients get it
/// wrong: without scheme, under another one, with blanks, in quotes or brackets, percent-encoded, as a parameter, as user or
/// password of Basic (RFC 7617 §2). `None` where it has such a field while no keys are known: then it may.
pub(super) fn holds_key(fields: &Fields<'_>, policy: &Policy, keys: Option<&KeySnapshot>) -> Option<bool> {
    let mut credentials =
        fields.iter().filter(|field| policy.credentials.include(field)).map(|field| field.value).peekable();
    if credentials.peek().is_none() {
        return Some(false);
    }
    let keys = keys?;
    Some(credentials.any(|value| shows_key(value, &policy.brand) || spells_key(value, policy, keys)))
}

/// Whether `text`, as sent or decoded, shows something that looks like a key of `brand`, whole or cut. Cost: linear.
pub(super) fn shows_key(text: &[u8], brand: &Brand) -> bool {
    let shows = |text: &[u8]| {
        memmem::find_iter(text, brand.as_str()).any(|at| {
            let begins_here = at == 0 || !text[at - 1].is_ascii_alphanumeric();
            begins_here && looks_like_key(&text[at..], brand)
        })
    };
    shows(text) || (memchr(b'%', text).is_some() && shows(&decode_to_fixpoint(text)))
}

/// Whether `value` holds a key by its digest: imported ones have any form.
fn spells_key(value: &[u8], policy: &Policy, keys: &KeySnapshot) -> bool {
    let decoded = memchr(b'%', value).map(|_| decode_to_fixpoint(value));
    let texts = [Some(value), decoded.as_deref()];
    texts.into_iter().flatten().any(|text| {
        is_key(text, keys)
            || words(text).nth(PLACES_MAX).is_some()
            || words(text).any(|word| {
                is_key_in_word(word, keys)
                    || basic(word)
                        .is_some_and(|pair| shows_key(&pair, &policy.brand) || is_key_in_word(&pair, keys))
            })
    })
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| BETWEEN_WORDS.contains(byte)).filter(|word| !word.is_empty())
}

/// `user:password` of Basic.
fn basic(word: &[u8]) -> Option<Vec<u8>> {
    let padding = word.iter().rev().take_while(|byte| **byte == b'=').count();
    STANDARD_NO_PAD.decode(&word[..word.len() - padding]).ok()
}

fn is_key_in_word(word: &[u8], keys: &KeySnapshot) -> bool {
    let is_mark = |byte: &u8| BESIDE_KEYS.contains(byte);
    let marks = || word.iter().enumerate().filter(|(_, byte)| is_mark(byte)).map(|(at, _)| at);
    is_key(word, keys)
        || marks().nth(PLACES_MAX).is_some()
        // A key may hold such a mark itself.
        || marks().any(|at| is_key(&word[..at], keys) || is_key(&word[at + 1..], keys))
        || word.split(is_mark).any(|part| is_key(part, keys))
}

fn is_key(text: &[u8], keys: &KeySnapshot) -> bool {
    (1..=SECRET_BYTES_MAX).contains(&text.len()) && keys.is_or_looks_ours(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_seen_wherever_its_word_begins() {
        let brand = Brand::default();
        let key = "kg_live_4eC39HqLyjWDarjtT1zdp7dc";
        for text in [key, &key[..24], &format!("a={key}"), &format!("_{key}_x"), &format!("%6b{}", &key[1..])]
        {
            assert!(shows_key(text.as_bytes(), &brand), "{text}");
        }
        for text in [
            "kg_live_",
            "kg_live_short",
            "a=b",
            &format!("x{key}"),
            &"kg_".repeat(9),
            &key.replace("live", "none"),
        ] {
            assert!(!shows_key(text.as_bytes(), &brand), "{text}");
        }
    }
}
