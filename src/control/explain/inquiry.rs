//! A decision for somebody who is not the operator: it tells them of no key that they may not see.

use super::{Asker, Decision, Question, Undecided, decide_in_force};
use crate::{
    control::{
        administration::{AdminError, Administration},
        listing,
    },
    keys::record::KeyId,
    live::Live,
};

/// Why somebody gets no decision.
#[derive(Debug)]
pub enum Unexplained {
    /// The key that is to ask is not there, or they may not see it.
    UnknownKey,
    /// There is no decision about their question.
    Undecided(Undecided),
    /// The records cannot be read, or they may see none.
    Failed(AdminError),
}

/// As [`decide_in_force`], for whoever asks by `administration`. Whoever has a secret learns what it does, but not whose
/// it is where they may not see the key.
///
/// # Errors
/// [`Unexplained`].
pub async fn explain(
    administration: &Administration,
    question: &Question,
    asker: &Asker,
    live: &Live,
) -> Result<Decision, Unexplained> {
    if let Asker::Key(id) = asker
        && !sees_key(administration, id).await?
    {
        return Err(Unexplained::UnknownKey);
    }
    let mut decision = decide_in_force(question, asker, live).map_err(Unexplained::Undecided)?;
    let is_seen = match &decision.key {
        Some(key) => sees_key(administration, &key.id).await?,
        None => false,
    };
    if !is_seen {
        decision.forget_key();
    }
    Ok(decision)
}

async fn sees_key(administration: &Administration, id: &str) -> Result<bool, AdminError> {
    let Ok(id) = KeyId::parse(id) else { return Ok(false) };
    match listing::key(&mut administration.look().await?, &id).await {
        Ok(_) => Ok(true),
        Err(AdminError::NotFound(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

impl From<AdminError> for Unexplained {
    fn from(error: AdminError) -> Self {
        Self::Failed(error)
    }
}
