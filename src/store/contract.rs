//! What every store promises, whatever it keeps its records in: a key file, memory, SQLite or PostgreSQL. One suite of
//! tests, `tests/suite/store_contract.rs`, holds all of them to it.
//!
//! - A [`Transaction`] sees what was committed before it began and nothing later. Those that write come one after the
//!   other; what one of them did is there whole or, if it was not committed, not at all.
//! - A commit writes its [`AuditRecord`]s together with the change: there is never one without the other.
//! - A revocation is for good: no later write takes it back, and its record stays.
//! - Ids and digests are unique among all keys, also those of the secret before a rotation.
//!
//! A [`Database`] promises more, since several processes follow it:
//!
//! - Every commit that changes organizations, people or keys raises the revision by exactly one. Revisions are given out
//!   in the order of commits, so that whoever has seen one has seen all before it.
//! - [`Database::changes_since`] gives every record that changed after a revision as it stands at the head, or says
//!   that it cannot; nothing in between is ever left out.
//! - A replica is registered before it loads, so that whoever commits finds every replica that may lack the commit.

use std::{
    collections::HashMap, fmt, future::Future, io, net::IpAddr, path::Path, pin::Pin, sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use uuid::Uuid;

pub use super::limit_claims::{CLAIMS_READ, FleetLimits, LIVE_WITHIN, LimitClaim};
pub use super::query::{KeyCursor, KeyQuery, OwnedKey, PersonQuery, Remembered, Submission};
pub use super::right::Right;
use super::{accounts::Accounts, file::FileProblem};
pub use crate::keys::tally::KeyTally;
use crate::{
    keys::{
        digest::KeyDigest,
        record::{KeyId, KeyRecord, Organization, OrganizationId, Person, PersonId, Revocation},
    },
    telemetry::usage::{LastUse, UseCounts},
};

/// What a store does, some time. Dropping it gives up; a transaction that was begun is then rolled back.
pub type Task<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Why a store did not do what it was asked to.
#[derive(Debug)]
pub enum StoreError {
    /// It cannot be reached, or not now; the same may work later. What it is, and why; never a password.
    Unavailable(String),
    /// Its schema is another than this version knows: what was found, and what to do.
    WrongSchema(String),
    /// It may not be done with the rights that the store gives: what is missing.
    NotPermitted(String),
    /// The change would break a rule of the store: everything that is wrong with it.
    Refused(Vec<String>),
    /// Key files are wrong as they are.
    WrongFiles(Vec<FileProblem>),
    /// What is stored makes no sense, or the store failed for good.
    Failed(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(what)
            | Self::WrongSchema(what)
            | Self::NotPermitted(what)
            | Self::Failed(what) => formatter.write_str(what),
            Self::Refused(reasons) => formatter.write_str(&reasons.join("\n")),
            Self::WrongFiles(problems) => {
                let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
                formatter.write_str(&lines.join("\n"))
            }
        }
    }
}

impl std::error::Error for StoreError {}

/// Where organizations, people and keys are kept.
pub trait Store: Send + Sync + fmt::Debug {
    /// What operators call it: the path of a file, the URL of a database without its password.
    fn name(&self) -> &str;

    /// Begins to read, or to change. One that changes waits until no other does.
    fn begin(&self, access: Access) -> Task<'_, Box<dyn Transaction>>;

    /// A page of the changes that were made. Pages that follow each other by [`AuditPage::end`] give every record once,
    /// whatever is added meanwhile.
    fn audit<'a>(&'a self, filter: &'a AuditFilter) -> Task<'a, AuditPage>;
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To look: [`Transaction::commit`] and whatever puts or revokes are refused.
    Read,
    /// To change.
    Write,
}

/// A look at the records, or a change of them. Dropped without commit, it never was.
pub trait Transaction: Send + fmt::Debug {
    /// The file that says that the key `id` is revoked, where its record alone does not. Then the key is shown as revoked.
    fn revocation_kept_in(&self, _: &KeyId) -> Option<Arc<Path>> {
        None
    }

    /// What is wrong with key files, so that records of them may be missing and only revocations are taken. A
    /// database is never wrong.
    fn wrong_files(&self) -> Vec<FileProblem> {
        Vec::new()
    }

    /// Every organization, by id; none where records name none, so that all belong to `default`.
    fn organizations(&mut self) -> Task<'_, Vec<Organization>>;

    /// The person `id`. [`StoreError::WrongFiles`] where they may stand in a file that cannot be read.
    fn person<'a>(&'a mut self, id: &'a PersonId) -> Task<'a, Option<Person>>;

    /// At most `limit` people by id, those after `after`.
    fn people<'a>(&'a mut self, after: Option<&'a PersonId>, limit: usize) -> Task<'a, Vec<Person>>;

    /// The key `id`, also a revoked one. [`StoreError::WrongFiles`] as for a person.
    fn key<'a>(&'a mut self, id: &'a KeyId) -> Task<'a, Option<KeyRecord>>;

    /// At most `limit` keys by id, those after `after`; revoked ones too.
    fn keys<'a>(&'a mut self, after: Option<&'a KeyId>, limit: usize) -> Task<'a, Vec<KeyRecord>>;

    /// How many keys there are; revoked ones too.
    fn key_count(&mut self) -> Task<'_, u64>;

    /// The keys that are asked for with their owners, newest first; those whose beginning is not known last.
    fn keys_matching<'a>(&'a mut self, query: &'a KeyQuery) -> Task<'a, Vec<OwnedKey>>;

    /// How many keys are asked for, whatever the page, as far as `at_most`.
    fn count_keys_matching<'a>(&'a mut self, query: &'a KeyQuery, at_most: u64) -> Task<'a, u64>;

    /// How many keys are asked for, whatever the page, by status.
    fn key_tally<'a>(&'a mut self, query: &'a KeyQuery) -> Task<'a, KeyTally>;

    /// The people who are asked for, by id.
    fn people_matching<'a>(&'a mut self, query: &'a PersonQuery) -> Task<'a, Vec<Person>>;

    /// How many keys each of `owners` has, also those that no longer work; nobody who has none.
    fn key_counts<'a>(&'a mut self, owners: &'a [PersonId]) -> Task<'a, HashMap<PersonId, u64>>;

    /// Two people at most with this e-mail address, by id. `A` to `Z` count as `a` to `z`, other letters as they stand.
    fn people_with_email<'a>(&'a mut self, email: &'a str) -> Task<'a, Vec<Person>>;

    /// What the same person made within the last 24 hours under the same name; whether it was the same that they asked
    /// for is told by [`Remembered::request`]. Nothing in key files.
    fn remembered<'a>(&'a mut self, submission: &'a Submission) -> Task<'a, Option<Remembered>>;

    /// Remembers that `submission` made the record `id` of the kind `record`, if this is committed as a revision.
    ///
    /// # Errors
    /// [`StoreError::Refused`] by key files, which remember nothing.
    fn remember<'a>(&'a mut self, submission: &'a Submission, record: &'a str, id: &'a str) -> Task<'a, ()>;

    /// Which of these ids and digests belong to a key already; a digest also as that of the secret before a rotation.
    fn taken<'a>(&'a mut self, ids: &'a [KeyId], digests: &'a [KeyDigest]) -> Task<'a, Taken>;

    /// A key or person of `organization` that names `project`, as `key key_01…`, if there is one.
    fn who_names<'a>(
        &'a mut self,
        organization: &'a OrganizationId,
        project: &'a str,
    ) -> Task<'a, Option<String>>;

    /// Adds the organization, or puts it in the place of the one with its id.
    fn put_organization<'a>(&'a mut self, organization: &'a Organization) -> Task<'a, ()>;

    /// Adds the person, or puts them in the place of the one with their id.
    fn put_person<'a>(&'a mut self, person: &'a Person) -> Task<'a, ()>;

    /// Adds keys. Cost: at least 10,000 a second.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where an id or digest is taken.
    fn insert_keys<'a>(&'a mut self, keys: &'a [KeyRecord]) -> Task<'a, ()>;

    /// Puts `key` in the place of the one with its id. What is revoked stays so.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where there is no such key, a digest is taken, or it is revoked.
    fn update_key<'a>(&'a mut self, key: &'a KeyRecord) -> Task<'a, ()>;

    /// Revokes the key `id`; one that is revoked keeps its date. `None`: there is no such key.
    fn revoke_key<'a>(
        &'a mut self,
        id: &'a KeyId,
        revocation: &'a Revocation,
    ) -> Task<'a, Option<RevokedBefore>>;

    /// Puts everything in force and on disk, with these audit records. Nothing to change is no change: then no revision
    /// is given out and nothing is recorded.
    fn commit<'a>(self: Box<Self>, audit: &'a [AuditRecord]) -> Task<'a, Committed>
    where
        Self: 'a;
}

/// Ids and digests that are taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// Ids.
    pub ids: Vec<KeyId>,
    /// Digests, each with the key it belongs to.
    pub digests: Vec<(KeyDigest, KeyId)>,
}

/// Since when a key was revoked already, before it was revoked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RevokedBefore(pub Option<Timestamp>);

/// What became of a change.
#[derive(Debug)]
#[must_use]
pub enum Committed {
    /// There was nothing to change.
    Unchanged,
    /// It is in the database as this revision.
    Revision(u64),
    /// It is on disk, in this key file.
    Written(Arc<Path>),
    /// It is on disk, but the audit log lacks it: why.
    Unaudited(Arc<Path>, io::Error),
    /// The key file cannot be replaced where it is. Nothing was changed.
    ToCommit(Patch),
}

/// A change of a key file that somebody else has to make.
#[derive(Debug)]
pub struct Patch {
    /// The file.
    pub path: Arc<Path>,
    /// Why it cannot be replaced.
    pub why: String,
    /// The lines of YAML that are added, as they stand in the file.
    pub lines: String,
    /// The change as a unified diff.
    pub diff: String,
}

/// Who changed what. The time is the store's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// When; what a caller says here is not kept.
    pub at: Timestamp,
    /// The revision it belongs to; what a caller says here is not kept.
    pub revision: Option<u64>,
    /// Who: `ada (uid 1000)` at a command line, `person:ada` through the API.
    pub actor: String,
    /// From where, if not at this machine.
    pub address: Option<IpAddr>,
    /// The organization that the record belongs to, where that is known.
    pub organization: Option<OrganizationId>,
    /// What they called it, without values: `keys revoke`.
    pub command: String,
    /// What kind of record: `key`, `person`, `project`, `organization`.
    pub record: String,
    /// Its id.
    pub id: String,
    /// What changed; never a secret or digest.
    pub what: String,
}

/// Where an audit record stands among all others: a later one has a greater cursor. Means something only to the store
/// that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct AuditCursor {
    /// The revision; 0 where there are none.
    pub revision: u64,
    /// The place within the revision; of a log without revisions, the byte after the record.
    pub position: u64,
}

/// From where on audit records are asked for, and in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditFrom {
    /// Newest first: those before the cursor, or from the newest on.
    Before(Option<AuditCursor>),
    /// Oldest first: those after the cursor, or from the oldest on.
    After(Option<AuditCursor>),
}

impl AuditFrom {
    /// The cursor, if there is one.
    pub fn cursor(self) -> Option<AuditCursor> {
        match self {
            Self::Before(cursor) | Self::After(cursor) => cursor,
        }
    }
}

impl Default for AuditFrom {
    fn default() -> Self {
        Self::Before(None)
    }
}

/// Which audit records are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only of records of this organization; where it is the only one, also of those that say none.
    pub organization: Option<OrganizationId>,
    /// Only of records of this kind.
    pub record: Option<String>,
    /// Only of this record id.
    pub id: Option<String>,
    /// Only by this actor.
    pub actor: Option<String>,
    /// Only from this instant on.
    pub since: Option<Timestamp>,
    /// Only before this instant.
    pub until: Option<Timestamp>,
    /// Which page.
    pub from: AuditFrom,
    /// At most so many.
    pub limit: u64,
}

impl AuditFilter {
    /// Whether `record` is asked for, whatever the page and organization.
    pub fn admits(&self, record: &AuditRecord) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        is(&self.record, &record.record)
            && is(&self.id, &record.id)
            && is(&self.actor, &record.actor)
            && self.since.is_none_or(|since| record.at >= since)
            && self.until.is_none_or(|until| record.at < until)
    }
}

/// Some audit records, in the order that was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditPage {
    /// The records.
    pub records: Vec<AuditRecord>,
    /// Where the first of them stands; `None`: there are none.
    pub first: Option<AuditCursor>,
    /// Where the next page begins; `None`: nothing was looked at yet, so where this one began.
    pub end: Option<AuditCursor>,
}

/// A store that several processes follow: every change is heard, numbered and confirmed.
pub trait Database: Store {
    /// What people sign in with.
    fn accounts(&self) -> Arc<dyn Accounts>;

    /// Where it stands.
    fn head(&self) -> Task<'_, Head>;

    /// That it can be reached and gives this process `right`. Changes nothing and waits for no writer.
    fn demand_right(&self, right: Right) -> Task<'_, ()>;

    /// Gives every record to `intake`, as of one revision: organizations, then people, then keys in any order.
    fn load<'a>(&'a self, intake: &'a mut (dyn Intake + Send)) -> Task<'a, Head>;

    /// What changed after the revision that somebody has.
    fn changes_since(&self, since: Since) -> Task<'_, Feed>;

    /// Sums of what is stored, to be compared with those of what is in force.
    fn checksum(&self) -> Task<'_, Checksum>;

    /// Hears of changes, on a connection of its own.
    fn signals(&self) -> Task<'_, Box<dyn Signals>>;

    /// Says that a replica lives and what it has in force. Adds its row if there is none.
    fn heartbeat<'a>(&'a self, beat: &'a Heartbeat) -> Task<'a, Head>;

    /// Says that a replica has put a revision in force.
    fn acknowledge<'a>(&'a self, acknowledgement: &'a Acknowledgement) -> Task<'a, ()>;

    /// Takes a replica's row away: it has stopped, or an operator says that it is gone. Whether there was one.
    fn forget<'a>(&'a self, replica: &'a str) -> Task<'a, bool>;

    /// Every replica, with what it has confirmed; by id.
    fn replicas(&self) -> Task<'_, Vec<Replica>>;

    /// The acknowledgement of `revision`, or the first of a later one, by each replica that gave one.
    fn acknowledgements(&self, revision: u64) -> Task<'_, Vec<Acknowledgement>>;

    /// Takes the turn of `replica` to divide limits: `divide` is given what the fleet says, and what it answers takes the place of
    /// what this replica said before. One turn comes after the other: what it was given is so until its answer is there.
    fn share_limits<'a>(
        &'a self,
        replica: &'a str,
        divide: &'a mut (dyn FnMut(&FleetLimits) -> Vec<LimitClaim> + Send),
    ) -> Task<'a, ()>;

    /// Adds uses to what is counted. All of them or none; one that was lost on the way back may count twice.
    fn add_usage<'a>(&'a self, rows: &'a [UsageRow]) -> Task<'a, ()>;

    /// The uses of these keys, of all where none is named; of each secret one row per hour, newest first.
    fn usage<'a>(&'a self, keys: &'a [KeyId]) -> Task<'a, Vec<UsageRow>>;

    /// The uses of these keys; of each secret one row with their sums, whose hour is the first. By key and secret. Cost:
    /// that of the rows that are summed up, where they are stored.
    fn usage_totals<'a>(&'a self, keys: &'a [KeyId]) -> Task<'a, Vec<UsageRow>>;

    /// The uses of the key in the hours that began at `since` or later; of each secret one row per hour, newest first.
    fn usage_since<'a>(&'a self, key: &'a KeyId, since: Timestamp) -> Task<'a, Vec<UsageRow>>;

    /// Notes that requests needed scopes. All of them or none; of one that is known the later time stays, so that nothing
    /// is lost by doing it again.
    fn add_scope_uses<'a>(&'a self, uses: &'a [ScopeUse]) -> Task<'a, ()>;

    /// Which scopes requests of these keys needed; by key and scope.
    fn scopes_used<'a>(&'a self, keys: &'a [KeyId]) -> Task<'a, Vec<ScopeUse>>;
}

/// Takes records, one after the other.
pub trait Intake {
    /// All organizations, by id.
    fn organizations(&mut self, organizations: Vec<Organization>);
    /// All people, by id.
    fn people(&mut self, people: Vec<Person>);
    /// One more key.
    fn key(&mut self, key: KeyRecord);
    /// A person or key that makes no sense, as after an edit by hand: which, and why. Whatever stands on it is denied.
    fn nonsense(&mut self, what: String);
}

/// Where a database stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Made with the schema: tells one database from another.
    pub instance: Uuid,
    /// The newest revision.
    pub revision: u64,
    /// The clock of the database.
    pub now: Timestamp,
    /// When that revision was committed, by that clock.
    pub committed_at: Timestamp,
}

/// A revision that somebody has, in one history of one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    /// Which database.
    pub instance: Uuid,
    /// The revision.
    pub revision: u64,
    /// When it was committed there: what was restored from a backup gives the same numbers out anew. `None`: not compared.
    pub committed_at: Option<Timestamp>,
}

/// What changed since a revision.
#[derive(Debug)]
pub enum Feed {
    /// These records, as they stand at the head.
    Changes(Changes),
    /// Nobody knows any more, or it is another database, or an older state of this one: load everything.
    Gap(Head),
}

/// Records that changed, as they stand at `head`.
#[derive(Debug)]
pub struct Changes {
    /// The revision they lead to.
    pub head: Head,
    /// Organizations; all there are, if any changed.
    pub organizations: Option<Vec<Organization>>,
    /// People that are new or differ.
    pub people: Vec<Person>,
    /// Keys that are new or differ.
    pub keys: Vec<KeyRecord>,
    /// Digests that belonged to a key and no longer do.
    pub dropped: Vec<KeyDigest>,
}

/// Sums over the keys that are stored: how many entries, and the wrapping sum of their marks
/// (see `KeySnapshot::checksum`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksum {
    /// As of this revision.
    pub revision: u64,
    /// Entries: a key in rotation has two.
    pub entries: u64,
    /// The sum of their marks.
    pub sum: u64,
}

/// Hears that something was committed.
pub trait Signals: Send + fmt::Debug {
    /// Waits for the next commit. May speak without one, and speaks once for many; after [`Heard::Lost`] it goes on.
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Heard> + Send + '_>>;
}

/// What was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Something was committed.
    Commit,
    /// The connection was lost and is there again: anything may have happened in between.
    Lost,
}

/// What a replica does where it has not heard of its database for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WhenStale {
    /// It serves on with what it has.
    Serve,
    /// It answers 503.
    Reject,
}

impl WhenStale {
    /// The word in config and listings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Reject => "reject",
        }
    }
}

/// A sign of life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// The replica's id, new with each process.
    pub replica: String,
    /// Where it can be found: a host name.
    pub address: String,
    /// Its version.
    pub version: String,
    /// The revision it has in force; 0 before it has loaded any.
    pub revision: u64,
    /// How long it goes on without its database before it is stale.
    pub lease: Duration,
    /// And what then.
    pub when_stale: WhenStale,
}

/// A replica as the database knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// Its last sign of life.
    pub beat: Heartbeat,
    /// When it started.
    pub started_at: Timestamp,
    /// When that sign came, by the clock of the database.
    pub beat_at: Timestamp,
    /// How long ago that was, by the clock of the database.
    pub silent: Duration,
}

/// A replica has put a revision in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Its id.
    pub replica: String,
    /// The revision; all before it are in force with it.
    pub revision: u64,
    /// From the commit to here, by the clock of the database; what a caller says here is not kept.
    pub after: Duration,
    /// Open streams that were closed for it.
    pub streams_closed: u64,
}

/// That requests of a key needed a scope; also one that another scope they needed implies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeUse {
    /// The key.
    pub key: KeyId,
    /// The scope's name, by the config that permitted the requests.
    pub scope: String,
    /// When last, to a few seconds.
    pub last_used: Timestamp,
}

/// Uses of one secret within one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// The key.
    pub key: KeyId,
    /// The mark of the secret: tells old and new apart and nothing else about it.
    pub secret: String,
    /// The hour's beginning.
    pub hour: Timestamp,
    /// How often, by outcome.
    pub counts: UseCounts,
    /// The last use that was not refused.
    pub last_used: Option<LastUse>,
    /// When it was last refused.
    pub last_refused: Option<Timestamp>,
}

impl UsageRow {
    /// Adds the uses in `more`, which is of the same secret and hour.
    pub fn add(&mut self, more: &Self) {
        self.counts.add(more.counts);
        self.last_used = [self.last_used, more.last_used].into_iter().flatten().max_by_key(|used| used.at);
        self.last_refused = self.last_refused.max(more.last_refused);
    }
}
