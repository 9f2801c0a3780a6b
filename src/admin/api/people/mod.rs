//! `/api/v1/people`: who owns keys, and who manages them.

pub(super) mod create;
pub(super) mod disable;
pub(super) mod enable;
pub(super) mod invite;
pub(super) mod list;
pub(super) mod show;
pub(super) mod sign_out;
pub(super) mod update;

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    admin::{answer::Tagged, change::Change, problem::Problem},
    control::{
        administration::{AdminError, Administration},
        listing::ListedPerson,
        people_admin,
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

/// The person `id` after `change`.
async fn changed(
    administration: &Administration,
    id: &PersonId,
    change: Change,
) -> Result<Tagged<Json<ChangedPerson>>, AdminError> {
    let (tag, person) = view(administration, id).await?;
    Ok(Tagged(tag, Json(ChangedPerson { person, change })))
}
