//! Routes as rows of a table.

use jiff::Timestamp;

use crate::{
    console::times::Time,
    control::route_list::{ListedAccess, ListedProject, ListedRoute},
};

/// A route.
pub(super) struct RouteRow {
    pub(super) hosts: Vec<String>,
    pub(super) path: String,
    pub(super) methods: Vec<MethodRow>,
    pub(super) project: Option<String>,
    pub(super) upstream: String,
    pub(super) authority: String,
    pub(super) notes: Vec<String>,
    /// Until when it forwards what it would refuse; `None`: it enforces.
    pub(super) observes_until: Option<Time>,
}

/// What a method of it needs; `*` for all that are not named.
pub(super) struct MethodRow {
    pub(super) method: String,
    /// Empty: no key.
    pub(super) scopes: Vec<String>,
}

impl RouteRow {
    /// `route`, as it stands at `now`.
    pub(super) fn new(route: ListedRoute, now: Timestamp) -> Self {
        let named = route.methods.into_iter().map(|method| MethodRow::new(method.method, method.access));
        let others = route.other_methods.map(|access| MethodRow::new("*".to_owned(), access));
        let lists = (!route.restricted_keys.is_empty())
            .then(|| format!("keys restricted to projects may {}", route.restricted_keys.join(", ")));
        let (observes, over) = match route.observed_until {
            Some(until) if now < until => (Some(until), None),
            until => (None, until),
        };
        let notes = [
            over.map(|until| format!("enforces since {until}: its observe is over")),
            lists,
            route.websocket.then(|| "WebSocket".to_owned()),
            route.cors.then(|| "CORS".to_owned()),
        ];
        Self {
            hosts: route.hosts,
            path: route.pattern,
            methods: named.chain(others).collect(),
            project: route.project.map(source),
            upstream: route.upstream,
            authority: route.upstream_authority,
            notes: notes.into_iter().flatten().collect(),
            observes_until: observes.map(|until| Time::new(until, now)),
        }
    }
}

impl MethodRow {
    fn new(method: String, access: ListedAccess) -> Self {
        let scopes = match access {
            ListedAccess::Public => Vec::new(),
            ListedAccess::Scopes(scopes) => scopes,
        };
        Self { method, scopes }
    }
}

fn source(project: ListedProject) -> String {
    match project {
        ListedProject::Path(name) => format!("path:{name}"),
        ListedProject::Query(name) => format!("query:{name}"),
        ListedProject::Header(name) => format!("header:{name}"),
        ListedProject::Host(label) => format!("host:{label}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(observed_until: Option<&str>) -> RouteRow {
        let route = ListedRoute {
            index: 0,
            hosts: Vec::new(),
            pattern: "/a".to_owned(),
            methods: Vec::new(),
            other_methods: None,
            project: None,
            restricted_keys: Vec::new(),
            upstream: "api".to_owned(),
            upstream_authority: "localhost".to_owned(),
            cors: false,
            websocket: false,
            observed_until: observed_until.map(|until| until.parse().unwrap()),
        };
        RouteRow::new(route, "2026-11-22T00:00:00Z".parse().unwrap())
    }

    #[test]
    fn a_route_that_observes_says_until_when() {
        let observing = row(Some("2026-11-22T00:00:01Z"));
        assert_eq!(observing.observes_until.unwrap().exact, "22 Nov 2026, 00:00:01 UTC");
        assert!(observing.notes.is_empty());
        let over = row(Some("2026-11-22T00:00:00Z"));
        assert_eq!(
            (over.observes_until, over.notes),
            (None, vec!["enforces since 2026-11-22T00:00:00Z: its observe is over".to_owned()])
        );
        let enforcing = row(None);
        assert_eq!((enforcing.observes_until, enforcing.notes), (None, Vec::new()));
    }
}
