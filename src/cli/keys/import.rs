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
        table,
    },
    clock::{Clock as _, SystemClock},
    control::key_import::{self, BYTES_MAX, Format, ImportDefaults, Imported},
    keys::record::{Name, PersonId},
};

/// Take over keys that exist already, all of a list or none.
///
/// Columns: id, name, labels, owner, organization, secret or hash (sha256:…), prefix, scopes, projects, `created_at`,
/// `not_before`, `expires_at`, addresses. Secrets are hashed; only digests are kept.
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
    /// Check everything and change nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    after: AfterChange,
    /// How to list the imported keys.
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
        let text = read(&self.list).map_err(|error| {
            wrong_input(&format!("{}: the list cannot be read: {error}", self.list.display()))
        })?;
        let opened = self.store.open().await?;
        let imported = key_import::import(
            &opened.administration,
            &text,
            format,
            &defaults,
            self.dry_run,
            SystemClock.now(),
        )
        .await
        .map_err(|error| {
            tell("no key was imported");
            not_changed(&error)
        })?;
        for warning in &imported.warnings {
            tell(&format!("warning: {warning}"));
        }
        let exit = self.report(&opened, &imported).await;
        show(&imported, self.output);
        Ok(exit)
    }

    async fn report(&self, opened: &Opened, imported: &Imported) -> Exit {
        let count = counted(imported.keys.len(), "key", "keys");
        if let Some(committed) = &imported.committed {
            let verb = if imported.keys.len() == 1 { "was" } else { "were" };
            self.after.report(opened, committed, &format!("{count} {verb} imported")).await
        } else {
            tell(&format!("{count} would be imported; nothing was changed"));
            Exit::Done
        }
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

fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(Vec::new());
    let most = BYTES_MAX as u64 + 1;
    if path == Path::new("-") {
        io::stdin().lock().take(most).read_to_end(&mut text)?;
    } else {
        File::open(path)?.take(most).read_to_end(&mut text)?;
    }
    if text.len() > BYTES_MAX { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(text) }
}

fn show(imported: &Imported, output: Output) {
    #[derive(Serialize)]
    struct Key<'a> {
        row: &'a str,
        id: &'a str,
        name: Option<&'a str>,
    }
    let keys = imported.keys.iter().map(|(row, id, name)| Key {
        row,
        id: id.as_str(),
        name: name.as_ref().map(Name::as_str),
    });
    match output {
        Output::Json => answer_json(&keys.collect::<Vec<_>>()),
        Output::Table => {
            let rows = keys.map(|key| [key.row.to_owned(), key.id.to_owned(), table::or_dash(key.name)]);
            answer(&table::columns(["ROW", "ID", "NAME"], rows));
        }
    }
}
