//! `/api/v1/people`: who owns keys, and who manages them.

pub(super) mod create;
pub(super) mod disable;
pub(super) mod enable;
pub(super) mod invite;
pub(super) mod list;
pub(super) mod show;
pub(super) mod sign_out;
pub(super) mod update;

use std::time::Duration;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    admin::{
        answer::Tagged, asked::Asked, caller::Caller, change::Change, problem::Problem, state::AdminState,
    },
    control::{
        administration::{AdminError, Administration},
        listing::ListedPerson,
        people_admin::{self, PersonUpdate},
        person_view::PersonView,
        record_tag::RecordTag,
    },
    keys::record::PersonId,
    policy::principal::Role,
};

/// What caps the scopes of somebody's keys.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::admin) enum RoleAsked {
    /// Reads, by default.
    Viewer,
    /// Writes, by default.
    Member,
    /// Everything, and manages keys, people and projects.
    Admin,
    /// As an admin, and manages owners.
    Owner,
}

impl RoleAsked {
    fn name(self) -> String {
        let role = match self {
            Self::Viewer => Role::Viewer,
            Self::Member => Role::Member,
            Self::Admin => Role::Admin,
            Self::Owner => Role::Owner,
        };
        role.as_str().to_owned()
    }
}

/// A person who was changed.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct ChangedPerson {
    /// The person.
    person: PersonView,
    /// What became of the change.
    change: Change,
}

/// The person that the path names. What is no id names nobody.
fn person_id(text: &str) -> Result<PersonId, Problem> {
    PersonId::parse(text).map_err(|_| AdminError::NotFound("no person has this id".to_owned()).into())
}

/// The person `id` as whoever asks may see them, with their entity tag.
async fn view(administration: &Administration, id: &PersonId) -> Result<(RecordTag, PersonView), AdminError> {
    let mut work = administration.look().await?;
    let person = people_admin::show(&mut work, id).await?;
    let tag = RecordTag::of_person(&person);
    let listed = ListedPerson::of(&mut work, person).await?;
    Ok((tag, PersonView::new(&listed, &work)))
}

/// What shall become of a person.
struct Command {
    /// As the audit trail tells it.
    name: &'static str,
    update: PersonUpdate,
    /// How long the answer waits for the receipt.
    patience: Duration,
}

/// Changes the person `id` as `command` reads the body, and shows them after it.
async fn change<T>(
    state: &AdminState,
    caller: &Caller,
    id: &str,
    asked: Asked<T>,
    command: impl FnOnce(T) -> Result<Command, AdminError>,
) -> Result<Response, Problem> {
    let id = person_id(id)?;
    let administration = state.administration(caller, asked.submission(caller.actor.in_full()));
    let Asked { body, seen, .. } = asked;
    let Command { name, update, patience } = command(body)?;
    let outcome = people_admin::update(&administration, &id, &update, seen.as_ref(), name).await;
    let change = Change::of_outcome(&administration, outcome, patience).await?;
    Ok((change.status(), changed(&administration, &id, change).await?).into_response())
}

/// The person `id` after `change`.
async fn changed(
    administration: &Administration,
    id: &PersonId,
    change: Change,
) -> Result<Tagged<Json<ChangedPerson>>, AdminError> {
    let (tag, person) = view(administration, id).await?;
    Ok(Tagged(tag, Json(ChangedPerson { person, change })))
}
