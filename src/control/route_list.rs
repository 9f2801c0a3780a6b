//! The routes as the gateway sees them, and what each scope opens of them: what is shown beside `explain`, and to whoever
//! chooses scopes for a key. Never a credential: of an upstream there is its name and its host.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    config::model::Config,
    live::Published,
    policy::{
        project::ProjectSource,
        route::{Access, Route, parameters},
        scope::{MANAGE, ScopeSet, Scopes},
    },
};

/// Routes and scopes of one revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RouteList {
    /// The revision they are in force with.
    pub revision: u64,
    /// The routes in the order of the config, which decides nothing: of the hosts, exact beats `*.`, and of the paths, a
    /// literal beats `{name}` beats `{*rest}`.
    pub routes: Vec<ListedRoute>,
    /// The scopes in the order of the config, and `keygate:manage` last.
    pub scopes: Vec<ListedScope>,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ListedRoute {
    /// Its number in the config, from 0; as in `explain`.
    pub index: usize,
    /// The hosts it is for, `*.` for any label; empty for any.
    pub hosts: Vec<String>,
    /// Its path pattern, as written.
    pub pattern: String,
    /// The methods that are mapped by name, in the order of the config. HEAD is allowed where GET is, unless it stands here.
    pub methods: Vec<ListedMethod>,
    /// What all other methods need (`'*'`); `None` where they are answered 405.
    pub other_methods: Option<ListedAccess>,
    /// Where a request names its project; `None` where it names none.
    pub project: Option<ListedProject>,
    /// Methods that keys restricted to projects may use although the request names none.
    pub restricted_keys: Vec<String>,
    /// The name of the upstream.
    pub upstream: String,
    /// The host and port of its URL, or `localhost` of a socket.
    pub upstream_authority: String,
    /// Whether scripts of other origins may read answers.
    pub cors: bool,
    /// Whether WebSocket upgrades are forwarded.
    pub websocket: bool,
    /// Until when the route forwards what it would refuse, as nobody's; `None`: it enforces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_until: Option<Timestamp>,
}

/// One method of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ListedMethod {
    /// The method.
    pub method: String,
    /// What it needs.
    pub access: ListedAccess,
}

/// What a method needs: `"public"`, or `{"scopes": ["read"]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ListedAccess {
    /// No key.
    Public,
    /// A key with all of these, without those that another of them implies.
    Scopes(Vec<String>),
}

/// Where requests of a route name their project: `{"query": "project"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ListedProject {
    /// In the segment of the path with this name.
    Path(String),
    /// In the query parameter of this name.
    Query(String),
    /// In the header of this name.
    Header(String),
    /// In the label of the host with this number, from 0 at the left.
    Host(usize),
}

/// One scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ListedScope {
    /// Its name.
    pub name: String,
    /// All other scopes that its holder has too, also through others.
    pub implies: Vec<String>,
    /// The guarded routes that it opens by itself; public ones need none.
    pub opens: Vec<Opened>,
    /// Whether it is `keygate:manage`, which opens the admin API and no route.
    pub reserved: bool,
}

/// What a scope opens of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Opened {
    /// [`ListedRoute::index`].
    pub route: usize,
    /// The methods; `*` for all that the route does not name.
    pub methods: Vec<String>,
}

impl RouteList {
    /// The list of what is `published`. Cost: linear in routes × scopes.
    pub fn of(published: &Published) -> Self {
        let Published { revision, config, .. } = published;
        let policy = &config.policy;
        let routes = policy.routes.routes();
        let mut scopes: Vec<_> = policy
            .scopes
            .names(policy.scopes.all())
            .map(|name| ListedScope::of(name, &policy.scopes, routes))
            .collect();
        scopes.push(ListedScope {
            name: MANAGE.to_owned(),
            implies: Vec::new(),
            opens: Vec::new(),
            reserved: true,
        });
        let routes = routes.iter().map(|route| ListedRoute::of(route, config)).collect();
        Self { revision: *revision, routes, scopes }
    }
}

impl ListedRoute {
    fn of(route: &Route, config: &Config) -> Self {
        let scopes = &config.policy.scopes;
        let forwarding = &config.forwardings[route.forwarding];
        let upstream = &config.upstreams[forwarding.upstream];
        let method = |(method, access): &(Box<str>, Access)| ListedMethod {
            method: method.to_string(),
            access: ListedAccess::of(*access, scopes),
        };
        Self {
            index: route.forwarding,
            hosts: route.hosts.clone(),
            pattern: route.pattern.clone(),
            methods: route.methods.iter().map(method).collect(),
            other_methods: route.other_methods.map(|access| ListedAccess::of(access, scopes)),
            project: route.project.as_ref().map(|source| ListedProject::of(source, &route.pattern)),
            restricted_keys: route.restricted_keys.iter().map(ToString::to_string).collect(),
            upstream: upstream.name.to_string(),
            upstream_authority: upstream.authority.to_string(),
            cors: forwarding.cors.is_some(),
            websocket: forwarding.websocket,
            observed_until: route.observed_until,
        }
    }
}

impl ListedAccess {
    fn of(access: Access, scopes: &Scopes) -> Self {
        match access {
            Access::Public => Self::Public,
            Access::Scopes(required) => {
                Self::Scopes(scopes.least_names(required).map(str::to_owned).collect())
            }
        }
    }
}

impl ListedProject {
    fn of(source: &ProjectSource, pattern: &str) -> Self {
        match source {
            ProjectSource::Path(at) => {
                let names = parameters(pattern).unwrap_or_default();
                Self::Path(names.into_iter().nth(*at).unwrap_or_default())
            }
            ProjectSource::Query(name) => Self::Query(name.to_string()),
            ProjectSource::Header(name) => Self::Header(name.to_string()),
            ProjectSource::HostLabel(at) => Self::Host(*at),
        }
    }
}

impl ListedScope {
    fn of(name: &str, scopes: &Scopes, routes: &[Route]) -> Self {
        let closure = scopes.get(name).unwrap_or_default();
        Self {
            name: name.to_owned(),
            implies: scopes.names(closure).filter(|implied| *implied != name).map(str::to_owned).collect(),
            opens: routes.iter().filter_map(|route| Opened::of(route, closure)).collect(),
            reserved: false,
        }
    }
}

impl Opened {
    /// What of `route` a key with these scopes may use; `None` if nothing.
    fn of(route: &Route, granted: ScopeSet) -> Option<Self> {
        let is_opened = |access: Access| match access {
            Access::Public => false,
            Access::Scopes(required) => granted.contains(required),
        };
        let named = route.methods.iter().filter(|(_, access)| is_opened(*access));
        let mut methods: Vec<_> = named.map(|(method, _)| method.to_string()).collect();
        methods.extend(route.other_methods.filter(|access| is_opened(*access)).map(|_| "*".to_owned()));
        (!methods.is_empty()).then_some(Self { route: route.forwarding, methods })
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use serde_json::json;

    use super::*;
    use crate::config::{self, Surroundings};

    const CONFIG: &str = "version: 1
listen: {address: 127.0.0.1:8080}
upstreams:
  api: {url: 'http://127.0.0.1:9000', set_headers: {X-Backend-Token: very-hidden}}
  sockets: {url: 'https://sockets.example:8443'}
keys: {file: keys.yaml}
scopes: {read: {}, audit: {}, write: {implies: [read]}, admin: {implies: [write]}}
routes:
  - {path: /healthz, access: public, upstream: api}
  - path: /projects/{project}/{*rest}
    project: path:project
    upstream: api
    cors: {origins: ['https://app.example']}
    methods: {GET: read, DELETE: [admin, audit], '*': write}
  - path: /projects
    project: query:project
    restricted_keys: [GET]
    upstream: api
    methods: {GET: read}
  - {path: /live, hosts: ['*.example.org'], upstream: sockets, websocket: true, methods: {GET: [write, read]}}
";

    fn listed() -> serde_json::Value {
        let surroundings = Surroundings::of_process("keygate");
        let config =
            config::parse(Path::new("keygate.yaml"), CONFIG.as_bytes(), &surroundings).result.unwrap();
        let published = Published { revision: 7, config: Arc::new(config), keys: None };
        serde_json::to_value(RouteList::of(&published)).unwrap()
    }

    #[test]
    fn routes_tell_what_they_need_and_where_they_lead() {
        let listed = listed();
        assert_eq!(listed["revision"], 7);
        let routes = json!([
            {
                "index": 0, "hosts": [], "pattern": "/healthz", "methods": [], "other_methods": "public",
                "project": null, "restricted_keys": [], "upstream": "api",
                "upstream_authority": "127.0.0.1:9000", "cors": false, "websocket": false,
            },
            {
                "index": 1, "hosts": [], "pattern": "/projects/{project}/{*rest}",
                "methods": [
                    {"method": "GET", "access": {"scopes": ["read"]}},
                    {"method": "DELETE", "access": {"scopes": ["audit", "admin"]}},
                ],
                "other_methods": {"scopes": ["write"]},
                "project": {"path": "project"}, "restricted_keys": [], "upstream": "api",
                "upstream_authority": "127.0.0.1:9000", "cors": true, "websocket": false,
            },
            {
                "index": 2, "hosts": [], "pattern": "/projects",
                "methods": [{"method": "GET", "access": {"scopes": ["read"]}}], "other_methods": null,
                "project": {"query": "project"}, "restricted_keys": ["GET"], "upstream": "api",
                "upstream_authority": "127.0.0.1:9000", "cors": false, "websocket": false,
            },
            {
                "index": 3, "hosts": ["*.example.org"], "pattern": "/live",
                "methods": [{"method": "GET", "access": {"scopes": ["write"]}}], "other_methods": null,
                "project": null, "restricted_keys": [], "upstream": "sockets",
                "upstream_authority": "sockets.example:8443", "cors": false, "websocket": true,
            },
        ]);
        assert_eq!(listed["routes"], routes);
        assert!(!listed.to_string().contains("very-hidden"));
    }

    #[test]
    fn scopes_tell_what_they_open() {
        let opened = |route, methods: &[&str]| json!({"route": route, "methods": methods});
        let scope = |name, implies: &[&str], opens: &[serde_json::Value]| json!({"name": name, "implies": implies, "opens": opens, "reserved": name == MANAGE});
        let all = [opened(1, &["GET", "*"]), opened(2, &["GET"]), opened(3, &["GET"])];
        let scopes = json!([
            scope("read", &[], &[opened(1, &["GET"]), opened(2, &["GET"])]),
            scope("audit", &[], &[]),
            scope("write", &["read"], &all),
            // Not DELETE, which needs audit beside it.
            scope("admin", &["read", "write"], &all),
            scope(MANAGE, &[], &[]),
        ]);
        assert_eq!(listed()["scopes"], scopes);
    }
}
