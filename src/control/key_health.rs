//! What is worth a look about a key that works: it lasts for ever, ends soon, is not used, or may do more than it does.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::{
    keys::{record::KeyRecord, rules::KeyRules},
    policy::scope::{MANAGE, ScopeSet},
};

/// A key that ends within this time ends soon.
pub const SOON: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A key without use for so long is not used.
pub const UNUSED_FOR: SignedDuration = SignedDuration::from_hours(90 * 24);

/// A key that is younger has not shown yet which scopes it needs.
pub const SEEN_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Something that is worth a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// It has no end.
    NeverExpires,
    /// It ends then, which is soon.
    ExpiresSoon(Timestamp),
    /// It was last used then, which is long ago; `None`: never.
    Unused(Option<Timestamp>),
    /// It was granted scopes that no request of it needed.
    Broader {
        /// These, as they were granted.
        unused: Vec<String>,
        /// The shortest list of scopes that all its requests needed.
        enough: Vec<String>,
    },
}

/// What is known of the uses of a key.
#[derive(Debug, Clone, Copy)]
pub struct Use<'u> {
    /// When it was last used; what was refused is no use.
    pub last: Option<Timestamp>,
    /// Since when uses are counted; `None`: always.
    pub since: Option<Timestamp>,
    /// The scopes that its requests needed, with those that they imply.
    pub scopes: &'u BTreeMap<String, Timestamp>,
}

/// What is worth a look about `key`, which works at `now`. `used`: `None` where nobody counts uses.
pub fn hints(key: &KeyRecord, rules: &KeyRules, used: Option<Use<'_>>, now: Timestamp) -> Vec<Hint> {
    let mut hints = Vec::new();
    match key.expires_at {
        None => hints.push(Hint::NeverExpires),
        Some(end) if end.duration_since(now) <= SOON => hints.push(Hint::ExpiresSoon(end)),
        Some(_) => {}
    }
    if let Some(used) = used {
        hints.extend(unused(key, used, now).or_else(|| broader(key, rules, used, now)));
    }
    hints
}

fn unused(key: &KeyRecord, used: Use<'_>, now: Timestamp) -> Option<Hint> {
    // A key that manages is used at the admin listener, which counts nothing.
    if key.is_granted(MANAGE) {
        return None;
    }
    let is_long_ago = |at: Timestamp| now.duration_since(at) >= UNUSED_FOR;
    let is_unused = match used.last {
        Some(last) => is_long_ago(last),
        None => key.created_at.is_none_or(is_long_ago) && used.since.is_none_or(is_long_ago),
    };
    is_unused.then_some(Hint::Unused(used.last))
}

fn broader(key: &KeyRecord, rules: &KeyRules, used: Use<'_>, now: Timestamp) -> Option<Hint> {
    let is_young = |at: Timestamp| now.duration_since(at) < SEEN_FOR;
    if used.scopes.is_empty() || key.created_at.is_some_and(is_young) || used.since.is_some_and(is_young) {
        return None;
    }
    let granted = key.scopes.iter().filter(|name| *name != MANAGE);
    let unused: Vec<_> = granted.filter(|name| !used.scopes.contains_key(*name)).cloned().collect();
    let needed = used.scopes.keys().filter_map(|name| rules.scopes.get(name));
    let needed = needed.fold(ScopeSet::EMPTY, ScopeSet::union);
    let enough = rules.scopes.least_names(needed).map(str::to_owned).collect();
    (!unused.is_empty()).then_some(Hint::Broader { unused, enough })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{digest::KeyDigest, record::KeyId};

    fn key(created_days_ago: i64, expires_in_days: Option<i64>, scopes: &[&str]) -> KeyRecord {
        let days = |days: i64| now().checked_add(SignedDuration::from_hours(24 * days)).unwrap();
        KeyRecord {
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            created_at: Some(days(-created_days_ago)),
            expires_at: expires_in_days.map(days),
            ..KeyRecord::new(KeyId::parse("k1").unwrap(), KeyDigest::of(b"secret"))
        }
    }

    fn now() -> Timestamp {
        "2026-11-22T00:00:00Z".parse().unwrap()
    }

    fn ago(days: i64) -> Timestamp {
        now().checked_sub(SignedDuration::from_hours(24 * days)).unwrap()
    }

    #[test]
    fn what_is_worth_a_look() {
        let broader = |unused: &[&str], enough: &[&str]| Hint::Broader {
            unused: unused.iter().map(|name| (*name).to_owned()).collect(),
            enough: enough.iter().map(|name| (*name).to_owned()).collect(),
        };
        let year = Some(365);
        for (name, key, last, scopes, expected) in [
            ("fine", key(100, year, &["write"]), Some(ago(1)), &["write", "read"][..], vec![]),
            ("for ever", key(1, None, &["read"]), None, &[], vec![Hint::NeverExpires]),
            ("ends soon", key(1, Some(7), &["read"]), None, &[], vec![Hint::ExpiresSoon(ago(-7))]),
            ("ends later", key(1, Some(8), &["read"]), None, &[], vec![]),
            ("never used", key(90, year, &["read"]), None, &[], vec![Hint::Unused(None)]),
            ("not used yet", key(89, year, &["read"]), None, &[], vec![]),
            (
                "not used since",
                key(400, year, &["read"]),
                Some(ago(90)),
                &["read"],
                vec![Hint::Unused(Some(ago(90)))],
            ),
            (
                "reads only",
                key(40, year, &["write"]),
                Some(ago(1)),
                &["read"],
                vec![broader(&["write"], &["read"])],
            ),
            ("reads only so far", key(29, year, &["write"]), Some(ago(1)), &["read"], vec![]),
            ("manages", key(400, year, &[MANAGE]), None, &[], vec![]),
            (
                "both",
                key(40, None, &["admin", "read"]),
                Some(ago(2)),
                &["read", "write"],
                vec![Hint::NeverExpires, broader(&["admin"], &["write"])],
            ),
        ] {
            let scopes = scopes.iter().map(|scope| ((*scope).to_owned(), now())).collect();
            let used = Use { last, since: None, scopes: &scopes };
            let rules = KeyRules::without_config([&key]);
            assert_eq!(hints(&key, &rules, Some(used), now()), expected, "{name}");
        }
        let old = key(400, year, &["read"]);
        let rules = KeyRules::without_config([&old]);
        assert_eq!(hints(&old, &rules, None, now()), []);
        let none = BTreeMap::new();
        let just_counted = Use { last: None, since: Some(ago(10)), scopes: &none };
        assert_eq!(hints(&old, &rules, Some(just_counted), now()), []);
    }
}
