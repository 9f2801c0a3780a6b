//! Revocation by possession: whoever shows a whole key may end it, be it its owner, a stranger, or a scanner that found it
//! in a public repository.
//!
//! Nobody learns whether there is such a key, or was: what is shown is hashed, handed over, and answered alike; what
//! becomes of it happens behind that. A secret that works no more ends nothing: with the old secret of a rotation, whoever
//! finds it later would end the new one.

mod throttle;

use std::{
    iter,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

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
    store::contract::StoreError,
};

/// The most keys of one report.
pub const KEYS_MAX: usize = 20;

/// Reports that wait for the store.
const WAITING_MAX: usize = 256;

/// How soon a store that is away is asked again.
const PAUSE: Duration = Duration::from_secs(2);

/// Where reports are taken.
#[derive(Debug)]
pub struct Possession {
    reports: mpsc::Sender<Report>,
    throttle: Mutex<Throttle>,
}

/// Reports that were taken, for whoever revokes. What is not done when it is dropped is told to the operator.
#[derive(Debug)]
pub struct Reports {
    taken: mpsc::Receiver<Report>,
    /// What is left of the report at hand.
    at_hand: Option<Report>,
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
}

impl Possession {
    /// Takes reports, and gives them to the other half.
    pub fn new() -> (Self, Reports) {
        let (reports, taken) = mpsc::channel(WAITING_MAX);
        (Self { reports, throttle: Mutex::default() }, Reports { taken, at_hand: None })
    }

    /// Takes the report of the keys with these digests from `address`. Never waits, and does the same whatever they are.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub fn report(
        &self,
        digests: Vec<KeyDigest>,
        address: Option<IpAddr>,
        now: Instant,
    ) -> Result<(), NotTaken> {
        let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        throttle.admit(address, now).map_err(NotTaken::TooMany)?;
        drop(throttle);
        self.reports.try_send(Report { digests, address }).map_err(|_| NotTaken::Full)
    }
}

impl Reports {
    /// Revokes what is reported, one after the other, until nobody reports any more. While the store is away, what was
    /// taken waits, and soon no more is taken.
    pub async fn revoke_all(mut self, kept: Kept, live: Live, clock: Arc<dyn Clock>) {
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
                settle(&administration, digest, &*clock).await;
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
                tracing::error!(keys, client = ?address, "what somebody has shown was not revoked before the end; ask them which keys it was");
            }
        }
    }
}

/// Revokes the key whose secret has this digest, if there is one.
async fn settle(administration: &Administration, digest: KeyDigest, clock: &dyn Clock) {
    let client = administration.address;
    loop {
        match revoke(administration, digest, clock).await {
            Ok(None) => return,
            Ok(Some(key)) => {
                tracing::warn!(%key, ?client, "a key was revoked: somebody has shown it");
                return;
            }
            Err(
                AdminError::Store(StoreError::Unavailable(_))
                | AdminError::Commit(StoreError::Unavailable(_)),
            ) => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => {
                tracing::error!(?client, %error, "a key that somebody has shown could not be revoked");
                return;
            }
        }
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
