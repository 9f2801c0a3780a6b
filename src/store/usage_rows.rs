//! Rows of usage that speak of the same, made into one.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::contract::{ScopeUse, UsageRow};
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

/// One row for each secret, with the sums of all its rows and the first of their hours; in the order of key and secret.
pub(super) fn totals<'r>(rows: impl IntoIterator<Item = &'r UsageRow>) -> Vec<UsageRow> {
    let mut totals: BTreeMap<(KeyId, &str), UsageRow> = BTreeMap::new();
    for row in rows {
        totals
            .entry((row.key, &row.secret))
            .and_modify(|total| {
                total.hour = total.hour.min(row.hour);
                total.add(row);
            })
            .or_insert_with(|| row.clone());
    }
    totals.into_values().collect()
}

/// Uses of scopes in the order of key and scope, of each the latest.
pub(super) fn latest(uses: &[ScopeUse]) -> Vec<ScopeUse> {
    let mut latest: BTreeMap<(KeyId, &str), Timestamp> = BTreeMap::new();
    for ScopeUse { key, scope, last_used } in uses {
        let known = latest.entry((*key, scope)).or_insert(*last_used);
        *known = (*known).max(*last_used);
    }
    let owned =
        |((key, scope), last_used): ((KeyId, &str), _)| ScopeUse { key, scope: scope.to_owned(), last_used };
    latest.into_iter().map(owned).collect()
}

/// All uses that a database in memory counts.
#[derive(Debug, Default)]
pub(super) struct KeptUsage {
    rows: Vec<UsageRow>,
    scopes: Vec<ScopeUse>,
}

impl KeptUsage {
    pub(super) fn add(&mut self, rows: &[UsageRow]) {
        self.rows.extend_from_slice(rows);
        self.rows = merged(&self.rows);
    }

    pub(super) fn rows(&self, keys: &[KeyId]) -> Vec<UsageRow> {
        self.newest_first(|row| keys.is_empty() || keys.contains(&row.key))
    }

    pub(super) fn since(&self, key: &KeyId, since: Timestamp) -> Vec<UsageRow> {
        self.newest_first(|row| row.key == *key && row.hour >= since)
    }

    pub(super) fn totals(&self, keys: &[KeyId]) -> Vec<UsageRow> {
        totals(self.rows.iter().filter(|row| keys.contains(&row.key)))
    }

    pub(super) fn add_scopes(&mut self, uses: &[ScopeUse]) {
        self.scopes.extend_from_slice(uses);
        self.scopes = latest(&self.scopes);
    }

    pub(super) fn scopes(&self, keys: &[KeyId]) -> Vec<ScopeUse> {
        self.scopes.iter().filter(|one| keys.contains(&one.key)).cloned().collect()
    }

    fn newest_first(&self, is_asked_for: impl Fn(&UsageRow) -> bool) -> Vec<UsageRow> {
        let mut rows: Vec<_> = self.rows.iter().filter(|row| is_asked_for(row)).cloned().collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.hour));
        rows
    }
}
