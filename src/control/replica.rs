//! One replica of a fleet: follows a database, puts its changes in force and says so.
//!
//! It registers before it loads, and subscribes before it catches up: so whoever commits a change finds every replica
//! that may lack it, and no change falls between two looks. Four loops share one thread: signs of life, which bring
//! back the head and so are the poll; the feed; sums that are compared now and then; and the snapshot on disk.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use uuid::Uuid;

use super::{
    cold_start::ColdStart,
    database_keys::{DatabaseKeys, InForce, Position},
    limit_shares::LimitShares,
    loading::Loading,
};
use crate::{
    clock::{self, Clock, SystemClock},
    config::model::Staleness,
    keys::{checksum::KeySums, snapshot::KeySnapshot, table::TableFull},
    live::{Live, Publication},
    store::{
        backoff::{Backoff, jittered},
        contract::{
            Acknowledgement, Database, Feed, Head, Heartbeat, LIVE_WITHIN, Signals, Since, StoreError,
            WhenStale,
        },
        state::StateError,
    },
    telemetry::metrics::Metrics,
};

/// How often a replica gives a sign of life, if its lease leaves so much time.
const BEAT_EVERY: Duration = Duration::from_secs(2);
/// The least time between two signs of life.
const BEAT_EVERY_MIN: Duration = Duration::from_millis(500);
/// How soon hearing of changes is tried again where only that is refused, as by a transaction pooler.
const LISTEN_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// How often what is in force is compared with what is stored.
const RECONCILE_EVERY: Duration = Duration::from_mins(5);
/// How long an acknowledgement waits for workers to end what is no longer permitted. Then it is put off until the next
/// look at the changes: a revision is never acknowledged without them.
const ENFORCE_PATIENCE: Duration = Duration::from_secs(5);
/// A row of the same address that is silent for so long is of a process that came before this one.
const PREDECESSOR_SILENT: Duration = Duration::from_secs(10);

/// What a replica works on.
#[derive(Debug)]
pub struct ReplicaParts {
    /// Followed.
    pub database: Arc<dyn Database>,
    /// Where its keys come into force.
    pub keys: DatabaseKeys,
    /// What is in force.
    pub live: Live,
    /// What is counted.
    pub metrics: Metrics,
    /// Where the snapshot for a start without database is kept.
    pub cold_start: Option<ColdStart>,
    /// Where it can be found; the same for a process that is started again in the same place.
    pub address: String,
}

/// One replica.
#[derive(Debug)]
pub struct Replica {
    id: String,
    database: Arc<dyn Database>,
    keys: DatabaseKeys,
    live: Live,
    metrics: Metrics,
    cold_start: Option<ColdStart>,
    address: String,
    /// The database knows of it, and so does whoever commits a change.
    is_registered: Cell<bool>,
    /// Something is newer than what is in force.
    behind: Notify,
    /// Of two looks at the database the later never gives way to the earlier.
    turn: tokio::sync::Mutex<()>,
    /// A lease that will run once the revision is in force.
    promised: Cell<Option<Promise>>,
    /// What the database was told to be in force here, also for requests under way.
    acknowledged: Cell<Option<Position>>,
    /// Streams that were closed for what is in force, of which the database was not told yet.
    owed: Cell<u64>,
    outage: RefCell<Option<Outage>>,
    /// Changes are found, not heard.
    is_deaf: Cell<bool>,
    /// What is stored and differs from what is in force, also when everything was loaded anew.
    known_difference: Cell<Option<KeySums>>,
    contacted: Cell<Duration>,
    heard_at: Cell<Timestamp>,
    limits: LimitShares,
}

/// The database answered a sign of life that was sent at this time of the boot clock.
#[derive(Debug, Clone, Copy)]
struct Promise {
    sent: Duration,
    head: Head,
    staleness: Staleness,
    /// Only a look at the changes that began at this time or later shows that nothing is newer. A receipt may have taken
    /// the lease before for over while the sign of life was on its way.
    looked_since: Duration,
}

#[derive(Debug)]
struct Outage {
    since: Duration,
    is_stale: bool,
}

impl Replica {
    /// A replica that has not spoken yet. Until it reaches its database with `staleness: {then: reject}`, nothing that
    /// needs a key is served.
    ///
    /// # Errors
    /// What the operating system says if it has no randomness to give.
    pub fn new(parts: ReplicaParts) -> Result<Self, getrandom::Error> {
        let ReplicaParts { database, keys, live, metrics, cold_start, address } = parts;
        let mut random = [0; 4];
        getrandom::fill(&mut random)?;
        let name = address.split(' ').next().unwrap_or_default();
        let id = format!("{name}-{:08x}", u32::from_be_bytes(random));
        if live.current().config.staleness.then == WhenStale::Reject {
            live.lease().ends_at(Duration::ZERO);
        }
        let limits = LimitShares::new(id.clone(), Arc::clone(&database), live.clone());
        Ok(Self {
            id,
            database,
            keys,
            live,
            metrics,
            cold_start,
            address,
            is_registered: Cell::new(false),
            behind: Notify::new(),
            turn: tokio::sync::Mutex::default(),
            promised: Cell::new(None),
            acknowledged: Cell::new(None),
            owed: Cell::new(0),
            outage: RefCell::new(None),
            is_deaf: Cell::new(false),
            known_difference: Cell::new(None),
            contacted: Cell::new(clock::boot()),
            heard_at: Cell::new(Timestamp::UNIX_EPOCH),
            limits,
        })
    }

    /// Registers and loads, for `patience` at the most. Where the database does not answer, what an earlier process kept
    /// on disk comes into force; without that, whoever needs a key is told that there is none yet.
    ///
    /// # Errors
    /// Where this version does not know the schema of the database: waiting would not help.
    pub async fn begin(&self, patience: Duration) -> Result<(), StoreError> {
        let registered = async {
            self.beat().await?;
            self.load().await?;
            self.beat().await?;
            self.catch_up().await?;
            // Before the first request.
            self.look_at_others().await;
            Ok(())
        };
        let error = match timeout(patience, registered).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error @ StoreError::WrongSchema(_))) => return Err(error),
            Ok(Err(error)) => error,
            Err(_) => StoreError::Unavailable(format!(
                "{} did not answer within {} s",
                self.database.name(),
                patience.as_secs()
            )),
        };
        self.tell_outage(&error);
        if self.keys.position().is_none()
            && let Some(cold_start) = &self.cold_start
        {
            let heard_at = cold_start.begin(&self.keys, &self.live).unwrap_or(Timestamp::UNIX_EPOCH);
            let age = Duration::try_from(SystemClock.now().duration_since(heard_at)).unwrap_or_default();
            self.heard_at.set(heard_at);
            self.contacted.set(clock::boot().saturating_sub(age));
        }
        Ok(())
    }

    /// Follows the database until `stop`, and takes its leave then.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let following = async {
            tokio::join!(
                self.beat_forever(),
                self.follow_forever(),
                self.reconcile_forever(),
                self.keep_snapshot()
            )
        };
        tokio::select! {
            _ = following => {}
            () = stop => {}
        }
        if let Err(error) = self.database.forget(&self.id).await {
            tracing::warn!(%error, replica = self.id, "the database was not told that this replica stops");
        }
        if let Some(Err(error)) = self.keep_last() {
            tracing::warn!("a start without database would begin with older keys: {error}");
        }
    }

    async fn beat_forever(&self) {
        let mut retry = Backoff::default();
        loop {
            let wait = match self.beat().await {
                Ok(()) => {
                    retry = Backoff::default();
                    self.look_at_others().await;
                    beat_every(self.staleness().max)
                }
                Err(error) => {
                    self.tell_outage(&error);
                    self.acknowledged.set(None);
                    self.limits.lose_contact();
                    retry.next_wait()
                }
            };
            sleep(wait).await;
        }
    }

    /// Gives a sign of life. What it brings back tells whether something is newer than what is in force.
    async fn beat(&self) -> Result<(), StoreError> {
        let staleness = self.staleness();
        let acknowledged = self.acknowledged.get();
        let sent = clock::boot();
        let head = self
            .database
            .heartbeat(&Heartbeat {
                replica: self.id.clone(),
                address: self.address.clone(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                revision: acknowledged.map_or(0, |position| position.revision),
                lease: staleness.max,
                when_stale: staleness.then,
            })
            .await?;
        self.is_registered.set(true);
        self.tell_contact();
        let answered = clock::boot();
        let looked_since = if self.live.lease().runs_at(answered) { Duration::ZERO } else { answered };
        self.promised.set(Some(Promise { sent, head, staleness, looked_since }));
        let position = self.keys.position();
        // A head that is older is looked into too: it may be that of a restored backup.
        let is_head = position == Some(Position::of(head));
        let is_settled = self.renew(Duration::ZERO) && is_head && acknowledged == position;
        if position.is_some() && !is_settled {
            self.behind.notify_one();
        }
        Ok(())
    }

    /// Lets the lease run that was promised, if what is in force since the look that began at `looked` is as new as the
    /// promise. Whether it is.
    fn renew(&self, looked: Duration) -> bool {
        let Some(Promise { sent, head, staleness, looked_since }) = self.promised.get() else { return true };
        let is_new = |at: Position| at.instance == head.instance && at.revision >= head.revision;
        if looked < looked_since || !self.keys.position().is_some_and(is_new) {
            return false;
        }
        match staleness.then {
            WhenStale::Serve => self.live.lease().never_ends(),
            WhenStale::Reject => self.live.lease().ends_at(sent + staleness.max),
        }
        self.promised.set(None);
        true
    }

    async fn follow_forever(&self) {
        let mut retry = Backoff::default();
        loop {
            let Err(error) = self.follow(&mut retry).await;
            self.tell_outage(&error);
            // What comes back may have been restored: nothing is confirmed before it was looked at.
            self.acknowledged.set(None);
            sleep(retry.next_wait()).await;
        }
    }

    /// Listens, then catches up, then does so again whenever something was heard.
    async fn follow(&self, retry: &mut Backoff) -> Result<Infallible, StoreError> {
        loop {
            let mut signals = self.listen().await;
            let listen_again = sleep(LISTEN_AGAIN_AFTER);
            tokio::pin!(listen_again);
            loop {
                self.catch_up().await?;
                *retry = Backoff::default();
                tokio::select! {
                    () = next(&mut signals) => {}
                    () = self.behind.notified() => {}
                    () = &mut listen_again, if signals.is_none() => break,
                }
            }
        }
    }

    /// Where changes are heard; `None` where only polling is left.
    async fn listen(&self) -> Option<Box<dyn Signals>> {
        match self.database.signals().await {
            Ok(signals) => {
                self.is_deaf.set(false);
                Some(signals)
            }
            Err(error) => {
                if !self.is_deaf.replace(true) {
                    tracing::warn!(%error, "changes are not heard but looked for every {} s", BEAT_EVERY.as_secs());
                }
                None
            }
        }
    }

    async fn catch_up(&self) -> Result<(), StoreError> {
        // Also where the database was away when it started: no load before whoever commits knows of it.
        if !self.is_registered.get() {
            self.beat().await?;
        }
        let _turn = self.turn.lock().await;
        let position = self.keys.position();
        // Of what was kept on disk nobody knows whether the database is still of that history.
        let Some(Position { instance, revision, committed_at: committed_at @ Some(_) }) = position else {
            return self.load().await;
        };
        let looked = clock::boot();
        let feed = self.database.changes_since(Since { instance, revision, committed_at }).await?;
        match feed {
            Feed::Changes(changes) => {
                if changes.head.revision > revision
                    && let Some(in_force) = self.keys.take_changes(&changes).map_err(too_many)?
                {
                    if !changes.people.is_empty() || changes.organizations.is_some() {
                        self.keep_before_confirming();
                    }
                    self.confirm(in_force, changes.head).await?;
                }
            }
            Feed::Gap(head) => {
                self.tell_gap(instance, revision, head);
                self.load().await?;
            }
        }
        self.tell_contact();
        self.renew(looked);
        if self.acknowledged.get() != self.keys.position() {
            let closed_before = self.live.closed();
            self.acknowledge(self.live.enforce(), closed_before).await?;
        }
        Ok(())
    }

    async fn load(&self) -> Result<(), StoreError> {
        let config = Arc::clone(&self.live.current().config);
        let keys = self.live.current().keys.as_ref().map_or(0, |keys| keys.table().len());
        let mut loading = Loading::new(&config.key_policy(), keys);
        let head = self.database.load(&mut loading).await?;
        let loaded = loading.finish().map_err(too_many)?;
        let in_force = self.keys.take_load(loaded, &config, head);
        self.confirm(in_force, head).await
    }

    /// Waits until requests under way are judged by what is in force, and acknowledges it then.
    async fn confirm(&self, in_force: InForce, head: Head) -> Result<(), StoreError> {
        tell_problems(&in_force);
        tracing::info!(revision = head.revision, "revision {} in force", head.revision);
        self.acknowledge(in_force.publication, in_force.closed_before).await
    }

    /// Waits until requests under way are judged by `publication`, before which so many streams had been closed, and
    /// tells the database. Where either fails, the next look at the changes does so again.
    async fn acknowledge(&self, publication: Publication, closed_before: u64) -> Result<(), StoreError> {
        let Some(position) = self.keys.position() else { return Ok(()) };
        let enforced = timeout(ENFORCE_PATIENCE, self.live.enforced(publication)).await;
        self.owed.set(self.owed.get() + self.live.closed().saturating_sub(closed_before));
        if enforced.is_err() {
            let revision = position.revision;
            tracing::error!(revision, "a worker does not answer; the revision is not acknowledged");
            return Ok(());
        }
        self.database
            .acknowledge(&Acknowledgement {
                replica: self.id.clone(),
                revision: position.revision,
                after: Duration::ZERO,
                streams_closed: self.owed.get(),
            })
            .await?;
        self.acknowledged.set(Some(position));
        self.owed.set(0);
        Ok(())
    }

    /// Divides limits with the others that live. A process that was started again in the same place takes the row of the one
    /// before away.
    async fn look_at_others(&self) {
        let Ok(replicas) = self.database.replicas().await else { return self.limits.lose_contact() };
        let live = replicas.iter().filter(|replica| replica.silent < LIVE_WITHIN).count();
        let is_predecessor = |silent: Duration, address: &str, id: &str| {
            address == self.address && id != self.id && silent > PREDECESSOR_SILENT
        };
        for replica in replicas {
            if is_predecessor(replica.silent, &replica.beat.address, &replica.beat.replica) {
                let _ = self.database.forget(&replica.beat.replica).await;
            }
        }
        self.limits.take_turn(live).await;
    }

    async fn reconcile_forever(&self) {
        loop {
            sleep(jittered(RECONCILE_EVERY)).await;
            match self.reconcile().await {
                Ok(()) => {}
                Err(error @ StoreError::Unavailable(_)) => self.tell_outage(&error),
                Err(error) => {
                    tracing::warn!(%error, "what is in force could not be compared with what is stored");
                }
            }
        }
    }

    /// Compares the sums of what is stored with those of what is in force, and loads everything where they differ, as after
    /// an edit by hand.
    ///
    /// # Errors
    /// Where the database cannot be asked.
    pub async fn reconcile(&self) -> Result<(), StoreError> {
        let stored = self.database.checksum().await?;
        let sums = KeySums { entries: stored.entries, sum: stored.sum };
        let Some(in_force) = self.sums_at(stored.revision).filter(|in_force| *in_force != sums) else {
            return Ok(());
        };
        if self.known_difference.get() == Some(sums) {
            return Ok(());
        }
        tracing::error!(
            revision = stored.revision,
            "what is in force differs from what is stored ({} entries, {} stored): everything is loaded anew",
            in_force.entries,
            sums.entries
        );
        let turn = self.turn.lock().await;
        self.load().await?;
        drop(turn);
        // Of a record that makes no sense, or a revocation that was taken back, a difference remains: told once.
        let remains = self.sums_at(stored.revision).is_some_and(|in_force| in_force != sums);
        self.known_difference.set(remains.then_some(sums));
        Ok(())
    }

    /// The sums of what is in force, if that is `revision`. Cost: some hundred nanoseconds a key.
    fn sums_at(&self, revision: u64) -> Option<KeySums> {
        let current = self.live.current();
        current.keys.as_ref().filter(|_| current.revision == revision).map(KeySnapshot::checksum)
    }

    async fn keep_snapshot(&self) {
        match &self.cold_start {
            Some(cold_start) => cold_start.keep_forever(&self.keys, &self.heard_at).await,
            None => std::future::pending().await,
        }
    }

    /// A revocation is remembered by itself. What else takes permission away must be on disk before anybody is told that
    /// it is in force: a start without database would give it back.
    fn keep_before_confirming(&self) {
        if let Some(Err(error)) = self.keep_last() {
            tracing::warn!("the change is in force, but a start without database would forget it: {error}");
        }
    }

    fn keep_last(&self) -> Option<Result<(), StateError>> {
        let cold_start = self.cold_start.as_ref()?;
        Some(cold_start.keep(&self.keys, self.heard_at.get()))
    }

    fn staleness(&self) -> Staleness {
        self.live.current().config.staleness
    }

    fn tell_contact(&self) {
        self.contacted.set(clock::boot());
        self.heard_at.set(SystemClock.now());
        let name = self.database.name();
        if let Some(outage) = self.outage.take() {
            let seconds = clock::boot().saturating_sub(outage.since).as_secs();
            tracing::info!(database = name, "the database answers again after {seconds} s");
        }
        self.metrics.source_taken(name, SystemClock.now());
    }

    /// Tells of an outage once, and once more when keys are stale.
    fn tell_outage(&self, error: &StoreError) {
        let now = clock::boot();
        let mut outage = self.outage.borrow_mut();
        let has_keys = self.keys.position().is_some();
        if outage.is_none() {
            let in_force = if has_keys { "what is in force stays" } else { "nothing is in force yet" };
            tracing::error!(database = self.database.name(), %error, "{}; {in_force}", what_ails(error));
        }
        let outage = outage.get_or_insert(Outage { since: now, is_stale: false });
        let Staleness { max, then } = self.staleness();
        if has_keys && !outage.is_stale && now.saturating_sub(self.contacted.get()) >= max {
            outage.is_stale = true;
            tracing::error!(
                "keys are stale: the database was not heard of for {} s or longer; `staleness` says to {}",
                max.as_secs(),
                then.as_str()
            );
        }
        self.metrics.source_wrong(self.database.name(), SystemClock.now(), &error.to_string());
    }

    fn tell_gap(&self, instance: Uuid, revision: u64, head: Head) {
        if head.instance != instance || head.revision < revision {
            tracing::error!(
                database = self.database.name(),
                in_force = revision,
                stored = head.revision,
                "the database is another one or went back, as after a restore; what was revoked stays refused here"
            );
        } else {
            tracing::info!(
                in_force = revision,
                stored = head.revision,
                "too much changed: everything is loaded anew"
            );
        }
    }
}

/// What `error` says of the database: one that answers is not away.
fn what_ails(error: &StoreError) -> &'static str {
    match error {
        StoreError::Unavailable(_) => "the database is away",
        StoreError::NotPermitted(_) => "the database does not let this gateway in, or not do what it has to",
        StoreError::WrongSchema(_) => "the database has other tables than this gateway knows",
        StoreError::Refused(_) | StoreError::WrongFiles(_) | StoreError::Failed(_) => {
            "the database answers, but cannot be used"
        }
    }
}

/// Waits for the next signal; for ever where nothing is heard.
async fn next(signals: &mut Option<Box<dyn Signals>>) {
    match signals {
        Some(signals) => {
            signals.next().await;
        }
        None => std::future::pending().await,
    }
}

fn tell_problems(in_force: &InForce) {
    for problem in in_force.problems.first.iter().take(10) {
        tracing::error!("a record is wrong and counts for nothing: {problem}");
    }
    if in_force.problems.count > 10 {
        tracing::error!("{} records are wrong in all", in_force.problems.count);
    }
    if !in_force.undone.is_empty() {
        let ids: Vec<&str> = in_force.undone.iter().take(100).map(AsRef::as_ref).collect();
        tracing::error!(
            "the database lists revoked keys as good; they stay refused here, make new ones: {}",
            ids.join(", ")
        );
    }
}

fn too_many(_: TableFull) -> StoreError {
    StoreError::Failed("there are more keys than a table can hold; the old ones stay in force".to_owned())
}

fn beat_every(lease: Duration) -> Duration {
    (lease / 3).clamp(BEAT_EVERY_MIN, BEAT_EVERY)
}
