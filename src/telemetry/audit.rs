//! The audit log: what changed, by whom or from which source, and when; a line of JSON per event, only ever appended.
//! Written by the control side and the CLI, never by a request. In a file a line is on disk before `record` returns.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    net::IpAddr,
    os::{fd::AsFd as _, unix::fs::OpenOptionsExt as _},
    path::Path,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;

use super::json_line::JsonLine;

/// Entries of a list that are written; how many there are is always said.
const LIST_MAX: usize = 100;

/// Who changed something through the CLI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor<'e> {
    /// The user id of the process.
    pub uid: u32,
    /// The user's name, where the system knows one.
    pub user: Option<&'e str>,
}

/// How the keys in force differ from those before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyChanges {
    /// Keys there are.
    pub keys: u64,
    /// That were not there before.
    pub added: u64,
    /// That are there and differ.
    pub changed: u64,
    /// That are there no more.
    pub removed: u64,
    /// That were good and are revoked.
    pub revoked: u64,
}

/// What happened to the way in to the admin listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignInEvent {
    /// A session was begun.
    SignedIn,
    /// Somebody tried to sign in and may not.
    Failed,
    /// A session was ended.
    SignedOut,
    /// A person has another password.
    PasswordChanged,
    /// A one-time link was made.
    LinkMade,
    /// A one-time link was used.
    LinkUsed,
}

/// What happened.
#[derive(Debug, Clone, Copy)]
pub enum AuditEvent<'e> {
    /// The gateway started serving.
    Started {
        /// Its version.
        version: &'e str,
        /// The revision in force.
        revision: u64,
        /// Keys there are.
        keys: u64,
    },
    /// The gateway stopped.
    Stopped {
        /// The revision that was in force.
        revision: u64,
        /// Why, as `SIGTERM`.
        reason: &'e str,
    },
    /// A source was taken: this revision is in force on every worker from here on.
    ReloadApplied {
        /// The source.
        source: &'e str,
        /// The revision now in force.
        revision: u64,
        /// What it changes.
        changes: KeyChanges,
    },
    /// A source was wrong, so that its last good content stays in force.
    ReloadRefused {
        /// The source.
        source: &'e str,
        /// The revision still in force.
        revision: u64,
        /// What is wrong, as it is shown to the operator.
        problems: &'e [String],
    },
    /// The revocations of a source that is otherwise wrong were taken.
    RevocationsApplied {
        /// The source.
        source: &'e str,
        /// The revision now in force.
        revision: u64,
        /// The keys.
        key_ids: &'e [&'e str],
    },
    /// A source lists revoked keys as good again; they stay refused.
    RevocationsUndoneRefused {
        /// The source.
        source: &'e str,
        /// The revision in force.
        revision: u64,
        /// The keys.
        key_ids: &'e [&'e str],
    },
    /// A record was changed by a command.
    Changed {
        /// Who.
        actor: Actor<'e>,
        /// On behalf of whom, as `person:ada`, if not for themselves.
        acting_as: Option<&'e str>,
        /// From where, if not at this machine.
        address: Option<IpAddr>,
        /// The organization that the record belongs to, where that is known.
        organization: Option<&'e str>,
        /// The command without its values, as `keys revoke`.
        command: &'e str,
        /// The file.
        file: &'e str,
        /// What kind of record: `key`, `person`, `project`, `organization`.
        record: &'e str,
        /// Its id.
        id: &'e str,
        /// What changed, as `revoked_at, revoked_reason`; never a secret or digest.
        what: &'e str,
    },
    /// Somebody signed in or out, or tried to, or what they do it with changed.
    SignIn {
        /// What of it.
        event: SignInEvent,
        /// Who, if it is somebody; what was typed otherwise is not told, as it may be a password.
        person: Option<&'e str>,
        /// By which means: `password`, `key key_01…`; of a link, who made it.
        by: &'e str,
        /// From where, if not at this machine.
        address: Option<IpAddr>,
        /// So many like it were not told since the last one.
        suppressed: Option<u64>,
    },
}

impl AuditEvent<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Started { .. } => "started",
            Self::Stopped { .. } => "stopped",
            Self::ReloadApplied { .. } => "reload_applied",
            Self::ReloadRefused { .. } => "reload_refused",
            Self::RevocationsApplied { .. } => "revocations_applied",
            Self::RevocationsUndoneRefused { .. } => "revocations_undone_refused",
            Self::Changed { .. } => "changed",
            Self::SignIn { event, .. } => match event {
                SignInEvent::SignedIn => "signed_in",
                SignInEvent::Failed => "sign_in_failed",
                SignInEvent::SignedOut => "signed_out",
                SignInEvent::PasswordChanged => "password_changed",
                SignInEvent::LinkMade => "link_made",
                SignInEvent::LinkUsed => "link_used",
            },
        }
    }

    /// The event as a line of JSON at `at`, newline included.
    pub fn to_line(&self, at: Timestamp) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        let mut line = JsonLine::begin(&mut out);
        line.text("time", &at.to_string());
        line.text("event", self.name());
        self.write_members(&mut line);
        line.end();
        out
    }

    fn write_members(&self, line: &mut JsonLine<'_>) {
        match *self {
            Self::Started { version, revision, keys } => {
                line.text("version", version);
                line.number("revision", revision);
                line.number("keys", keys);
            }
            Self::Stopped { revision, reason } => {
                line.number("revision", revision);
                line.foreign("reason", reason.as_bytes());
            }
            Self::ReloadApplied { source, revision, changes } => {
                write_source(line, source, revision);
                line.number("keys", changes.keys);
                line.number("added", changes.added);
                line.number("changed", changes.changed);
                line.number("removed", changes.removed);
                line.number("revoked", changes.revoked);
            }
            Self::ReloadRefused { source, revision, problems } => {
                write_source(line, source, revision);
                line.number("problem_count", problems.len());
                line.list("problems", problems.iter().take(LIST_MAX).map(String::as_str));
            }
            Self::RevocationsApplied { source, revision, key_ids }
            | Self::RevocationsUndoneRefused { source, revision, key_ids } => {
                write_source(line, source, revision);
                line.number("key_count", key_ids.len());
                line.list("key_ids", key_ids.iter().take(LIST_MAX).copied());
            }
            Self::Changed { actor, acting_as, address, organization, command, file, record, id, what } => {
                line.number("uid", actor.uid);
                if let Some(user) = actor.user {
                    line.foreign("user", user.as_bytes());
                }
                if let Some(acting_as) = acting_as {
                    line.foreign("acting_as", acting_as.as_bytes());
                }
                if let Some(address) = address {
                    line.text("address", &address.to_string());
                }
                if let Some(organization) = organization {
                    line.foreign("organization", organization.as_bytes());
                }
                line.foreign("command", command.as_bytes());
                line.foreign("file", file.as_bytes());
                line.foreign("record", record.as_bytes());
                line.foreign("id", id.as_bytes());
                line.foreign("what", what.as_bytes());
            }
            Self::SignIn { event: _, person, by, address, suppressed } => {
                if let Some(person) = person {
                    line.foreign("person", person.as_bytes());
                }
                line.foreign("by", by.as_bytes());
                if let Some(address) = address {
                    line.text("address", &address.to_string());
                }
                if let Some(suppressed) = suppressed {
                    line.number("suppressed", suppressed);
                }
            }
        }
    }
}

fn write_source(line: &mut JsonLine<'_>, source: &str, revision: u64) {
    line.foreign("source", source.as_bytes());
    line.number("revision", revision);
}

/// The log; several processes may append to one file, each line whole.
#[derive(Debug)]
pub struct AuditLog(Mutex<AuditFile>);

#[derive(Debug)]
struct AuditFile {
    out: File,
    synced: bool,
    /// Whether the file may end in the middle of a line.
    torn: bool,
}

impl AuditLog {
    /// Appends to the file at `path`, which is created with mode 0640.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn to_file(path: &Path) -> io::Result<Self> {
        let mut out = OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)?;
        let torn = !ends_with_newline(&mut out)?;
        Ok(Self(Mutex::new(AuditFile { out, synced: true, torn })))
    }

    /// Writes to standard error.
    ///
    /// # Errors
    /// Where its descriptor cannot be duplicated.
    pub fn to_stderr() -> io::Result<Self> {
        let out = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        Ok(Self(Mutex::new(AuditFile { out, synced: false, torn: false })))
    }

    /// Appends `event`; blocks until it is on disk. An error leaves at most half a line, which the next one closes.
    ///
    /// # Errors
    /// Where it cannot be written, as on a full disk; the caller says so to the operator.
    pub fn record(&self, event: &AuditEvent<'_>, at: Timestamp) -> io::Result<()> {
        self.record_all(std::slice::from_ref(event), at)
    }

    /// As [`AuditLog::record`], with several events at the cost of one write.
    ///
    /// # Errors
    /// As there; then any number of them may be missing at the end.
    pub fn record_all(&self, events: &[AuditEvent<'_>], at: Timestamp) -> io::Result<()> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines: Vec<u8> = events.iter().flat_map(|event| event.to_line(at)).collect();
        if file.torn {
            lines.insert(0, b'\n');
        }
        file.torn = true;
        file.out.write_all(&lines)?;
        file.torn = false;
        if file.synced { file.out.sync_data() } else { Ok(()) }
    }
}

/// Whether a file is empty or ends whole; what cannot be sought, as a pipe, does.
fn ends_with_newline(file: &mut File) -> io::Result<bool> {
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::UNIX_EPOCH;

    fn changed(id: &str) -> AuditEvent<'_> {
        let actor = Actor { uid: 1000, user: Some("ada") };
        AuditEvent::Changed {
            actor,
            acting_as: None,
            address: None,
            organization: None,
            command: "keys revoke",
            file: "keys.yaml",
            record: "key",
            id,
            what: "revoked_at",
        }
    }

    #[test]
    fn every_event_is_one_line_of_json() {
        let problems = vec!["keys.yaml:3:5: \"x\"\u{2028}\nforged".to_owned(); 300];
        let source = "keys.yaml";
        let events = [
            AuditEvent::Started { version: "1", revision: 1, keys: 2 },
            AuditEvent::Stopped { revision: 1, reason: "SIGTERM" },
            AuditEvent::ReloadApplied { source, revision: 2, changes: KeyChanges::default() },
            AuditEvent::ReloadRefused { source, revision: 2, problems: &problems },
            AuditEvent::RevocationsApplied { source, revision: 3, key_ids: &["a", "b"] },
            AuditEvent::RevocationsUndoneRefused { source, revision: 3, key_ids: &["a"] },
            changed("key_1"),
            AuditEvent::SignIn {
                event: SignInEvent::Failed,
                person: Some("ada\u{2028}"),
                by: "password\n",
                address: Some([192, 0, 2, 1].into()),
                suppressed: Some(7),
            },
        ];
        for event in events {
            let line = String::from_utf8(event.to_line(AT)).unwrap();
            assert_eq!(line.matches(['\n', '\u{2028}']).count(), 1, "{line}");
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(value["event"], event.name());
            assert_eq!(value["time"], "1970-01-01T00:00:00Z");
            if let AuditEvent::ReloadRefused { .. } = event {
                assert_eq!(value["problem_count"], 300);
                assert_eq!(value["problems"].as_array().unwrap().len(), LIST_MAX);
            }
        }
    }

    #[test]
    fn lines_are_appended_and_half_a_line_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        AuditLog::to_file(&path).unwrap().record(&changed("one"), AT).unwrap();
        let whole = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{whole}{{\"time\":\"19")).unwrap();
        let (first, second) = (AuditLog::to_file(&path).unwrap(), AuditLog::to_file(&path).unwrap());
        first.record(&changed("two"), AT).unwrap();
        second.record(&changed("three"), AT).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let good: Vec<serde_json::Value> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let ids: Vec<_> = good.iter().map(|line| line["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["one", "two", "three"]);
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let log = AuditLog::to_file(Path::new("/dev/full")).unwrap();
        assert_eq!(log.record(&changed("x"), AT).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
