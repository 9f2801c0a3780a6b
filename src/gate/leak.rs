//! Whether what would go on to an upstream holds a key of ours, however it was written. No upstream may see one.

use std::iter::once;

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

/// How many bytes of a credential's pieces are hashed, each counted as [`PIECE_BYTES`] more than it has; one that takes more
/// does not go on. It bounds the cost, and is generous: a ticket of Kerberos takes four times its length in base64.
const SEARCH_BYTES_MAX: usize = 128 * 1024;
const PIECE_BYTES: usize = 64;

/// In a word of no more marks than this, a key may begin and end at any two of them.
const MARKS_FEW: usize = 16;

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
    let mut search = Search { keys, bytes_left: SEARCH_BYTES_MAX };
    [Some(value), decoded.as_deref()].into_iter().flatten().any(|text| {
        search.is_key(text)
            || words(text).any(|word| {
                search.finds_in_word(word)
                    || basic(word)
                        .is_some_and(|pair| shows_key(&pair, &policy.brand) || search.finds_in_word(&pair))
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

/// Looks at pieces of one credential. Cost: that of [`SEARCH_BYTES_MAX`].
struct Search<'k> {
    keys: &'k KeySnapshot,
    bytes_left: usize,
}

impl Search<'_> {
    /// Whether a key stands between marks of `word` or its ends, also one that holds such a mark itself. In a word of many
    /// marks that is looked for only where it begins or ends with the word.
    fn finds_in_word(&mut self, word: &[u8]) -> bool {
        let is_mark = |byte: &u8| BESIDE_KEYS.contains(byte);
        let marks: Vec<usize> =
            word.iter().enumerate().filter(|(_, byte)| is_mark(byte)).map(|(at, _)| at).collect();
        let begins = || once(0).chain(marks.iter().map(|mark| mark + 1));
        let ends = || marks.iter().copied().chain(once(word.len()));
        if marks.len() <= MARKS_FEW {
            return begins()
                .enumerate()
                .any(|(number, begin)| ends().skip(number).any(|end| self.is_key(&word[begin..end])));
        }
        word.split(is_mark).any(|part| self.is_key(part))
            || ends().any(|end| self.is_key(&word[..end]))
            || begins().any(|begin| self.is_key(&word[begin..]))
    }

    /// Whether `text` is a key, or may be one for all that can be looked at.
    fn is_key(&mut self, text: &[u8]) -> bool {
        if !(1..=SECRET_BYTES_MAX).contains(&text.len()) {
            return false;
        }
        match self.bytes_left.checked_sub(text.len() + PIECE_BYTES) {
            Some(left) => self.bytes_left = left,
            None => return true,
        }
        self.keys.is_or_looks_ours(text)
    }
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
