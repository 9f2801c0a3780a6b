//! Uses of keys: what is counted apart, what is dropped, and what the file keeps.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::{
    policy::{reason::Reason, scope::ScopeDefinition},
    telemetry::{
        metrics::{BuildInfo, Metrics},
        outcome::{AbortedBy, KeyId},
        trace_context::{RequestId, TraceId},
    },
};

const HOUR: i64 = MS_PER_HOUR;

/// Of the secret of the key `id`.
fn digest_of(id: &str, secret: SecretSlot) -> KeyDigest {
    KeyDigest::of(format!("{id} {}", secret.as_str()).as_bytes())
}

fn outcome(id: &str, secret: SecretSlot, end: End, status: u16) -> RequestOutcome {
    RequestOutcome {
        end,
        door: None,
        observed: None,
        status,
        upgraded: false,
        revision: 1,
        client: Ipv4Addr::LOCALHOST.into(),
        key: Some(KeyUse { id: KeyId::from(id).unwrap(), secret, digest: digest_of(id, secret) }),
        needed: NeededScopes::default(),
        request_id: RequestId::default(),
        trace_id: TraceId::default(),
        received_bytes: 0,
        sent_bytes: 0,
        duration: std::time::Duration::ZERO,
        first_byte: None,
    }
}

fn metrics() -> WorkerMetrics {
    let build = BuildInfo { version: "0", revision: "0", target: "t" };
    Metrics::new(build, Timestamp::UNIX_EPOCH).worker()
}

fn totals(received: &mut Receiver<UsageBatch>) -> UsageTotals {
    let mut totals = UsageTotals::new(Timestamp::UNIX_EPOCH);
    while let Ok(batch) = received.try_recv() {
        totals.add(&batch);
    }
    totals
}

#[test]
fn uses_are_counted_by_outcome_hour_and_secret() {
    let (sender, mut received) = usage_channel();
    let (mut usage, metrics) = (WorkerUsage::new(sender), metrics());
    let (current, previous) = (SecretSlot::Current, SecretSlot::Previous);
    for (secret, end, status, at) in [
        (current, End::Forwarded, 200, 10),
        (current, End::Forwarded, 404, 20),
        (previous, End::Forwarded, 502, 30),
        (current, End::Refused(Reason::ScopeInsufficient), 403, HOUR + 5),
        (current, End::Aborted(AbortedBy::Client), 200, HOUR + 4),
    ] {
        usage.record(&outcome("k", secret, end, status), at, &metrics);
    }
    usage.hand_over();
    let totals = totals(&mut received);
    let key = &totals.keys["k"];
    let counts = UseCounts { ok: 1, client_error: 1, server_error: 0, refused: 1, aborted: 1 };
    assert_eq!(key.current.total, counts);
    assert_eq!(key.current.hours.iter().map(|hour| hour.counts.sum()).collect::<Vec<_>>(), [2, 2]);
    assert_eq!(key.current.last_used.unwrap().at, timestamp(HOUR + 4));
    assert_eq!(key.current.last_refused, Some(timestamp(HOUR + 5)));
    assert_eq!(key.previous.as_ref().unwrap().total.server_error, 1);
    assert_eq!(key.last_used().unwrap().at, timestamp(HOUR + 4));
}

#[test]
fn rotation_keeps_old_and_new_apart_until_it_ends() {
    let (sender, mut received) = usage_channel();
    let (mut usage, metrics) = (WorkerUsage::new(sender), metrics());
    usage.record(&outcome("k", SecretSlot::Current, End::Forwarded, 200), 1, &metrics);
    usage.hand_over();
    let mut totals = totals(&mut received);
    let keys = |current: &str, previous: Option<&str>| {
        let marks = SecretMarks { current: current.into(), previous: previous.map(Into::into) };
        BTreeMap::from([("k".to_owned(), marks), ("never-used".to_owned(), SecretMarks::default())])
    };
    let counted = |totals: &UsageTotals| {
        let key = &totals.keys["k"];
        (key.current.total.ok, key.previous.as_ref().map(|previous| previous.total.ok))
    };
    totals.identify(&keys("one", None));
    for (current, previous, expected) in [
        ("one", None, (1, None)),
        ("two", Some("one"), (0, Some(1))),
        ("two", Some("one"), (0, Some(1))),
        // Rotated again within the overlap: what is counted of the first is not lost.
        ("three", Some("two"), (0, Some(1))),
        ("three", None, (1, None)),
        // Replaced without an overlap.
        ("four", None, (1, None)),
    ] {
        totals.follow(&keys(current, previous));
        assert_eq!(counted(&totals), expected, "{current} {previous:?}");
    }
    assert_eq!(totals.keys["k"].last_used().unwrap().at, timestamp(1));
    assert_eq!(totals.keys.len(), 1, "only keys that were used are kept");
    totals.retain(|id| id != "k");
    assert!(totals.keys.is_empty());
}

#[test]
fn a_full_record_drops_and_counts_and_a_full_channel_loses_nothing() {
    let (sender, mut received) = usage_channel();
    let (mut usage, metrics) = (WorkerUsage::new(sender), metrics());
    for n in 0..BATCH_MAX + 3 {
        usage.record(&outcome(&n.to_string(), SecretSlot::Current, End::Forwarded, 200), 0, &metrics);
    }
    assert_eq!(metrics.usage_dropped.get(), 3);
    assert_eq!(usage.pending(), BATCH_MAX as u64);
    usage.hand_over();
    for hour in 1..200 {
        usage.record(&outcome("k", SecretSlot::Current, End::Forwarded, 200), hour * HOUR, &metrics);
        usage.hand_over();
    }
    let mut totals = totals(&mut received);
    usage.hand_over();
    totals.add(&received.try_recv().unwrap());
    assert_eq!(totals.keys["k"].current.total.ok, 199);
    assert_eq!(totals.keys["k"].current.hours.len(), HOURS_KEPT);
    assert_eq!(totals.keys.len(), BATCH_MAX + 1);
}

#[test]
fn a_request_without_key_is_no_use() {
    let (sender, mut received) = usage_channel();
    let mut usage = WorkerUsage::new(sender);
    let nobody = RequestOutcome { key: None, ..outcome("k", SecretSlot::Current, End::Forwarded, 200) };
    usage.record(&nobody, 0, &metrics());
    usage.hand_over();
    assert!(received.try_recv().is_err());
}

proptest! {
    #[test]
    fn totals_survive_their_file(uses in proptest::collection::vec((0..5u8, any::<bool>(), 0..100 * HOUR), 0..60)) {
        let (sender, mut received) = usage_channel();
        let (mut usage, metrics) = (WorkerUsage::new(sender), metrics());
        let count = uses.len() as u64;
        let mut seen = UsageTotals::new(Timestamp::UNIX_EPOCH);
        for (id, previous, at) in uses {
            let secret = if previous { SecretSlot::Previous } else { SecretSlot::Current };
            usage.record(&outcome(&id.to_string(), secret, End::Forwarded, 200), at, &metrics);
            usage.hand_over();
            seen.add(&received.try_recv().unwrap());
        }
        let read: UsageTotals = serde_json::from_str(&serde_json::to_string(&seen).unwrap()).unwrap();
        prop_assert_eq!(&read, &seen);
        let sum = |key: &KeyUsage| key.current.total.sum() + key.previous.as_ref().map_or(0, |old| old.total.sum());
        prop_assert_eq!(seen.keys.values().map(sum).sum::<u64>(), count);
    }
}

fn scopes(names: &[&str]) -> Scopes {
    let definitions =
        names.iter().map(|name| ScopeDefinition { name: (*name).to_owned(), implies: Vec::new() });
    Scopes::build(&definitions.collect::<Vec<_>>()).unwrap()
}

#[test]
fn scopes_that_requests_needed_are_kept_by_name_whatever_the_table_becomes() {
    let (sender, mut received) = usage_channel();
    let (mut usage, metrics) = (WorkerUsage::new(sender), metrics());
    let [old, new] = [scopes(&["read", "write", "gone"]), scopes(&["write", "new", "read"])];
    let permitted = |usage: &WorkerUsage, table: &Scopes, name: &str| RequestOutcome {
        needed: usage.needed(table.get(name).unwrap()),
        ..outcome("k", SecretSlot::Current, End::Forwarded, 200)
    };
    let known = |received: &mut Receiver<UsageBatch>| {
        let totals = totals(received);
        let scopes = totals.keys.get("k").map(|key| key.scopes.clone()).unwrap_or_default();
        scopes.into_iter().map(|(scope, at)| (scope, at.as_millisecond())).collect::<Vec<_>>()
    };
    usage.set_scopes(&old);
    let [late_write, late_gone] = ["write", "gone"].map(|name| permitted(&usage, &old, name));
    usage.record(&permitted(&usage, &old, "gone"), 1, &metrics);
    usage.record(
        &outcome("k", SecretSlot::Current, End::Refused(Reason::ScopeInsufficient), 403),
        2,
        &metrics,
    );
    // What was gathered is handed over by the names that it was gathered under.
    usage.set_scopes(&new);
    assert_eq!(known(&mut received), [("gone".to_owned(), 1)]);

    usage.set_scopes(&new.clone());
    usage.record(&permitted(&usage, &new, "new"), 3, &metrics);
    // Requests that began under the old table: same bits, other names.
    usage.record(&late_write, 4, &metrics);
    usage.record(&late_gone, 5, &metrics);
    usage.hand_over();
    assert_eq!(known(&mut received), ["new", "write"].map(|name| (name.to_owned(), 4)));

    for n in 0..20 {
        usage.set_scopes(&scopes(&[&format!("s{n}"), "write"]));
    }
    usage.record(&late_write, 6, &metrics);
    usage.hand_over();
    assert_eq!(known(&mut received), [], "so old a request tells nothing, and nothing wrong");
}

#[test]
fn of_a_batch_that_cannot_be_handed_over_no_scope_gets_a_wrong_name() {
    let (sender, mut received) = usage_channel();
    let (mut usage, metrics) = (WorkerUsage::new(sender), metrics());
    let full: Vec<_> =
        (0..WAITING_BATCHES).map(|_| usage.batches.clone().try_reserve_owned().unwrap()).collect();
    usage.set_scopes(&scopes(&["read", "write"]));
    let needed = usage.needed(scopes(&["read", "write"]).get("write").unwrap());
    let permitted = RequestOutcome { needed, ..outcome("k", SecretSlot::Current, End::Forwarded, 200) };
    usage.record(&permitted, 1, &metrics);
    usage.set_scopes(&scopes(&["admin", "other", "write"]));
    drop(full);
    usage.hand_over();
    let totals = totals(&mut received);
    assert_eq!(totals.keys["k"].scopes.keys().collect::<Vec<_>>(), ["write"]);
}

#[test]
fn too_many_scopes_forget_the_one_not_needed_for_longest() {
    let mut usage = KeyUsage::default();
    for n in 0..SCOPES_KEPT + 2 {
        usage.need(&format!("s{n}"), timestamp(i64::try_from(n).unwrap() + 10));
    }
    usage.need("s5", timestamp(3));
    assert_eq!((usage.scopes.len(), usage.scopes.contains_key("s1")), (SCOPES_KEPT, false));
    assert_eq!(usage.scopes["s5"], timestamp(15), "what is known to be later stays");
}
