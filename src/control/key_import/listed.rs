//! What a list holds, read and checked row by row.

use std::path::Path;

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::{
    Format, ImportDefaults, NotImported, RefusedRow, WithoutId,
    row_key::RowReader,
    rows::{self, BYTES_MAX, List, Row},
};
use crate::{
    control::administration::AdminError,
    keys::{
        record::{KeyRecord, Organization, OrganizationId, Person, PersonId},
        secret::KeySecret,
    },
    policy::project::ProjectSet,
    store::file::{FileProblem, KeyFile, parse_key_file},
    yaml::Limits,
};

/// See the module.
#[derive(Default)]
pub(super) struct Listed {
    pub(super) is_key_file: bool,
    pub(super) organizations: Vec<Organization>,
    pub(super) people: Vec<Person>,
    pub(super) keys: Vec<KeyRecord>,
    /// Where each key is listed.
    pub(super) places: Vec<String>,
    pub(super) without_id: WithoutId,
    pub(super) refused: Vec<RefusedRow>,
    pub(super) warnings: Vec<String>,
}

impl Listed {
    /// What `text` lists.
    ///
    /// # Errors
    /// Where it is no list, or a key file that is wrong. Wrong rows are in what is given.
    pub(super) fn read(
        text: &[u8],
        format: Format,
        defaults: &ImportDefaults,
        now: Timestamp,
    ) -> Result<Self, NotImported> {
        match rows::read(text, format).map_err(AdminError::refused)? {
            List::Rows(rows) => Ok(Self::of_rows(&rows, defaults, now)),
            List::KeyFile if defaults.is_empty() => Self::of_key_file(text),
            List::KeyFile => Err(AdminError::refused(
                "a key file says scopes, projects, expiry and owner itself; leave out --scope, --project, --all-projects, \
                 --expires and --owner",
            )
            .into()),
        }
    }

    fn of_rows(rows: &[Row], defaults: &ImportDefaults, now: Timestamp) -> Self {
        let mut listed = Self::default();
        for row in rows {
            match RowReader::new(row, defaults, now).key(&mut listed.warnings) {
                Ok(key) => {
                    if !row.cells.contains_key("id") {
                        listed.without_id.insert(key.id);
                    }
                    listed.places.push(row.at.clone());
                    listed.keys.push(key);
                }
                Err(reasons) => {
                    let refused = |reason| RefusedRow { at: row.at.clone(), reason };
                    listed.refused.extend(reasons.into_iter().map(refused));
                }
            }
        }
        listed
    }

    fn of_key_file(text: &[u8]) -> Result<Self, NotImported> {
        let limits = Limits { bytes: BYTES_MAX, ..Limits::default() };
        let file = parse_key_file(Path::new("list"), text, &limits);
        let file = file.map_err(|wrong| NotImported::Rows(wrong.problems.iter().map(refused).collect()))?;
        let place = |at| file.key_place(at).map(|place| format!("line {}", place.line)).unwrap_or_default();
        let places = (0..file.keys.len()).map(place).collect();
        let KeyFile { organizations, people, keys, .. } = file;
        Ok(Self { is_key_file: true, organizations, people, keys, places, ..Self::default() })
    }

    /// What speaks against the key at `at`, without what may be a secret in the wrong column.
    pub(super) fn refused(&self, at: Option<usize>, reason: String) -> RefusedRow {
        let Some((key, place)) = at.and_then(|at| Some((self.keys.get(at)?, self.places.get(at)?))) else {
            return RefusedRow { at: String::new(), reason };
        };
        let projects = match &key.projects {
            ProjectSet::All => &[][..],
            ProjectSet::Only(ids) => ids,
        };
        let texts = key.scopes.iter().map(String::as_str).chain(projects.iter().map(AsRef::as_ref));
        let texts = texts.chain(key.owner.as_ref().map(PersonId::as_str));
        let texts = texts.chain(key.organization.as_ref().map(OrganizationId::as_str));
        let hide = |reason: String, text: &str| reason.replace(text, "…");
        RefusedRow { at: place.clone(), reason: texts.filter(|text| looks_random(text)).fold(reason, hide) }
    }
}

fn refused(problem: &FileProblem) -> RefusedRow {
    let at = problem.place.map(|place| format!("line {}", place.line)).unwrap_or_default();
    let remedy = if problem.remedy.is_empty() { String::new() } else { format!("; {}", problem.remedy) };
    RefusedRow { at, reason: format!("{}{remedy}", problem.message) }
}

/// Whether `text` may be a secret: long, without an order that words have.
fn looks_random(text: &str) -> bool {
    const SHORTEST: usize = 12;
    const BITS: u32 = 40;
    let has = |kind: fn(&u8) -> bool| text.as_bytes().iter().any(kind);
    let is_mixed = has(u8::is_ascii_digit) || (has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase));
    text.len() >= SHORTEST
        && is_mixed
        && KeySecret::import(Zeroizing::new(text.to_owned()))
            .is_none_or(|secret| secret.estimated_entropy_bits() >= BITS)
}

/// The number in `line 3` or `item 3`.
pub(super) fn number(at: &str) -> usize {
    at.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
