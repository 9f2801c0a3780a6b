//! `/audit`: what was changed, by whom and from where.

use askama::Template;
use axum::{Router, response::Response, routing::get};
use jiff::{SignedDuration, civil::Date, tz::TimeZone};

use super::{
    address,
    answer::{Failure, html},
    form::{Form, Query},
    overseer::Overseer,
    page::Page,
    parts::{Choice, Link},
    times::Time,
    visitor::Visitor,
};
use crate::{
    admin::state::AdminState,
    control::audit_trail,
    store::contract::{AuditCursor, AuditFilter, AuditFrom, AuditRecord},
};

/// How many records a page shows.
const PAGE: u64 = 50;

/// The kinds of records, and what they are called.
const KINDS: [(&str, &str); 4] =
    [("key", "Keys"), ("person", "People"), ("project", "Projects"), ("organization", "Organizations")];

/// Everything under `/audit`.
pub fn router() -> Router<AdminState> {
    Router::new().route("/audit", get(show))
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditTrailPage {
    page: Page,
    form: Form,
    kinds: Vec<Choice>,
    filtered: bool,
    records: Vec<AuditRow>,
    first: Option<String>,
    older: Option<String>,
}

/// A change as pages show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// When.
    pub at: Time,
    /// Who; without address where they have no page.
    pub actor: Link,
    /// How they came.
    pub by: String,
    /// From where, if not from the machine itself.
    pub address: Option<String>,
    /// What was done, in words.
    pub action: String,
    /// A shape of `icons.svg`.
    pub kind: &'static str,
    /// To what.
    pub target: Option<Link>,
    /// What of it became another.
    pub what: String,
    /// Where it is in force.
    pub revision: Option<Link>,
}

async fn show(overseer: Overseer, query: Query) -> Result<Response, Failure> {
    let fields = ["record", "by", "id", "since", "until"].map(|name| (name, query.get(name)));
    let place = query.get("before").and_then(read_place);
    let found = audit_trail::page(&overseer.administration(), &filter(&query, place)).await?;
    let is_last = (found.records.len() as u64) < PAGE;
    let older = found.end.filter(|_| !is_last).map(|end| format!("{}-{}", end.revision, end.position));
    let page = AuditTrailPage {
        page: overseer.page("Audit", "audit"),
        form: Form::new(fields.map(|(name, value)| (name, value.unwrap_or_default()))),
        kinds: KINDS.map(|(value, label)| Choice { label: label.to_owned(), ..Choice::plain(value) }).into(),
        filtered: fields.iter().any(|(_, value)| value.is_some()),
        first: place.map(|_| address::with_query("/audit", fields)),
        older: older.map(|place| {
            address::with_query("/audit", fields.into_iter().chain([("before", Some(place.as_str()))]))
        }),
        records: found.records.iter().map(|record| AuditRow::new(record, &overseer)).collect(),
    };
    Ok(html(&page))
}

/// What is asked for; a day that is none is not asked for.
fn filter(query: &Query, place: Option<AuditCursor>) -> AuditFilter {
    let owned = |name| query.get(name).map(|text| text.trim().to_owned());
    let day = |name, days: i64| {
        let day: Date = query.get(name)?.trim().parse().ok()?;
        let midnight = day.to_zoned(TimeZone::UTC).ok()?.timestamp();
        midnight.checked_add(SignedDuration::from_hours(24 * days)).ok()
    };
    AuditFilter {
        organization: None,
        record: owned("record"),
        id: owned("id"),
        actor: owned("by").map(|by| if by.contains([':', ' ']) { by } else { format!("person:{by}") }),
        since: day("since", 0),
        // The day that is named is part of it.
        until: day("until", 1),
        from: AuditFrom::Before(place),
        limit: PAGE,
    }
}

fn read_place(text: &str) -> Option<AuditCursor> {
    let (revision, position) = text.split_once('-')?;
    Some(AuditCursor { revision: revision.parse().ok()?, position: position.parse().ok()? })
}

/// The newest changes, where `visitor` may see them.
///
/// # Errors
/// Where the store cannot be read.
pub async fn latest(visitor: &Visitor, limit: u64) -> Result<Vec<AuditRow>, Failure> {
    let filter = AuditFilter { limit, ..AuditFilter::default() };
    let found = audit_trail::page(&visitor.administration(), &filter).await?;
    Ok(found.records.iter().map(|record| AuditRow::new(record, visitor)).collect())
}

impl AuditRow {
    fn new(record: &AuditRecord, visitor: &Visitor) -> Self {
        let (actor, by) = actor(&record.actor);
        Self {
            at: visitor.time(record.at),
            actor,
            by,
            address: record.address.map(|address| address.to_string()),
            action: action(&record.command).unwrap_or(&record.command).to_owned(),
            kind: kind(&record.command),
            target: target(&record.record, &record.id),
            what: record.what.clone(),
            revision: record
                .revision
                .map(|revision| Link::new(format!("/receipts/{revision}"), revision.to_string())),
        }
    }
}

/// Who did it and how they came: `person:ada key:key_01…` is ada, by a key of hers.
fn actor(actor: &str) -> (Link, String) {
    let Some(person) = actor.strip_prefix("person:") else {
        return (Link::new("", actor), "at the command line".to_owned());
    };
    match person.split_once(" key:") {
        Some((id, key)) => (Link::new(address::person(id), id), format!("by the key {key}")),
        None => (Link::new(address::person(person), person), "signed in".to_owned()),
    }
}

fn action(command: &str) -> Option<&'static str> {
    Some(match command {
        "keys create" => "created a key",
        "keys import" => "imported a key",
        "keys update" => "changed a key",
        "keys rotate" => "rotated a key",
        "keys revoke" => "revoked a key",
        "people create" => "added a person",
        "people create first owner" => "became the first owner",
        "people update" => "changed a person",
        "people disable" => "disabled a person",
        "people enable" => "enabled a person",
        "projects create" => "declared a project",
        "projects remove" => "removed a project",
        "organizations create" => "made an organization",
        _ => return None,
    })
}

fn kind(command: &str) -> &'static str {
    match command.split_once(' ') {
        Some((_, "revoke" | "remove")) => "bad",
        Some((_, "disable")) => "off",
        Some((_, "rotate")) => "turning",
        Some((_, "create" | "import" | "create first owner")) => "plus",
        _ => "note",
    }
}

fn target(record: &str, id: &str) -> Option<Link> {
    let href = match record {
        "key" => address::key(id),
        "person" => address::person(id),
        "project" => "/projects".to_owned(),
        "organization" => "/".to_owned(),
        _ => return None,
    };
    Some(Link::new(href, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actors_are_told_with_how_they_came() {
        let told = |text| {
            let (link, by) = actor(text);
            (link.href, link.text, by)
        };
        let expected = |href: &str, text: &str, by: &str| (href.to_owned(), text.to_owned(), by.to_owned());
        assert_eq!(told("person:ada"), expected("/people/ada", "ada", "signed in"));
        assert_eq!(told("person:a|b key:k1"), expected("/people/a%7Cb", "a|b", "by the key k1"));
        assert_eq!(told("ada (uid 1000)"), expected("", "ada (uid 1000)", "at the command line"));
        assert_eq!(told("first-owner link").1, "first-owner link");
    }

    #[test]
    fn places_are_read_as_they_are_written() {
        assert_eq!(read_place("812-3"), Some(AuditCursor { revision: 812, position: 3 }));
        for wrong in ["", "812", "-", "a-b", "1-99999999999999999999"] {
            assert_eq!(read_place(wrong), None, "{wrong}");
        }
    }
}
