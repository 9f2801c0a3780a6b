//! `/people`: everybody of the organization.

use askama::Template;
use axum::response::Response;

use super::badge;
use crate::{
    console::{
        address,
        answer::{Failure, html},
        form::{Form, Query},
        overseer::Overseer,
        page::Page,
        parts::Badge,
    },
    control::listing::{self, ListedPerson, Listing},
    keys::record::PersonId,
    policy::project::ProjectSet,
    store::contract::PersonQuery,
};

/// How many people a page shows.
const PAGE: usize = 50;

/// How many projects of a person a list shows.
const PROJECTS_SHOWN: usize = 3;

#[derive(Template)]
#[template(path = "people.html")]
struct PeoplePage {
    page: Page,
    form: Form,
    filtered: bool,
    people: Vec<PersonRow>,
    first: Option<String>,
    next: Option<String>,
}

struct PersonRow {
    href: String,
    id: String,
    name: Option<String>,
    email: String,
    role: &'static str,
    projects: Vec<String>,
    more_projects: usize,
    status: Badge,
    keys: u64,
    keys_href: String,
}

/// A page of people, by id.
pub(super) async fn show(overseer: Overseer, query: Query) -> Result<Response, Failure> {
    let (text, after) = (query.get("q"), query.get("after"));
    let asked = PersonQuery {
        organization: None,
        text: text.map(|text| text.trim().to_owned()),
        // What is no id is no place in the list.
        after: after.and_then(|after| PersonId::parse(after).ok()),
        limit: PAGE,
    };
    let administration = overseer.administration();
    let mut work = administration.look().await?;
    let Listing { records, has_more } = listing::people_page(&mut work, asked).await?;
    let last = records.last().filter(|_| has_more).map(|last| last.id.to_string());
    let people = listing::with_keys(&mut work, records).await?;
    let page = PeoplePage {
        page: overseer.page("People", "people"),
        form: Form::new([("q", text.unwrap_or_default())]),
        filtered: text.is_some(),
        first: after.map(|_| address::with_query("/people", [("q", text)])),
        next: last.map(|last| address::with_query("/people", [("q", text), ("after", Some(&*last))])),
        people: people.into_iter().map(PersonRow::from).collect(),
    };
    Ok(html(&page))
}

impl From<ListedPerson> for PersonRow {
    fn from(listed: ListedPerson) -> Self {
        let ListedPerson { person, keys } = listed;
        let projects = match &person.projects {
            ProjectSet::All => vec!["all".to_owned()],
            ProjectSet::Only(ids) => ids.iter().map(ToString::to_string).collect(),
        };
        let id = person.id.to_string();
        Self {
            href: address::person(&id),
            keys_href: address::with_query("/keys", [("owner", Some(&*id))]),
            id,
            name: person.name.as_ref().map(ToString::to_string),
            email: person.email.to_string(),
            role: person.role.as_str(),
            more_projects: projects.len().saturating_sub(PROJECTS_SHOWN),
            projects: projects.into_iter().take(PROJECTS_SHOWN).collect(),
            status: badge(&person),
            keys,
        }
    }
}
