//! What becomes of a refused request whose route observes: it goes on as nobody's, and never with a key of ours.

use jiff::Timestamp;

use super::{Denial, Policy, Verdict, leak::holds_key};
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
    let Some(holds_key) = holds_key(asked.fields, policy, keys) else { return Err(denial) };
    Ok((Verdict::Observe(permit, Box::new(denial)), holds_key))
}
