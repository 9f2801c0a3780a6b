//! Who is asking, once their key was found good. Never the secret.

use super::{project::VisibleProjects, scope::ScopeSet};

/// A role of a person; caps what that person's keys can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Reads, by default.
    Viewer,
    /// Writes, by default.
    Member,
    /// Everything, by default.
    Admin,
    /// Everything, by default.
    Owner,
}

impl Role {
    /// Every role, from the least to the greatest.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Member, Self::Admin, Self::Owner];

    /// The name in files, headers and listings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// Whether people of this role manage the keys, people and projects of their organization.
    pub fn manages(self) -> bool {
        match self {
            Self::Owner | Self::Admin => true,
            Self::Member | Self::Viewer => false,
        }
    }

    /// The role called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

/// The person a key belongs to, as the upstream is told.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'s> {
    /// The person's id.
    pub id: &'s str,
    /// The person's e-mail address.
    pub email: &'s str,
    /// The person's role.
    pub role: Role,
}

/// The text of a key id (`[A-Za-z0-9._-]{1,64}`), held in place: tables keep ids in fewer bytes than their text.
pub type KeyIdText = arrayvec::ArrayString<64>;

/// Who is asking: a key that exists, is in force now, and whose owner is active. Borrowed from one snapshot.
#[derive(Debug, Clone, Copy)]
pub struct Principal<'s> {
    /// The key's id.
    pub key_id: KeyIdText,
    /// The key's name; empty if it has none.
    pub key_name: &'s str,
    /// The organization the key belongs to.
    pub organization: &'s str,
    /// The key's owner, if it has one.
    pub owner: Option<Owner<'s>>,
    /// Effective scopes: the key's closure ∩ the owner's role cap.
    pub scopes: ScopeSet,
    /// Effective projects: key ∩ owner ∩ organization.
    pub projects: VisibleProjects<'s>,
}
