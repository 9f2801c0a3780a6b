//! What is worth a look, as figures that lead to the keys.

use crate::control::key_survey::{Finding, Survey};

/// How many keys are worth a look for one reason.
pub(super) struct HealthCard {
    /// `ok` where there is none, else `warn`.
    pub(super) kind: &'static str,
    pub(super) title: &'static str,
    pub(super) count: String,
    pub(super) text: &'static str,
    pub(super) href: String,
}

/// One card for each finding.
pub(super) fn of(survey: &Survey) -> Vec<HealthCard> {
    Finding::ALL.into_iter().map(|finding| HealthCard::new(finding, survey)).collect()
}

impl HealthCard {
    fn new(finding: Finding, survey: &Survey) -> Self {
        let count = survey.count(finding);
        let needs_uses = matches!(finding, Finding::Unused | Finding::Broader);
        let is_known = survey.uses_are_kept || !needs_uses;
        Self {
            kind: match (is_known, count) {
                (false, _) => "note",
                (true, 0) => "ok",
                (true, _) => "warn",
            },
            title: title(finding),
            count: if is_known { count.to_string() } else { "–".to_owned() },
            text: if is_known {
                advice(finding)
            } else {
                "No gateway counts uses here: the config names no state."
            },
            href: format!("/keys-to-look-at/{}", name(finding)),
        }
    }
}

/// What an address calls it.
pub(super) fn name(finding: Finding) -> &'static str {
    match finding {
        Finding::NeverExpires => "never-expires",
        Finding::Unused => "unused",
        Finding::Broader => "broader-than-its-use",
        Finding::ExpiresSoon => "expires-soon",
    }
}

/// What people call it.
pub(super) fn title(finding: Finding) -> &'static str {
    match finding {
        Finding::NeverExpires => "Never expires",
        Finding::Unused => "Unused for 90 days",
        Finding::Broader => "Broader than its use",
        Finding::ExpiresSoon => "Expires within 7 days",
    }
}

/// What to do about it.
pub(super) fn advice(finding: Finding) -> &'static str {
    match finding {
        Finding::NeverExpires => "Whoever finds it can use it for ever. Give it an end.",
        Finding::Unused => "Nobody would miss it. Revoke it.",
        Finding::Broader => "It was granted scopes that no request of it needed. Narrow it.",
        Finding::ExpiresSoon => "What uses it stops then. Rotate it, or make another in time.",
    }
}
