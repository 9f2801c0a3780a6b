//! Questions to the records of a store: which keys and people are asked for, page by page, and what a form that is sent
//! twice made the first time. Every kind of store answers them alike; `store::scan` does so from memory.

use jiff::Timestamp;

use crate::keys::record::{KeyId, KeyRecord, KeyStatus, Organization, OrganizationId, Person, PersonId};

/// The longest text that is searched for, in characters. Nothing holds a longer one.
const TEXT_CHARS_MAX: usize = 256;

/// A key and its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedKey {
    /// The key.
    pub key: KeyRecord,
    /// Its owner, if it has one.
    pub owner: Option<Person>,
}

/// Which keys are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyQuery {
    /// Only of this organization: the key's, else its owner's, else the only one.
    pub organization: Option<OrganizationId>,
    /// Only of this person.
    pub owner: Option<PersonId>,
    /// Only those that were granted this project, or all.
    pub project: Option<String>,
    /// Only those that were given this plan; one that names none has none, whatever the config says of it.
    pub plan: Option<String>,
    /// Only with this status at `now`.
    pub status: Option<KeyStatus>,
    /// Only with this in their name, id, prefix or owner's id, in upper or lower case.
    pub text: Option<String>,
    /// Only those that come after this one.
    pub after: Option<KeyCursor>,
    /// At most so many.
    pub limit: usize,
    /// As of which instant.
    pub now: Timestamp,
}

/// A place in the order of keys: newest first, those whose beginning is not known last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyCursor {
    /// When the key before was made.
    pub created_at: Option<Timestamp>,
    /// Its id.
    pub id: KeyId,
}

impl KeyCursor {
    /// The place of `key`.
    pub fn of(key: &KeyRecord) -> Self {
        Self { created_at: key.created_at, id: key.id }
    }
}

/// Which people are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PersonQuery {
    /// Only of this organization: theirs, else the only one.
    pub organization: Option<OrganizationId>,
    /// Only with this in their id, e-mail address or name, in upper or lower case.
    pub text: Option<String>,
    /// Only those whose ids come after this one.
    pub after: Option<PersonId>,
    /// At most so many.
    pub limit: usize,
}

/// Something that is to be done once however often it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Who asks, as audit records name them.
    pub actor: String,
    /// What they call it: the `Idempotency-Key`, at most 255 bytes. Each has theirs.
    pub key: String,
    /// SHA-256 of what is asked for, to tell one from another that is called the same.
    pub request: [u8; 32],
}

/// What a submission made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// SHA-256 of what was asked for.
    pub request: [u8; 32],
    /// The kind of record, as in audit records.
    pub record: String,
    /// Its id.
    pub id: String,
    /// The revision that it is in force with.
    pub revision: u64,
}

/// What an organization that is asked for means among those there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Membership {
    /// None is asked for: all records.
    Any,
    /// There is none such: no record.
    Nobody,
    /// Records that name it.
    Named(OrganizationId),
    /// It is the only one: records that name it or none.
    NamedOrUnnamed(OrganizationId),
}

impl Membership {
    pub(super) fn new(wanted: Option<&OrganizationId>, organizations: &[Organization]) -> Self {
        let Some(wanted) = wanted else { return Self::Any };
        let exists = organizations.iter().any(|organization| organization.id == *wanted);
        match organizations {
            [] if *wanted == OrganizationId::default() => Self::NamedOrUnnamed(wanted.clone()),
            [_] if exists => Self::NamedOrUnnamed(wanted.clone()),
            _ if exists => Self::Named(wanted.clone()),
            _ => Self::Nobody,
        }
    }

    /// Whether a record that names this organization, or none, belongs to it.
    pub(super) fn admits(&self, named: Option<&OrganizationId>) -> bool {
        match self {
            Self::Any => true,
            Self::Nobody => false,
            Self::Named(id) => named == Some(id),
            Self::NamedOrUnnamed(id) => named.is_none_or(|named| named == id),
        }
    }
}

/// A text that is searched for: the ways in which each of its characters may be written. Simple case mapping of single
/// characters, so that every store finds the same whatever its locale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SearchText(Vec<[char; 3]>);

impl SearchText {
    /// `None`: it can be nowhere. It is too long, or holds the character that PostgreSQL does not take.
    pub(super) fn new(text: &str) -> Option<Self> {
        let characters: Vec<_> = text.chars().take(TEXT_CHARS_MAX + 1).map(cases).collect();
        (characters.len() <= TEXT_CHARS_MAX && !text.contains('\0')).then_some(Self(characters))
    }

    /// Each character as itself, in lower and in upper case.
    pub(super) fn characters(&self) -> &[[char; 3]] {
        &self.0
    }

    /// Whether `text` holds it.
    pub(super) fn is_in(&self, text: &str) -> bool {
        let starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
        starts.into_iter().any(|at| {
            let mut rest = text.get(at..).unwrap_or_default().chars();
            self.0.iter().all(|cases| rest.next().is_some_and(|character| cases.contains(&character)))
        })
    }
}

fn cases(character: char) -> [char; 3] {
    [character, single(character.to_lowercase(), character), single(character.to_uppercase(), character)]
}

/// The one character of a mapping; `otherwise` where it is several.
fn single(mut mapped: impl Iterator<Item = char>, otherwise: char) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(only), None) => only,
        _ => otherwise,
    }
}
