//! `/keys`: the list, its filters and the search, which also takes a whole key.

use askama::Template;
use axum::response::Response;
use form_urlencoded::Serializer;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::view::{self, LastUsed, Meanings};
use crate::{
    admin::page::{cursor, read_cursor},
    console::{
        answer::{Failure, html, see_other},
        form::{Form, Query, Typed},
        page::{Notice, Page},
        parts::{Badge, Choice, Link, Pager, Scope},
        times::Time,
        visitor::Visitor,
    },
    control::{
        actor::Action,
        administration::{AdminError, Work},
        key_view::KeyView,
        listing,
        route_list::RouteList,
    },
    keys::{
        digest::KeyDigest,
        record::{KeyId, KeyStatus, PersonId},
        secret::KeySecret,
    },
    store::contract::{KeyCursor, KeyQuery, OwnedKey, PersonQuery},
};

/// Keys on a page.
const PAGE: usize = 50;

/// How far keys are counted: to count them all takes longer than anybody reads a page for.
const COUNTED_MAX: u64 = 1000;

/// Projects of a key that a line names.
const PROJECTS_NAMED: usize = 4;

/// People and projects that a filter offers.
const CHOICES_MAX: usize = 200;

/// Pages before this one that its address remembers the places of.
const TRAIL_MAX: usize = 20;

/// No text that somebody looks for in names is so long without a space; a key is.
const SECRET_BYTES_MIN: usize = 32;

#[derive(Template)]
#[template(path = "keys.html")]
struct KeysPage {
    page: Page,
    form: Form,
    statuses: Vec<Choice>,
    owners: Vec<Choice>,
    projects: Vec<Choice>,
    plans: Vec<Choice>,
    may_create: bool,
    may_see_all: bool,
    filtered: bool,
    keys: Vec<KeyRow>,
    pager: Pager,
}

struct KeyRow {
    id: String,
    name: String,
    prefix: String,
    scopes: Vec<Scope>,
    projects: Vec<String>,
    more_projects: usize,
    owner: Option<Link>,
    created: Option<Time>,
    expires: Option<Time>,
    last_used: Option<Time>,
    status: Badge,
}

/// The list.
pub(super) async fn show(visitor: Visitor, query: Query) -> Result<Response, Failure> {
    let asked = Asked::read(&query);
    let administration = visitor.administration();
    let mut work = administration.look().await?;
    let own = work.acting.person().cloned();
    let organization = work.organization(own.as_ref().and_then(|own| own.organization.as_ref()))?.id;
    let may_create = work.permits(Action::IssueSecret(own.as_ref()), &organization);
    let may_see_all = visitor.manages();
    let key_query = asked.query(visitor.now);
    let listing = listing::keys_page(&mut work, key_query.clone()).await?;
    let total = if asked.after.is_some() || listing.has_more {
        listing::key_count(&mut work, key_query, COUNTED_MAX + 1).await?
    } else {
        listing.records.len() as u64
    };
    let keys = rows(&visitor, &mut work, &listing.records).await?;
    let next = listing.records.last().filter(|_| listing.has_more).and_then(|last| cursor(&Place::of(last)));
    let notice = query.get("missing").map(|_| {
        Notice::warn("No key of this organization has that secret. It was looked up by its SHA-256 and is kept nowhere.")
    });
    let page = KeysPage {
        page: visitor.page("Keys", "keys").noticing(notice),
        form: asked.form(),
        statuses: statuses(),
        owners: if may_see_all { owners(&mut work).await? } else { Vec::new() },
        projects: projects(&mut work).await?,
        plans: if may_see_all { plans(&visitor) } else { Vec::new() },
        may_create,
        may_see_all,
        filtered: asked.is_filtered(),
        pager: asked.pager(keys.len(), total, next),
        keys,
    };
    Ok(html(&page))
}

/// What was typed: a whole key leads to its page, and never into an address.
pub(super) async fn search(visitor: Visitor, typed: Typed) -> Result<Response, Failure> {
    let asked = Asked::typed(&typed);
    let administration = visitor.administration();
    let mut work = administration.look().await?;
    let text = typed.get("q").trim();
    if let Some(id) = named(&mut work, text).await? {
        return Ok(see_other(&format!("/keys/{id}")));
    }
    let fields = ["q", "status", "owner", "project", "plan"];
    if is_secret(text) || fields.iter().any(|name| visitor.holds_secret(typed.get(name))) {
        return Ok(see_other("/keys?missing=1"));
    }
    Ok(see_other(&asked.address(None, &[])))
}

/// The key that `text` is the id or a secret of, where whoever asks may see it.
async fn named(work: &mut Work<'_>, text: &str) -> Result<Option<KeyId>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    let found = match listing::key_of(work, KeyDigest::of(text.as_bytes())).await {
        Ok(None) => super::find(work, text).await.ok(),
        Ok(found) => found,
        Err(AdminError::Forbidden(_)) => None,
        Err(error) => return Err(error.into()),
    };
    Ok(found.map(|owned| owned.key.id))
}

/// Whether `text` is a key rather than something to look for.
fn is_secret(text: &str) -> bool {
    let has_prefix =
        KeySecret::import(text.to_owned().into()).is_some_and(|secret| secret.prefix().is_some());
    has_prefix || (text.len() >= SECRET_BYTES_MIN && !text.contains(char::is_whitespace))
}

/// What is asked for.
#[derive(Debug, Default)]
struct Asked {
    q: String,
    status: String,
    owner: String,
    project: String,
    plan: String,
    after: Option<String>,
    /// Where the pages before this one begin, but for the first.
    trail: Vec<String>,
}

/// A place in the list.
#[derive(Debug, Serialize, Deserialize)]
struct Place {
    c: Option<Timestamp>,
    i: String,
}

impl Place {
    fn of(owned: &OwnedKey) -> Self {
        let place = KeyCursor::of(&owned.key);
        Self { c: place.created_at, i: place.id.to_string() }
    }

    fn cursor(self) -> Option<KeyCursor> {
        Some(KeyCursor { created_at: self.c, id: KeyId::parse(&self.i).ok()? })
    }
}

impl Asked {
    fn read(query: &Query) -> Self {
        let text = |name| query.get(name).unwrap_or_default().to_owned();
        let trail = query.get("trail").unwrap_or_default().split('.').filter(|place| !place.is_empty());
        Self {
            q: text("q"),
            status: text("status"),
            owner: text("owner"),
            project: text("project"),
            plan: text("plan"),
            after: query.get("after").map(str::to_owned),
            trail: trail.take(TRAIL_MAX).map(str::to_owned).collect(),
        }
    }

    fn typed(typed: &Typed) -> Self {
        let text = |name| typed.get(name).trim().to_owned();
        let (q, status, owner) = (text("q"), text("status"), text("owner"));
        Self { q, status, owner, project: text("project"), plan: text("plan"), ..Self::default() }
    }

    fn filters(&self) -> [(&'static str, &str); 5] {
        [
            ("q", &self.q),
            ("status", &self.status),
            ("owner", &self.owner),
            ("project", &self.project),
            ("plan", &self.plan),
        ]
    }

    fn is_filtered(&self) -> bool {
        self.filters().iter().any(|(_, value)| !value.is_empty())
    }

    fn form(&self) -> Form {
        Form::new(self.filters())
    }

    fn query(&self, now: Timestamp) -> KeyQuery {
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.trim().is_empty());
        let after = self.after.as_deref().and_then(|after| read_cursor::<Place>(after).ok());
        KeyQuery {
            // An id that nobody can have finds nothing, as one that nobody has.
            owner: given(&self.owner)
                .map(|id| PersonId::parse(&id).or_else(|_| PersonId::parse("-")))
                .and_then(Result::ok),
            project: given(&self.project),
            plan: given(&self.plan),
            status: status(&self.status),
            text: given(self.q.trim()),
            after: after.and_then(Place::cursor),
            limit: PAGE,
            now,
            ..KeyQuery::default()
        }
    }

    /// The page after `after`, which comes after those of `trail`.
    fn address(&self, after: Option<&str>, trail: &[String]) -> String {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(self.filters().iter().filter(|(_, value)| !value.is_empty()));
        query.extend_pairs(after.map(|after| ("after", after)));
        let trail = trail.join(".");
        query.extend_pairs(Some(("trail", &trail)).filter(|(_, trail)| !trail.is_empty()));
        let query = query.finish();
        if query.is_empty() { "/keys".to_owned() } else { format!("/keys?{query}") }
    }

    fn pager(&self, shown: usize, total: u64, next: Option<String>) -> Pager {
        let before = if self.after.is_some() { (self.trail.len() + 1) * PAGE } else { 0 };
        let shown = match (shown, total) {
            (0, _) => "No keys".to_owned(),
            (1, 1) => "1 key".to_owned(),
            (shown, total) if total > COUNTED_MAX => {
                format!("{}–{} of more than {COUNTED_MAX} keys", before + 1, before + shown)
            }
            (shown, total) => format!("{}–{} of {total} keys", before + 1, before + shown),
        };
        let newer = self.after.as_ref().map(|_| match self.trail.split_last() {
            Some((last, trail)) => self.address(Some(last), trail),
            None => self.address(None, &[]),
        });
        let trail: Vec<_> = self.trail.iter().chain(&self.after).cloned().collect();
        let trail = trail.get(trail.len().saturating_sub(TRAIL_MAX)..).unwrap_or_default();
        Pager { shown, newer, older: next.map(|next| self.address(Some(&next), trail)) }
    }
}

const STATUSES: [(&str, KeyStatus); 5] = [
    ("active", KeyStatus::Active),
    ("not_yet_valid", KeyStatus::NotYetValid),
    ("expired", KeyStatus::Expired),
    ("revoked", KeyStatus::Revoked),
    ("owner_disabled", KeyStatus::OwnerDisabled),
];

fn status(name: &str) -> Option<KeyStatus> {
    STATUSES.iter().find(|(known, _)| *known == name).map(|(_, status)| *status)
}

fn statuses() -> Vec<Choice> {
    let choice = |(value, status): &(&str, KeyStatus)| Choice {
        label: status.as_str().to_owned(),
        ..Choice::plain(*value)
    };
    STATUSES.iter().map(choice).collect()
}

async fn owners(work: &mut Work<'_>) -> Result<Vec<Choice>, Failure> {
    let organization = work.acting.person().and_then(|person| person.organization.clone());
    let query = PersonQuery { organization, limit: CHOICES_MAX, ..PersonQuery::default() };
    let people = work.transaction.people_matching(&query).await?;
    Ok(people.iter().map(|person| Choice::plain(person.id.as_str())).collect())
}

fn plans(visitor: &Visitor) -> Vec<Choice> {
    visitor.published().config.policy.plans.iter().map(|plan| Choice::plain(plan.name())).collect()
}

async fn projects(work: &mut Work<'_>) -> Result<Vec<Choice>, Failure> {
    let declared = listing::projects(work, false).await?;
    Ok(declared.into_keys().take(CHOICES_MAX).map(Choice::plain).collect())
}

async fn rows(visitor: &Visitor, work: &mut Work<'_>, keys: &[OwnedKey]) -> Result<Vec<KeyRow>, Failure> {
    let usage = listing::known_uses(work.administration, keys, visitor.now).await?;
    let rules = work.administration.rules_for(keys.iter().map(|owned| &owned.key));
    let meanings = Meanings::new(&RouteList::of(&visitor.published()));
    let row = |owned: &OwnedKey| {
        let shown = KeyView::new(owned, work, &rules, usage.as_ref(), visitor.now);
        let projects = view::projects(owned, &shown.effective);
        KeyRow {
            id: shown.id.clone(),
            name: super::title(owned),
            prefix: shown.prefix.clone().unwrap_or_default(),
            scopes: view::scopes(owned, &shown.effective, &rules, &meanings),
            more_projects: projects.len().saturating_sub(PROJECTS_NAMED),
            projects: projects.into_iter().take(PROJECTS_NAMED).map(|project| project.name).collect(),
            owner: view::owner_link(owned, visitor),
            created: owned.key.created_at.map(|at| visitor.time(at)),
            expires: owned.key.expires_at.map(|at| visitor.time(at)),
            last_used: LastUsed::of(&shown, visitor).at,
            status: view::badge(owned, visitor.now),
        }
    };
    Ok(keys.iter().map(row).collect())
}
