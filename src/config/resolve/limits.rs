//! Plans, and what failed attempts may cost.

use super::{range, shown};
use crate::{
    config::{
        problem::Findings,
        raw::{self, text::Switch},
    },
    policy::plan::{PLANS_MAX, Period, Plan, Plans, Quota, Rate, is_plan_name},
    yaml::Field,
};

/// Requests with a bad key that an address may send at once, by default: a person who tries things out, or a build of a
/// hundred jobs with a key that was deleted, is told what is wrong with the key.
const FAILED_BURST: u32 = 100;

/// All plans.
pub(super) fn plans(raw: Option<&raw::limits::KeyLimits>, findings: &mut Findings<'_>) -> Plans {
    let Some(raw) = raw else { return Plans::default() };
    let listed = raw.plans.as_ref();
    if let Some(listed) = listed.filter(|listed| listed.entries.len() > PLANS_MAX) {
        let message = format!("{} plans are too many", listed.entries.len());
        findings.wrong(listed.place(), message, format!("define {PLANS_MAX} at most"));
    }
    let plans: Vec<_> = listed.into_iter().flat_map(|listed| listed.iter()).collect();
    let plans = plans.into_iter().map(|(name, plan)| self::plan(name, plan, findings)).collect();
    let plans = Plans::new(plans, raw.default.as_deref().map(String::as_str));
    if let Some(default) = &raw.default
        && plans.default_plan().is_none()
    {
        let names: Vec<_> = plans.iter().map(Plan::name).collect();
        let remedy = if names.is_empty() {
            "define it in limits.plans, or remove default".to_owned()
        } else {
            format!("write one of {}, or define it in limits.plans", names.join(", "))
        };
        findings.wrong(default.place(), format!("there is no plan {}", shown(default, default)), remedy);
    }
    plans
}

fn plan(name: &Field<String>, raw: &Field<raw::limits::Plan>, findings: &mut Findings<'_>) -> Plan {
    if !is_plan_name(name) {
        let message = format!("a plan cannot be called {}", shown(name, name));
        findings.wrong(name.place(), message, "use 1 to 64 letters, digits and . _ -");
    }
    if raw.rate.is_none() && raw.concurrent.is_none() {
        let message = "the plan limits nothing";
        findings.wrong(raw.place(), message, "give rate: 10/s, concurrent: 5, or both");
    }
    if let (None, Some(burst)) = (&raw.rate, &raw.burst) {
        findings.wrong(
            burst.place(),
            "a burst without a rate never comes back",
            "add rate: 10/s, or remove burst",
        );
    }
    let quota = raw.rate.as_ref().and_then(|rate| quota(rate.0, raw.burst.as_ref(), None, findings));
    let most = u64::from(u32::MAX);
    let concurrent = raw.concurrent.as_ref();
    range::count(concurrent, 1, 1..=most, findings);
    let concurrent = concurrent.and_then(|field| u32::try_from(**field).ok());
    Plan::new(name, quota, concurrent)
}

fn quota(
    rate: Rate,
    burst: Option<&Field<u64>>,
    default: Option<u32>,
    findings: &mut Findings<'_>,
) -> Option<Quota> {
    let wanted = burst.map(|burst| u32::try_from(**burst).unwrap_or(u32::MAX)).or(default);
    match Quota::new(rate, wanted) {
        Ok(quota) => Some(quota),
        Err(most) => {
            // The default of a year and more per burst is beyond every rate that can be written.
            range::count(burst, 1, 1..=u64::from(most), findings);
            None
        }
    }
}

/// What failed attempts may cost; `None` where they are not slowed.
pub(super) fn failed_attempts(
    raw: Option<&raw::limits::KeyLimits>,
    findings: &mut Findings<'_>,
) -> Option<Quota> {
    let unsaid = raw::limits::FailedAttempts::default();
    let raw = match raw.map(|raw| &raw.failed_attempts) {
        Some(Switch::Off) => return None,
        Some(Switch::On(raw)) => &**raw,
        Some(Switch::Unsaid) | None => &unsaid,
    };
    let rate = raw.rate.as_ref().map(|rate| rate.0).or_else(|| Rate::new(1, Period::Second))?;
    quota(rate, raw.burst.as_ref(), Some(FAILED_BURST), findings)
}
