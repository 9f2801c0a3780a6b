//! Routes as rows of a table.

use crate::control::route_list::{ListedAccess, ListedProject, ListedRoute};

/// A route.
pub(super) struct RouteRow {
    pub(super) hosts: Vec<String>,
    pub(super) path: String,
    pub(super) methods: Vec<MethodRow>,
    pub(super) project: Option<String>,
    pub(super) upstream: String,
    pub(super) authority: String,
    pub(super) notes: Vec<String>,
}

/// What a method of it needs; `*` for all that are not named.
pub(super) struct MethodRow {
    pub(super) method: String,
    /// Empty: no key.
    pub(super) scopes: Vec<String>,
}

impl From<ListedRoute> for RouteRow {
    fn from(route: ListedRoute) -> Self {
        let named = route.methods.into_iter().map(|method| MethodRow::new(method.method, method.access));
        let others = route.other_methods.map(|access| MethodRow::new("*".to_owned(), access));
        let lists = (!route.restricted_keys.is_empty())
            .then(|| format!("keys restricted to projects may {}", route.restricted_keys.join(", ")));
        let notes =
            [lists, route.websocket.then(|| "WebSocket".to_owned()), route.cors.then(|| "CORS".to_owned())];
        Self {
            hosts: route.hosts,
            path: route.pattern,
            methods: named.chain(others).collect(),
            project: route.project.map(source),
            upstream: route.upstream,
            authority: route.upstream_authority,
            notes: notes.into_iter().flatten().collect(),
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
