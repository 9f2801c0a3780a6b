//! Projects: the unit a key can be restricted to.

/// Which projects someone was granted: all, or a list (possibly empty: none).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ProjectSet {
    /// Every project.
    All,
    /// These only, sorted and without repetition; compared byte for byte.
    Only(Box<[Box<str>]>),
}

impl ProjectSet {
    /// The set of `ids`, in any order, with or without repetition.
    pub fn only<I: IntoIterator<Item = S>, S: Into<Box<str>>>(ids: I) -> Self {
        let mut ids: Vec<Box<str>> = ids.into_iter().map(Into::into).collect();
        ids.sort_unstable();
        ids.dedup();
        Self::Only(ids.into_boxed_slice())
    }

    /// Whether `id` is in the set. Cost: a binary search, no allocation.
    pub fn contains(&self, id: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(ids) => ids.binary_search_by(|known| known.as_ref().cmp(id)).is_ok(),
        }
    }

    /// Whether the set is [`ProjectSet::All`].
    pub fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }
}

/// The effective projects of a principal: key ∩ owner ∩ declared by the organization (product rule: a key is never
/// more than its owner). Evaluated lazily: nothing is copied.
#[derive(Debug, Clone, Copy)]
pub struct VisibleProjects<'s> {
    /// What the key was granted.
    pub key: &'s ProjectSet,
    /// What the owner may see; [`ProjectSet::All`] for a key without owner.
    pub owner: &'s ProjectSet,
    /// What the organization declares; [`ProjectSet::All`] if it declares none.
    pub organization: &'s ProjectSet,
}

impl<'s> VisibleProjects<'s> {
    fn sets(&self) -> [&'s ProjectSet; 3] {
        [self.key, self.owner, self.organization]
    }

    /// Whether the principal may see the project `id`.
    pub fn contains(&self, id: &str) -> bool {
        self.sets().iter().all(|set| set.contains(id))
    }

    /// Whether the principal may see every project of its organization: neither key nor owner restricts it.
    pub fn is_unrestricted(&self) -> bool {
        self.key.is_all() && self.owner.is_all()
    }

    /// The visible projects by name, or `None` where any id is visible.
    pub fn listed(&self) -> Option<impl Iterator<Item = &'s str>> {
        let sets = self.sets();
        let shortest = sets
            .iter()
            .filter_map(|set| match set {
                ProjectSet::All => None,
                ProjectSet::Only(ids) => Some(ids),
            })
            .min_by_key(|ids| ids.len())?;
        Some(shortest.iter().map(AsRef::as_ref).filter(move |id| sets.iter().all(|set| set.contains(id))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visible_is_the_intersection() {
        let (key, owner) = (ProjectSet::only(["b", "a", "a"]), ProjectSet::only(["b", "c"]));
        let visible = VisibleProjects { key: &key, owner: &owner, organization: &ProjectSet::All };
        assert!(visible.contains("b"));
        assert!(!visible.contains("a") && !visible.contains("c"));
        assert_eq!(visible.listed().unwrap().collect::<Vec<_>>(), ["b"]);
        assert!(!visible.is_unrestricted());
    }

    #[test]
    fn empty_list_sees_nothing() {
        let none = ProjectSet::only::<[&str; 0], _>([]);
        let visible = VisibleProjects { key: &none, owner: &ProjectSet::All, organization: &ProjectSet::All };
        assert!(!visible.contains("a"));
        assert_eq!(visible.listed().unwrap().count(), 0);
    }

    #[test]
    fn declared_projects_bound_an_unrestricted_key() {
        let declared = ProjectSet::only(["alpha"]);
        let visible =
            VisibleProjects { key: &ProjectSet::All, owner: &ProjectSet::All, organization: &declared };
        assert!(visible.is_unrestricted() && visible.contains("alpha") && !visible.contains("beta"));
    }
}
