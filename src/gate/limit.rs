//! Row 8: whether a key has asked too much. The gate asks; whoever keeps count answers.

use core::fmt::Write as _;

use arrayvec::ArrayString;

use crate::{
    keys::snapshot::Authenticated,
    policy::plan::{Limit, Plan, PlanIndex, Plans},
};

/// Keeps count of what keys ask for, and of attempts that fail.
pub trait Limiter {
    /// Counts a request of `key`, which has `plan`. What is left, where the plan has a rate.
    ///
    /// # Errors
    /// The limit that is exceeded; then the request is not counted.
    fn admit(&mut self, key: &Authenticated<'_>, plan: &Plan) -> Result<Option<Allowance>, Exceeded>;

    /// Counts an attempt with a key that is not known or malformed. The seconds after which to try again, where there were
    /// too many of its address.
    fn fail(&mut self) -> Option<u32>;
}

/// Counts nothing: for explanations.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unlimited;

impl Limiter for Unlimited {
    fn admit(&mut self, _: &Authenticated<'_>, _: &Plan) -> Result<Option<Allowance>, Exceeded> {
        Ok(None)
    }

    fn fail(&mut self) -> Option<u32> {
        None
    }
}

/// What is left to a key, as its answers tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Its plan, in the config that judged.
    pub plan: PlanIndex,
    /// Requests that it may make at once now.
    pub remaining: u32,
    /// Seconds until its whole burst is there again; of a request that was refused, until one passes.
    pub reset_seconds: u32,
}

/// The longest name of a plan, and two numbers.
const FIELD_BYTES: usize = 64 + 40;

impl Allowance {
    /// The values of `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers); `None` where `plans` has no
    /// such plan.
    pub fn fields<'p>(&self, plans: &'p Plans) -> Option<(&'p str, ArrayString<FIELD_BYTES>)> {
        let plan = plans.get(self.plan)?;
        let mut value = ArrayString::new();
        write!(value, "\"{}\";r={};t={}", plan.name(), self.remaining, self.reset_seconds).ok()?;
        Some((plan.policy_field(), value))
    }
}

/// A limit that is exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded {
    /// The plan, in the config that judged.
    pub plan: PlanIndex,
    /// Which of its limits.
    pub limit: Limit,
    /// Seconds after which to try again; at least 1.
    pub retry_after_seconds: u32,
    /// What is left, where the plan has a rate.
    pub allowance: Option<Allowance>,
}
