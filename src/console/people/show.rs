//! `/people/{id}`: what somebody is, the keys they own, and what may be done with them.

use askama::Template;
use axum::{extract::Path, http::StatusCode, response::Response};

use super::{badge, person_id, project_fields, projects, roles, typed_projects};
use crate::{
    console::{
        address,
        answer::{Failure, html_as},
        form::{Form, Query},
        overseer::Overseer,
        page::{Notice, Page},
        parts::{Badge, Choice, Link},
        sign_in::{SessionRow, means},
        times::Time,
    },
    control::{
        actor::Action,
        administration::{AdminError, Work},
        listing, people_admin,
        record_tag::RecordTag,
    },
    keys::record::{KeyStatus, Person, PersonId},
    store::contract::{KeyQuery, KeyTally, OwnedKey},
};

/// How many keys of theirs are shown; the list of keys has all.
const KEYS_SHOWN: usize = 10;

#[derive(Template)]
#[template(path = "person.html")]
struct PersonPage {
    page: Page,
    person: PersonView,
    offers: Offers,
    form: Form,
    roles: Vec<Choice>,
    projects: Vec<Choice>,
    keys: Vec<PersonKey>,
    all_keys: Option<Link>,
    sessions: Vec<SessionRow>,
}

struct PersonView {
    id: String,
    href: String,
    email: String,
    role: &'static str,
    status: Badge,
    means: &'static str,
    etag: String,
    stops: String,
}

/// What whoever looks may do with them.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a thing that is offered or not")]
struct Offers {
    edit: bool,
    disable: bool,
    enable: bool,
    invite: bool,
    sign_out: bool,
}

struct PersonKey {
    link: Link,
    prefix: Option<String>,
    status: Badge,
    last_used: Option<Time>,
}

/// The page of somebody.
pub(super) async fn show(
    overseer: Overseer,
    Path(id): Path<String>,
    query: Query,
) -> Result<Response, Failure> {
    let notice = match query.get("done") {
        Some("saved") => Some(Notice::ok("Saved. It is in force on every request at once.")),
        Some("created") => Some(Notice::ok("They were added.")),
        Some("before") => {
            Some(Notice::warn("They were added already, by the same form; nothing was done twice."))
        }
        Some("disabled") => Some(Notice::ok("Disabled. Their keys stopped, and they are signed out.")),
        Some("enabled") => {
            Some(Notice::ok("Enabled. Their keys that are neither revoked nor expired work again."))
        }
        Some("signed-out") => Some(Notice::ok("They are signed out everywhere.")),
        Some(_) | None => None,
    };
    person_page(&overseer, &person_id(&id)?, StatusCode::OK, None, notice).await
}

/// The page of the person `id`; with `typed` instead of what they are in the form.
pub(super) async fn person_page(
    overseer: &Overseer,
    id: &PersonId,
    status: StatusCode,
    typed: Option<Form>,
    notice: Option<Notice>,
) -> Result<Response, Failure> {
    let administration = overseer.administration();
    let mut work = administration.look().await?;
    let person = people_admin::show(&mut work, id).await?;
    let (roles, projects) = (roles(&work, Some(&person), &person), projects(&work));
    let offers = Offers::of(&work, &person, overseer)?;
    let query =
        KeyQuery { owner: Some(id.clone()), limit: KEYS_SHOWN, now: overseer.now, ..KeyQuery::default() };
    let tally = listing::key_tally(&mut work, query.clone()).await?;
    let keys = listing::keys_page(&mut work, query).await?.records;
    drop(work);
    let uses = listing::known_uses(&administration, &keys, overseer.now).await?;
    let last_used = |listed: &OwnedKey| {
        let usage = uses.as_ref()?.keys.get(listed.key.id.as_str())?;
        usage.last_used().map(|used| overseer.time(used.at))
    };
    let keys = keys.iter().map(|listed| PersonKey::new(listed, last_used(listed), overseer)).collect();
    let sessions = overseer.state.sign_in.sessions(id).await?;
    let all = address::with_query("/keys", [("owner", Some(id.as_str()))]);
    let page = PersonPage {
        page: overseer.page(id.to_string(), "people").noticing(notice),
        form: typed.unwrap_or_else(|| form_of(&person, &projects)),
        person: PersonView::new(&person, &tally),
        offers,
        roles,
        projects,
        keys,
        all_keys: (tally.total() > 0).then(|| Link::new(all, format!("All {}", tally.total()))),
        sessions: sessions.iter().map(|session| SessionRow::new(session, overseer)).collect(),
    };
    Ok(html_as(status, &page))
}

fn form_of(person: &Person, declared: &[Choice]) -> Form {
    let ids = typed_projects(&person.projects, declared);
    let name = person.name.as_ref().map_or("", |name| name.as_str());
    let fields = [
        ("email", person.email.as_str()),
        ("name", name),
        ("role", person.role.as_str()),
        ("project_ids", ids.as_str()),
    ];
    Form::new(fields.into_iter().chain(project_fields(&person.projects, declared)))
}

impl Offers {
    fn of(work: &Work<'_>, person: &Person, overseer: &Overseer) -> Result<Self, AdminError> {
        if overseer.is_file_mode() {
            return Ok(Self::default());
        }
        let organization = work.organization(person.organization.as_ref())?.id;
        let may_become =
            |after: &Person| work.permits(Action::PutPerson { before: Some(person), after }, &organization);
        let itself = overseer.caller.person.id == person.id;
        let may_disable = may_become(&Person { disabled: true, ..person.clone() });
        Ok(Self {
            edit: may_become(person),
            disable: !itself && !person.disabled && may_disable,
            enable: person.disabled && may_become(&Person { disabled: false, ..person.clone() }),
            invite: !person.disabled && overseer.state.sign_in.keeps_passwords() && may_become(person),
            sign_out: itself || may_disable,
        })
    }
}

impl PersonView {
    fn new(person: &Person, keys: &KeyTally) -> Self {
        let stops = match keys.active {
            0 => "No key of theirs works now".to_owned(),
            1 => "1 key stops at once".to_owned(),
            many => format!("{many} keys stop at once"),
        };
        Self {
            id: person.id.to_string(),
            href: address::person(person.id.as_str()),
            email: person.email.to_string(),
            role: person.role.as_str(),
            status: badge(person),
            means: means(person.role),
            etag: RecordTag::of_person(person).as_str().to_owned(),
            stops,
        }
    }
}

impl PersonKey {
    fn new(listed: &OwnedKey, last_used: Option<Time>, overseer: &Overseer) -> Self {
        let OwnedKey { key, owner } = listed;
        let status: KeyStatus = key.status(overseer.now, owner.as_ref());
        let name = key.name.as_ref().map_or_else(|| key.id.to_string(), ToString::to_string);
        Self {
            link: Link::new(address::key(key.id.as_str()), name),
            prefix: key.prefix.as_ref().map(ToString::to_string),
            status: Badge::of_status(status),
            last_used,
        }
    }
}
