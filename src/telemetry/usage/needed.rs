//! Which scopes requests needed. They are bits of the table in force when the request was permitted; it may end when
//! another one is.

use std::{collections::VecDeque, sync::Arc};

use crate::policy::scope::{ScopeSet, Scopes};

/// Tables that are kept for requests that outlive them; what older ones needed is not told.
const TABLES_KEPT: usize = 8;

/// The scopes that a permitted request needed, of a certain table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NeededScopes {
    table: u64,
    scopes: ScopeSet,
}

/// The tables that were in force on one worker before the one that is, which is number `retired`.
#[derive(Debug, Default)]
pub(super) struct ScopeTables {
    retired: u64,
    /// The newest last.
    kept: VecDeque<Arc<Scopes>>,
}

impl ScopeTables {
    /// Another table is in force in the place of `old`.
    pub(super) fn retire(&mut self, old: Arc<Scopes>) {
        self.retired += 1;
        self.kept.push_back(old);
        if self.kept.len() > TABLES_KEPT {
            self.kept.pop_front();
        }
    }

    /// That a request needs `scopes` of the table in force.
    pub(super) fn needed(&self, scopes: ScopeSet) -> NeededScopes {
        NeededScopes { table: self.retired, scopes }
    }

    /// What was `needed`, by the table in force. Cost: a comparison, unless the table changed since.
    pub(super) fn in_force(&self, needed: NeededScopes, current: &Scopes) -> ScopeSet {
        if needed.table == self.retired || needed.scopes.is_empty() {
            return needed.scopes;
        }
        let ago = usize::try_from(self.retired - needed.table).unwrap_or(usize::MAX);
        let table = self.kept.len().checked_sub(ago).and_then(|at| self.kept.get(at));
        table.map_or(ScopeSet::EMPTY, |table| by_name(table, current, needed.scopes))
    }
}

/// The scopes of the same names in another table; one that is not defined there is left out.
pub(super) fn by_name(from: &Scopes, to: &Scopes, scopes: ScopeSet) -> ScopeSet {
    from.names(scopes).filter_map(|name| to.get(name)).fold(ScopeSet::EMPTY, ScopeSet::union)
}
