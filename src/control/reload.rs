//! The reloader: from a change in a source to a published revision.
//!
//! Each source (the config, each key file, each certificate) is taken or not as a whole and keeps its own last good
//! content. Runs on a thread of its own at low priority, never on that of a worker.

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    changes::FileChange,
    config_file::{ConfigFile, keep_what_needs_a_restart},
    database_keys::DatabaseKeys,
    file_keys::FileKeys,
    local_revocation::{LocalRevocation, Revoking, Unrevoked},
    observation::ObservationLog,
    record::Recorder,
    report::{Report, Taken, Wrong},
    spare::Spares,
};
use crate::{
    clock::{Clock, monotonic},
    config::{Config, model::KeySource},
    keys::digest::KeyDigest,
    live::{Live, Published},
    store::{
        file_set::FileSet,
        key_files::{Location, Moment},
        records_in_force::RecordsInForce,
        state::{StateError, StateFolder},
    },
    telemetry::{
        audit::{AuditEvent, AuditLog, KeyChanges},
        metrics::Metrics,
        operator::Operator,
    },
};

/// How long a synchronous reload waits for files that are being written.
const PATIENCE: Duration = Duration::from_secs(2);

/// The certificates of one listener, or another set of files that is none of ours to read.
pub trait CertificateSource: Send + fmt::Debug {
    /// What operators call it, as the path of the certificate.
    fn name(&self) -> &str;

    /// The files it is read from.
    fn files(&self) -> Vec<PathBuf>;

    /// Reads the files and puts them in force.
    ///
    /// # Errors
    /// Everything that is wrong, with its remedy; then what was in force stays.
    fn reload(&mut self) -> Result<(), Vec<String>>;
}

/// What a reloader works on.
#[derive(Debug)]
pub struct ReloaderParts {
    /// The file that `config` was loaded from.
    pub config_file: ConfigFile,
    /// The configuration to start with.
    pub config: Config,
    /// Certificates, as they were loaded at the start.
    pub certificates: Vec<Box<dyn CertificateSource>>,
    /// Where reloads are counted.
    pub metrics: Metrics,
    /// Where they are recorded.
    pub audit: Arc<AuditLog>,
    /// The wall clock.
    pub clock: Box<dyn Clock>,
}

/// Takes what changed in the sources and publishes it. With key files it is the only one who does; with a database,
/// [`DatabaseKeys`] takes turns.
#[derive(Debug)]
pub struct Reloader {
    live: Live,
    config_file: ConfigFile,
    /// A config that is right by itself, but not with the keys.
    candidate: Option<Config>,
    config_problems: Vec<String>,
    certificates: Vec<Certificate>,
    keys: Keys,
    recorder: Recorder,
    /// What is wrong and was told, by source.
    told: BTreeMap<String, Vec<String>>,
    tallied: Option<Instant>,
    observation: ObservationLog,
    spares: Spares,
    records: RecordsInForce,
}

/// Where the keys in force come from.
#[derive(Debug)]
enum Keys {
    Files(Box<FileKeys>),
    /// Somebody else follows the database; only the config is taken here.
    Database(DatabaseKeys),
}

#[derive(Debug)]
struct Certificate {
    source: Box<dyn CertificateSource>,
    files: FileSet,
    problems: Vec<String>,
}

impl Reloader {
    /// Reads the keys and puts them in force with `config` as revision 1. Blocks for the moment that files which are
    /// being written need; key files that are wrong are told in the report, and what is right is in force. Keys of a
    /// database come into force when somebody hands them to [`Reloader::database_keys`].
    ///
    /// # Errors
    /// Where the `state:` folder cannot be used: a revocation would be forgotten.
    pub fn start(parts: ReloaderParts) -> Result<(Self, Report), StateError> {
        let ReloaderParts { config_file, config, certificates, metrics, audit, clock } = parts;
        let folder = config.state.as_deref().map(StateFolder::open).transpose()?;
        let source = config.keys.clone();
        let live = Live::new(Published { revision: 0, config: Arc::new(config), keys: None });
        let keys = match source {
            KeySource::File(path) => {
                Keys::files(FileKeys::new(Location::File(path), &live.current().config, folder)?)
            }
            KeySource::Directory(path) => {
                Keys::files(FileKeys::new(Location::Directory(path), &live.current().config, folder)?)
            }
            KeySource::Database(_) => {
                Keys::Database(DatabaseKeys::new(live.clone(), metrics.clone(), folder)?)
            }
        };
        let certificates = certificates.into_iter().map(Certificate::new).collect();
        let records = RecordsInForce::none(live.current().config.key_rules());
        let mut reloader = Self {
            live,
            config_file,
            candidate: None,
            config_problems: Vec::new(),
            certificates,
            keys,
            recorder: Recorder { metrics, audit, clock },
            told: BTreeMap::new(),
            tallied: None,
            observation: ObservationLog::default(),
            spares: Spares::default(),
            records,
        };
        let mut report = reloader.reload_now();
        if report.revision == 0 && matches!(reloader.keys, Keys::Files(_)) {
            let current = reloader.live.current();
            let (config, keys) = (Arc::clone(&current.config), current.keys.clone());
            reloader.live.publish(Published { revision: 1, config, keys });
            report.revision = 1;
        }
        let now = reloader.recorder.clock.now();
        let config_file = reloader.config_file.path().display().to_string();
        reloader.recorder.metrics.source_taken(&config_file, now);
        Ok((reloader, report))
    }

    /// Where the data path finds what is in force.
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// The records of key files that are in force; none with a database.
    pub fn records_in_force(&self) -> &RecordsInForce {
        &self.records
    }

    /// Where the keys of a database are put in force; `None` with key files.
    pub fn database_keys(&self) -> Option<&DatabaseKeys> {
        match &self.keys {
            Keys::Files(_) => None,
            Keys::Database(keys) => Some(keys),
        }
    }

    /// Looks at every source now, and again while something is being written, for two seconds at the most.
    pub fn reload_now(&mut self) -> Report {
        let started = monotonic();
        let mut report = self.look();
        while let Some(wait) = report.again_in.filter(|_| started.elapsed() < PATIENCE) {
            thread::sleep(wait);
            report = report.followed_by(self.look());
        }
        report
    }

    /// Looks at every source once and puts in force what is new and right. Never waits.
    pub fn look(&mut self) -> Report {
        self.spares.release();
        let mut report = self.look_with_room();
        report.wait(self.spares.hold());
        report
    }

    fn look_with_room(&mut self) -> Report {
        let now = Moment { monotonic: monotonic(), wall: self.recorder.clock.now() };
        let mut report = Report::default();
        let config_changed = self.look_at_config(now, &mut report);
        let (certificates_changed, certificates) = self.look_at_certificates(now, &mut report);
        let keys_changed = match &mut self.keys {
            Keys::Files(files) => {
                let look = files.look(now);
                report.wait(look.again_in);
                look.changed
            }
            Keys::Database(_) => false,
        };
        if keys_changed || config_changed || certificates_changed {
            self.bring_into_force(now, certificates, &mut report);
            self.tell_wrong(now);
        }
        if let Keys::Files(files) = &mut self.keys {
            files.save_revocations(&mut report);
            report.undone = files.undone();
            report.revoked_by_wrong_files = files.marked();
        }
        report.revision = self.live.current().revision;
        report.wrong = self.told.iter().map(Wrong::of).collect();
        self.tally(now, &report);
        report
    }

    /// Revokes a key of a key file at once, and for good: kept, in force, told; only its file does not say so yet.
    pub(super) fn revoke(&mut self, asked: &LocalRevocation) -> Result<Revoking, Unrevoked> {
        let Keys::Files(files) = &mut self.keys else { return Err(Unrevoked::NoSuchKey) };
        let (key, file) = files.find(&asked.key).ok_or(Unrevoked::NoSuchKey)?;
        let file = file.display().to_string();
        let previous = key.previous.as_ref().map(|previous| previous.digest);
        let digests: Vec<KeyDigest> = [Some(key.digest), previous].into_iter().flatten().collect();
        let before = revoked_since(&self.live, &digests);
        let closed = self.live.closed();
        let mut report = Report::default();
        self.spares.release();
        let keeping = files.revoke(&digests, asked, &mut report);
        let now = Moment { monotonic: monotonic(), wall: self.recorder.clock.now() };
        self.bring_into_force(now, Vec::new(), &mut report);
        report.wait(self.spares.hold());
        if revoked_since(&self.live, &digests).is_none() {
            tracing::error!(key = %asked.key, "the revocation of this key is kept, but could not be put in force");
            return Err(Unrevoked::NotInForce);
        }
        if before.is_none() {
            self.tell_revoked(asked, &file);
        }
        let revision = self.live.current().revision;
        Ok(Revoking { revision, before, keeping, closed, publication: self.live.enforce() })
    }

    fn tell_revoked(&self, asked: &LocalRevocation, file: &str) {
        let reason = asked.revocation.reason.as_ref();
        let what =
            reason.map_or_else(|| "revoked here".to_owned(), |reason| format!("revoked here: {reason}"));
        self.recorder.record(&AuditEvent::Changed {
            actor: Operator::of_process().actor(),
            acting_as: Some(&asked.actor),
            address: asked.address,
            organization: Some(asked.organization.as_str()),
            command: "keys revoke",
            file,
            record: "key",
            id: asked.key.as_str(),
            what: &what,
        });
    }

    /// Counts the keys, and tells of routes that observe, when something changed and, since time alone ends keys and
    /// observations, now and then.
    fn tally(&mut self, now: Moment, report: &Report) {
        let age = self.tallied.map(|tallied| now.monotonic.saturating_duration_since(tallied));
        if report.is_new || age.is_none_or(|age| age >= self.poll()) {
            self.tallied = Some(now.monotonic);
            let tally = match &self.keys {
                Keys::Files(files) => files.tally(now),
                Keys::Database(keys) => keys.tally(now.wall),
            };
            self.recorder.metrics.set_revision(report.revision, tally);
            self.observation.tell(&self.live.current().config, &self.recorder.metrics, now);
        }
    }

    fn look_at_config(&mut self, now: Moment, report: &mut Report) -> bool {
        let look = self.config_file.look(now.monotonic);
        report.wait(look.again_in);
        if !look.changed {
            return false;
        }
        let loaded = self.config_file.read();
        match loaded.result {
            Ok(mut config) => {
                for warning in &loaded.warnings {
                    report.warn(warning.to_string());
                }
                for name in keep_what_needs_a_restart(&mut config, &self.live.current().config) {
                    let file = self.config_file.path().display();
                    report.warn(format!(
                        "{file}: `{name}` changed; the change needs a restart, until then the old one stays"
                    ));
                }
                self.candidate = Some(config);
                self.config_problems.clear();
            }
            Err(problems) => {
                self.candidate = None;
                self.config_problems = problems.iter().map(ToString::to_string).collect();
            }
        }
        true
    }

    /// Whether a certificate changed, and those that were taken.
    fn look_at_certificates(&mut self, now: Moment, report: &mut Report) -> (bool, Vec<String>) {
        let mut taken = Vec::new();
        let mut changed = false;
        for certificate in &mut self.certificates {
            let look = certificate.files.look(now.monotonic);
            report.wait(look.again_in);
            if look.changed {
                changed = true;
                certificate.problems = certificate.source.reload().err().unwrap_or_default();
                if certificate.problems.is_empty() {
                    taken.push(certificate.source.name().to_owned());
                }
            }
        }
        (changed, taken)
    }

    /// Builds from the newest right contents, publishes if that is another than what is in force, then tells.
    fn bring_into_force(&mut self, now: Moment, certificates: Vec<String>, report: &mut Report) {
        let current = self.live.current();
        let path = self.config_file.path();
        let files = match &mut self.keys {
            Keys::Files(files) => files,
            Keys::Database(keys) => {
                let config = self.candidate.take();
                let has_new_config = config.is_some();
                if let Some(config) = config {
                    keys.take_config(Arc::new(config));
                }
                if has_new_config || !certificates.is_empty() {
                    report.is_new = true;
                    self.tell_taken(has_new_config, &[], certificates, now, report);
                }
                return;
            }
        };
        let resolved = files.resolve(&current, &mut self.candidate, &mut self.config_problems, path);
        let Some(mut resolved) = resolved else { return };
        let config = resolved.config.take();
        let Some(next) = files.overlay(resolved, &current) else {
            return report
                .warn("there are more keys than a table can hold; the old ones stay in force".to_owned());
        };
        if config.is_some() || next.is_new || !certificates.is_empty() {
            let has_new_config = config.is_some();
            let config = config.map_or_else(|| Arc::clone(&current.config), Arc::new);
            files.set_config(&config);
            let (revision, keys) = (current.revision + 1, next.snapshot.clone());
            self.live.publish(Published { revision, config, keys });
            report.is_new = true;
            self.tell_taken(has_new_config, &next.changes, certificates, now, report);
        }
        let revision = self.live.current().revision;
        if let Keys::Files(files) = &mut self.keys {
            files.follow(next, revision, &self.recorder, report);
            self.records.put(files.records(&self.live.current()));
        }
    }

    fn tell_taken(
        &self,
        has_new_config: bool,
        files: &[FileChange],
        certificates: Vec<String>,
        now: Moment,
        report: &mut Report,
    ) {
        let unchanged = KeyChanges { keys: self.keys.count(), ..KeyChanges::default() };
        let config = has_new_config.then(|| self.config_file.path().display().to_string());
        let mut taken: Vec<Taken> = config
            .into_iter()
            .chain(certificates)
            .map(|source| Taken { source, changes: unchanged })
            .collect();
        for FileChange { path, is_removed, changes } in files {
            let source = path.display().to_string();
            if *is_removed {
                self.recorder.metrics.source_removed(&source);
            }
            taken.push(Taken { source, changes: *changes });
        }
        let revision = self.live.current().revision;
        for Taken { source, changes } in &taken {
            if self.is_source(source) {
                self.recorder.metrics.source_taken(source, now.wall);
            }
            self.recorder.record(&AuditEvent::ReloadApplied { source, revision, changes: *changes });
            let KeyChanges { keys, added, changed, removed, revoked } = *changes;
            tracing::info!(
                source,
                revision,
                keys,
                added,
                changed,
                removed,
                revoked,
                "revision {revision} in force"
            );
        }
        report.taken = taken;
    }

    /// Tells of every source that is wrong now what was not told yet.
    fn tell_wrong(&mut self, now: Moment) {
        let mut wrong: BTreeMap<String, Vec<String>> = match &self.keys {
            Keys::Files(files) => files.problems().collect(),
            Keys::Database(_) => BTreeMap::new(),
        };
        if !self.config_problems.is_empty() {
            wrong.insert(self.config_file.path().display().to_string(), self.config_problems.clone());
        }
        for certificate in self.certificates.iter().filter(|certificate| !certificate.problems.is_empty()) {
            wrong.insert(certificate.source.name().to_owned(), certificate.problems.clone());
        }
        let revision = self.live.current().revision;
        for (source, problems) in &wrong {
            if self.told.get(source) != Some(problems) {
                let first = problems.first().map_or("", String::as_str);
                self.recorder.metrics.source_wrong(source, now.wall, first);
                self.recorder.record(&AuditEvent::ReloadRefused { source, revision, problems });
                tracing::error!(
                    source,
                    revision,
                    "this source is wrong; what it said before stays in force: {}",
                    problems.join(" · ")
                );
            }
        }
        for source in self.told.keys().filter(|source| !wrong.contains_key(*source)) {
            if self.is_source(source) {
                self.recorder.metrics.source_taken(source, now.wall);
            } else {
                self.recorder.metrics.source_removed(source);
            }
        }
        self.told = wrong;
    }

    fn is_source(&self, name: &str) -> bool {
        self.config_file.path().display().to_string() == name
            || matches!(&self.keys, Keys::Files(files) if files.is_source(name))
            || self.certificates.iter().any(|certificate| certificate.source.name() == name)
    }

    /// How often to look although nothing woke the reloader.
    pub(super) fn poll(&self) -> Duration {
        self.live.current().config.poll
    }

    /// Every file whose change matters.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let mut paths = self.config_file.paths().to_vec();
        paths.extend(self.certificates.iter().flat_map(|certificate| certificate.files.paths().to_vec()));
        if let Keys::Files(files) = &self.keys {
            paths.extend(files.paths());
        }
        paths
    }
}

/// Since when all of these secrets are revoked; one that nothing has is no good either.
fn revoked_since(live: &Live, digests: &[KeyDigest]) -> Option<Timestamp> {
    let current = live.current();
    let keys = current.keys.as_ref()?;
    let known = digests.iter().filter(|digest| keys.table().find(digest).is_some());
    let since: Option<Vec<_>> = known.map(|digest| keys.revoked_at(digest)).collect();
    since?.into_iter().min()
}

impl Keys {
    fn files(files: FileKeys) -> Self {
        Self::Files(Box::new(files))
    }

    fn count(&self) -> u64 {
        match self {
            Self::Files(files) => files.keys(),
            Self::Database(keys) => keys.count(),
        }
    }
}

impl Certificate {
    fn new(source: Box<dyn CertificateSource>) -> Self {
        let mut files = FileSet::new(source.files());
        files.take();
        Self { source, files, problems: Vec::new() }
    }
}
