//! The audit log in the `state:` folder: a line of JSON for every record that was changed.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead as _, BufReader},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use jiff::Timestamp;
use serde::Deserialize;

use crate::{
    store::contract::{AuditFilter, AuditRecord, StoreError},
    telemetry::{
        audit::{AuditEvent, AuditLog},
        operator::Operator,
    },
};

/// The file of the `state:` folder that tells what was changed.
pub const AUDIT_LOG: &str = "audit.log";

/// The log in the `state:` folder; on standard error where there is none, as where the files of another machine's
/// gateway are edited.
pub(super) fn open(state: Option<&Path>) -> io::Result<AuditLog> {
    let Some(state) = state.filter(|state| state.is_dir()) else {
        return AuditLog::to_stderr();
    };
    let path = state.join(AUDIT_LOG);
    let is_new = !path.exists();
    let log = AuditLog::to_file(&path)?;
    if is_new {
        // What root begins here, the gateway goes on with.
        let owner = state.metadata()?;
        std::os::unix::fs::chown(&path, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(log)
}

/// Appends `records`, which changed `file` at `now`.
pub(super) fn append(
    log: &AuditLog,
    operator: &Operator,
    file: &str,
    records: &[AuditRecord],
    now: Timestamp,
) -> io::Result<()> {
    let in_full = operator.in_full();
    let event = |record: &'_ AuditRecord| -> (Option<String>, AuditRecord) {
        (Some(record.actor.clone()).filter(|actor| *actor != in_full), record.clone())
    };
    let told: Vec<_> = records.iter().map(event).collect();
    let events: Vec<_> = told
        .iter()
        .map(|(acting_as, record)| AuditEvent::Changed {
            actor: operator.actor(),
            acting_as: acting_as.as_deref(),
            command: &record.command,
            file,
            record: &record.record,
            id: &record.id,
            what: &record.what,
        })
        .collect();
    log.record_all(&events, now)
}

/// A line of the log; of other events than changes the fields are missing.
#[derive(Deserialize)]
struct Line {
    time: Timestamp,
    event: String,
    uid: Option<u32>,
    user: Option<String>,
    acting_as: Option<String>,
    command: Option<String>,
    record: Option<String>,
    id: Option<String>,
    what: Option<String>,
}

impl Line {
    fn into_record(self) -> Option<AuditRecord> {
        if self.event != "changed" {
            return None;
        }
        let actor =
            self.acting_as.or_else(|| Some(Operator { uid: self.uid?, user: self.user }.in_full()))?;
        Some(AuditRecord {
            at: self.time,
            revision: None,
            actor,
            address: None,
            command: self.command?,
            record: self.record?,
            id: self.id?,
            what: self.what?,
        })
    }
}

/// The changes that the log in `state` tells of, newest first. Half a line, as after a crash, is passed over.
/// Cost: that of reading the log; what is kept in memory is no more than was asked for.
pub(super) fn read(state: Option<&Path>, filter: &AuditFilter) -> Result<Vec<AuditRecord>, StoreError> {
    let Some(state) = state else {
        return Err(StoreError::Refused(vec![
            "no audit log is kept of key files without a `state:` folder; name one in the configuration"
                .to_owned(),
        ]));
    };
    let path = state.join(AUDIT_LOG);
    let failed = |error: io::Error| StoreError::Failed(format!("{}: {error}", path.display()));
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let skip = usize::try_from(filter.skip).unwrap_or(usize::MAX);
    let wanted = skip.saturating_add(usize::try_from(filter.limit).unwrap_or(usize::MAX));
    let mut newest = VecDeque::new();
    for line in BufReader::new(file).split(b'\n') {
        let line = line.map_err(failed)?;
        let record = serde_json::from_slice::<Line>(&line).ok().and_then(Line::into_record);
        if let Some(record) = record.filter(|record| filter.admits(record)) {
            newest.push_back(record);
            if newest.len() > wanted {
                newest.pop_front();
            }
        }
    }
    Ok(newest.into_iter().rev().skip(skip).collect())
}
