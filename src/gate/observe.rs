//! What becomes of a refused request whose route observes: it goes on as nobody's, and never with a key of ours.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use jiff::Timestamp;

use super::{Denial, Policy, Verdict};
use crate::{
    keys::snapshot::KeySnapshot,
    policy::{
        decide::{Asked, permit_observed},
        reason::Reason,
        route::Found,
    },
};

/// The rows that a route may observe. What rows 1 and 2 refuse has no one reading, or nobody serves it.
const OBSERVED_ROWS: core::ops::RangeInclusive<u8> = 4..=12;

/// The verdict instead of `denial`, where the routes that the request may reach observe at `now`; and whether its
/// credential must not reach the upstream, since it is or holds a key of ours.
///
/// # Errors
/// `denial`, or another one of row 1. While no keys are known, whatever credential a request carries may be one of ours,
/// which must not go on, and without which it would be another request: so it is refused.
pub(super) fn instead_of<'s, 'b>(
    denial: Denial<'s>,
    found: Option<&Found<'s>>,
    asked: &Asked<'b, '_>,
    policy: &Policy,
    keys: Option<&KeySnapshot>,
    now: Timestamp,
) -> Result<(Verdict<'s, 'b>, bool), Denial<'s>> {
    let may_observe = OBSERVED_ROWS.contains(&denial.row) || denial.reason == Reason::KeyStoreUnavailable;
    if !may_observe {
        return Err(denial);
    }
    let Some(permit) = permit_observed(found, asked, now).map_err(Denial::doubtful)? else {
        return Err(denial);
    };
    let mut credentials =
        asked.fields.iter().filter(|field| policy.credentials.include(field)).map(|field| field.value);
    let holds_key = match keys {
        Some(keys) => credentials.any(|value| holds_key(value, keys)),
        None if credentials.next().is_some() => return Err(denial),
        None => false,
    };
    Ok((Verdict::Observe(permit, Box::new(denial)), holds_key))
}

/// A credential of more words than this is not looked through: it does not go on. Each costs a few digests.
const WORDS_MAX: usize = 64;

/// Whether `value` is or holds a key of ours in any of the ways that clients get it wrong: without scheme, under another
/// one, with blanks, in quotes, as a parameter, as user or password of Basic (RFC 7617 §2).
fn holds_key(value: &[u8], keys: &KeySnapshot) -> bool {
    let is_ours = |word: &[u8]| !word.is_empty() && keys.is_or_looks_ours(word);
    let beside = |word: &[u8], mark: u8| {
        memchr::memchr(mark, word).is_some_and(|at| is_ours(&word[at + 1..]) || is_ours(&word[..at]))
    };
    let in_basic = |word: &[u8]| {
        let padding = word.iter().rev().take_while(|byte| **byte == b'=').count();
        let decoded = STANDARD_NO_PAD.decode(&word[..word.len() - padding]);
        decoded.is_ok_and(|decoded| is_ours(&decoded) || beside(&decoded, b':'))
    };
    let words = || value.split(|byte| b" \t,;\"'".contains(byte)).filter(|word| !word.is_empty());
    is_ours(value)
        || words().nth(WORDS_MAX).is_some()
        || words().any(|word| is_ours(word) || beside(word, b'=') || beside(word, b':') || in_basic(word))
}
