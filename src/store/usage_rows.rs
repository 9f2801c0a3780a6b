//! Rows of usage that speak of the same secret and hour, made into one.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::contract::UsageRow;
use crate::keys::record::KeyId;

/// Rows in the order of key, secret and hour, one of each. Whoever writes them in this order never waits for one who
/// waits for them.
pub(super) fn merged(rows: &[UsageRow]) -> Vec<UsageRow> {
    let mut merged: BTreeMap<(KeyId, &str, Timestamp), UsageRow> = BTreeMap::new();
    for row in rows {
        merged
            .entry((row.key, &row.secret, row.hour))
            .and_modify(|known| add(known, row))
            .or_insert_with(|| row.clone());
    }
    merged.into_values().collect()
}

/// Adds the uses in `more` to `row`, which is of the same secret and hour.
pub(super) fn add(row: &mut UsageRow, more: &UsageRow) {
    row.counts.add(more.counts);
    row.last_used = [row.last_used, more.last_used].into_iter().flatten().max_by_key(|used| used.at);
    row.last_refused = row.last_refused.max(more.last_refused);
}
