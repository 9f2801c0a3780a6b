//! What the keys of the demo did in the last thirty days: made up, the same at every start, so that every chart has
//! something to show.

use jiff::{Timestamp, ToSpan as _, Unit};

use super::keyring::{Holder, Keyring};
use crate::{
    keys::record::KeyId,
    store::contract::{ScopeUse, UsageRow},
    telemetry::usage::{LastUse, UseCounts, secret_mark},
};

const DAYS: i64 = 30;

/// Hours between two rows of one key.
const STEP: i64 = 3;

/// Requests of a key in three hours by day, the share of them in percent that is refused, and the scopes they needed.
const BUSY: [(Holder, u64, u64, &[&str]); 6] = [
    (Holder::Write, 420, 1, &["read", "write"]),
    (Holder::Read, 900, 2, &["read"]),
    (Holder::Alpha, 160, 6, &["read", "write"]),
    (Holder::Admin, 24, 0, &["read"]),
    (Holder::Rotating, 60, 0, &["read", "write"]),
    (Holder::Ending, 12, 0, &["read"]),
];

/// Uses, by the hour.
pub(super) fn uses(keyring: &Keyring, now: Timestamp) -> Vec<UsageRow> {
    let mut rows = Vec::new();
    for (holder, rate, refused, _) in BUSY {
        // Before its rotation a key was used with the secret of that time.
        let secret = if holder == Holder::Rotating { Holder::RotatingBefore } else { holder };
        let Ok(key) = KeyId::parse(holder.id()) else { continue };
        let mark = secret_mark(&keyring.digest(secret));
        for hours_ago in (1..DAYS * 24 / STEP).map(|step| step * STEP) {
            let Some(hour) = hour(now, hours_ago) else { continue };
            let sum = rate * daylight(hour) * noise(hours_ago, rate) / 10_000;
            let refused = sum * refused / 100;
            rows.push(UsageRow {
                key,
                secret: mark.clone(),
                hour,
                counts: UseCounts {
                    ok: sum - refused,
                    client_error: sum / 50,
                    refused,
                    ..UseCounts::default()
                },
                last_used: Some(LastUse { at: hour, client: [127, 0, 0, 1].into() }),
                last_refused: (refused > 0).then_some(hour),
            });
        }
    }
    rows
}

/// What scopes they needed.
pub(super) fn scope_uses(now: Timestamp) -> Vec<ScopeUse> {
    let uses =
        BUSY.into_iter().flat_map(|(holder, _, _, scopes)| scopes.iter().map(move |scope| (holder, scope)));
    uses.filter_map(|(holder, scope)| {
        let key = KeyId::parse(holder.id()).ok()?;
        Some(ScopeUse { key, scope: (*scope).to_owned(), last_used: hour(now, STEP)? })
    })
    .collect()
}

fn hour(now: Timestamp, ago: i64) -> Option<Timestamp> {
    let then = now.checked_sub(ago.hours()).ok()?;
    then.round(Unit::Hour).ok()
}

/// In percent: people work by day, and less at the end of a week.
fn daylight(hour: Timestamp) -> u64 {
    let hours = hour.as_second().div_euclid(3600);
    let of_day = match hours.rem_euclid(24) {
        8..18 => 100,
        6..8 | 18..22 => 55,
        _ => 20,
    };
    // The first of January 1970 was a Thursday.
    if matches!(hours.div_euclid(24).rem_euclid(7), 2 | 3) { of_day / 3 } else { of_day }
}

/// From 60 to 140 percent, without a pattern to see.
fn noise(hours_ago: i64, seed: u64) -> u64 {
    let mixed = (hours_ago.unsigned_abs() + seed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    60 + (mixed >> 32) % 80
}
