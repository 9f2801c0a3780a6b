//! `/people/new`: somebody is added, and gets a link by which they choose a password.

use askama::Template;
use axum::{http::StatusCode, response::Response};

use super::{chosen_projects, invite::invited, projects, roles};
use crate::{
    console::{
        address,
        answer::{Failure, html_as, see_other},
        form::{Form, Typed, refusals},
        overseer::Overseer,
        page::Page,
        parts::Choice,
    },
    control::{
        administration::{AdminError, Work},
        people_admin,
        person_form::PersonForm,
    },
    keys::record::{Email, Person, PersonId},
    policy::{principal::Role, project::ProjectSet},
};

#[derive(Template)]
#[template(path = "person_new.html")]
struct NewPersonPage {
    page: Page,
    form: Form,
    roles: Vec<Choice>,
    projects: Vec<Choice>,
    with_link: bool,
}

/// The empty form.
pub(super) async fn show(overseer: Overseer) -> Result<Response, Failure> {
    let form = Form::new([("role", Role::Member.as_str()), ("projects", "all")]);
    form_page(&overseer, StatusCode::OK, form).await
}

/// Adds them. Sent twice, it adds them once.
pub(super) async fn create(overseer: Overseer, typed: Typed) -> Result<Response, Failure> {
    let asked = PersonForm {
        id: typed.get("id").to_owned(),
        email: typed.get("email").to_owned(),
        name: typed.get("name").to_owned(),
        organization: String::new(),
        role: typed.get("role").to_owned(),
        projects: chosen_projects(&typed),
    };
    let administration = overseer.submitting(&typed);
    let outcome = match asked.read() {
        Ok(person) => people_admin::create(&administration, &person).await.map(|_| person.id),
        Err(refused) => Err(AdminError::Refused(refused)),
    };
    match outcome {
        Ok(id) if overseer.state.sign_in.keeps_passwords() => invited(&overseer, &id).await,
        Ok(id) => Ok(see_other(&format!("{}?done=created", address::person(id.as_str())))),
        Err(AdminError::Done(before)) => {
            Ok(see_other(&format!("{}?done=before", address::person(&before.id))))
        }
        Err(error) => {
            form_page(&overseer, StatusCode::UNPROCESSABLE_ENTITY, typed.again(refusals(error)?)).await
        }
    }
}

async fn form_page(overseer: &Overseer, status: StatusCode, form: Form) -> Result<Response, Failure> {
    let administration = overseer.administration();
    let work = administration.look().await?;
    let page = NewPersonPage {
        page: overseer.page("Invite a person", "people"),
        form,
        roles: roles_of_new(&work)?,
        projects: projects(&work),
        with_link: overseer.state.sign_in.keeps_passwords(),
    };
    Ok(html_as(status, &page))
}

/// The roles that whoever asks may give to somebody new.
fn roles_of_new(work: &Work<'_>) -> Result<Vec<Choice>, Failure> {
    let wrong = |error: crate::keys::record::TextError| AdminError::refused(error.to_string());
    let acting = work.acting.person();
    let somebody = Person {
        id: PersonId::parse("somebody").map_err(wrong)?,
        email: Email::parse("somebody@example.com").map_err(wrong)?,
        name: None,
        organization: acting.and_then(|person| person.organization.clone()),
        role: Role::Viewer,
        projects: acting.map_or(ProjectSet::All, |person| person.projects.clone()),
        disabled: false,
    };
    Ok(roles(work, None, &somebody))
}
