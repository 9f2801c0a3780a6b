//! `/keys/new`, and `POST /keys`: a new key.

use std::collections::BTreeMap;

use askama::Template;
use axum::{http::StatusCode, response::Response};
use jiff::{ToSpan as _, civil::Date};

use super::{
    plan,
    secret::{self, Done},
    view::{self, Meanings},
};
use crate::{
    console::{
        answer::{Failure, html_as},
        form::{Form, Query, Typed, day, refusals},
        page::Page,
        parts::Choice,
        visitor::Visitor,
    },
    control::{
        actor::Action,
        administration::{AdminError, Work},
        key_admin,
        key_form::KeyForm,
        route_list::RouteList,
    },
    keys::record::Person,
    policy::project::ProjectSet,
    store::contract::PersonQuery,
};

/// People that are offered as owners.
const OWNERS_MAX: usize = 500;

#[derive(Template)]
#[template(path = "key_new.html")]
struct NewKeyPage {
    page: Page,
    form: Form,
    owners: Vec<Choice>,
    scopes: Vec<Choice>,
    projects: Vec<Choice>,
    plans: Vec<Choice>,
    any_plan: String,
    out_of_reach: Option<String>,
    today: String,
}

/// The form.
pub(super) async fn form(visitor: Visitor, query: Query) -> Result<Response, Failure> {
    let person = &visitor.caller.person;
    let projects = if person.projects.is_all() { "all" } else { "chosen" };
    let form = Form::new([
        ("owner", query.get("owner").unwrap_or(person.id.as_str())),
        ("environment", "live"),
        ("expires", "30"),
        ("projects", projects),
    ]);
    page(&visitor, StatusCode::OK, form).await
}

/// Makes the key, and shows its secret.
pub(super) async fn create(visitor: Visitor, typed: Typed) -> Result<Response, Failure> {
    let administration = visitor.submitting(&typed);
    let made = match asked(&typed).read(visitor.now) {
        Ok(new) => key_admin::create(&administration, new, visitor.now).await,
        Err(wrong) => Err(AdminError::Refused(wrong)),
    };
    match made {
        Ok(issued) => secret::page(&visitor, &issued, Done::Made).await,
        Err(AdminError::Done(before)) => secret::shown_before(&visitor, &before).await,
        Err(error) => page(&visitor, StatusCode::UNPROCESSABLE_ENTITY, typed.again(refusals(error)?)).await,
    }
}

/// The key as it was typed.
fn asked(typed: &Typed) -> KeyForm {
    KeyForm {
        name: typed.get("name").to_owned(),
        labels: BTreeMap::new(),
        owner: typed.get("owner").to_owned(),
        organization: String::new(),
        scopes: typed.all("scopes"),
        projects: projects(typed),
        environment: typed.get("environment").to_owned(),
        not_before: String::new(),
        expires: expires(typed),
        addresses: typed.lines("addresses"),
        plan: typed.get("plan").to_owned(),
    }
}

/// The projects that were chosen or typed; `None`: all.
pub(super) fn projects(typed: &Typed) -> Option<Vec<String>> {
    let ids = || typed.all("project").into_iter().chain(typed.lines("project_ids")).collect();
    (typed.get("projects") != "all").then(ids)
}

/// The end, as a [`KeyForm`] takes it. The last day is one on which the key still works.
fn expires(typed: &Typed) -> String {
    match typed.get("expires") {
        "never" => "never".to_owned(),
        "on" => {
            let typed = typed.get("expires_on");
            let after = typed.parse::<Date>().ok().and_then(|last| last.checked_add(1.day()).ok());
            after.map_or_else(|| typed.to_owned(), |after| after.to_string())
        }
        days => format!("{days}d"),
    }
}

async fn page(visitor: &Visitor, status: StatusCode, form: Form) -> Result<Response, Failure> {
    let administration = visitor.administration();
    let mut work = administration.look().await?;
    let person = work.acting.person().cloned().unwrap_or_else(|| visitor.caller.person.clone());
    let organization = work.organization(person.organization.as_ref())?.id;
    work.demand(Action::IssueSecret(Some(&person)), &organization)?;
    let rules = administration.rules_for([]);
    let meanings = Meanings::new(&RouteList::of(&visitor.published()));
    let page = NewKeyPage {
        page: visitor.page("New key", "keys"),
        form,
        owners: if visitor.manages() { owners(&mut work, &person).await? } else { Vec::new() },
        scopes: meanings.choices(view::scopes_of(&person, &rules)),
        projects: view::projects_of(&work, &person),
        plans: if visitor.manages() { plan::choices(&rules.plans) } else { Vec::new() },
        any_plan: plan::unnamed(&rules.plans),
        out_of_reach: out_of_reach(&person, &rules),
        today: day(visitor.now),
    };
    Ok(html_as(status, &page))
}

/// The people whom `person` may make keys for.
async fn owners(work: &mut Work<'_>, person: &Person) -> Result<Vec<Choice>, Failure> {
    let organization = person.organization.clone();
    let query = PersonQuery { organization, limit: OWNERS_MAX, ..PersonQuery::default() };
    let people = work.transaction.people_matching(&query).await?;
    let able = people.iter().filter(|owner| !owner.disabled && owner.role <= person.role);
    let choice = |owner: &Person| Choice {
        label: format!("{} ({})", owner.id, owner.role.as_str()),
        ..Choice::plain(owner.id.as_str())
    };
    Ok(able.map(choice).collect())
}

/// What is not offered, and why.
fn out_of_reach(person: &Person, rules: &crate::keys::rules::KeyRules) -> Option<String> {
    let cap = rules.role_caps.get(person.role);
    let beyond: Vec<_> = rules
        .scopes
        .names(rules.scopes.all())
        .filter(|name| !rules.scopes.names(cap).any(|known| known == *name))
        .collect();
    let mut reasons = Vec::new();
    if !beyond.is_empty() {
        reasons.push(format!("As {} you cannot give {}.", person.role.as_str(), beyond.join(", ")));
    }
    if let ProjectSet::Only(ids) = &person.projects {
        reasons.push(format!("You have the projects {}, and give no others.", ids.join(", ")));
    }
    (!reasons.is_empty()).then(|| reasons.join(" "))
}
