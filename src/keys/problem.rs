//! What is wrong with a set of records: which record, which field, and what would be right.

use std::fmt;

use super::record::{KeyId, OrganizationId, PersonId};

/// One thing that is wrong. `Display` says it without the place: the store that knows line and column adds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildProblem {
    /// The record.
    pub subject: Subject,
    /// Its field.
    pub field: RecordField,
    /// Which element, where the field is a list; of granted projects, in the order of the [`ProjectSet`], which is sorted.
    ///
    /// [`ProjectSet`]: crate::policy::project::ProjectSet
    pub element: Option<usize>,
    /// What is wrong with it.
    pub fault: Fault,
}

/// How many problems with records of a database are kept.
const PROBLEMS_KEPT: usize = 100;

/// So many problems come with a suggestion: records that are wrong throughout must not keep the machine busy.
const SUGGESTIONS: usize = 100;

/// What is wrong with records: the first of it, and how much there is.
#[derive(Debug, Clone)]
pub struct Problems {
    /// The first, in the order they were found.
    pub first: Vec<BuildProblem>,
    /// How many there are altogether.
    pub count: usize,
    limit: usize,
}

impl Default for Problems {
    /// Nothing is wrong.
    fn default() -> Self {
        Self::first()
    }
}

impl Problems {
    /// All that are found are kept.
    pub(super) fn all() -> Self {
        Self { first: Vec::new(), count: 0, limit: usize::MAX }
    }

    /// The first hundred are kept.
    pub(super) fn first() -> Self {
        Self { limit: PROBLEMS_KEPT, ..Self::all() }
    }

    pub(super) fn add(&mut self, problem: BuildProblem) {
        self.count += 1;
        if self.first.len() < self.limit {
            self.first.push(problem);
        }
    }

    /// Whether what is found next is told with what would be right.
    pub(super) fn suggests(&self) -> bool {
        self.count < SUGGESTIONS
    }

    /// The known name that `name` is probably a slip for, looked for among the first thousand.
    pub(super) fn nearest<'n>(&self, name: &str, known: impl Iterator<Item = &'n str>) -> Option<String> {
        if !self.suggests() {
            return None;
        }
        let slips_allowed = (name.chars().count() / 3).max(1);
        known
            .take(1000)
            .map(|known| (strsim::damerau_levenshtein(name, known), known))
            .filter(|(slips, _)| *slips <= slips_allowed)
            .min()
            .map(|(_, known)| known.to_owned())
    }
}

/// A record, by its position in the slice that was given and its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A key.
    Key(usize, KeyId),
    /// A person.
    Person(usize, PersonId),
    /// An organization.
    Organization(usize, OrganizationId),
    /// All keys together.
    AllKeys,
}

/// A field of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordField {
    /// The id of any record.
    Id,
    /// The digest of a key's secret.
    Digest,
    /// The digest of a key's secret before the last rotation.
    PreviousDigest,
    /// The scopes of a key.
    Scopes,
    /// The projects of a key or person, or those an organization declares.
    Projects,
    /// The owner of a key.
    Owner,
    /// The organization of a key or person.
    Organization,
    /// The start of a key.
    NotBefore,
    /// The addresses of a key.
    Addresses,
    /// The plan of a key.
    Plan,
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The record at position `first` has this id too.
    DuplicateId {
        /// Position of the other record, in the same slice.
        first: usize,
    },
    /// The key at position `first` has this digest too, as its current or previous one.
    DuplicateDigest {
        /// Position of the other key; the same key where both its digests are equal.
        first: usize,
        /// Id of the other key.
        id: KeyId,
    },
    /// No scope has this name.
    UnknownScope {
        /// The name.
        name: String,
        /// The defined name it is closest to, if one is close.
        nearest: Option<String>,
    },
    /// No plan has this name.
    UnknownPlan {
        /// The name.
        name: String,
        /// The defined name it is closest to, if one is close.
        nearest: Option<String>,
        /// All that are defined; not said of the later ones of many problems.
        defined: Option<Vec<String>>,
    },
    /// No person has this id.
    UnknownOwner {
        /// The id.
        id: PersonId,
        /// The existing id it is closest to, if one is close.
        nearest: Option<String>,
    },
    /// No organization has this id.
    UnknownOrganization {
        /// The id.
        id: OrganizationId,
        /// The existing id it is closest to, if one is close.
        nearest: Option<String>,
    },
    /// There are several organizations, and the record does not say which is meant.
    OrganizationNotNamed,
    /// A key and its owner belong to different organizations.
    OwnerElsewhere {
        /// The owner.
        owner: PersonId,
        /// The owner's organization.
        organization: OrganizationId,
    },
    /// Another organization, or this one, declares the project already.
    ProjectDeclaredTwice {
        /// The project.
        project: String,
        /// Who declares it.
        organization: OrganizationId,
    },
    /// There are several organizations, and this one does not declare its projects.
    ProjectsNotDeclared,
    /// The organization declares its projects, and this is none of them.
    UnknownProject {
        /// The project.
        project: String,
        /// The organization.
        organization: OrganizationId,
        /// The declared project it is closest to, if one is close.
        nearest: Option<String>,
    },
    /// No request can name this project.
    BadProject {
        /// The project.
        project: String,
    },
    /// The key expires before it starts.
    NeverInForce,
    /// More addresses than a key may have.
    TooManyAddresses {
        /// How many.
        count: usize,
    },
    /// More keys than a table can hold.
    TooManyKeys,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateId { .. } => f.write_str("this id is taken already; ids are unique"),
            Self::DuplicateDigest { id, .. } => {
                write!(f, "the key {id} has the same digest; every secret belongs to one key")
            }
            Self::UnknownScope { name, nearest } => {
                write!(f, "no scope is called {name:?}")?;
                did_you_mean(f, nearest.as_deref())
            }
            Self::UnknownPlan { name, nearest, defined } => {
                write!(f, "no plan is called {name:?}")?;
                match (nearest, defined.as_deref()) {
                    (None, Some([])) => f.write_str("; limits.plans of the configuration defines none"),
                    (None, Some(defined)) => write!(f, "; defined are {}", defined.join(", ")),
                    (nearest, _) => did_you_mean(f, nearest.as_deref()),
                }
            }
            Self::UnknownOwner { id, nearest } => {
                write!(f, "no person has the id {:?}", id.as_str())?;
                did_you_mean(f, nearest.as_deref())
            }
            Self::UnknownOrganization { id, nearest } => {
                write!(f, "no organization has the id {:?}", id.as_str())?;
                did_you_mean(f, nearest.as_deref())
            }
            Self::OrganizationNotNamed => {
                f.write_str("there are several organizations; name the one this belongs to")
            }
            Self::OwnerElsewhere { owner, organization } => {
                write!(f, "{owner} belongs to the organization {organization}; a key belongs where its owner does")
            }
            Self::ProjectDeclaredTwice { project, organization } => {
                write!(f, "{organization} declares the project {project:?} already; a project belongs to one organization")
            }
            Self::ProjectsNotDeclared => f.write_str(
                "where there are several organizations, each must declare its projects (an empty list is one)",
            ),
            Self::UnknownProject { project, organization, nearest } => {
                write!(f, "the organization {organization} declares no project {project:?}")?;
                did_you_mean(f, nearest.as_deref())
            }
            Self::BadProject { project } => write!(
                f,
                "{project:?} can be no project: 1 to 128 bytes without '/', spaces and control characters, and not '*'"
            ),
            Self::NeverInForce => f.write_str("the key would expire before it starts"),
            Self::TooManyAddresses { count } => {
                write!(f, "{count} addresses; a key may have at most {}", super::record::ADDRESSES_MAX)
            }
            Self::TooManyKeys => f.write_str("more keys than a table can hold"),
        }
    }
}

fn did_you_mean(f: &mut fmt::Formatter<'_>, nearest: Option<&str>) -> fmt::Result {
    nearest.map_or(Ok(()), |nearest| write!(f, "; did you mean {nearest:?}?"))
}

impl fmt::Display for BuildProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::Key(_, id) => write!(f, "key {id}: ")?,
            Subject::Person(_, id) => write!(f, "person {id}: ")?,
            Subject::Organization(_, id) => write!(f, "organization {id}: ")?,
            Subject::AllKeys => {}
        }
        self.fault.fmt(f)
    }
}

impl std::error::Error for BuildProblem {}
