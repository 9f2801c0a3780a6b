//! `/keys/{id}`: what a key is, may do, and does.

use askama::Template;
use axum::{extract::Path, response::Response};
use jiff::Timestamp;

use super::{
    plan,
    use_of_key::{self, Hours, LiveRotation, RotationView, ScopeUse},
    view::{self, LastUsed, Meanings},
};
use crate::{
    console::{
        answer::{Failure, html},
        form::Query,
        markup::Markup,
        page::{Notice, Page},
        parts::{Badge, Link, Scope},
        times::Time,
        visitor::Visitor,
    },
    control::{
        actor::Action,
        key_health::{self, Hint, Use},
        key_view::KeyView,
        listing::{self, KnownUses},
        route_list::RouteList,
    },
    keys::{
        record::{KeyRecord, KeyStatus},
        rules::KeyRules,
        secret::Environment,
    },
    store::contract::OwnedKey,
};

#[derive(Template)]
#[template(path = "key.html")]
struct KeyPage {
    page: Page,
    key: KeyFacts,
    usage: UsageFacts,
    rotation: Option<RotationView>,
    hints: Vec<HintView>,
    may_change: bool,
    may_revoke: bool,
}

struct KeyFacts {
    id: String,
    name: String,
    prefix: String,
    status: Badge,
    sentence: Option<String>,
    owner: Option<Link>,
    owner_role: &'static str,
    environment: &'static str,
    labels: Vec<String>,
    created: Option<Time>,
    expires: Option<Time>,
    last_used: Option<Time>,
    last_from: Option<String>,
    scopes: Vec<Scope>,
    projects: Vec<Scope>,
    shrunk: Option<String>,
    addresses: Vec<String>,
    plan: Option<String>,
    revoked: Option<RevokedFacts>,
}

struct RevokedFacts {
    at: Time,
    by: String,
    reason: Option<String>,
}

struct UsageFacts {
    since: String,
    chart: Option<Markup>,
    scopes: Vec<ScopeUse>,
}

/// Something that is worth a look about a key.
struct HintView {
    kind: &'static str,
    title: &'static str,
    text: String,
    action: Option<Link>,
}

/// The page.
pub(super) async fn show(
    visitor: Visitor,
    Path(id): Path<String>,
    query: Query,
) -> Result<Response, Failure> {
    let administration = visitor.administration();
    let mut work = administration.look().await?;
    let owned = super::find(&mut work, &id).await?;
    let known = listing::known_uses(&administration, std::slice::from_ref(&owned), visitor.now).await?;
    let rules = administration.rules_for([&owned.key]);
    let shown = KeyView::new(&owned, &work, &rules, known.as_ref(), visitor.now);
    let hours = Hours::of(&administration, &owned.key, known.as_ref(), visitor.now).await?;
    let organization = work.organization_of_key(&owned.key, owned.owner.as_ref())?.id;
    let owned_by = owned.key.owner.as_ref();
    let notice =
        query.get("done").filter(|done| *done == "changed").map(|_| Notice::ok("The key is changed."));
    let page = KeyPage {
        page: visitor.page(super::title(&owned), "keys").noticing(notice),
        may_change: work.permits(Action::NarrowKey(owned_by), &organization)
            && work.permits(Action::IssueSecret(owned.owner.as_ref()), &organization),
        may_revoke: work.permits(Action::RevokeKey(owned_by), &organization),
        hints: hints(&owned, &rules, known.as_ref(), visitor.now),
        usage: UsageFacts {
            since: since(known.as_ref(), &visitor),
            chart: hours.chart(visitor.now),
            scopes: use_of_key::scopes(&visitor, &owned.key, &rules, known.as_ref()),
        },
        rotation: RotationView::of(&visitor, &owned.key, &hours).filter(RotationView::is_under_way),
        key: facts(&visitor, &owned, &shown, &rules),
    };
    Ok(html(&page))
}

/// The part of the page that moves while two secrets work.
pub(super) async fn rotation_live(visitor: Visitor, Path(id): Path<String>) -> Result<Response, Failure> {
    let administration = visitor.administration();
    let owned = super::find(&mut administration.look().await?, &id).await?;
    let known = listing::known_uses(&administration, std::slice::from_ref(&owned), visitor.now).await?;
    let hours = Hours::of(&administration, &owned.key, known.as_ref(), visitor.now).await?;
    let rotation = RotationView::of(&visitor, &owned.key, &hours);
    let rotation = rotation.ok_or_else(|| Failure::not_found("This key is not in rotation."))?;
    Ok(html(&LiveRotation { rotation }))
}

fn since(known: Option<&KnownUses>, visitor: &Visitor) -> String {
    let since = known.and_then(|known| known.since).map(|at| visitor.time(at));
    since.map_or_else(String::new, |since| format!("since {}", since.exact))
}

fn facts(visitor: &Visitor, owned: &OwnedKey, shown: &KeyView, rules: &KeyRules) -> KeyFacts {
    let OwnedKey { key, owner } = owned;
    let meanings = Meanings::new(&RouteList::of(&visitor.published()));
    let status = key.status(visitor.now, owner.as_ref());
    let is_active = status == KeyStatus::Active;
    let last = LastUsed::of(shown, visitor);
    let time = |at: Option<Timestamp>| at.map(|at| visitor.time(at));
    KeyFacts {
        id: key.id.to_string(),
        name: super::title(owned),
        prefix: shown.prefix.clone().unwrap_or_default(),
        status: view::badge(owned, visitor.now),
        sentence: sentence(visitor, owned, status),
        owner: view::owner_link(owned, visitor),
        owner_role: owner.as_ref().map_or("unknown person", |owner| owner.role.as_str()),
        environment: environment(key),
        labels: key.labels.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        created: time(key.created_at),
        expires: time(key.expires_at),
        last_used: last.at,
        last_from: last.from,
        scopes: view::scopes(owned, &shown.effective, rules, &meanings),
        projects: view::projects(owned, &shown.effective),
        shrunk: view::shrunk(owned, &shown.effective, rules).filter(|_| is_active),
        addresses: shown.addresses.clone(),
        plan: plan::in_words(key, &rules.plans),
        revoked: key.revoked.as_ref().map(|revoked| RevokedFacts {
            at: visitor.time(revoked.at),
            by: revoked.by.as_ref().map_or_else(|| "an unknown hand".to_owned(), ToString::to_string),
            reason: revoked.reason.as_ref().map(ToString::to_string),
        }),
    }
}

/// Why it does not work, where it does not.
fn sentence(visitor: &Visitor, owned: &OwnedKey, status: KeyStatus) -> Option<String> {
    let at = |at: Option<Timestamp>| at.map(|at| visitor.time(at).exact).unwrap_or_default();
    let key = &owned.key;
    match status {
        KeyStatus::Active => None,
        KeyStatus::NotYetValid => Some(format!("It does not work before {}.", at(key.not_before))),
        KeyStatus::Expired => Some(format!("It stopped on {}. Make another.", at(key.expires_at))),
        KeyStatus::Revoked => Some("It is revoked.".to_owned()),
        KeyStatus::OwnerDisabled => {
            let person = key.owner.as_ref().map(ToString::to_string).unwrap_or_default();
            Some(format!("Its owner {person} is disabled, and it works again when they are enabled."))
        }
    }
}

/// What the prefix of its secret says a key is for.
fn environment(key: &KeyRecord) -> &'static str {
    let word = key.prefix.as_ref().and_then(|prefix| prefix.as_str().split('_').nth(1));
    match word.and_then(Environment::from_name) {
        Some(Environment::Live) => "live",
        Some(Environment::Test) => "test",
        None => "not said",
    }
}

fn hints(owned: &OwnedKey, rules: &KeyRules, known: Option<&KnownUses>, now: Timestamp) -> Vec<HintView> {
    let key = &owned.key;
    if key.status(now, owned.owner.as_ref()) != KeyStatus::Active {
        return Vec::new();
    }
    let nothing = crate::telemetry::usage::KeyUsage::default();
    let used = known.map(|known| {
        let usage = known.keys.get(key.id.as_str()).unwrap_or(&nothing);
        Use { last: usage.last_used().map(|last| last.at), since: known.since, scopes: &usage.scopes }
    });
    let link = |page: &str, text: &str| Some(Link::new(format!("/keys/{}/{page}", key.id), text));
    let hint = |hint| match hint {
        Hint::NeverExpires => HintView {
            kind: "note",
            title: "It never expires.",
            text: "Whoever finds its secret in ten years can use it. Make one with an end, and revoke this."
                .to_owned(),
            action: Some(Link::new("/keys/new", "New key")),
        },
        Hint::ExpiresSoon(end) => HintView {
            kind: "soon",
            title: "It expires soon.",
            text: format!(
                "It stops {}. A key cannot be made to last longer: make another in time.",
                Time::new(end, now).relative
            ),
            action: Some(Link::new("/keys/new", "New key")),
        },
        Hint::Unused(last) => HintView {
            kind: "warn",
            title: if last.is_some() {
                "It has not been used for 90 days."
            } else {
                "It has never been used."
            },
            text: "A key that nobody uses is a risk without a use.".to_owned(),
            action: link("revoke", "Revoke it"),
        },
        Hint::Broader { unused, enough } => HintView {
            kind: "warn",
            title: "It may do more than it does.",
            text: format!(
                "No request needed {}; {} would have been enough.",
                unused.join(", "),
                enough.join(", ")
            ),
            action: link("edit", "Narrow it"),
        },
    };
    key_health::hints(key, rules, used, now).into_iter().map(hint).collect()
}
