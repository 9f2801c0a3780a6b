//! How somebody's own keys were used lately.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};

use crate::{
    console::{
        answer::Failure,
        chart::{Chart, Form, Line, Measure},
        visitor::Visitor,
    },
    control::{administration::AdminError, listing, usage_view::UsageView},
    store::contract::KeyQuery,
    telemetry::usage::UseCounts,
};

/// Hours that are shown.
const HOURS: i64 = 48;

/// Keys that are counted, the newest.
const KEYS_MAX: usize = 20;

/// Requests with the keys of whoever asks, hour by hour.
pub(super) async fn chart(visitor: &Visitor) -> Result<Chart, Failure> {
    let administration = visitor.administration();
    let owner = Some(visitor.caller.person.id.clone());
    let query = KeyQuery { owner, limit: KEYS_MAX, now: visitor.now, ..KeyQuery::default() };
    let keys = match listing::keys_page(&mut administration.look().await?, query).await {
        Ok(page) => page.records,
        Err(AdminError::Forbidden(_)) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let times = hours(visitor.now);
    let mut counts: BTreeMap<Timestamp, UseCounts> =
        times.iter().map(|at| (*at, UseCounts::default())).collect();
    let since = times.first().copied().unwrap_or(visitor.now);
    for owned in &keys {
        for hour in UsageView::of(&administration, owned, since, visitor.now).await?.hours {
            let at = hour.hour.parse().ok();
            if let Some(sum) = at.and_then(|at: Timestamp| counts.get_mut(&at)) {
                sum.add(hour.counts);
            }
        }
    }
    let line = |name: &str, count: fn(&UseCounts) -> u64| Line {
        name: name.to_owned(),
        values: counts.values().map(|counts| Some(count(counts))).collect(),
    };
    Ok(Chart {
        name: "own-use",
        title: "Requests with your keys".to_owned(),
        form: Form::StackedBars,
        measure: Measure::Count,
        step: Duration::from_hours(1),
        series: vec![
            line("answered, below 400", |counts| counts.ok),
            line("4xx of the upstream", |counts| counts.client_error),
            line("5xx of the upstream", |counts| counts.server_error),
            line("refused", |counts| counts.refused),
            line("broken off", |counts| counts.aborted),
        ],
        times,
    })
}

/// The beginnings of the last hours, the one that goes on included.
fn hours(now: Timestamp) -> Vec<Timestamp> {
    let this = Timestamp::from_second(now.as_second() / 3600 * 3600).unwrap_or(now);
    let before = |hours| this.checked_sub(SignedDuration::from_hours(hours)).ok();
    (0..HOURS).rev().filter_map(before).collect()
}
