//! `keygate audit`: who changed what.

use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{
    Exit,
    key_store::{KeyStore, Opened, Stopped, block_on, stopped, wrong_input},
    output::{Gone, Lines, Output, json_line, tell},
    table::shown,
};
use crate::{
    clock::{Clock as _, SystemClock},
    control::{administration::AdminError, audit_trail, term},
    store::contract::{AuditFilter, AuditFrom, AuditPage, AuditRecord, StoreError},
};

/// How many records are read at once.
const PAGE: u64 = 1000;
/// How often new records are looked for.
const POLL: Duration = Duration::from_millis(500);

/// See who changed keys, people, projects and organizations.
///
/// Of a database, what was changed in it; of key files, what commands wrote into the log of the `state:` folder.
#[derive(Debug, Args)]
pub(super) struct Audit {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    Tail(Tail),
    Export(Export),
}

impl Audit {
    pub(super) fn run(self) -> Exit {
        match self.command {
            AuditCommand::Tail(command) => block_on(command.run()),
            AuditCommand::Export(command) => block_on(command.run()),
        }
    }
}

/// Which changes.
#[derive(Debug, Args)]
struct Asked {
    /// Only those by this actor, as listings show it: `ada (uid 1000)`, `person:ada`.
    #[arg(long)]
    actor: Option<String>,
    /// Only of records of this kind: key, person, project, organization.
    #[arg(long, value_name = "KIND")]
    record: Option<String>,
    /// Only of the record with this id.
    #[arg(long)]
    id: Option<String>,
    /// Only from then on: a date, or a duration ago such as 2h.
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only before then.
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
}

impl Asked {
    fn filter(self, from: AuditFrom, limit: u64) -> Result<AuditFilter, Stopped> {
        let now = SystemClock.now();
        let instant = |name: &str, text: Option<String>| {
            let read = text.map(|text| past(&text, now)).transpose();
            read.map_err(|problem| wrong_input(&format!("{name}: {problem}")))
        };
        let (since, until) = (instant("--since", self.since)?, instant("--until", self.until)?);
        let Self { actor, record, id, .. } = self;
        Ok(AuditFilter { organization: None, record, id, actor, since, until, from, limit })
    }
}

/// A date, or so long before `now`.
fn past(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    match term::duration(text) {
        Ok(ago) => {
            let before = SignedDuration::try_from(ago).ok().and_then(|ago| now.checked_sub(ago).ok());
            before.ok_or_else(|| "no calendar goes that far back".to_owned())
        }
        Err(_) => term::instant(text),
    }
}

/// Show the last changes, the newest last.
#[derive(Debug, Args)]
#[command(after_help = "Example: keygate audit tail --follow --record key")]
struct Tail {
    #[command(flatten)]
    store: KeyStore,
    #[command(flatten)]
    asked: Asked,
    /// How many.
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u64).range(..=100_000))]
    lines: u64,
    /// Go on with those that come, until interrupted.
    #[arg(long, short)]
    follow: bool,
    /// How to show them; json is one object a line.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

impl Tail {
    async fn run(self) -> Result<Exit, Stopped> {
        let filter = self.asked.filter(AuditFrom::Before(None), self.lines)?;
        let opened = self.store.open().await?;
        let mut page = read(&opened, &filter).await?;
        page.records.reverse();
        if show(&page, self.output).is_err() || !self.follow {
            return Ok(Exit::Done);
        }
        follow(
            &opened,
            AuditFilter { from: AuditFrom::After(page.first), limit: PAGE, ..filter },
            self.output,
        )
        .await
    }
}

/// Shows what comes. A database that is away for a while is waited for.
async fn follow(opened: &Opened, mut filter: AuditFilter, output: Output) -> Result<Exit, Stopped> {
    let mut is_away = false;
    loop {
        match audit_trail::page(&opened.administration, &filter).await {
            Ok(page) => {
                is_away = false;
                filter.from = AuditFrom::After(page.end);
                if show(&page, output).is_err() {
                    return Ok(Exit::Done);
                }
            }
            Err(AdminError::Store(StoreError::Unavailable(why))) => {
                if !is_away {
                    tell(&format!("{why}; waiting for it"));
                }
                is_away = true;
            }
            Err(error) => return Err(stopped(&error)),
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Write every change, the oldest first, one JSON object a line.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: keygate audit export --since 2026-11-01 --until 2026-12-01 > november.jsonl"
)]
struct Export {
    #[command(flatten)]
    store: KeyStore,
    #[command(flatten)]
    asked: Asked,
    /// How to write them; json is one object a line.
    #[arg(long, value_enum, default_value = "json")]
    output: Output,
}

impl Export {
    async fn run(self) -> Result<Exit, Stopped> {
        let mut filter = self.asked.filter(AuditFrom::After(None), PAGE)?;
        let opened = self.store.open().await?;
        loop {
            let page = read(&opened, &filter).await?;
            if show(&page, self.output).is_err() {
                return Ok(Exit::Failed);
            }
            if (page.records.len() as u64) < PAGE {
                return Ok(Exit::Done);
            }
            filter.from = AuditFrom::After(page.end);
        }
    }
}

async fn read(opened: &Opened, filter: &AuditFilter) -> Result<AuditPage, Stopped> {
    audit_trail::page(&opened.administration, filter).await.map_err(|error| stopped(&error))
}

fn show(page: &AuditPage, output: Output) -> Result<(), Gone> {
    let mut lines = Lines::to_standard_output();
    for record in &page.records {
        match output {
            Output::Json => lines.put(&json_line(&RecordView::new(record)))?,
            Output::Table => lines.put(&in_words(record))?,
        }
    }
    lines.flush()
}

/// A record for people, on one line.
fn in_words(record: &AuditRecord) -> String {
    let revision = record.revision.map(|revision| format!("  revision {revision}")).unwrap_or_default();
    let address = record.address.map(|address| format!(" from {address}")).unwrap_or_default();
    let AuditRecord { actor, command, record: kind, id, what, .. } = record;
    let at = term::whole_seconds(record.at);
    shown(&format!("{at}{revision}  {actor}{address}  {command}  {kind} {id}  {what}"))
}

/// A record as JSON.
#[derive(Debug, Serialize)]
struct RecordView<'r> {
    at: String,
    /// Of key files: `null`.
    revision: Option<u64>,
    actor: &'r str,
    address: Option<String>,
    command: &'r str,
    record: &'r str,
    id: &'r str,
    what: &'r str,
}

impl<'r> RecordView<'r> {
    fn new(record: &'r AuditRecord) -> Self {
        Self {
            at: record.at.to_string(),
            revision: record.revision,
            actor: &record.actor,
            address: record.address.map(|address| address.to_string()),
            command: &record.command,
            record: &record.record,
            id: &record.id,
            what: &record.what,
        }
    }
}
