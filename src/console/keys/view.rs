//! Keys as pages show them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    console::{
        parts::{Badge, Choice, Link, Scope},
        times::Time,
        visitor::Visitor,
    },
    control::{
        administration::Work,
        key_view::{Effective, KeyView, Projects},
        route_list::{ListedScope, RouteList},
    },
    keys::{
        record::{Person, PersonId},
        rules::KeyRules,
    },
    policy::{
        project::ProjectSet,
        scope::{MANAGE, is_reserved},
    },
    store::contract::OwnedKey,
};

/// What each scope allows, in a line, by name.
pub(super) struct Meanings(BTreeMap<String, String>);

impl Meanings {
    /// By the routes in force.
    pub(super) fn new(list: &RouteList) -> Self {
        Self(list.scopes.iter().map(|scope| (scope.name.clone(), meaning(scope, list))).collect())
    }

    /// What `scope` allows; empty where no config defines it.
    pub(super) fn of(&self, scope: &str) -> String {
        self.0.get(scope).cloned().unwrap_or_default()
    }

    /// Scopes to choose from.
    pub(super) fn choices<'s>(&self, scopes: impl IntoIterator<Item = &'s str>) -> Vec<Choice> {
        let choice = |scope: &str| Choice { hint: self.of(scope), ..Choice::plain(scope) };
        scopes.into_iter().map(choice).collect()
    }
}

/// How many routes a line names.
const ROUTES_NAMED: usize = 3;

fn meaning(scope: &ListedScope, list: &RouteList) -> String {
    if scope.reserved {
        return "Signs in to this console and its API as the owner of the key. Opens no route.".to_owned();
    }
    let pattern = |at: usize| list.routes.iter().find(|route| route.index == at).map(|route| &route.pattern);
    let mut opened = scope.opens.iter().filter_map(|opened| {
        let methods =
            opened.methods.iter().map(|method| if method == "*" { "any other method" } else { method });
        Some(format!("{} {}", methods.collect::<Vec<_>>().join("/"), pattern(opened.route)?))
    });
    let named: Vec<_> = opened.by_ref().take(ROUTES_NAMED).collect();
    let others = match opened.count() {
        0 => String::new(),
        1 => " and 1 route more".to_owned(),
        others => format!(" and {others} routes more"),
    };
    let implied = match &scope.implies[..] {
        [] => String::new(),
        implied => format!("Includes {}. ", implied.join(", ")),
    };
    match &named[..] {
        [] => format!("{implied}Opens no route."),
        named => format!("{implied}{}{others}.", named.join(", ")),
    }
}

/// The scopes of a key: those that were granted, and those that are left of them where its owner has less.
pub(super) fn scopes(
    owned: &OwnedKey,
    effective: &Effective,
    rules: &KeyRules,
    meanings: &Meanings,
) -> Vec<Scope> {
    let is_in_force = |name: &str| match name {
        MANAGE => owned.owner.as_ref().is_some_and(|owner| owner.role.manages() && !owner.disabled),
        name => effective.scopes.iter().any(|scope| scope == name),
    };
    let shown =
        |name: &str| Scope { name: name.to_owned(), in_force: is_in_force(name), means: meanings.of(name) };
    let granted = &owned.key.scopes;
    let is_lost = granted.iter().any(|name| !is_in_force(name));
    let left = rules.scopes.least_names(rules.closure(&effective.scopes));
    let left = left.filter(|name| is_lost && !granted.iter().any(|scope| scope == name));
    granted.iter().map(String::as_str).chain(left).map(shown).collect()
}

/// The projects of a key: those that were granted, and which are left of them.
pub(super) fn projects(owned: &OwnedKey, effective: &Effective) -> Vec<Scope> {
    let shown = |name: &str, in_force| Scope { name: name.to_owned(), in_force, means: String::new() };
    match (&owned.key.projects, &effective.projects) {
        (ProjectSet::All, Projects::All(_)) => vec![shown("all projects", true)],
        (ProjectSet::All, Projects::Only(left)) => {
            let left = left.iter().map(|name| shown(name, true));
            [shown("all projects", false)].into_iter().chain(left).collect()
        }
        (ProjectSet::Only(granted), Projects::All(_)) => {
            granted.iter().map(|name| shown(name, true)).collect()
        }
        (ProjectSet::Only(granted), Projects::Only(left)) => {
            granted.iter().map(|name| shown(name, left.iter().any(|left| **left == **name))).collect()
        }
    }
}

/// Why a key that works may do less than it was granted; `None`: it may do all of it.
pub(super) fn shrunk(owned: &OwnedKey, effective: &Effective, rules: &KeyRules) -> Option<String> {
    let person = owned.owner.as_ref()?;
    let mut reasons = Vec::new();
    let cap = rules.role_caps.get(person.role);
    if !cap.contains(rules.closure(&owned.key.scopes)) {
        let most: Vec<_> = rules.scopes.least_names(cap).collect();
        let most = if most.is_empty() { "nothing".to_owned() } else { most.join(", ") };
        reasons.push(format!("{} is {}, whose keys have at most {most}.", person.id, person.role.as_str()));
    }
    if let ProjectSet::Only(ids) = &person.projects
        && !person.projects.includes(&owned.key.projects)
    {
        reasons.push(format!("{} has only the projects {}.", person.id, ids.join(", ")));
    } else if projects(owned, effective).iter().any(|project| !project.in_force) {
        reasons
            .push("The organization declares its projects, and not all of these are among them.".to_owned());
    }
    (!reasons.is_empty()).then(|| reasons.join(" "))
}

/// The scopes that `person` may give to keys of theirs.
pub(super) fn scopes_of<'r>(person: &Person, rules: &'r KeyRules) -> impl Iterator<Item = &'r str> {
    let cap = rules.role_caps.get(person.role);
    rules.scopes.names(cap).chain(person.role.manages().then_some(MANAGE))
}

/// The projects that `person` may give: theirs, else those of their organization; none where any id is accepted.
pub(super) fn projects_of(work: &Work<'_>, person: &Person) -> Vec<Choice> {
    let declared = work.organization(person.organization.as_ref()).ok().and_then(|own| own.projects);
    let is_theirs = |id: &&str| person.projects.contains(id);
    match (&person.projects, &declared) {
        (_, Some(declared)) => {
            declared.iter().map(String::as_str).filter(is_theirs).map(Choice::plain).collect()
        }
        (ProjectSet::Only(ids), None) => ids.iter().map(|id| Choice::plain(&**id)).collect(),
        (ProjectSet::All, None) => Vec::new(),
    }
}

/// The page of its owner: that of their own account for those who see no other person.
pub(super) fn owner_link(owned: &OwnedKey, visitor: &Visitor) -> Option<Link> {
    let page =
        |id: &PersonId| if visitor.manages() { format!("/people/{id}") } else { "/account".to_owned() };
    owned.key.owner.as_ref().map(|id| Link::new(page(id), id.as_str()))
}

/// How a key stands, in a badge: also what is about to happen to it.
pub(super) fn badge(owned: &OwnedKey, now: Timestamp) -> Badge {
    let OwnedKey { key, owner } = owned;
    let status = key.status(now, owner.as_ref());
    let is_soon = |end: Timestamp| end.duration_since(now) <= crate::control::key_health::SOON;
    let is_rotating = key.previous.as_ref().is_some_and(|previous| previous.until > now);
    match status {
        crate::keys::record::KeyStatus::Active if is_rotating => Badge::new("turning", "in rotation"),
        crate::keys::record::KeyStatus::Active if key.expires_at.is_some_and(is_soon) => {
            Badge::new("soon", "expires soon")
        }
        status => Badge::of_status(status),
    }
}

/// When and from where a key was last used.
pub(super) struct LastUsed {
    pub(super) at: Option<Time>,
    pub(super) from: Option<String>,
}

impl LastUsed {
    pub(super) fn of(view: &KeyView, visitor: &Visitor) -> Self {
        let last = view.uses.as_ref().and_then(|uses| uses.last_used);
        Self { at: last.map(|last| visitor.time(last.at)), from: last.map(|last| last.client.to_string()) }
    }
}

/// Names of scopes that no config defines are nothing to choose.
pub(super) fn is_defined(name: &str, rules: &KeyRules) -> bool {
    is_reserved(name) || rules.scopes.get(name).is_some()
}
