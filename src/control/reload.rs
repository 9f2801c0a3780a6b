//! The reloader: from a change in a source to a published revision.
//!
//! Each source (the config, each key file, each certificate) is taken or not as a whole and keeps its own last good
//! content. Runs on a thread of its own at low priority, never on that of a worker.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::{
    changes::{FileChange, file_changes, tally},
    config_file::{ConfigFile, keep_what_needs_a_restart},
    report::{Report, Taken, Wrong},
    revocations::{Overlaid, Revocations},
    spare::Spares,
};
use crate::{
    clock::{Clock, monotonic},
    config::{Config, model::KeySource},
    keys::build::KeyPolicy,
    live::{Live, Published},
    policy::principal::KeyIdText,
    store::{
        file::KeyFile,
        file_set::FileSet,
        key_files::{KeyFiles, Location, Moment, Resolution, WrongSource},
        read::{Exposure, ReadOptions},
        state::{StateError, StateFolder},
    },
    telemetry::{
        audit::{AuditEvent, AuditLog, KeyChanges},
        metrics::Metrics,
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
    pub audit: AuditLog,
    /// The wall clock.
    pub clock: Box<dyn Clock>,
}

/// Takes what changed in the sources and publishes it; the only one who does.
#[derive(Debug)]
pub struct Reloader {
    live: Live,
    config_file: ConfigFile,
    /// A config that is right by itself, but not with the keys.
    candidate: Option<Config>,
    config_problems: Vec<String>,
    certificates: Vec<Certificate>,
    keys: KeyFiles,
    key_problems: Vec<WrongSource>,
    in_force: Vec<Arc<KeyFile>>,
    refused: HashSet<KeyIdText>,
    revocations: Revocations,
    metrics: Metrics,
    audit: AuditLog,
    clock: Box<dyn Clock>,
    told: Told,
    tallied: Option<Instant>,
    spares: Spares,
}

#[derive(Debug)]
struct Certificate {
    source: Box<dyn CertificateSource>,
    files: FileSet,
    problems: Vec<String>,
}

/// What was said already, so that it is said once.
#[derive(Debug, Default)]
struct Told {
    wrong: BTreeMap<String, Vec<String>>,
    undone: Vec<(String, Vec<KeyIdText>)>,
    marked: Vec<(String, Vec<KeyIdText>)>,
    exposures: BTreeSet<String>,
    unsaved: Option<String>,
}

impl Reloader {
    /// Reads the keys and puts them in force with `config` as revision 1. Blocks for the moment that files which are
    /// being written need; key files that are wrong are told in the report, and what is right is in force.
    ///
    /// # Errors
    /// Where the `state:` folder cannot be used: a revocation would be forgotten.
    pub fn start(parts: ReloaderParts) -> Result<(Self, Report), StateError> {
        let ReloaderParts { config_file, config, certificates, metrics, audit, clock } = parts;
        let folder = config.state.as_deref().map(StateFolder::open).transpose()?;
        let revocations = Revocations::load(folder)?;
        let keys = KeyFiles::new(location(&config.keys), read_options(&config));
        let live = Live::new(Published { revision: 0, config: Arc::new(config), keys: None });
        let certificates = certificates.into_iter().map(Certificate::new).collect();
        let mut reloader = Self {
            live,
            config_file,
            candidate: None,
            config_problems: Vec::new(),
            certificates,
            keys,
            key_problems: Vec::new(),
            in_force: Vec::new(),
            refused: HashSet::new(),
            revocations,
            metrics,
            audit,
            clock,
            told: Told::default(),
            tallied: None,
            spares: Spares::default(),
        };
        let mut report = reloader.reload_now();
        if report.revision == 0 {
            reloader.publish(Published { revision: 1, ..reloader.published() });
            report.revision = 1;
        }
        let now = reloader.clock.now();
        reloader.metrics.source_taken(&reloader.config_file.path().display().to_string(), now);
        Ok((reloader, report))
    }

    /// Where the data path finds what is in force.
    pub fn live(&self) -> &Live {
        &self.live
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
        let now = Moment { monotonic: monotonic(), wall: self.clock.now() };
        let mut report = Report::default();
        let config_changed = self.look_at_config(now, &mut report);
        let (certificates_changed, certificates) = self.look_at_certificates(now, &mut report);
        let keys = self.keys.look(now);
        report.wait(keys.again_in);
        if keys.changed || config_changed || certificates_changed {
            self.bring_into_force(now, certificates, &mut report);
            self.tell_wrong(now);
        }
        self.save_revocations(&mut report);
        report.revision = self.live.current().revision;
        report.wrong = self.told.wrong.iter().map(Wrong::of).collect();
        report.undone = texts(&self.told.undone);
        report.revoked_by_wrong_files = texts(&self.told.marked);
        self.tally(now, &report);
        report
    }

    /// Counts the keys when they changed and, since time alone makes them expire, now and then.
    fn tally(&mut self, now: Moment, report: &Report) {
        let age = self.tallied.map(|tallied| now.monotonic.saturating_duration_since(tallied));
        if report.is_new || age.is_none_or(|age| age >= self.poll()) {
            self.tallied = Some(now.monotonic);
            self.metrics.set_revision(report.revision, tally(&self.in_force, &self.refused, now.wall));
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
        let Some((config, resolution)) = self.resolve(&current) else { return };
        let Ok(overlaid) = self.revocations.overlay(&resolution) else {
            return report
                .warn("there are more keys than a table can hold; the old ones stay in force".to_owned());
        };
        let changes = file_changes(&self.in_force, &resolution.files);
        let is_new = config.is_some()
            || !changes.is_empty()
            || !certificates.is_empty()
            || overlaid.refused != self.refused
            || current.revision == 0 && overlaid.snapshot.is_some();
        self.keys.accept(&resolution);
        let Overlaid { snapshot, marked, undone, refused } = overlaid;
        self.refused = refused;
        self.in_force.clone_from(&resolution.files);
        if is_new {
            let has_new_config = config.is_some();
            let config = config.map_or_else(|| Arc::clone(&current.config), Arc::new);
            self.keys.set_options(read_options(&config));
            self.publish(Published { revision: current.revision + 1, config, keys: snapshot.clone() });
            report.is_new = true;
            self.tell_taken(has_new_config, &changes, certificates, now, report);
        }
        if let Err(error) = self.revocations.remember(snapshot.as_ref(), &resolution.revocations) {
            self.tell_unsaved(&error, report);
        }
        self.key_problems = resolution.wrong;
        self.tell_revocations(marked, undone, report);
        self.tell_exposures(report);
    }

    /// The keys with the newest config they are right with, and that config if it is not the one in force. `None` if
    /// they are right with none, so that everything stays.
    fn resolve(&mut self, current: &Published) -> Option<(Option<Config>, Resolution)> {
        let with_current = |keys: &KeyFiles| keys.resolve(&policy(&current.config));
        let Some(candidate) = self.candidate.take() else {
            return with_current(&self.keys).ok().map(|resolution| (None, resolution));
        };
        let problems = match self.keys.resolve(&policy(&candidate)) {
            Ok(resolution) if resolution.wrong.is_empty() => return Some((Some(candidate), resolution)),
            Ok(resolution) => match with_current(&self.keys) {
                // Files that are wrong with either config are no reason to refuse the new one.
                Ok(old) if !is_covered(&resolution.wrong, &old.wrong) => {
                    resolution.wrong.into_iter().flat_map(|wrong| wrong.problems).collect()
                }
                Ok(_) | Err(_) => return Some((Some(candidate), resolution)),
            },
            Err(problems) => problems,
        };
        self.candidate = Some(candidate);
        self.config_problems = vec![format!(
            "{}: with this configuration the keys would be wrong; keep what they name, or change the keys first",
            self.config_file.path().display()
        )];
        self.config_problems.extend(problems.iter().map(ToString::to_string));
        with_current(&self.keys).ok().map(|resolution| (None, resolution))
    }

    fn published(&self) -> Published {
        let current = self.live.current();
        Published {
            revision: current.revision,
            config: Arc::clone(&current.config),
            keys: current.keys.clone(),
        }
    }

    fn publish(&mut self, next: Published) {
        self.live.publish(next);
    }

    fn record(&self, event: &AuditEvent<'_>) {
        if let Err(error) = self.audit.record(event, self.clock.now()) {
            tracing::error!(%error, "the audit log cannot be written");
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
        let keys = self.in_force.iter().map(|file| file.keys.len() as u64).sum();
        let unchanged = KeyChanges { keys, ..KeyChanges::default() };
        let config = has_new_config.then(|| self.config_file.path().display().to_string());
        let mut taken: Vec<Taken> = config
            .into_iter()
            .chain(certificates)
            .map(|source| Taken { source, changes: unchanged })
            .collect();
        for FileChange { path, is_removed, changes } in files {
            let source = path.display().to_string();
            if *is_removed {
                self.metrics.source_removed(&source);
            }
            taken.push(Taken { source, changes: *changes });
        }
        let revision = self.live.current().revision;
        for Taken { source, changes } in &taken {
            if self.is_source(source) {
                self.metrics.source_taken(source, now.wall);
            }
            self.record(&AuditEvent::ReloadApplied { source, revision, changes: *changes });
            tracing::info!(source, revision, ?changes, "revision {revision} in force");
        }
        report.taken = taken;
    }

    /// Tells of every source that is wrong now what was not told yet.
    fn tell_wrong(&mut self, now: Moment) {
        let mut wrong: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for file in &self.key_problems {
            let problems = file.problems.iter().map(ToString::to_string).collect();
            wrong.insert(file.path.display().to_string(), problems);
        }
        if !self.config_problems.is_empty() {
            wrong.insert(self.config_file.path().display().to_string(), self.config_problems.clone());
        }
        for certificate in self.certificates.iter().filter(|certificate| !certificate.problems.is_empty()) {
            wrong.insert(certificate.source.name().to_owned(), certificate.problems.clone());
        }
        let revision = self.live.current().revision;
        for (source, problems) in &wrong {
            if self.told.wrong.get(source) != Some(problems) {
                let first = problems.first().map_or("", String::as_str);
                self.metrics.source_wrong(source, now.wall, first);
                self.record(&AuditEvent::ReloadRefused { source, revision, problems });
                tracing::error!(
                    source,
                    revision,
                    "this source is wrong; what it said before stays in force: {}",
                    problems.join(" · ")
                );
            }
        }
        for source in self.told.wrong.keys().filter(|source| !wrong.contains_key(*source)) {
            if self.is_source(source) {
                self.metrics.source_taken(source, now.wall);
            } else {
                self.metrics.source_removed(source);
            }
        }
        self.told.wrong = wrong;
    }

    fn tell_revocations(
        &mut self,
        marked: Vec<(String, Vec<KeyIdText>)>,
        undone: Vec<(String, Vec<KeyIdText>)>,
        report: &mut Report,
    ) {
        let revision = self.live.current().revision;
        for (source, ids) in marked.iter().filter(|entry| !self.told.marked.contains(entry)) {
            let key_ids: Vec<&str> = ids.iter().map(AsRef::as_ref).collect();
            self.record(&AuditEvent::RevocationsApplied { source, revision, key_ids: &key_ids });
            report.warn(format!(
                "{source} is wrong, but what it marks revoked is in force: {}",
                key_ids.join(", ")
            ));
        }
        for (source, ids) in undone.iter().filter(|entry| !self.told.undone.contains(entry)) {
            let key_ids: Vec<&str> = ids.iter().map(AsRef::as_ref).collect();
            self.record(&AuditEvent::RevocationsUndoneRefused { source, revision, key_ids: &key_ids });
            let ids = key_ids.join(", ");
            report.warn(format!(
                "{source} lists revoked keys as good; they stay refused, make new ones: {ids}"
            ));
        }
        let count: usize = undone.iter().map(|(_, ids)| ids.len()).sum();
        self.metrics.set_revocations_undone(count as u64);
        (self.told.marked, self.told.undone) = (marked, undone);
    }

    fn tell_exposures(&mut self, report: &mut Report) {
        let exposures: BTreeSet<String> = self
            .keys
            .exposures()
            .filter(|(_, exposure)| *exposure != Exposure::WorldReadable)
            .map(|(path, exposure)| format!("{}: {exposure}", path.display()))
            .collect();
        for exposure in exposures.difference(&self.told.exposures) {
            report.warn(exposure.clone());
        }
        self.told.exposures = exposures;
    }

    fn save_revocations(&mut self, report: &mut Report) {
        match self.revocations.save() {
            Ok(()) => self.told.unsaved = None,
            Err(error) => self.tell_unsaved(&error, report),
        }
    }

    fn tell_unsaved(&mut self, error: &StateError, report: &mut Report) {
        let error = error.to_string();
        if self.told.unsaved.as_ref() != Some(&error) {
            report.warn(format!("revocations are in force, but would be forgotten by a restart: {error}"));
            self.told.unsaved = Some(error);
        }
    }

    fn is_source(&self, name: &str) -> bool {
        let is_named = |path: &Path| path.display().to_string() == name;
        is_named(self.config_file.path())
            || is_named(self.keys.location().path())
            || self.keys.paths().any(|path| is_named(path))
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
        paths.extend(self.keys.paths().map(|path| path.to_path_buf()));
        if let Location::Directory(folder) = self.keys.location() {
            // Any name in it stands for those to come.
            paths.push(folder.join("*"));
        }
        paths
    }
}

impl Certificate {
    fn new(source: Box<dyn CertificateSource>) -> Self {
        let mut files = FileSet::new(source.files());
        files.take();
        Self { source, files, problems: Vec::new() }
    }
}

fn texts(by_file: &[(String, Vec<KeyIdText>)]) -> Vec<String> {
    by_file.iter().flat_map(|(_, ids)| ids.iter().map(ToString::to_string)).collect()
}

fn is_covered(wrong: &[WrongSource], by: &[WrongSource]) -> bool {
    wrong.iter().all(|source| by.iter().any(|other| other.path == source.path))
}

fn location(source: &KeySource) -> Location {
    match source {
        KeySource::File(path) => Location::File(path.clone()),
        KeySource::Directory(path) => Location::Directory(path.clone()),
        KeySource::Database(_) => Location::File(PathBuf::new()),
    }
}

fn read_options(config: &Config) -> ReadOptions {
    ReadOptions { strict_permissions: config.strict_permissions, ..ReadOptions::default() }
}

fn policy(config: &Config) -> KeyPolicy<'_> {
    KeyPolicy { scopes: &config.policy.scopes, role_caps: &config.role_caps, brand: &config.brand }
}
