//! The requests under way on one worker, and their end when their keys are good for them no longer: revoked, expired,
//! deleted, of a disabled owner, or without a scope or project that the request takes.
//!
//! A request is entered in the same step as its verdict, so each publication finds every request that an earlier one
//! admitted. Who is told to end finds out by [`Underway::poll_cut`], and ends the client's side at once.

use std::{
    cell::{Cell, RefCell},
    net::IpAddr,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use jiff::Timestamp;
use slab::Slab;
use smallvec::SmallVec;
use tokio::{
    sync::Notify,
    task::yield_now,
    time::{Instant, sleep, timeout},
};

use crate::{
    clock::{self, Clock, SystemClock},
    config::model::Streams,
    gate::FoundKey,
    keys::{digest::KeyDigest, snapshot::Standing},
    live::{Enforcer, LiveReader, Published},
    policy::{decide::Permit, reason::Reason, scope::ScopeSet},
    telemetry::worker::WorkerTelemetry,
};

use super::site::Site;

/// The longest the clocks are left alone: somebody may set the wall clock, and a lease may lapse.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a publication waits for those it ended. Each ends when its task is next polled, so this is never reached.
const SETTLED_WITHIN: Duration = Duration::from_secs(1);

/// The requests under way on one worker that a key was needed for.
#[derive(Debug, Default)]
pub(super) struct Register {
    entries: RefCell<Slab<Entry>>,
    /// How many of them were told to end.
    cut: Cell<usize>,
    /// The Unix millisecond of the next look at the clock.
    next_look_ms: Cell<i64>,
    /// Rung when an entry ends before that.
    sooner: Notify,
}

/// One of them.
#[derive(Debug)]
struct Entry {
    digest: KeyDigest,
    client: IpAddr,
    /// Whose scopes `scopes` are.
    site: Rc<Site>,
    scopes: ScopeSet,
    projects: SmallVec<[Box<str>; 1]>,
    every_project: bool,
    /// The Unix millisecond at which the key ends; `i64::MAX`: never.
    ends_ms: i64,
    /// Since when it would not be permitted any more.
    lost: Option<Instant>,
    /// Why it must end.
    cut: Option<Reason>,
    waker: Option<Waker>,
}

/// A place in the register, given up when dropped.
#[derive(Debug)]
pub(super) struct Underway {
    register: Rc<Register>,
    at: Cell<Option<usize>>,
}

impl Register {
    /// Enters a request that was just permitted with `key`.
    pub(super) fn enter(
        self: &Rc<Self>,
        key: &FoundKey,
        permit: &Permit<'_, '_>,
        client: IpAddr,
        site: &Rc<Site>,
    ) -> Underway {
        let needs = permit.needs();
        let ends_ms = unix_ms(key.ends_at);
        let at = self.entries.borrow_mut().insert(Entry {
            digest: key.digest,
            client,
            site: Rc::clone(site),
            scopes: needs.scopes,
            projects: touched(permit),
            every_project: needs.every_project,
            ends_ms,
            lost: None,
            cut: None,
            waker: None,
        });
        if ends_ms < self.next_look_ms.get() {
            self.sooner.notify_one();
        }
        Underway { register: Rc::clone(self), at: Cell::new(Some(at)) }
    }

    /// Judges anew those that `which` names, and tells those to end that must. How many.
    fn judge(&self, which: Which, in_force: &InForce<'_>, telemetry: &WorkerTelemetry) -> u64 {
        let mut told = 0;
        for (_, entry) in &mut *self.entries.borrow_mut() {
            let concerned = match which {
                Which::All => true,
                Which::Due => entry.lost.is_some() || entry.ends_ms <= in_force.now.as_millisecond(),
            };
            if !concerned || entry.cut.is_some() {
                continue;
            }
            if let Some(reason) = entry.judge(in_force) {
                entry.cut = Some(reason);
                entry.waker.take().into_iter().for_each(Waker::wake);
                telemetry.metrics().cut_stream(reason);
                told += 1;
            }
        }
        self.cut.set(self.cut.get() + told);
        told as u64
    }

    /// Waits until those that were told to end have ended.
    async fn settle(&self) {
        let settled = async {
            while self.cut.get() > 0 {
                yield_now().await;
            }
        };
        let _ = timeout(SETTLED_WITHIN, settled).await;
    }

    /// Waits until time alone may have ended something, by the clocks of `in_force`.
    async fn until_due(&self, streams: Streams) {
        let now_ms = SystemClock.now().as_millisecond();
        let patience = self.next_due(streams, now_ms).min(LOOK_EVERY);
        self.next_look_ms.set(now_ms.saturating_add(i64::try_from(patience.as_millis()).unwrap_or(i64::MAX)));
        tokio::select! {
            () = sleep(patience) => {}
            () = self.sooner.notified() => {}
        }
    }

    fn next_due(&self, streams: Streams, now_ms: i64) -> Duration {
        let until = |ms: i64| Duration::from_millis(u64::try_from(ms.saturating_sub(now_ms)).unwrap_or(0));
        let due = |entry: &Entry| match (entry.lost, streams) {
            _ if entry.cut.is_some() => LOOK_EVERY,
            (None, _) => until(entry.ends_ms),
            (Some(_), Streams::Keep) => LOOK_EVERY,
            (Some(_), Streams::Cut) => Duration::ZERO,
            (Some(since), Streams::Drain(patience)) => patience.saturating_sub(since.elapsed()),
        };
        self.entries.borrow().iter().map(|(_, entry)| due(entry)).min().unwrap_or(LOOK_EVERY)
    }
}

/// Which entries to judge.
#[derive(Debug, Clone, Copy)]
enum Which {
    All,
    /// Those that time alone may have ended.
    Due,
}

/// What requests under way are judged by.
struct InForce<'p> {
    published: &'p Published,
    lease_runs: bool,
    now: Timestamp,
}

impl Entry {
    /// Why it must end now, if it must.
    fn judge(&mut self, in_force: &InForce<'_>) -> Option<Reason> {
        match self.refusal(in_force) {
            Ok(ends_ms) => {
                (self.ends_ms, self.lost) = (ends_ms, None);
                None
            }
            Err(reason) => {
                let since = *self.lost.get_or_insert_with(Instant::now);
                let is_over = match in_force.published.config.streams {
                    Streams::Cut => true,
                    Streams::Drain(patience) => since.elapsed() >= patience,
                    Streams::Keep => false,
                };
                is_over.then_some(reason)
            }
        }
    }

    /// When its key ends, or why the request would be refused now. Routes are not asked again: the scopes are those that
    /// were required when it was permitted.
    fn refusal(&self, in_force: &InForce<'_>) -> Result<i64, Reason> {
        let keys = in_force.published.keys.as_ref().filter(|_| in_force.lease_runs);
        let keys = keys.ok_or(Reason::KeyStoreUnavailable)?;
        let (scopes, projects, ends_at) = match keys.standing(&self.digest, in_force.now, self.client) {
            Standing::Gone => return Err(Reason::KeyUnknown),
            Standing::Ended(reason) => return Err(reason),
            Standing::Holds { scopes, projects, ends_at } => (scopes, projects, ends_at),
        };
        let sees_projects = self.projects.iter().all(|project| projects.contains(project));
        if !sees_projects || (self.every_project && !projects.is_unrestricted()) {
            return Err(Reason::NotFound);
        }
        let required = self.required_by(in_force.published).ok_or(Reason::ScopeInsufficient)?;
        scopes.contains(required).then_some(unix_ms(ends_at)).ok_or(Reason::ScopeInsufficient)
    }

    /// The scopes it takes, as the config in force knows them; `None` if it knows one of them no longer.
    fn required_by(&self, published: &Published) -> Option<ScopeSet> {
        let (then, now) = (&self.site.config, &published.config);
        if std::sync::Arc::ptr_eq(then, now) {
            return Some(self.scopes);
        }
        then.policy.scopes.carried_to(&now.policy.scopes, self.scopes)
    }
}

impl Underway {
    /// Ready, with the reason, once the request must end. Whoever is told leaves the register: what it does about it
    /// begins at once.
    pub(super) fn poll_cut(&self, cx: &mut Context<'_>) -> Poll<Reason> {
        let Some(at) = self.at.get() else { return Poll::Pending };
        if let Some(entry) = self.register.entries.borrow_mut().get_mut(at) {
            match entry.cut {
                None if entry.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) => {
                    return Poll::Pending;
                }
                None => {
                    entry.waker = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                Some(_) => {}
            }
        }
        self.leave().map_or(Poll::Pending, Poll::Ready)
    }

    /// The request is not under way any more. Why it had to end, if it had to.
    pub(super) fn leave(&self) -> Option<Reason> {
        let entry = self.register.entries.borrow_mut().try_remove(self.at.take()?)?;
        if entry.cut.is_some() {
            self.register.cut.set(self.register.cut.get().saturating_sub(1));
        }
        entry.cut
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Puts every publication in force for the requests under way, and ends those whose keys end by time. Goes on for as
/// long as the worker does.
pub(super) async fn enforce(
    register: Rc<Register>,
    mut live: LiveReader,
    mut enforcer: Enforcer,
    telemetry: Rc<WorkerTelemetry>,
) {
    loop {
        let streams = live.load().config.streams;
        let publication = tokio::select! {
            publication = enforcer.next() => Some(publication),
            () = register.until_due(streams) => None,
        };
        let lease_runs = live.lease().is_endless() || live.lease().runs_at(clock::boot());
        let which = if publication.is_some() || !lease_runs { Which::All } else { Which::Due };
        let in_force = InForce { published: live.load(), lease_runs, now: SystemClock.now() };
        let told = register.judge(which, &in_force, &telemetry);
        if let Some(publication) = publication {
            register.settle().await;
            enforcer.done(publication, told);
        }
    }
}

/// The projects that the request touches: those it names, or all that its upstream was told of.
fn touched(permit: &Permit<'_, '_>) -> SmallVec<[Box<str>; 1]> {
    let needs = permit.needs();
    let named = needs.projects.iter().flatten().copied();
    let listed = permit.principal().filter(|_| needs.listed_projects);
    let listed = listed.and_then(|principal| principal.projects.listed()).into_iter().flatten();
    named.chain(listed).map(Into::into).collect()
}

fn unix_ms(at: Option<Timestamp>) -> i64 {
    at.map_or(i64::MAX, Timestamp::as_millisecond)
}
