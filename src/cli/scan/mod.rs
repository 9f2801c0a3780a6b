//! `keygate scan`: finds keys where none should be.

mod rules;
mod walk;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    ffi::OsStr,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{
    Exit,
    key_store::{KeyStore, Stopped, block_on, settings, stopped, wrong_input},
    output::{Output, answer, answer_json, counted, lossy, tell},
    table::{columns, or_dash},
};
use crate::{
    clock::{Clock as _, SystemClock},
    control::listing,
    keys::{
        digest::KeyDigest,
        secret::Brand,
        secret_scan::{FoundSecret, SecretScan},
    },
    store::contract::OwnedKey,
};

/// How much is read at once.
const PIECE_BYTES: usize = 256 << 10;

/// The most keys that are told; with more, the rest is not looked at.
const FOUND_MAX: usize = 10_000;

/// Find API keys in files, folders and streams, by their form and check characters: without network, and without telling
/// a secret to anybody.
///
/// Only the beginning of a key is shown. Folders are walked whole, ignored and hidden files too, but no links are
/// followed and no archives are opened. Keys that were imported in another form than Keygate's are not found.
///
/// Exit code 0: no key; 4: keys were found; 1: something could not be read, and no key was found in the rest.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  keygate scan .\n  git log -p --all | keygate scan -\n  keygate scan --config keygate.yaml /srv"
)]
pub(super) struct Scan {
    #[command(subcommand)]
    command: Option<Command>,
    /// Files and folders; `-` is standard input.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    brands: Brands,
    /// How to answer.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum Command {
    Rules(rules::Rules),
}

/// Which keys.
#[derive(Debug, Args)]
struct Brands {
    /// Only keys of this brand; may be repeated [default: that of --config, else any].
    #[arg(long = "brand", value_name = "BRAND")]
    brands: Vec<String>,
    /// The configuration whose brand is meant, and whose keys: then it is told whose key was found, and whether it works.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// A key that was found.
#[derive(Debug, Serialize)]
struct Finding {
    #[serde(serialize_with = "lossy")]
    path: PathBuf,
    line: u64,
    column: u64,
    prefix: String,
    brand: String,
    environment: &'static str,
    /// Whose it is; null where it is nobody's, or was not asked for.
    key: Option<Known>,
    #[serde(skip)]
    digest: KeyDigest,
}

/// A key of the store.
#[derive(Debug, Clone, Serialize)]
struct Known {
    id: String,
    name: Option<String>,
    owner: Option<String>,
    status: &'static str,
}

/// What was found, and what went wrong.
#[derive(Debug, Default)]
struct Findings {
    all: Vec<Finding>,
    unread: usize,
}

impl Scan {
    pub(super) fn run(self) -> Exit {
        match self.command {
            Some(Command::Rules(rules)) => rules.run(),
            None => block_on(self.scan()),
        }
    }

    async fn scan(self) -> Result<Exit, Stopped> {
        let brands = self.brands.named()?;
        let mut findings = Findings::default();
        for path in &self.paths {
            findings.look_at(path, &brands);
        }
        if let Some(config) = &self.brands.config {
            findings.look_up(config).await?;
        }
        let Findings { all, unread } = findings;
        match self.output {
            Output::Json => answer_json(&all),
            Output::Table if all.is_empty() => {}
            Output::Table => answer(&table(&all, self.brands.config.is_some())),
        }
        let more = if all.len() >= FOUND_MAX { "; there may be more" } else { "" };
        tell(&format!("{} found{more}", counted(all.len(), "key", "keys")));
        Ok(match (all.is_empty(), unread) {
            (false, _) => Exit::Found,
            (true, 0) => Exit::Done,
            (true, _) => Exit::Failed,
        })
    }
}

impl Brands {
    /// Those that are named, else that of the configuration, else none.
    fn named(&self) -> Result<Vec<Brand>, Stopped> {
        let of_config = self
            .config
            .as_deref()
            .map(|path| settings(path, false))
            .transpose()?
            .map(|settings| settings.rules.brand);
        if self.brands.is_empty() {
            return Ok(of_config.into_iter().collect());
        }
        let brands = self.brands.iter().map(|brand| Brand::parse(brand));
        brands.collect::<Result<_, _>>().map_err(|error| wrong_input(&format!("--brand: {error}")))
    }
}

impl Findings {
    fn look_at(&mut self, path: &Path, brands: &[Brand]) {
        if path.as_os_str() == OsStr::new("-") {
            return self.read(path, &mut io::stdin().lock(), brands);
        }
        walk::files(path, |file| {
            match file {
                Ok(file) => self.open(&file, brands),
                Err((path, error)) => self.tell_unread(&path, &error),
            }
            self.all.len() < FOUND_MAX
        });
    }

    fn open(&mut self, path: &Path, brands: &[Brand]) {
        match fs::File::open(path) {
            Ok(mut file) => self.read(path, &mut file, brands),
            Err(error) => self.tell_unread(path, &error),
        }
    }

    fn read(&mut self, path: &Path, stream: &mut impl Read, brands: &[Brand]) {
        let mut scan = SecretScan::new(brands);
        let mut piece = Zeroizing::new(vec![0; PIECE_BYTES]);
        while self.all.len() < FOUND_MAX {
            match stream.read(&mut piece) {
                Ok(0) => return,
                Ok(length) => scan.feed(&piece[..length], |found| {
                    if self.all.len() < FOUND_MAX {
                        self.all.push(Finding::new(path, &found));
                    }
                }),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.tell_unread(path, &error),
            }
        }
    }

    fn tell_unread(&mut self, path: &Path, error: &io::Error) {
        self.unread += 1;
        tell(&format!("{}: it cannot be read: {error}", path.display()));
    }

    /// Finds out whose keys they are.
    async fn look_up(&mut self, config: &Path) -> Result<(), Stopped> {
        let opened = KeyStore::of_configuration(config).open().await?;
        let mut work = opened.administration.look().await.map_err(|error| stopped(&error))?;
        let now = SystemClock.now();
        let mut known: BTreeMap<[u8; 32], Option<Known>> = BTreeMap::new();
        for finding in &mut self.all {
            let digest = *finding.digest.as_bytes();
            let key = match known.entry(digest) {
                Entry::Occupied(found) => found.into_mut(),
                Entry::Vacant(place) => {
                    let found = listing::key_of(&mut work, finding.digest).await;
                    let found = found.map_err(|error| stopped(&error))?;
                    place.insert(found.map(|found| Known::new(&found, now)))
                }
            };
            finding.key.clone_from(key);
        }
        for problem in work.wrong_files() {
            tell(&problem.to_string());
        }
        Ok(())
    }
}

impl Known {
    fn new(OwnedKey { key, owner }: &OwnedKey, now: Timestamp) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name.as_ref().map(ToString::to_string),
            owner: key.owner.as_ref().map(ToString::to_string),
            status: key.status(now, owner.as_ref()).as_str(),
        }
    }
}

impl Finding {
    fn new(path: &Path, found: &FoundSecret<'_>) -> Self {
        Self {
            path: path.to_owned(),
            line: found.place.line,
            column: found.place.column,
            prefix: found.form.prefix_of(found.secret).unwrap_or_default().to_owned(),
            brand: found.form.brand.to_owned(),
            environment: found.form.environment.as_str(),
            key: None,
            digest: KeyDigest::of(found.secret),
        }
    }

    fn place(&self) -> String {
        format!("{}:{}:{}", self.path.display(), self.line, self.column)
    }
}

fn table(findings: &[Finding], is_looked_up: bool) -> String {
    if !is_looked_up {
        return columns(["PLACE", "KEY"], findings.iter().map(|one| [one.place(), one.prefix.clone()]));
    }
    let rows = findings.iter().map(|one| {
        let key = one.key.as_ref();
        [
            one.place(),
            one.prefix.clone(),
            key.map_or("unknown", |key| key.status).to_owned(),
            or_dash(key.map(|key| &key.id)),
            or_dash(key.and_then(|key| key.name.as_ref())),
        ]
    });
    columns(["PLACE", "KEY", "STATUS", "ID", "NAME"], rows)
}
