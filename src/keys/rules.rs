//! What a config says about records, for those who make them.

use super::{build::KeyPolicy, caps::RoleCaps, record::KeyRecord, secret::Brand};
use crate::policy::{
    plan::Plans,
    scope::{ScopeDefinition, ScopeSet, Scopes, is_reserved},
};

/// What a config says about records: [`KeyPolicy`], owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRules {
    /// The scopes there are.
    pub scopes: Scopes,
    /// What a role allows at most.
    pub role_caps: RoleCaps,
    /// The brand of secrets made here.
    pub brand: Brand,
    /// The plans there are.
    pub plans: Plans,
}

impl KeyRules {
    /// The rules where no config says any: the default scopes, and those that `keys` grant already, each for itself. A plan
    /// may have any name.
    pub fn without_config<'k>(keys: impl IntoIterator<Item = &'k KeyRecord>) -> Self {
        let defaults = [("read", None), ("write", Some("read")), ("admin", Some("write"))];
        let define = |(name, implied): (&str, Option<&str>)| ScopeDefinition {
            name: name.to_owned(),
            implies: implied.map(str::to_owned).into_iter().collect(),
        };
        let mut definitions: Vec<_> = defaults.into_iter().map(define).collect();
        for name in keys.into_iter().flat_map(|key| &key.scopes).filter(|name| !is_reserved(name)) {
            if !definitions.iter().any(|known| known.name == *name) {
                definitions.push(define((name, None)));
            }
        }
        let scopes = Scopes::build(&definitions).unwrap_or_default();
        let role_caps = RoleCaps::defaults(&scopes).unwrap_or(RoleCaps::new(|_| scopes.all()));
        Self { scopes, role_caps, brand: Brand::default(), plans: Plans::unknown() }
    }

    /// By which records are judged.
    pub fn policy(&self) -> KeyPolicy<'_> {
        KeyPolicy { scopes: &self.scopes, role_caps: &self.role_caps, brand: &self.brand, plans: &self.plans }
    }

    /// The closure of these scopes; names that are none count for nothing.
    pub fn closure(&self, names: &[String]) -> ScopeSet {
        names.iter().filter_map(|name| self.scopes.get(name)).fold(ScopeSet::EMPTY, ScopeSet::union)
    }
}
