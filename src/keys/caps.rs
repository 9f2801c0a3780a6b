//! What the role of a person lets the keys of that person do at most.

use crate::policy::{
    principal::Role,
    scope::{ScopeSet, Scopes},
};

/// For each role the scopes that a key of such a person may have at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleCaps {
    viewer: ScopeSet,
    member: ScopeSet,
    admin: ScopeSet,
    owner: ScopeSet,
}

impl RoleCaps {
    /// The caps that `cap` gives for each role.
    pub fn new(cap: impl Fn(Role) -> ScopeSet) -> Self {
        Self {
            viewer: cap(Role::Viewer),
            member: cap(Role::Member),
            admin: cap(Role::Admin),
            owner: cap(Role::Owner),
        }
    }

    /// Owners and admins everything, members `write`, viewers `read`. `None` where `scopes` lacks one of the default
    /// three, for then nobody can guess what a role may do.
    pub fn defaults(scopes: &Scopes) -> Option<Self> {
        let (read, write) = (scopes.get("read")?, scopes.get("write")?);
        scopes.get("admin")?;
        Some(Self { viewer: read, member: write, admin: scopes.all(), owner: scopes.all() })
    }

    /// The cap of `role`.
    pub fn get(&self, role: Role) -> ScopeSet {
        match role {
            Role::Viewer => self.viewer,
            Role::Member => self.member,
            Role::Admin => self.admin,
            Role::Owner => self.owner,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_caps_need_the_default_scopes() {
        let scopes = Scopes::default();
        let caps = RoleCaps::defaults(&scopes).unwrap();
        let names = |role| scopes.names(caps.get(role)).collect::<Vec<_>>().join(" ");
        assert_eq!(names(Role::Viewer), "read");
        assert_eq!(names(Role::Member), "read write");
        assert_eq!(names(Role::Admin), "read write admin");
        assert_eq!(names(Role::Owner), "read write admin");
        assert_eq!(RoleCaps::defaults(&Scopes::build(&[]).unwrap()), None);
    }
}
