//! Revocation by possession: whoever shows a whole key may end it, be it its owner, a stranger, or a scanner that found it
//! in a public repository.
//!
//! Nobody learns whether there is such a key, or was: what is shown is hashed, handed over, and answered alike; what
//! becomes of it happens behind that. While no key could be revoked, whatever is shown is turned away, so that nobody believes that
//! they have done their part. A secret that works no more ends nothing: with the old secret of a rotation, whoever
//! finds it later would end the new one.

mod throttle;

use std::{
    iter,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, watch};

use self::throttle::Throttle;
use super::{
    actor::Actor,
    administration::{AdminError, Administration, Kept},
    key_admin, managing_key,
};
use crate::{
    clock::Clock,
    keys::{
        digest::KeyDigest,
        record::{KeyId, Name},
    },
    live::Live,
    store::contract::{Right, StoreError},
};

/// The most keys of one report.
pub const KEYS_MAX: usize = 20;

/// Reports that wait for the store.
const WAITING_MAX: usize = 256;

/// How soon a store is asked again whether keys can be revoked, and one that is away to revoke one.
const PAUSE: Duration = Duration::from_secs(2);

/// Where reports are taken.
#[derive(Debug)]
pub struct Possession {
    reports: mpsc::Sender<Report>,
    throttle: Mutex<Throttle>,
    ability: watch::Receiver<Ability>,
}

/// Reports that were taken, for whoever revokes. What is not done when it is dropped is told to the operator.
#[derive(Debug)]
pub struct Reports {
    taken: mpsc::Receiver<Report>,
    /// What is left of the report at hand.
    at_hand: Option<Report>,
    ability: watch::Sender<Ability>,
}

/// Whether keys can be revoked now, by the last look at the store: whatever is shown has no part in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ability {
    /// Nobody has looked yet.
    Unknown,
    Able,
    Unable,
}

/// Keys that somebody has shown.
#[derive(Debug)]
struct Report {
    digests: Vec<KeyDigest>,
    address: Option<IpAddr>,
}

/// Why a report was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTaken {
    /// There were too many from there, or from everywhere: how long to wait.
    TooMany(Duration),
    /// Too many wait.
    Full,
    /// No key can be revoked now.
    Unable,
}

impl Possession {
    /// Takes reports, and gives them to the other half.
    pub fn new() -> (Self, Reports) {
        let (reports, taken) = mpsc::channel(WAITING_MAX);
        let (told, ability) = watch::channel(Ability::Unknown);
        (
            Self { reports, throttle: Mutex::default(), ability },
            Reports { taken, at_hand: None, ability: told },
        )
    }

    /// Takes the report of the keys with these digests from `address`. Does the same whatever they are, and waits for nothing but
    /// the first look at the store.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub async fn report(
        &self,
        digests: Vec<KeyDigest>,
        address: Option<IpAddr>,
        now: Instant,
    ) -> Result<(), NotTaken> {
        self.admit(address, now)?;
        let mut ability = self.ability.clone();
        let known = ability.wait_for(|ability| *ability != Ability::Unknown).await;
        if !known.is_ok_and(|ability| *ability == Ability::Able) {
            return Err(NotTaken::Unable);
        }
        self.reports.try_send(Report { digests, address }).map_err(|_| NotTaken::Full)
    }

    fn admit(&self, address: Option<IpAddr>, now: Instant) -> Result<(), NotTaken> {
        let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        throttle.admit(address, now).map_err(NotTaken::TooMany)
    }
}

impl Reports {
    /// Revokes what is reported, one after the other, until nobody reports any more. While the store is away or does not permit
    /// it, what was taken waits, and no more is taken.
    pub async fn revoke_all(mut self, kept: Kept, live: Live, clock: Arc<dyn Clock>) {
        let ability = self.ability.clone();
        tokio::select! {
            () = self.revoke_each(&kept, &live, &*clock) => {}
            () = keep_looking(&kept, &ability) => {}
        }
    }

    async fn revoke_each(&mut self, kept: &Kept, live: &Live, clock: &dyn Clock) {
        loop {
            self.at_hand = self.taken.recv().await;
            let Some(Report { digests, address }) = &mut self.at_hand else { return };
            let address = *address;
            while let Some(digest) = digests.last().copied() {
                let config = &live.current().config;
                let administration = Administration {
                    kept: kept.clone(),
                    rules: Some(config.key_rules()),
                    key_creation: config.key_creation,
                    actor: Actor::Possessor,
                    address,
                    submission: None,
                };
                settle(&administration, digest, clock).await;
                digests.pop();
            }
        }
    }
}

impl Drop for Reports {
    fn drop(&mut self) {
        let waiting = iter::from_fn(|| self.taken.try_recv().ok());
        for Report { digests, address } in self.at_hand.take().into_iter().chain(waiting) {
            if !digests.is_empty() {
                let keys = digests.len();
                let client = address.map(tracing::field::display);
                tracing::error!(
                    keys,
                    client,
                    "what somebody has shown was not revoked before the end; ask them which keys it was"
                );
            }
        }
    }
}

/// Looks again and again whether keys can be revoked, at a pace of its own: did a report prompt it, the answer to the next one would
/// tell what became of that.
async fn keep_looking(kept: &Kept, ability: &watch::Sender<Ability>) {
    loop {
        let found = match kept {
            Kept::Files { .. } | Kept::Served(_) => Ok(()),
            Kept::Database(database) => database.demand_right(Right::RevokeKeys).await,
        };
        let now = if found.is_ok() { Ability::Able } else { Ability::Unable };
        match (ability.send_replace(now), found) {
            (Ability::Unknown | Ability::Able, Err(error)) => tracing::error!(
                %error,
                "no key can be revoked by whoever shows it: until that is mended, revocation_by_possession answers 503"
            ),
            (Ability::Unable, Ok(())) => tracing::info!("keys can be revoked by whoever shows them again"),
            (Ability::Unknown | Ability::Able, Ok(())) | (Ability::Unable, Err(_)) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Revokes the key whose secret has this digest, if there is one.
async fn settle(administration: &Administration, digest: KeyDigest, clock: &dyn Clock) {
    let client = administration.address.map(tracing::field::display);
    loop {
        match revoke(administration, digest, clock).await {
            Ok(None) => return,
            Ok(Some(key)) => {
                tracing::warn!(%key, client, "a key was revoked: somebody has shown it");
                return;
            }
            Err(AdminError::Store(error) | AdminError::Commit(error)) if may_pass(&error) => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => {
                tracing::error!(client, %error, "a key that somebody has shown could not be revoked");
                return;
            }
        }
    }
}

/// Whether another attempt may do better: somebody mends the store, and what was accepted must not be lost meanwhile.
fn may_pass(error: &StoreError) -> bool {
    match error {
        StoreError::Unavailable(_) | StoreError::WrongSchema(_) | StoreError::NotPermitted(_) => true,
        StoreError::Refused(_) | StoreError::WrongFiles(_) | StoreError::Failed(_) => false,
    }
}

/// As [`settle`]; the id of the key that was revoked.
async fn revoke(
    administration: &Administration,
    digest: KeyDigest,
    clock: &dyn Clock,
) -> Result<Option<KeyId>, AdminError> {
    let now = clock.now();
    let mut work = administration.look().await?;
    let found = managing_key::with_secret(&mut *work.transaction, digest, now).await?;
    drop(work);
    let Some(id) = found.ok().filter(|found| found.key.revoked.is_none()).map(|found| found.key.id) else {
        return Ok(None);
    };
    let reason = Name::parse("somebody has shown the key").ok();
    let revoked = key_admin::revoke(administration, &id, reason.as_ref(), None, now).await?;
    Ok(revoked.before.is_none().then_some(id))
}
