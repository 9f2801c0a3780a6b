//! What part of each limit this replica has: an equal one, and of keys that are asked for unevenly one that follows demand.
//! The database is where replicas tell each other; requests never wait for it.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::timeout;

use crate::{
    clock,
    keys::record::KeyId,
    limit::{
        cells::{KeyShares, Limits},
        share::{Claim, Share, claim, equal},
    },
    live::Live,
    policy::{
        plan::{Plans, Quota},
        principal::KeyIdText,
    },
    store::contract::{Database, FleetLimits, LIVE_WITHIN, LimitClaim},
};

/// The most keys that a replica tells of; others have an equal share everywhere.
const KEYS_TOLD: usize = 256;
/// How long a turn may take; without it the shares stay as they are.
const PATIENCE: Duration = Duration::from_secs(2);

/// A replica's part in dividing limits.
#[derive(Debug)]
pub(super) struct LimitShares {
    replica: String,
    database: Arc<dyn Database>,
    live: Live,
    /// When demand was last measured, on the boot clock.
    measured: Cell<Duration>,
    /// When the last turn was had.
    shared: Cell<Duration>,
    /// What keys were asked for when it was last measured.
    asked: RefCell<BTreeMap<KeyIdText, Asked>>,
    /// Keys that have shares of their own here.
    held: RefCell<BTreeMap<KeyIdText, KeyShares>>,
}

/// What a key is asked for here, in millionths of its limits.
#[derive(Debug, Clone, Copy, Default)]
struct Asked {
    rate: u32,
    concurrent: u32,
    quota: Option<Quota>,
}

impl LimitShares {
    pub(super) fn new(replica: String, database: Arc<dyn Database>, live: Live) -> Self {
        let now = clock::boot();
        Self {
            replica,
            database,
            live,
            measured: Cell::new(now),
            shared: Cell::new(now),
            asked: RefCell::default(),
            held: RefCell::default(),
        }
    }

    /// Takes this replica's turn among so many that live. Where it has none, what it had stays, for as long as others count it
    /// among the living.
    pub(super) async fn take_turn(&self, replicas: usize) {
        let now = clock::boot();
        let config = Arc::clone(&self.live.current().config);
        if replicas <= 1 || config.policy.plans.is_empty() {
            return self.settle(&BTreeMap::new(), equal(replicas.max(1)), now);
        }
        self.measure(&config.policy.plans, now);
        let asked = self.asked.borrow().clone();
        let held = self.held.borrow().clone();
        let (replica, limits) = (self.replica.as_str(), self.live.limits());
        let mut decided = None;
        let mut take = |fleet: &FleetLimits| {
            let own = divide(replica, fleet, &asked);
            let equal = equal(others(replica, fleet).count() + 1);
            let shares = own.iter().map(|claim| (claim.key.text(), shares_of(claim))).collect();
            // What is given up is given up before others may take it.
            lower(limits, &held, &shares, equal, &asked);
            decided = Some((shares, equal));
            own
        };
        let turn = timeout(PATIENCE, self.database.share_limits(replica, &mut take)).await;
        match (turn, decided) {
            (Ok(Ok(())), Some((shares, equal))) => self.settle(&shares, equal, now),
            (Ok(Err(error)), _) => {
                tracing::debug!(%error, "limits are not divided anew");
                self.lose_contact();
            }
            (Ok(Ok(())) | Err(_), _) => self.lose_contact(),
        }
    }

    /// The database does not answer. Once others no longer count this replica among the living, it has an equal share of the
    /// last fleet that it knew: never more, and never nothing.
    pub(super) fn lose_contact(&self) {
        if clock::boot().saturating_sub(self.shared.get()) >= LIVE_WITHIN {
            let limits = self.live.limits();
            for (key, _) in std::mem::take(&mut *self.held.borrow_mut()) {
                limits.set_shares(key, None, self.quota(key));
            }
        }
    }

    /// What keys were asked for since the last time. Half of what they were asked for before counts too, so that a pause of a
    /// moment gives nothing away.
    fn measure(&self, plans: &Plans, now: Duration) {
        let passed = now.saturating_sub(self.measured.replace(now)).as_nanos().max(1);
        let before = self.asked.take();
        let mut asked = BTreeMap::new();
        for demand in self.live.limits().demands() {
            let Some(plan) = plans.get(demand.plan) else { continue };
            let old = before.get(&demand.key).copied().unwrap_or_default();
            let rate = plan.quota.map_or(0, |quota| {
                millionths(u128::from(demand.asked) * u128::from(quota.interval_ns()), passed)
            });
            let concurrent = plan.concurrent.map_or(0, |most| millionths(demand.at_once.into(), most.into()));
            let new = Asked {
                rate: rate.max(old.rate / 2),
                concurrent: concurrent.max(old.concurrent / 2),
                quota: plan.quota,
            };
            if new.rate > 0 || new.concurrent > 0 {
                asked.insert(demand.key, new);
            }
        }
        *self.asked.borrow_mut() = asked;
    }

    /// From now on these keys have these shares, and all others that of the fleet.
    fn settle(&self, shares: &BTreeMap<KeyIdText, KeyShares>, equal: Share, now: Duration) {
        let limits = self.live.limits();
        limits.set_fleet_share(equal);
        let before = self.held.replace(shares.clone());
        for key in before.keys().filter(|key| !shares.contains_key(*key)) {
            limits.set_shares(*key, None, self.quota(*key));
        }
        for (key, shares) in shares {
            limits.set_shares(*key, Some(*shares), self.quota(*key));
        }
        self.shared.set(now);
    }

    fn quota(&self, key: KeyIdText) -> Option<Quota> {
        self.asked.borrow().get(&key).and_then(|asked| asked.quota)
    }
}

/// Takes from `limits` what is less than before.
fn lower(
    limits: &Limits,
    held: &BTreeMap<KeyIdText, KeyShares>,
    shares: &BTreeMap<KeyIdText, KeyShares>,
    equal: Share,
    asked: &BTreeMap<KeyIdText, Asked>,
) {
    let fleet = limits.fleet_share().min(equal);
    limits.set_fleet_share(fleet);
    let unsaid = KeyShares { rate: fleet, concurrent: fleet };
    for key in held.keys().chain(shares.keys()).collect::<BTreeSet<_>>() {
        let before = held.get(key).copied().unwrap_or(unsaid);
        let after = shares.get(key).copied().unwrap_or(unsaid);
        let less = KeyShares {
            rate: before.rate.min(after.rate),
            concurrent: before.concurrent.min(after.concurrent),
        };
        limits.set_shares(*key, Some(less), asked.get(key).and_then(|asked| asked.quota));
    }
}

/// What `replica` claims, where the fleet says this and it is asked for that.
fn divide(replica: &str, fleet: &FleetLimits, asked: &BTreeMap<KeyIdText, Asked>) -> Vec<LimitClaim> {
    let replicas = others(replica, fleet).count() + 1;
    if replicas == 1 {
        return Vec::new();
    }
    let is_told = |claim: &Claim| claim.is_worth_telling(replicas);
    let mut said: BTreeMap<KeyIdText, Vec<&LimitClaim>> = BTreeMap::new();
    let mut order = Vec::new();
    let mut own: Vec<_> = asked.iter().map(|(key, asked)| (asked.rate.max(asked.concurrent), *key)).collect();
    own.retain(|(demand, _)| is_told(&Claim { demand: *demand, share: Share::WHOLE }));
    own.sort_unstable_by(|a, b| b.cmp(a));
    // Half of the room is for what others are asked for.
    order.extend(own.into_iter().take(KEYS_TOLD / 2).map(|(_, key)| key));
    for claim in &fleet.claims {
        said.entry(claim.key.text()).or_default().push(claim);
        order.push(claim.key.text());
    }
    let mut seen = BTreeSet::new();
    let mut claims = Vec::new();
    for key in order {
        if claims.len() >= KEYS_TOLD || !seen.insert(key) {
            continue;
        }
        let said = said.get(&key).map(Vec::as_slice).unwrap_or_default();
        let of = |live: &String| said.iter().find(|claim| claim.replica == *live);
        let claims_of = |limit: fn(&LimitClaim) -> Claim| -> Vec<Claim> {
            let claim = |live: &String| of(live).map_or(Claim::unsaid(replicas), |claim| limit(claim));
            others(replica, fleet).map(claim).collect()
        };
        let asked = asked.get(&key).copied().unwrap_or_default();
        let next = |demand: u32, others: &[Claim]| Claim { demand, share: claim(demand, others) };
        let (rates, concurrents) = (claims_of(|claim| claim.rate), claims_of(|claim| claim.concurrent));
        let rate = next(asked.rate, &rates);
        let concurrent = next(asked.concurrent, &concurrents);
        let is_uneven = rate.share != equal(replicas) || concurrent.share != equal(replicas);
        let mut all = rates.iter().chain(&concurrents).chain([&rate, &concurrent]);
        if let Ok(id) = KeyId::parse(&key)
            && (is_uneven || all.any(is_told))
        {
            claims.push(LimitClaim { replica: replica.to_owned(), key: id, rate, concurrent });
        }
    }
    claims
}

/// The other replicas that live.
fn others<'f>(replica: &'f str, fleet: &'f FleetLimits) -> impl Iterator<Item = &'f String> {
    fleet.replicas.iter().filter(move |live| **live != *replica)
}

fn shares_of(claim: &LimitClaim) -> KeyShares {
    KeyShares { rate: claim.rate.share, concurrent: claim.concurrent.share }
}

/// `part` of `whole`, in millionths.
fn millionths(part: u128, whole: u128) -> u32 {
    u32::try_from(part.saturating_mul(1_000_000) / whole.max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> KeyIdText {
        KeyIdText::from(name).unwrap()
    }

    fn fleet(replicas: &[&str]) -> FleetLimits {
        FleetLimits { replicas: replicas.iter().map(ToString::to_string).collect(), claims: Vec::new() }
    }

    /// Replicas that take turns, each with what it is asked for of each key.
    fn turns(fleet: &mut FleetLimits, asked: &[(&str, &[(&str, u32)])]) {
        for (replica, keys) in asked {
            let asked =
                keys.iter().map(|(name, rate)| (key(name), Asked { rate: *rate, ..Asked::default() }));
            let own = divide(replica, fleet, &asked.collect());
            fleet.claims.retain(|claim| claim.replica != *replica);
            fleet.claims.extend(own);
        }
    }

    fn shares(fleet: &FleetLimits, name: &str) -> Vec<(String, u32)> {
        let of = fleet.claims.iter().filter(|claim| claim.key.as_str() == name);
        of.map(|claim| (claim.replica.clone(), claim.rate.share.parts())).collect()
    }

    #[test]
    fn whoever_is_asked_most_gets_what_others_leave() {
        let mut fleet = fleet(&["a", "b", "c"]);
        let load: &[(&str, &[(&str, u32)])] =
            &[("a", &[("k", 1_700_000)]), ("b", &[("k", 160_000)]), ("c", &[])];
        turns(&mut fleet, load);
        turns(&mut fleet, load);
        let shares = shares(&fleet, "k");
        assert!(shares.iter().map(|(_, parts)| parts).sum::<u32>() <= Share::WHOLE.parts(), "{shares:?}");
        assert!(shares.contains(&("c".to_owned(), 12_012)) && shares[0].1 > 560_000, "{shares:?}");
    }

    #[test]
    fn keys_that_are_asked_for_a_little_are_not_told() {
        let mut fleet = fleet(&["a", "b"]);
        turns(&mut fleet, &[("a", &[("k", 240_000), ("l", 260_000)]), ("b", &[])]);
        assert!(shares(&fleet, "k").is_empty());
        assert_eq!(shares(&fleet, "l").len(), 2);
        turns(&mut fleet, &[("b", &[]), ("a", &[]), ("b", &[]), ("a", &[])]);
        assert_eq!(fleet.claims, [], "it is even again");
    }

    #[test]
    fn no_more_keys_are_told_than_there_is_room_for() {
        let names: Vec<_> = (0..2 * KEYS_TOLD).map(|number| format!("k{number}")).collect();
        let asked: Vec<_> = names.iter().map(|name| (&**name, 2_000_000)).collect();
        let mut fleet = fleet(&["a", "b"]);
        turns(&mut fleet, &[("a", &asked), ("b", &asked), ("a", &asked)]);
        let of = |replica: &str| fleet.claims.iter().filter(|claim| claim.replica == replica).count();
        assert!(of("a") <= KEYS_TOLD && of("b") <= KEYS_TOLD && of("a") >= KEYS_TOLD / 2);
    }

    #[test]
    fn a_replica_alone_claims_nothing() {
        let mut fleet = fleet(&["a"]);
        turns(&mut fleet, &[("a", &[("k", 2_000_000)])]);
        assert_eq!(fleet.claims, []);
    }
}
