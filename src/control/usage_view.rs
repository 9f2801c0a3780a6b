//! The uses of a key as they are shown, hour by hour.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    administration::{AdminError, Administration},
    listing,
};
use crate::{
    keys::record::KeyRecord,
    store::{contract::OwnedKey, record_yaml::instant},
    telemetry::usage::{KeyUsage, LastUse, SecretUsage, UseCounts, secret_mark},
};

/// The uses of a key.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct UsageView {
    /// Hours in which it was used, newest first; of each secret one.
    pub hours: Vec<HourView>,
    /// Scopes that its requests needed, by name.
    pub scopes: Vec<ScopeUseView>,
}

/// The uses of one secret within one hour.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct HourView {
    /// The hour's beginning.
    pub hour: String,
    /// Which of its secrets: `current`, `previous` while a rotation overlaps, or `earlier`.
    pub secret: &'static str,
    /// How often, by outcome.
    pub counts: UseCounts,
    /// The last use that was not refused, where that is kept by the hour.
    pub last_used: Option<LastUse>,
}

/// That requests of a key needed a scope.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ScopeUseView {
    /// Its name.
    pub scope: String,
    /// When last.
    pub last_used: String,
}

impl UsageView {
    /// The uses of `owned` in the hours that began at `since` or later.
    ///
    /// # Errors
    /// Where a database cannot be read.
    pub async fn of(
        administration: &Administration,
        owned: &OwnedKey,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Self, AdminError> {
        let known = listing::known_uses(administration, std::slice::from_ref(owned), now).await?;
        let usage = known.and_then(|mut known| known.keys.remove(owned.key.id.as_str())).unwrap_or_default();
        let hours = match administration.database() {
            Some(database) => {
                let rows = database.usage_since(&owned.key.id, since).await?;
                let hour = |row: crate::store::contract::UsageRow| HourView {
                    hour: instant(row.hour),
                    secret: secret(&owned.key, &row.secret, now),
                    counts: row.counts,
                    last_used: row.last_used,
                };
                rows.into_iter().map(hour).collect()
            }
            None => hours_of(&usage, since),
        };
        let scope = |(scope, at): (&String, &Timestamp)| ScopeUseView {
            scope: scope.clone(),
            last_used: instant(*at),
        };
        Ok(Self { hours, scopes: usage.scopes.iter().map(scope).collect() })
    }
}

/// Which secret of `key` has this mark.
fn secret(key: &KeyRecord, mark: &str, now: Timestamp) -> &'static str {
    let previous = key.previous.as_ref().filter(|previous| previous.until > now);
    if secret_mark(&key.digest) == mark {
        "current"
    } else if previous.is_some_and(|previous| secret_mark(&previous.digest) == mark) {
        "previous"
    } else {
        "earlier"
    }
}

fn hours_of(usage: &KeyUsage, since: Timestamp) -> Vec<HourView> {
    let of_secret = |secret: &'static str, usage: &SecretUsage| -> Vec<HourView> {
        let hours = usage.hours.iter().filter(|hour| hour.start >= since);
        hours
            .map(|hour| HourView { hour: instant(hour.start), secret, counts: hour.counts, last_used: None })
            .collect()
    };
    let mut hours = of_secret("current", &usage.current);
    hours.extend(usage.previous.iter().flat_map(|previous| of_secret("previous", previous)));
    hours.sort_by(|one, other| other.hour.cmp(&one.hour));
    hours
}
