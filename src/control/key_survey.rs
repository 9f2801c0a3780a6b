//! All keys at once: which of them are worth a look, and which projects they name. Start reading at [`Survey::of`].

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    administration::{AdminError, Administration},
    key_health::{Hint, Use, hints},
    listing::{self, KnownUses},
};
use crate::{
    keys::{
        record::{KeyStatus, PersonId},
        rules::KeyRules,
    },
    policy::project::ProjectSet,
    store::contract::{KeyCursor, KeyQuery, OwnedKey},
    telemetry::usage::KeyUsage,
};

/// How many keys of each finding are told one by one.
pub const TOLD_MAX: usize = 500;

/// How many keys are read at once from a database.
const PAGE: usize = 2000;

/// Why keys are worth a look: a [`Hint`] without what it says of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Finding {
    /// [`Hint::NeverExpires`].
    NeverExpires,
    /// [`Hint::Unused`].
    Unused,
    /// [`Hint::Broader`].
    Broader,
    /// [`Hint::ExpiresSoon`].
    ExpiresSoon,
}

impl Finding {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::NeverExpires, Self::Unused, Self::Broader, Self::ExpiresSoon];

    fn of(hint: &Hint) -> Self {
        match hint {
            Hint::NeverExpires => Self::NeverExpires,
            Hint::ExpiresSoon(_) => Self::ExpiresSoon,
            Hint::Unused(_) => Self::Unused,
            Hint::Broader { .. } => Self::Broader,
        }
    }
}

/// A key that is worth a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The key.
    pub listed: OwnedKey,
    /// Why.
    pub hint: Hint,
    /// When it was last used, if that is known.
    pub last_used: Option<Timestamp>,
}

/// What was found about all keys that somebody may see.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// How many keys there are, also those that no longer work.
    pub keys: usize,
    /// Of those that work: how many, and the newest [`TOLD_MAX`] of them.
    pub findings: BTreeMap<Finding, (usize, Vec<Found>)>,
    /// How many keys name each project.
    pub projects: BTreeMap<String, usize>,
    /// Whether anybody counts uses; else nothing is known to be unused or broader than its use.
    pub uses_are_kept: bool,
    /// How long it took.
    pub took: Duration,
}

impl Survey {
    /// Looks at every key that whoever asks may see, or at those of `owner`. Cost: reads them all with their uses, some
    /// ten microseconds a key; of a database a few at a time, so that they are never all in memory.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn of(
        administration: &Administration,
        owner: Option<&PersonId>,
        now: Timestamp,
    ) -> Result<Self, AdminError> {
        let started = Instant::now();
        let (mut survey, mut after) = (Self::default(), None);
        // The uses of keys in files are in one file, which is read once.
        let limit = if administration.database().is_some() { PAGE } else { usize::MAX - 1 };
        loop {
            let query = KeyQuery { owner: owner.cloned(), after, limit, now, ..KeyQuery::default() };
            let page = match listing::keys_page(&mut administration.look().await?, query).await {
                // Whoever may see no key has none to look at.
                Err(AdminError::Forbidden(_)) => return Ok(survey),
                page => page?,
            };
            after = page.records.last().map(|last| KeyCursor::of(&last.key));
            let uses = listing::known_uses(administration, &page.records, now).await?;
            let rules = administration.rules_for(page.records.iter().map(|listed| &listed.key));
            survey.uses_are_kept = uses.is_some();
            for listed in page.records {
                survey.add(&listed, uses.as_ref(), &rules, now);
            }
            if !page.has_more {
                survey.took = started.elapsed();
                return Ok(survey);
            }
        }
    }

    /// How many keys that work are worth a look for this.
    pub fn count(&self, finding: Finding) -> usize {
        self.findings.get(&finding).map_or(0, |(count, _)| *count)
    }

    /// Those that are told.
    pub fn told(&self, finding: Finding) -> &[Found] {
        self.findings.get(&finding).map_or(&[], |(_, told)| told)
    }

    fn add(&mut self, listed: &OwnedKey, uses: Option<&KnownUses>, rules: &KeyRules, now: Timestamp) {
        self.keys += 1;
        let OwnedKey { key, owner } = listed;
        if let ProjectSet::Only(ids) = &key.projects {
            ids.iter().for_each(|id| *self.projects.entry(id.to_string()).or_default() += 1);
        }
        if key.status(now, owner.as_ref()) != KeyStatus::Active {
            return;
        }
        let none = BTreeMap::new();
        let usage = uses.and_then(|uses| uses.keys.get(key.id.as_str()));
        let last_used = usage.and_then(KeyUsage::last_used).map(|used| used.at);
        let of_key = uses.map(|uses| Use {
            last: last_used,
            since: uses.since,
            scopes: usage.map_or(&none, |usage| &usage.scopes),
        });
        for hint in hints(key, rules, of_key, now) {
            let (count, told) = self.findings.entry(Finding::of(&hint)).or_default();
            *count += 1;
            if told.len() < TOLD_MAX {
                told.push(Found { listed: listed.clone(), hint, last_used });
            }
        }
    }
}
