//! `keygate keys import`.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{
    cli::{
        Exit,
        committed::AfterChange,
        key_store::{KeyStore, Opened, Stopped, not_changed, parsed_if, projects, wrong_input},
        output::{Output, answer, answer_json, counted, tell},
        progress::Progress,
        table,
    },
    clock::{Clock as _, SystemClock},
    control::{
        administration::AdminError,
        key_import::{
            self, BYTES_MAX, Format, ImportDefaults, ImportOptions, Imported, ListedKey, NotImported,
            RefusedRow,
        },
    },
    keys::record::{Name, PersonId},
    store::contract::Committed,
};

/// So many imported keys are listed for people.
const ROWS_SHOWN: usize = 1000;

/// So many refused rows or warnings are told one by one.
const LINES_TOLD: usize = 100;

/// Take over keys that exist already, or a whole key file with its organizations and people: all of a list or none.
///
/// Columns: id, name, labels, owner, organization, secret or hash (sha256:…), prefix, scopes, projects, `created_at`,
/// `not_before`, `expires_at`, addresses, plan. Secrets are hashed; only digests are kept.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: keygate keys import legacy.csv --scope read --all-projects --expires never --dry-run"
)]
pub(super) struct Import {
    #[command(flatten)]
    store: KeyStore,
    /// A file of CSV, JSON or YAML; - is standard input.
    list: PathBuf,
    /// What the list is written in [default: as the name of the file ends].
    #[arg(long, value_enum)]
    format: Option<FormatName>,
    /// A scope for rows without scopes; may be given several times.
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// A project for rows without projects; may be given several times.
    #[arg(long = "project", value_name = "PROJECT")]
    projects: Vec<String>,
    /// Every project for rows without projects.
    #[arg(long, conflicts_with = "projects")]
    all_projects: bool,
    /// The expiry of rows without: a duration, a date, or never.
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    /// The owner of rows without.
    #[arg(long, value_name = "PERSON")]
    owner: Option<String>,
    /// Pass over keys that are there already, with the same id and digest; where the list has them revoked, they are
    /// revoked.
    #[arg(long)]
    skip_existing: bool,
    /// Check everything and change nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    after: AfterChange,
    /// How to list the imported keys, and the rows that are refused.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// What a list is written in.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormatName {
    /// Comma-separated values; the first line names the columns.
    Csv,
    /// A list of objects.
    Json,
    /// A list of mappings, or one under `keys`.
    Yaml,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Csv => Self::Csv,
            FormatName::Json => Self::Json,
            FormatName::Yaml => Self::Yaml,
        }
    }
}

impl Import {
    pub(super) async fn run(self) -> Result<Exit, Stopped> {
        let format = self.format()?;
        let defaults = ImportDefaults {
            scopes: Some(self.scopes.clone()).filter(|scopes| !scopes.is_empty()),
            projects: projects(&self.projects, self.all_projects),
            expires: self.expires.clone(),
            owner: parsed_if("--owner", self.owner.as_ref(), PersonId::parse)?,
        };
        let options = ImportOptions { defaults, skip_existing: self.skip_existing, dry_run: self.dry_run };
        let text = self.read()?;
        let opened = self.store.open().await?;
        let mut progress = Progress::new("keys written");
        let show = &mut |done, all| progress.show(done, all);
        let now = SystemClock.now();
        let imported = key_import::import(&opened.administration, &text, format, &options, now, show).await;
        progress.end();
        match imported {
            Ok(imported) => Ok(self.report(&opened, &imported).await),
            Err(NotImported::Rows(refused)) => Ok(self.tell_refused(&refused)),
            Err(NotImported::Other(error)) => {
                if !matches!(error, AdminError::Commit(_)) {
                    tell("no key was imported");
                }
                Err(not_changed(&error))
            }
        }
    }

    fn read(&self) -> Result<Zeroizing<Vec<u8>>, Stopped> {
        let unreadable =
            |why: &dyn std::fmt::Display| wrong_input(&format!("{}: {why}", self.list.display()));
        let text =
            read(&self.list).map_err(|error| unreadable(&format!("the list cannot be read: {error}")))?;
        if text.len() > BYTES_MAX {
            return Err(unreadable(&format!(
                "the list is larger than {} MiB; import it in parts, each of which is taken whole or not at all",
                BYTES_MAX >> 20
            )));
        }
        Ok(text)
    }

    async fn report(&self, opened: &Opened, imported: &Imported) -> Exit {
        tell_some(&imported.warnings.iter().map(|warning| format!("warning: {warning}")).collect::<Vec<_>>());
        let skipped = imported.skipped.len();
        if skipped > 0 {
            tell(&format!("{} there already, and passed over", counted(skipped, "key was", "keys were")));
        }
        let came = [
            (imported.organizations, "organization", "organizations"),
            (imported.people, "person", "people"),
            (imported.keys.len(), "key", "keys"),
        ];
        let came = came.into_iter().filter(|(count, one, _)| *count > 0 || *one == "key");
        let came: Vec<_> = came.map(|(count, one, many)| counted(count, one, many)).collect();
        let exit = match &imported.committed {
            Some(Committed::Unchanged) => {
                tell("nothing was imported");
                Exit::Done
            }
            Some(committed) => {
                self.after.report(opened, committed, &format!("imported {}", came.join(", "))).await
            }
            None => {
                tell(&format!("{} would be imported; nothing was changed", came.join(", ")));
                Exit::Done
            }
        };
        if let Some(Committed::ToCommit(_)) = imported.committed {
            return exit;
        }
        match self.output {
            Output::Json => answer_json(&ReportView::imported(imported)),
            Output::Table if imported.keys.len() <= ROWS_SHOWN => {
                let row =
                    |key: &ListedKey| [key.at.clone(), key.id.to_string(), table::or_dash(key.name.as_ref())];
                answer(&table::columns(["ROW", "ID", "NAME"], imported.keys.iter().map(row)));
            }
            Output::Table => {}
        }
        exit
    }

    fn tell_refused(&self, refused: &[RefusedRow]) -> Exit {
        let in_words = |row: &RefusedRow| match row.at.as_str() {
            "" => row.reason.clone(),
            at => format!("{at}: {}", row.reason),
        };
        tell_some(&refused.iter().map(in_words).collect::<Vec<_>>());
        tell("no key was imported");
        match self.output {
            Output::Json => answer_json(&ReportView::refused(refused)),
            Output::Table => {}
        }
        Exit::WrongInput
    }

    fn format(&self) -> Result<Format, Stopped> {
        let named = || match self.list.extension()?.to_str()? {
            "csv" => Some(Format::Csv),
            "json" => Some(Format::Json),
            "yaml" | "yml" => Some(Format::Yaml),
            _ => None,
        };
        let format = self.format.map(Format::from).or_else(named);
        format.ok_or_else(|| wrong_input("say what the list is written in: --format csv, json or yaml"))
    }
}

/// One byte too many tells that there are more.
fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(Vec::new());
    let most = BYTES_MAX as u64 + 1;
    if path == Path::new("-") {
        io::stdin().lock().take(most).read_to_end(&mut text)?;
    } else {
        File::open(path)?.take(most).read_to_end(&mut text)?;
    }
    Ok(text)
}

/// Tells the first of many lines, and how many there are.
fn tell_some(lines: &[String]) {
    for line in lines.iter().take(LINES_TOLD) {
        tell(line);
    }
    if lines.len() > LINES_TOLD {
        tell(&format!("… and {} more; --output json lists every refused row", lines.len() - LINES_TOLD));
    }
}

/// What became of a list, as JSON.
#[derive(Debug, Default, Serialize)]
struct ReportView<'a> {
    imported: Vec<RowView<'a>>,
    skipped: Vec<RowView<'a>>,
    refused: Vec<RefusedView<'a>>,
    /// Of a database.
    revision: Option<u64>,
}

#[derive(Debug, Serialize)]
struct RowView<'a> {
    row: &'a str,
    id: &'a str,
    name: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct RefusedView<'a> {
    row: &'a str,
    reason: &'a str,
}

impl<'a> ReportView<'a> {
    fn imported(imported: &'a Imported) -> Self {
        let rows = |keys: &'a [ListedKey]| {
            let row = |key: &'a ListedKey| RowView {
                row: &key.at,
                id: key.id.as_str(),
                name: key.name.as_ref().map(Name::as_str),
            };
            keys.iter().map(row).collect()
        };
        let revision = match imported.committed {
            Some(Committed::Revision(revision)) => Some(revision),
            Some(
                Committed::Unchanged
                | Committed::Written(_)
                | Committed::Unaudited(..)
                | Committed::ToCommit(_),
            )
            | None => None,
        };
        Self { imported: rows(&imported.keys), skipped: rows(&imported.skipped), revision, ..Self::default() }
    }

    fn refused(rows: &'a [RefusedRow]) -> Self {
        let refused = rows.iter().map(|row| RefusedView { row: &row.at, reason: &row.reason }).collect();
        Self { refused, ..Self::default() }
    }
}
