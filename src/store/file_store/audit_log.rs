//! The audit log in the `state:` folder: a line of JSON for every record that was changed.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead as _, BufReader, Seek as _, SeekFrom},
    net::IpAddr,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use jiff::Timestamp;
use serde::Deserialize;

use crate::{
    keys::record::OrganizationId,
    store::{
        contract::{AuditCursor, AuditFilter, AuditFrom, AuditPage, AuditRecord, StoreError},
        query::Membership,
    },
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
            address: record.address,
            organization: record.organization.as_ref().map(OrganizationId::as_str),
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
    address: Option<IpAddr>,
    organization: Option<String>,
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
            address: self.address,
            organization: self.organization.and_then(|id| OrganizationId::parse(&id).ok()),
            command: self.command?,
            record: self.record?,
            id: self.id?,
            what: self.what?,
        })
    }
}

/// A page of the changes that the log in `state` tells of. Half a line, as after a crash, is passed over. A log that is
/// shorter than a cursor was begun anew, and is read from its beginning.
/// Cost: that of reading the log, onwards from the cursor; what is kept in memory is no more than was asked for.
pub(super) fn page(
    state: Option<&Path>,
    filter: &AuditFilter,
    membership: &Membership,
) -> Result<AuditPage, StoreError> {
    let Some(state) = state else {
        return Err(StoreError::Refused(vec![
            "no audit log is kept of key files without a `state:` folder; name one in the configuration"
                .to_owned(),
        ]));
    };
    let path = state.join(AUDIT_LOG);
    let failed = |error: io::Error| StoreError::Failed(format!("{}: {error}", path.display()));
    match File::open(&path) {
        Ok(log) => page_of(log, filter, membership).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(AuditPage { end: Some(AuditCursor::default()), ..AuditPage::default() })
        }
        Err(error) => Err(failed(error)),
    }
}

fn page_of(mut log: File, filter: &AuditFilter, membership: &Membership) -> io::Result<AuditPage> {
    let length = log.metadata()?.len();
    let limit = usize::try_from(filter.limit).unwrap_or(usize::MAX);
    let cursor = filter.from.cursor().map(|cursor| cursor.position).filter(|at| *at <= length);
    let is_wanted =
        |record: &AuditRecord| membership.admits(record.organization.as_ref()) && filter.admits(record);
    match filter.from {
        AuditFrom::Before(_) => {
            let mut newest = VecDeque::new();
            for line in (Lines { log: BufReader::new(log), at: 0 }) {
                let (end, record) = line?;
                if cursor.is_some_and(|cursor| end >= cursor) {
                    break;
                }
                newest.extend(record.filter(is_wanted).map(|record| (end, record)));
                if newest.len() > limit {
                    newest.pop_front();
                }
            }
            let end = newest.front().map(|(end, _)| *end).or(cursor);
            let first = newest.back().map(|(end, _)| at_byte(*end));
            let records = newest.into_iter().rev().map(|(_, record)| record).collect();
            Ok(AuditPage { records, first, end: end.map(at_byte) })
        }
        AuditFrom::After(_) => {
            let mut at = cursor.unwrap_or(0);
            log.seek(SeekFrom::Start(at))?;
            let (mut records, mut first) = (Vec::new(), None);
            let mut lines = Lines { log: BufReader::new(log), at };
            while records.len() < limit {
                let Some(line) = lines.next() else { break };
                let (end, record) = line?;
                at = end;
                if let Some(record) = record.filter(is_wanted) {
                    records.push(record);
                    first.get_or_insert(at_byte(at));
                }
            }
            Ok(AuditPage { records, first, end: Some(at_byte(at)) })
        }
    }
}

fn at_byte(position: u64) -> AuditCursor {
    AuditCursor { revision: 0, position }
}

/// The whole lines of a log from `at` on: the byte after each, and the change that it tells of.
struct Lines {
    log: BufReader<File>,
    at: u64,
}

impl Iterator for Lines {
    type Item = io::Result<(u64, Option<AuditRecord>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = Vec::new();
        match self.log.read_until(b'\n', &mut line) {
            Ok(length) if line.ends_with(b"\n") => {
                self.at += length as u64;
                let record = serde_json::from_slice::<Line>(&line).ok().and_then(Line::into_record);
                Some(Ok((self.at, record)))
            }
            // The end, or a line that is being written.
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        }
    }
}
