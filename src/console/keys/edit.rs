//! `/keys/{id}/edit`: another name, or less than the key has.

use std::collections::BTreeMap;

use askama::Template;
use axum::{extract::Path, http::StatusCode, response::Response};

use super::{
    make, plan,
    view::{self, Meanings},
};
use crate::{
    console::{
        answer::{Failure, html_as, see_other},
        form::{Form, Typed, refusals},
        page::Page,
        parts::{Choice, Link},
        visitor::Visitor,
    },
    control::{
        actor::Action,
        administration::{AdminError, Refusal, Work},
        key_admin,
        key_form::KeyUpdateForm,
        record_tag::RecordTag,
        route_list::RouteList,
    },
    policy::{project::ProjectSet, scope::MANAGE},
    store::contract::OwnedKey,
};

#[derive(Template)]
#[template(path = "key_edit.html")]
struct EditPage {
    page: Page,
    key: Link,
    key_id: String,
    etag: String,
    form: Form,
    scopes: Vec<Choice>,
    projects: Vec<Choice>,
    all_projects: bool,
    plans: Vec<Choice>,
    any_plan: String,
}

/// The form, as the key is.
pub(super) async fn form(visitor: Visitor, Path(id): Path<String>) -> Result<Response, Failure> {
    let administration = visitor.administration();
    let mut work = administration.look().await?;
    let owned = changeable(&visitor, &mut work, &id).await?;
    Ok(page(&visitor, &work, &owned, StatusCode::OK, as_it_is(&owned)))
}

/// Changes the key, if it still is what they have seen.
pub(super) async fn change(
    visitor: Visitor,
    Path(id): Path<String>,
    typed: Typed,
) -> Result<Response, Failure> {
    let administration = visitor.administration();
    let mut work = administration.look().await?;
    let owned = changeable(&visitor, &mut work, &id).await?;
    let seen = RecordTag::said(typed.get("etag"));
    drop(work);
    let changed = match asked(&typed).and_then(|form| form.read(visitor.now)) {
        Ok(update) => key_admin::update(&administration, &owned.key.id, &update, Some(&seen)).await,
        Err(wrong) => Err(AdminError::Refused(wrong)),
    };
    let (status, wrong) = match changed {
        Ok(_) => return Ok(see_other(&format!("/keys/{}?done=changed", owned.key.id))),
        Err(AdminError::Stale(_)) => (StatusCode::PRECONDITION_FAILED, Vec::new()),
        Err(error) => (StatusCode::UNPROCESSABLE_ENTITY, refusals(error)?),
    };
    let mut work = administration.look().await?;
    let owned = changeable(&visitor, &mut work, &id).await?;
    let wrong = if status == StatusCode::PRECONDITION_FAILED { vec![meanwhile(&owned)] } else { wrong };
    Ok(page(&visitor, &work, &owned, status, typed.again(wrong)))
}

async fn changeable(visitor: &Visitor, work: &mut Work<'_>, id: &str) -> Result<OwnedKey, Failure> {
    let owned = super::find(work, id).await?;
    let organization = work.organization_of_key(&owned.key, owned.owner.as_ref())?.id;
    work.demand(Action::NarrowKey(owned.key.owner.as_ref()), &organization)?;
    super::demand_alive(&owned, visitor.now)?;
    Ok(owned)
}

/// What stands there now, beside what was typed.
fn meanwhile(owned: &OwnedKey) -> Refusal {
    let key = &owned.key;
    let projects = match &key.projects {
        ProjectSet::All => "all projects".to_owned(),
        ProjectSet::Only(ids) => format!("the projects {}", ids.join(", ")),
    };
    let addresses = match &key.addresses[..] {
        [] => "any address".to_owned(),
        listed => listed.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    Refusal::from(format!(
        "Somebody changed this key after you opened the page. It is now called “{}” and has the scopes {}, {projects}, from \
         {addresses}. What you typed is below; save again if it should be so.",
        super::title(owned),
        key.scopes.join(", "),
    ))
}

fn asked(typed: &Typed) -> Result<KeyUpdateForm, Vec<Refusal>> {
    Ok(KeyUpdateForm {
        name: Some(typed.get("name").to_owned()),
        labels: Some(labels(typed)?),
        scopes: Some(typed.all("scopes")),
        projects: make::projects(typed),
        expires: None,
        addresses: Some(typed.lines("addresses")),
        // A form without the field leaves it as it is.
        plan: (!typed.get("plan_offered").is_empty()).then(|| typed.get("plan").to_owned()),
    })
}

/// `team=payments, tier=2`.
fn labels(typed: &Typed) -> Result<BTreeMap<String, String>, Vec<Refusal>> {
    let label = |entry: String| {
        let (name, value) = entry.split_once('=')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    };
    let labels: Option<_> = typed.lines("labels").into_iter().map(label).collect();
    labels.ok_or_else(|| vec![Refusal::of("labels", "Write each label as name=value: team=payments, tier=2")])
}

fn as_it_is(owned: &OwnedKey) -> Form {
    let key = &owned.key;
    let labels: Vec<_> = key.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let addresses: Vec<_> = key.addresses.iter().map(ToString::to_string).collect();
    let (labels, addresses) = (labels.join(", "), addresses.join("\n"));
    let name = key.name.as_ref().map(ToString::to_string).unwrap_or_default();
    let plan = key.plan.as_ref().map(ToString::to_string).unwrap_or_default();
    let one = [("name", &*name), ("labels", &labels), ("addresses", &addresses), ("plan", &plan)];
    let scopes = key.scopes.iter().map(|scope| ("scopes", scope.as_str()));
    let projects: Vec<_> = match &key.projects {
        ProjectSet::All => vec![("projects", "all")],
        ProjectSet::Only(ids) => ids.iter().map(|id| ("project", &**id)).collect(),
    };
    Form::new(one.into_iter().chain(scopes).chain(projects))
}

fn page(visitor: &Visitor, work: &Work<'_>, owned: &OwnedKey, status: StatusCode, form: Form) -> Response {
    let key = &owned.key;
    let rules = work.administration.rules_for([key]);
    let meanings = Meanings::new(&RouteList::of(&visitor.published()));
    let had = rules.scopes.names(rules.closure(&key.scopes));
    let manage = key.is_granted(MANAGE).then_some(MANAGE);
    // Granted by a config that has changed since: to be kept or given up.
    let undefined = key.scopes.iter().map(String::as_str).filter(|name| !view::is_defined(name, &rules));
    let projects = match &key.projects {
        ProjectSet::All => view::projects_of(work, &visitor.caller.person),
        ProjectSet::Only(ids) => ids.iter().map(|id| Choice::plain(&**id)).collect(),
    };
    let page = EditPage {
        page: visitor.page(format!("Change {}", super::title(owned)), "keys"),
        key: super::link(owned),
        key_id: key.id.to_string(),
        etag: RecordTag::of_key(key).as_str().to_owned(),
        form,
        scopes: meanings.choices(had.chain(manage).chain(undefined)),
        projects,
        all_projects: key.projects.is_all(),
        plans: if visitor.manages() { plan::choices_of(key, &rules.plans) } else { Vec::new() },
        any_plan: plan::unnamed(&rules.plans),
    };
    html_as(status, &page)
}
