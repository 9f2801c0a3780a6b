//! Scopes: what a key may do. A set is a bitset over the scopes the config defines, always closed under `implies`;
//! an empty set permits nothing.

use std::fmt;

/// The most scopes a config may define: they are the bits of a `u64`.
pub const SCOPES_MAX: usize = 64;

/// The scope of a key that may use the admin API. It belongs to no table: no config defines it, no scope implies it, no
/// route requires it, and on the data path it grants nothing.
pub const MANAGE: &str = "keygate:manage";

/// Whether `name` is in the namespace that is kept for Keygate itself.
pub fn is_reserved(name: &str) -> bool {
    name.starts_with("keygate:")
}

/// A set of scopes of one [`Scopes`] table, closed under `implies`. Empty means *nothing*, never "everything".
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ScopeSet(u64);

impl ScopeSet {
    /// The set that permits nothing.
    pub const EMPTY: Self = Self(0);

    /// Whether every scope of `required` is in this set.
    pub fn contains(self, required: Self) -> bool {
        self.0 & required.0 == required.0
    }

    /// The scopes that are in both sets. The intersection of two closed sets is closed.
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The scopes that are in either set. The union of two closed sets is closed.
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the set permits nothing.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The set as a bit mask, for compact storage beside the table it belongs to.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// A set from a mask that [`ScopeSet::bits`] gave under the same table.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

impl fmt::Debug for ScopeSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ScopeSet({:#b})", self.0)
    }
}

/// One scope as configured: its name and the scopes it implies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeDefinition {
    /// `[a-z][a-z0-9:._-]{0,63}`.
    pub name: String,
    /// Names of scopes that a holder of this one also has.
    pub implies: Vec<String>,
}

/// Why a list of definitions is no scope table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScopesError {
    /// More than [`SCOPES_MAX`].
    TooMany(usize),
    /// Not of the form `[a-z][a-z0-9:._-]{0,63}`.
    BadName(String),
    /// In the namespace of Keygate itself.
    Reserved(String),
    /// Two definitions of one name.
    Duplicate(String),
    /// `scope` implies a name that no definition has.
    UnknownImplied {
        /// The scope whose `implies` is wrong.
        scope: String,
        /// The name that is not defined.
        implied: String,
    },
    /// `scope` implies a name in the namespace of Keygate itself.
    ReservedImplied {
        /// The scope whose `implies` is wrong.
        scope: String,
        /// The reserved name.
        implied: String,
    },
    /// The scope implies itself, directly or through others.
    Cycle(String),
}

impl ScopesError {
    /// Of a `scope` that implies a name which no definition has.
    fn not_implied(scope: &str, implied: &str) -> Self {
        let (scope, name) = (scope.to_owned(), implied.to_owned());
        if is_reserved(implied) {
            Self::ReservedImplied { scope, implied: name }
        } else {
            Self::UnknownImplied { scope, implied: name }
        }
    }
}

impl fmt::Display for ScopesError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany(count) => write!(formatter, "{count} scopes; at most {SCOPES_MAX} fit"),
            Self::BadName(name) => {
                write!(formatter, "scope name {name:?} is not of the form [a-z][a-z0-9:._-]{{0,63}}")
            }
            Self::Reserved(name) => {
                write!(formatter, "scope {name:?}: names that begin with \"keygate:\" are Keygate's own")
            }
            Self::ReservedImplied { scope, implied } => {
                write!(formatter, "scope {scope:?} implies {implied:?}, which is Keygate's own")
            }
            Self::Duplicate(name) => write!(formatter, "scope {name:?} is defined twice"),
            Self::UnknownImplied { scope, implied } => {
                write!(formatter, "scope {scope:?} implies {implied:?}, which is not defined")
            }
            Self::Cycle(name) => write!(formatter, "scope {name:?} implies itself"),
        }
    }
}

impl std::error::Error for ScopesError {}

/// The scopes of a deployment, with the closure of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scopes {
    names: Vec<String>,
    closures: Vec<ScopeSet>,
}

impl Default for Scopes {
    /// `read`, `write` ⊃ `read`, `admin` ⊃ `write`.
    fn default() -> Self {
        Self {
            names: vec!["read".into(), "write".into(), "admin".into()],
            closures: vec![ScopeSet(0b001), ScopeSet(0b011), ScopeSet(0b111)],
        }
    }
}

impl Scopes {
    /// The table of `definitions`, in their order.
    ///
    /// # Errors
    /// The first [`ScopesError`] of the list.
    pub fn build(definitions: &[ScopeDefinition]) -> Result<Self, ScopesError> {
        if definitions.len() > SCOPES_MAX {
            return Err(ScopesError::TooMany(definitions.len()));
        }
        let names: Vec<String> = definitions.iter().map(|definition| definition.name.clone()).collect();
        for (at, name) in names.iter().enumerate() {
            if !is_scope_name(name) {
                return Err(ScopesError::BadName(name.clone()));
            }
            if is_reserved(name) {
                return Err(ScopesError::Reserved(name.clone()));
            }
            if names[..at].contains(name) {
                return Err(ScopesError::Duplicate(name.clone()));
            }
        }
        let mut implied = Vec::with_capacity(names.len());
        for definition in definitions {
            let mut mask = 0u64;
            for name in &definition.implies {
                let at = names
                    .iter()
                    .position(|known| known == name)
                    .ok_or_else(|| ScopesError::not_implied(&definition.name, name))?;
                mask |= 1 << at;
            }
            implied.push(mask);
        }
        let closures = (0..names.len()).map(|at| close(at, &implied)).collect::<Vec<_>>();
        for (at, name) in names.iter().enumerate() {
            if closures[at] & (1 << at) != 0 {
                return Err(ScopesError::Cycle(name.clone()));
            }
        }
        let closures = closures.iter().enumerate().map(|(at, mask)| ScopeSet(mask | 1 << at)).collect();
        Ok(Self { names, closures })
    }

    /// The closure of the scope `name`, or `None` if no scope has that name.
    pub fn get(&self, name: &str) -> Option<ScopeSet> {
        let at = self.names.iter().position(|known| known == name)?;
        Some(self.closures[at])
    }

    /// Every scope there is.
    pub fn all(&self) -> ScopeSet {
        self.closures.iter().fold(ScopeSet::EMPTY, |all, closure| all.union(*closure))
    }

    /// The names in `set`, in the order of the config.
    pub fn names(&self, set: ScopeSet) -> impl Iterator<Item = &str> {
        let bits = set.bits();
        self.names
            .iter()
            .enumerate()
            .filter(move |(at, _)| bits & (1 << at) != 0)
            .map(|(_, name)| name.as_str())
    }

    /// What `set`, which is of this table, is in `other`: the scopes of the same names, with what they imply there. `None`
    /// if one of them is not defined there.
    pub fn carried_to(&self, other: &Self, set: ScopeSet) -> Option<ScopeSet> {
        self.least_names(set).try_fold(ScopeSet::EMPTY, |carried, name| Some(carried.union(other.get(name)?)))
    }

    /// The names in `set` that no other of them implies, in the order of the config: the shortest list that gives `set`.
    pub fn least_names(&self, set: ScopeSet) -> impl Iterator<Item = &str> {
        let is_implied = move |at: usize| {
            self.closures
                .iter()
                .enumerate()
                .any(|(by, closure)| by != at && set.contains(*closure) && closure.0 & (1 << at) != 0)
        };
        self.names
            .iter()
            .enumerate()
            .filter(move |(at, _)| set.0 & (1 << at) != 0 && !is_implied(*at))
            .map(|(_, name)| name.as_str())
    }

    /// The name of the scope whose closure is exactly `set`, if one is: what a refusal names as missing.
    pub fn name_of(&self, set: ScopeSet) -> Option<&str> {
        let at = self.closures.iter().position(|closure| *closure == set)?;
        Some(&self.names[at])
    }
}

/// What the scope at `start` implies, directly or through others; contains `start` itself only in a cycle.
fn close(start: usize, implied: &[u64]) -> u64 {
    let mut reached = implied[start];
    loop {
        let mut next = reached;
        for (at, mask) in implied.iter().enumerate() {
            if reached & (1 << at) != 0 {
                next |= mask;
            }
        }
        if next == reached {
            return reached;
        }
        reached = next;
    }
}

/// Whether a scope can be called so: `[a-z][a-z0-9:._-]{0,63}`.
pub(crate) fn is_scope_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.len() <= 64
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b":._-".contains(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn define(name: &str, implies: &[&str]) -> ScopeDefinition {
        ScopeDefinition { name: name.into(), implies: implies.iter().map(|s| (*s).into()).collect() }
    }

    #[test]
    fn default_is_hierarchical() {
        let scopes = Scopes::default();
        let admin = scopes.get("admin").unwrap();
        assert!(admin.contains(scopes.get("write").unwrap()));
        assert!(admin.contains(scopes.get("read").unwrap()));
        assert!(!scopes.get("read").unwrap().contains(scopes.get("write").unwrap()));
        assert_eq!(scopes.names(admin).collect::<Vec<_>>(), ["read", "write", "admin"]);
        assert_eq!(scopes.name_of(scopes.get("write").unwrap()), Some("write"));
    }

    #[test]
    fn empty_set_permits_nothing_that_is_required() {
        let scopes = Scopes::default();
        assert!(!ScopeSet::EMPTY.contains(scopes.get("read").unwrap()));
    }

    #[test]
    fn closure_is_transitive_in_any_order() {
        let scopes = Scopes::build(&[define("c", &["b"]), define("a", &[]), define("b", &["a"])]).unwrap();
        assert!(scopes.get("c").unwrap().contains(scopes.get("a").unwrap()));
    }

    #[test]
    fn a_set_is_carried_to_another_table_by_name() {
        let old = Scopes::default();
        let reordered =
            Scopes::build(&[define("admin", &["write"]), define("write", &[]), define("read", &[])]).unwrap();
        let without_write = Scopes::build(&[define("read", &[]), define("admin", &["read"])]).unwrap();
        let of = |scopes: &Scopes, name: &str| scopes.get(name).unwrap();
        let carried = |to: &Scopes, name: &str| old.carried_to(to, of(&old, name));
        assert_eq!(carried(&reordered, "write"), Some(of(&reordered, "write")));
        assert_eq!(carried(&reordered, "admin"), Some(of(&reordered, "admin")));
        assert_eq!(carried(&without_write, "admin"), Some(of(&without_write, "admin")));
        assert_eq!(carried(&without_write, "write"), None);
        assert_eq!(old.carried_to(&without_write, ScopeSet::EMPTY), Some(ScopeSet::EMPTY));
    }

    #[test]
    fn wrong_tables_are_refused() {
        let cases: &[(&[ScopeDefinition], ScopesError)] = &[
            (&[define("Read", &[])], ScopesError::BadName("Read".into())),
            (&[define(MANAGE, &[])], ScopesError::Reserved(MANAGE.into())),
            (&[define("keygate:other", &[])], ScopesError::Reserved("keygate:other".into())),
            (
                &[define("a", &[MANAGE])],
                ScopesError::ReservedImplied { scope: "a".into(), implied: MANAGE.into() },
            ),
            (&[define("a", &[]), define("a", &[])], ScopesError::Duplicate("a".into())),
            (&[define("a", &["b"])], ScopesError::UnknownImplied { scope: "a".into(), implied: "b".into() }),
            (&[define("a", &["b"]), define("b", &["a"])], ScopesError::Cycle("a".into())),
        ];
        for (definitions, expected) in cases {
            assert_eq!(Scopes::build(definitions).as_ref(), Err(expected));
        }
        let many: Vec<_> = (0..65).map(|n| define(&format!("s{n}"), &[])).collect();
        assert_eq!(Scopes::build(&many), Err(ScopesError::TooMany(65)));
    }
}
