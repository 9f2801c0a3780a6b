//! What plans keys name, and what that means today: as with scopes, the config in force says it.

use crate::policy::plan::{PlanIndex, Plans, is_plan_name};

/// Names that are kept of plans, also of those that the config does not know.
const NAMES_MAX: usize = 4_096;

/// A name of a plan, by its number in one snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanNumber(pub(super) u16);

#[cfg(test)]
impl PlanNumber {
    /// The number with the low bits of `number`.
    pub(super) fn of(number: u32) -> Self {
        Self(u16::try_from(number % 65_536).unwrap_or_default())
    }
}

/// A name that was left out since there were too many: as good as one that the config does not know.
const LEFT_OUT: PlanNumber = PlanNumber(u16::MAX);

/// The names behind the numbers, each with its plan under the config.
#[derive(Debug, Clone)]
pub(super) struct PlanNames {
    names: Vec<Box<str>>,
    /// `None` where the config does not know the name.
    meanings: Vec<Option<PlanIndex>>,
    default: Option<PlanIndex>,
    strictest: Option<PlanIndex>,
}

impl PlanNames {
    /// No name yet.
    pub(super) fn new(plans: &Plans) -> Self {
        Self {
            names: Vec::new(),
            meanings: Vec::new(),
            default: plans.default_plan(),
            strictest: plans.strictest(),
        }
    }

    /// These names, in the numbering that they have here. `None` if they are more than can be, or one is none.
    pub(super) fn restored(names: Vec<Box<str>>, plans: &Plans) -> Option<Self> {
        if names.len() > NAMES_MAX || !names.iter().all(|name| is_plan_name(name)) {
            return None;
        }
        let mut restored = Self { names, ..Self::new(plans) };
        restored.redefine(plans);
        Some(restored)
    }

    /// All names, in the order of their numbers.
    pub(super) fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// The name behind `number`.
    pub(super) fn name(&self, number: PlanNumber) -> Option<&str> {
        self.names.get(usize::from(number.0)).map(AsRef::as_ref)
    }

    /// The number of `name`; `None` if it has to be added first.
    pub(super) fn find(&self, name: &str) -> Option<PlanNumber> {
        let found = self.names.iter().position(|known| **known == *name);
        let is_full = self.names.len() >= NAMES_MAX;
        found.and_then(|at| u16::try_from(at).ok()).map(PlanNumber).or(is_full.then_some(LEFT_OUT))
    }

    /// As [`PlanNames::find`]; adds a name that is not there.
    pub(super) fn find_or_add(&mut self, name: &str, plans: &Plans) -> PlanNumber {
        if let Some(number) = self.find(name) {
            return number;
        }
        self.names.push(name.into());
        self.meanings.push(plans.index_of(name));
        u16::try_from(self.names.len() - 1).map_or(LEFT_OUT, PlanNumber)
    }

    /// The plan of a key: the one it names; the strictest there is where the config does not know that; the default where it
    /// names none.
    pub(super) fn plan(&self, number: Option<PlanNumber>) -> Option<PlanIndex> {
        let Some(PlanNumber(at)) = number else { return self.default };
        self.meanings.get(usize::from(at)).copied().flatten().or(self.strictest)
    }

    /// Takes the meaning of every name from `plans`.
    pub(super) fn redefine(&mut self, plans: &Plans) {
        self.meanings = self.names.iter().map(|name| plans.index_of(name)).collect();
        (self.default, self.strictest) = (plans.default_plan(), plans.strictest());
    }
}
