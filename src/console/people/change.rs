//! What is changed about somebody: their role, projects and address, whether they may do anything, where they are signed in.

use axum::{extract::Path, http::StatusCode, response::Response};

use super::{chosen_projects, person_id, show::person_page};
use crate::{
    console::{
        address,
        answer::{Failure, see_other},
        form::{Typed, refusals},
        overseer::Overseer,
        page::Notice,
        visitor::Arrival,
    },
    control::{
        administration::{AdminError, Refusal},
        people_admin::{self, PersonUpdate},
        person_form::{PersonUpdateForm, ProjectsTyped},
        record_tag::RecordTag,
    },
    keys::record::PersonId,
};

/// Saves role, projects, name and e-mail. A page that shows what is no more says so and keeps what was typed.
pub(super) async fn save(
    overseer: Overseer,
    Path(id): Path<String>,
    typed: Typed,
) -> Result<Response, Failure> {
    let id = person_id(&id)?;
    let field = |name| Some(typed.get(name).to_owned()).filter(|text| !text.trim().is_empty());
    let asked = PersonUpdateForm {
        email: Some(typed.get("email").to_owned()),
        name: field("name"),
        role: Some(typed.get("role").to_owned()),
        projects: Some(chosen_projects(&typed).map_or(ProjectsTyped::All, ProjectsTyped::Only)),
    };
    let outcome = match asked.read() {
        Ok(update) => change(&overseer, &id, &update, &typed, "people update").await,
        Err(refused) => Err(AdminError::Refused(refused)),
    };
    let (status, wrong) = match outcome {
        Ok(()) => return Ok(done(id.as_str(), "saved")),
        Err(AdminError::Stale(_)) => (StatusCode::PRECONDITION_FAILED, vec![stale()]),
        Err(error) => (StatusCode::UNPROCESSABLE_ENTITY, refusals(error)?),
    };
    person_page(&overseer, &id, status, Some(typed.again(wrong)), None).await
}

/// Stops every key of theirs, and signs them out.
pub(super) async fn disable(
    overseer: Overseer,
    arrival: Arrival,
    Path(id): Path<String>,
    typed: Typed,
) -> Result<Response, Failure> {
    let answer = switch(&overseer, &id, &typed, true).await?;
    if answer.status() == StatusCode::SEE_OTHER {
        overseer.state.sign_in.sign_out_everywhere(&person_id(&id)?, arrival.peer.address).await?;
    }
    Ok(answer)
}

/// Lets them, and their keys, again.
pub(super) async fn enable(
    overseer: Overseer,
    Path(id): Path<String>,
    typed: Typed,
) -> Result<Response, Failure> {
    switch(&overseer, &id, &typed, false).await
}

/// Ends every session of theirs.
pub(super) async fn sign_out(
    overseer: Overseer,
    arrival: Arrival,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let id = person_id(&id)?;
    people_admin::demand_sign_out(&overseer.administration(), &id).await?;
    overseer.state.sign_in.sign_out_everywhere(&id, arrival.peer.address).await?;
    Ok(done(id.as_str(), "signed-out"))
}

async fn switch(overseer: &Overseer, id: &str, typed: &Typed, disabled: bool) -> Result<Response, Failure> {
    let id = person_id(id)?;
    let update = PersonUpdate { disabled: Some(disabled), ..PersonUpdate::default() };
    let (command, word) =
        if disabled { ("people disable", "disabled") } else { ("people enable", "enabled") };
    match change(overseer, &id, &update, typed, command).await {
        Ok(()) => Ok(done(id.as_str(), word)),
        Err(AdminError::Stale(_)) => {
            let notice = Notice::warn(
                "Somebody else changed this person meanwhile. Nothing was done; look, then do it again.",
            );
            person_page(overseer, &id, StatusCode::PRECONDITION_FAILED, None, Some(notice)).await
        }
        Err(error) => Err(error.into()),
    }
}

async fn change(
    overseer: &Overseer,
    id: &PersonId,
    update: &PersonUpdate,
    typed: &Typed,
    command: &str,
) -> Result<(), AdminError> {
    let seen = RecordTag::said(typed.get("etag"));
    people_admin::update(&overseer.administration(), id, update, Some(&seen), command).await.map(drop)
}

fn stale() -> Refusal {
    Refusal::from(
        "Somebody else changed this person since you opened the page. Above stands what is in force now; below, what you \
         typed. Save again to put yours in its place."
            .to_owned(),
    )
}

fn done(id: &str, what: &str) -> Response {
    see_other(&format!("{}?done={what}", address::person(id)))
}
