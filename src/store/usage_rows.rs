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
            .and_modify(|known| known.add(row))
            .or_insert_with(|| row.clone());
    }
    merged.into_values().collect()
}
