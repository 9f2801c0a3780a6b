//! What was found about the keys of an organization, kept for a while: a database of 100,000 keys is not read for each page.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::{Extension, FromRequestParts},
    http::request::Parts,
};
use jiff::{SignedDuration, Timestamp};

use super::{answer::Failure, visitor::Visitor};
use crate::{
    control::{
        administration::{AdminError, Administration},
        key_survey::Survey,
    },
    keys::record::PersonId,
};

/// How long a survey is good for.
const KEPT: SignedDuration = SignedDuration::from_secs(60);

/// What takes less is done anew as soon as a record changed; what takes longer is shown as it was, while it is done.
const QUICK: Duration = Duration::from_millis(30);

/// Surveys that are kept: one for each organization, and one for each person who sees their own keys.
const SURVEYS_MAX: usize = 1000;

/// The surveys of this process; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Surveys(Arc<Mutex<HashMap<String, Slot>>>);

/// One survey, and whether another is on its way.
#[derive(Debug, Clone)]
struct Slot {
    survey: Arc<Survey>,
    revision: u64,
    at: Timestamp,
    is_renewed: bool,
}

impl Surveys {
    /// What is found about the keys that `visitor` may see; at most a minute old, and while it is renewed as old as that
    /// takes longer.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn of(&self, visitor: &Visitor) -> Result<Arc<Survey>, Failure> {
        let administration = visitor.administration();
        let revision = match administration.database() {
            Some(database) => database.head().await?.revision,
            None => visitor.published().revision,
        };
        let name = self.name(visitor, &administration).await?;
        let is_fresh = |slot: &Slot| {
            let age = visitor.now.duration_since(slot.at);
            slot.revision == revision && age >= SignedDuration::ZERO && age < KEPT
        };
        let known = self.slots(|slots| slots.get(&name).cloned());
        match known {
            Some(slot) if is_fresh(&slot) => Ok(slot.survey),
            Some(slot) if slot.survey.took > QUICK => {
                if self.claim(&name) {
                    let (surveys, visitor) = (self.clone(), visitor.clone());
                    tokio::spawn(async move { surveys.renew(&visitor, name, revision).await });
                }
                Ok(slot.survey)
            }
            Some(_) | None => Ok(self.renew(visitor, name, revision).await?),
        }
    }

    /// Whose keys are surveyed.
    async fn name(&self, visitor: &Visitor, administration: &Administration) -> Result<String, AdminError> {
        let work = administration.look().await?;
        let person = &visitor.caller.person;
        let organization = work.organization(person.organization.as_ref())?.id;
        Ok(match owner(visitor) {
            Some(owner) => format!("{organization} {owner}"),
            None => organization.to_string(),
        })
    }

    async fn renew(&self, visitor: &Visitor, name: String, revision: u64) -> Result<Arc<Survey>, AdminError> {
        let found = Survey::of(&visitor.administration(), owner(visitor), visitor.now).await;
        self.slots(|slots| match found {
            Ok(survey) => {
                if slots.len() >= SURVEYS_MAX {
                    slots.clear();
                }
                let survey = Arc::new(survey);
                let slot = Slot { survey: Arc::clone(&survey), revision, at: visitor.now, is_renewed: false };
                slots.insert(name, slot);
                Ok(survey)
            }
            Err(error) => {
                // The next one who asks tries again.
                slots.entry(name).and_modify(|slot| slot.is_renewed = false);
                Err(error)
            }
        })
    }

    /// Whether nobody else renews it yet.
    fn claim(&self, name: &str) -> bool {
        self.slots(|slots| {
            slots.get_mut(name).is_some_and(|slot| !std::mem::replace(&mut slot.is_renewed, true))
        })
    }

    fn slots<T>(&self, look: impl FnOnce(&mut HashMap<String, Slot>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Members and viewers see their own keys.
fn owner(visitor: &Visitor) -> Option<&PersonId> {
    (!visitor.manages()).then_some(&visitor.caller.person.id)
}

impl<S: Send + Sync> FromRequestParts<S> for Surveys {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let found = Extension::<Self>::from_request_parts(parts, state).await;
        Ok(found.map(|Extension(surveys)| surveys).unwrap_or_default())
    }
}
