//! What keys were granted, as names without their meaning: what a name implies is asked of today's config at every
//! request, so that nothing that was stored under another config grants more than this one does.

use crate::policy::scope::{SCOPES_MAX, ScopeSet, Scopes, is_scope_name};

/// Granted scopes, one bit each, in the numbering of one snapshot; `KeySnapshot::granted` says what they mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Grants(u64);

impl Grants {
    /// No scope.
    pub const NONE: Self = Self(0);

    /// The grants with this mask, in the same numbering.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The mask.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// The grants in either.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn only(at: usize) -> Self {
        Self(1 << at)
    }

    fn places(self) -> impl Iterator<Item = usize> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let at = rest.trailing_zeros() as usize;
            rest &= rest.wrapping_sub(1);
            (at < SCOPES_MAX).then_some(at)
        })
    }
}

/// The names behind the bits, also those that the config does not know, each with its closure under the config.
#[derive(Debug, Clone)]
pub(super) struct ScopeNames {
    names: Vec<String>,
    /// Empty where the config does not know the name.
    closures: [ScopeSet; SCOPES_MAX],
    /// Whether a name that the config does not know was left out because all bits were taken.
    is_short: bool,
}

impl ScopeNames {
    /// All names of `scopes`, so that none of them ever lacks a bit.
    pub(super) fn new(scopes: &Scopes) -> Self {
        let mut names = Self { names: Vec::new(), closures: [ScopeSet::EMPTY; SCOPES_MAX], is_short: false };
        for name in scopes.names(scopes.all()) {
            names.add(name);
        }
        names.define(scopes);
        names
    }

    /// These names, in the numbering that they have here, with their meaning under `scopes`; and what became of the
    /// numbering where there are too many. `None` if they are more than can be, or one stands there twice.
    pub(super) fn restored(
        names: Vec<String>,
        is_short: bool,
        scopes: &Scopes,
    ) -> Option<(Self, Option<Renumbering>)> {
        let is_twice = |at: usize| names[..at].contains(&names[at]);
        if names.len() > SCOPES_MAX || (0..names.len()).any(is_twice) {
            return None;
        }
        let mut restored = Self { names, closures: [ScopeSet::EMPTY; SCOPES_MAX], is_short };
        let renumbering = restored.redefine(scopes);
        Some((restored, renumbering))
    }

    /// All names, in the order of their bits.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// What `grants` permit under the config.
    pub(super) fn closure(&self, grants: Grants) -> ScopeSet {
        grants.places().fold(ScopeSet::EMPTY, |all, at| all.union(self.closures[at]))
    }

    /// The grant of `name`, and whether the config knows it; `None` if it has to be added first.
    pub(super) fn find(&self, name: &str) -> Option<(Grants, bool)> {
        let found = self.names.iter().position(|known| known == name);
        let found = found.map(|at| (Grants::only(at), !self.closures[at].is_empty()));
        found.or_else(|| (self.is_short || !is_scope_name(name)).then_some((Grants::NONE, false)))
    }

    /// As [`ScopeNames::find`]; adds a name that the config does not know while there are bits, since another config may
    /// know it.
    pub(super) fn find_or_add(&mut self, name: &str) -> (Grants, bool) {
        self.find(name).unwrap_or_else(|| {
            let added = self.add(name);
            self.is_short |= added.is_none();
            (added.map_or(Grants::NONE, Grants::only), false)
        })
    }

    /// The names that the config knows.
    pub(super) fn known(&self) -> impl Iterator<Item = &str> {
        let known = self.names.iter().zip(&self.closures).filter(|(_, closure)| !closure.is_empty());
        known.map(|(name, _)| name.as_str())
    }

    /// Whether names were left out that another config may know.
    pub(super) fn is_short(&self) -> bool {
        self.is_short
    }

    /// Takes the meaning of every name from `scopes`. Where there are too few bits for all names, those that `scopes`
    /// do not know lose theirs; then the others have new ones.
    pub(super) fn redefine(&mut self, scopes: &Scopes) -> Option<Renumbering> {
        let all: Vec<&str> = scopes.names(scopes.all()).collect();
        let missing: Vec<&str> = all.iter().copied().filter(|name| !self.has_bit(name)).collect();
        if self.names.len() + missing.len() <= SCOPES_MAX {
            for name in missing {
                self.add(name);
            }
            self.define(scopes);
            return None;
        }
        let new = Self { is_short: true, ..Self::new(scopes) };
        let masks = self.names.iter().map(|name| all.iter().position(|known| known == name));
        let renumbering = Renumbering(masks.map(|at| at.map_or(Grants::NONE, Grants::only)).collect());
        *self = new;
        Some(renumbering)
    }

    fn has_bit(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    fn add(&mut self, name: &str) -> Option<usize> {
        (self.names.len() < SCOPES_MAX).then(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        })
    }

    fn define(&mut self, scopes: &Scopes) {
        for (name, closure) in self.names.iter().zip(&mut self.closures) {
            *closure = scopes.get(name).unwrap_or(ScopeSet::EMPTY);
        }
    }
}

/// For each old bit its new one.
#[derive(Debug)]
pub(super) struct Renumbering(Vec<Grants>);

impl Renumbering {
    pub(super) fn of(&self, grants: Grants) -> Grants {
        grants.places().filter_map(|at| self.0.get(at)).fold(Grants::NONE, |all, bit| all.union(*bit))
    }
}
