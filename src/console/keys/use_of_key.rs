//! How a key is used: by day, by scope, and by secret while two of them work.

use std::time::Duration;

use askama::Template;
use jiff::{SignedDuration, Timestamp, ToSpan as _, tz::TimeZone};

use crate::{
    console::{
        answer::Failure,
        chart::{Chart, Form, Line, Measure},
        markup::Markup,
        sparkline::{DAYS, daily},
        times::Time,
        visitor::Visitor,
    },
    control::{administration::Administration, listing::KnownUses},
    keys::{record::KeyRecord, rules::KeyRules},
    policy::scope::MANAGE,
    store::contract::UsageRow,
    telemetry::usage::{HourUsage, KeyUsage, LastUse, UseCounts, secret_mark},
};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// What was not refused.
pub(super) fn answered(counts: UseCounts) -> u64 {
    counts.sum().saturating_sub(counts.refused)
}

/// The uses of a key in the last 30 days, hour by hour, of each secret.
pub(super) struct Hours(Vec<(String, HourUsage, Option<LastUse>)>);

impl Hours {
    /// What is stored of `key`.
    pub(super) async fn of(
        administration: &Administration,
        key: &KeyRecord,
        known: Option<&KnownUses>,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let days = i64::try_from(DAYS).unwrap_or(30);
        let since = now.checked_sub(SignedDuration::from_hours(24 * days)).unwrap_or(Timestamp::MIN);
        if let Some(database) = administration.database() {
            let rows = database.usage_since(&key.id, since).await?;
            let hour = |row: UsageRow| {
                (row.secret, HourUsage { start: row.hour, counts: row.counts }, row.last_used)
            };
            return Ok(Self(rows.into_iter().map(hour).collect()));
        }
        let usage = known.and_then(|known| known.keys.get(key.id.as_str()));
        Ok(Self(usage.map(|usage| kept(key, usage)).unwrap_or_default()))
    }

    /// Requests in the last 24 hours that were not refused.
    pub(super) fn last_day(&self, now: Timestamp) -> u64 {
        let is_recent = |start: Timestamp| now.duration_since(start) < 25 * HOUR;
        let recent = self.0.iter().filter(|(_, hour, _)| is_recent(hour.start));
        recent.map(|(_, hour, _)| answered(hour.counts)).fold(0, u64::saturating_add)
    }

    /// One bar a day; `None`: there was no use.
    pub(super) fn chart(&self, now: Timestamp) -> Option<Markup> {
        if self.0.is_empty() {
            return None;
        }
        let last = now.to_zoned(TimeZone::UTC).date();
        let days = daily(self.0.iter().map(|(_, hour, _)| *hour), last);
        let back = (0_i64..).take(days.len()).filter_map(|ago| last.checked_sub(ago.days()).ok());
        let mut times: Vec<_> =
            back.filter_map(|date| Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp())).collect();
        times.reverse();
        let line = |name: &str, count: fn(UseCounts) -> u64| Line {
            name: name.to_owned(),
            values: days.iter().map(|day| Some(count(*day))).collect(),
        };
        let chart = Chart {
            name: "use",
            title: format!("Requests in the last {DAYS} days"),
            form: Form::StackedBars,
            measure: Measure::Count,
            step: Duration::from_hours(24),
            times,
            series: vec![line("let through", answered), line("refused", |counts| counts.refused)],
        };
        Some(chart.figure())
    }

    /// The hours of one secret.
    fn of_secret<'h>(
        &'h self,
        mark: &'h str,
    ) -> impl Iterator<Item = &'h (String, HourUsage, Option<LastUse>)> {
        self.0.iter().filter(move |(secret, ..)| secret == mark)
    }
}

/// What a gateway keeps of keys in files: 48 hours.
fn kept(key: &KeyRecord, usage: &KeyUsage) -> Vec<(String, HourUsage, Option<LastUse>)> {
    let current = (secret_mark(&key.digest), &usage.current);
    let previous = key.previous.as_ref().map(|previous| secret_mark(&previous.digest));
    let secrets = [Some(current), previous.zip(usage.previous.as_ref())];
    let hours = secrets.into_iter().flatten().flat_map(|(mark, secret)| {
        secret.hours.iter().map(move |hour| (mark.clone(), *hour, secret.last_used))
    });
    hours.collect()
}

/// Two secrets that both work, and how they are used.
pub(super) struct RotationView {
    pub(super) key_id: String,
    pub(super) ended: bool,
    pub(super) overlap_ends: Time,
    pub(super) new_prefix: String,
    pub(super) new_count: u64,
    pub(super) new_last: Option<Time>,
    pub(super) old_count: u64,
    pub(super) old_last: Option<Time>,
    pub(super) quiet: bool,
    pub(super) sentence: String,
}

#[derive(Template)]
#[template(path = "rotation_live.html")]
pub(super) struct LiveRotation {
    pub(super) rotation: RotationView,
}

impl RotationView {
    /// The last rotation of `key`; `None`: it never was, or nobody knows of it any more.
    pub(super) fn of(visitor: &Visitor, key: &KeyRecord, hours: &Hours) -> Option<Self> {
        let previous = key.previous.as_ref()?;
        let now = visitor.now;
        let of_secret = |mark: String| {
            // This hour and the one before: uses are counted by the hour.
            let is_recent = |start: Timestamp| now.duration_since(start) < 2 * HOUR;
            let recent = hours.of_secret(&mark).filter(|(_, hour, _)| is_recent(hour.start));
            let count = recent.map(|(_, hour, _)| answered(hour.counts)).fold(0, u64::saturating_add);
            let last = hours.of_secret(&mark).filter_map(|(.., last)| last.map(|last| last.at)).max();
            (count, last)
        };
        let (new_count, new_last) = of_secret(secret_mark(&key.digest));
        let (old_count, old_last) = of_secret(secret_mark(&previous.digest));
        let sentence = match (old_count, old_count.saturating_add(new_count)) {
            (_, 0) => "No request came with either secret in this hour and the last.".to_owned(),
            (old, all) => {
                format!("{old} of {all} requests in this hour and the last came with the old secret.")
            }
        };
        Some(Self {
            key_id: key.id.to_string(),
            ended: previous.until <= now || key.revoked.is_some(),
            overlap_ends: visitor.time(previous.until),
            new_prefix: key.prefix.as_ref().map(ToString::to_string).unwrap_or_default(),
            new_count,
            new_last: new_last.map(|at| visitor.time(at)),
            old_count,
            old_last: old_last.map(|at| visitor.time(at)),
            quiet: old_count == 0 && new_count > 0,
            sentence,
        })
    }

    /// Whether the secret before still works.
    pub(super) fn is_under_way(&self) -> bool {
        !self.ended
    }
}

/// A scope, and whether requests needed it.
pub(super) struct ScopeUse {
    pub(super) name: String,
    pub(super) granted: bool,
    pub(super) when: Option<Time>,
}

/// The scopes of `key` and those that its requests needed; none where nobody knows of any.
pub(super) fn scopes(
    visitor: &Visitor,
    key: &KeyRecord,
    rules: &KeyRules,
    known: Option<&KnownUses>,
) -> Vec<ScopeUse> {
    let Some(usage) = known.and_then(|known| known.keys.get(key.id.as_str())) else { return Vec::new() };
    if usage.scopes.is_empty() {
        return Vec::new();
    }
    let granted = key.scopes.iter().map(String::as_str).filter(|name| *name != MANAGE);
    let implied = rules.scopes.names(rules.closure(&key.scopes)).filter(|name| !key.is_granted(name));
    let row = |name: &str| ScopeUse {
        name: name.to_owned(),
        granted: key.is_granted(name),
        when: usage.scopes.get(name).map(|at| visitor.time(*at)),
    };
    granted.chain(implied).map(row).collect()
}
