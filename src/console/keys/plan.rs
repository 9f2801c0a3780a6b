//! Plans as pages show them.

use crate::{
    console::parts::Choice,
    keys::record::{KeyRecord, PlanName},
    policy::plan::{Plan, Plans},
};

/// Plans to choose from.
pub(super) fn choices(plans: &Plans) -> Vec<Choice> {
    plans.iter().map(choice).collect()
}

/// Plans to choose from for `key`: also the one that it has, where the config does not know it.
pub(super) fn choices_of(key: &KeyRecord, plans: &Plans) -> Vec<Choice> {
    let undefined = key.plan.as_ref().map(PlanName::as_str).filter(|name| plans.index_of(name).is_none());
    let undefined =
        undefined.map(|name| Choice { label: format!("{name} (no such plan)"), ..Choice::plain(name) });
    undefined.into_iter().chain(plans.iter().map(choice)).collect()
}

/// What a key has that names no plan.
pub(super) fn unnamed(plans: &Plans) -> String {
    match plans.default_plan().and_then(|at| plans.get(at)) {
        Some(plan) => format!("as every key: {} ({plan})", plan.name()),
        None => "as every key: any number of requests".to_owned(),
    }
}

/// How much `key` may ask for; `None` where there are no plans and it names none.
pub(super) fn in_words(key: &KeyRecord, plans: &Plans) -> Option<String> {
    let Some(name) = &key.plan else { return (!plans.is_empty()).then(|| unnamed(plans)) };
    if let Some(plan) = plans.index_of(name.as_str()).and_then(|at| plans.get(at)) {
        return Some(format!("{name}: {plan}"));
    }
    Some(match plans.strictest().and_then(|at| plans.get(at)) {
        Some(plan) => format!("{name}, which is no plan of this gateway; held to {}: {plan}", plan.name()),
        None => format!("{name}, which is no plan of this gateway; any number of requests"),
    })
}

fn choice(plan: &Plan) -> Choice {
    Choice { label: format!("{}: {plan}", plan.name()), ..Choice::plain(plan.name()) }
}
