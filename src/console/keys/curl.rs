//! A first request with a new key, as a line for a shell.

use crate::{
    config::{ListenAddress, model::ListenerConfig},
    control::route_list::{ListedProject, ListedRoute, RouteList},
    keys::record::KeyRecord,
    live::Published,
    policy::project::ProjectSet,
};

/// `curl` with `secret` for a route that `key` may read.
pub(super) fn line(published: &Published, key: &KeyRecord, secret: &str) -> String {
    let listener = published.config.listeners.first().map(AsRef::as_ref);
    let path = path(&RouteList::of(published), key);
    let source = published.config.policy.credentials.names().next().unwrap_or("authorization");
    let credential = match source {
        "authorization" => format!("Authorization: Bearer {secret}"),
        name => format!("{name}: {secret}"),
    };
    let (options, url) = listener.map_or((String::new(), "http://localhost:8080".to_owned()), place);
    format!("curl {options}-H '{credential}' '{url}{path}'")
}

/// How a listener is reached from its own machine.
fn place(listener: &ListenerConfig) -> (String, String) {
    let scheme = if listener.tls.is_some() { "https" } else { "http" };
    match &listener.address {
        ListenAddress::Unix(path) => {
            (format!("--unix-socket '{}' ", path.display()), format!("{scheme}://localhost"))
        }
        ListenAddress::Tcp(address) if address.ip().is_unspecified() => {
            (String::new(), format!("{scheme}://localhost:{}", address.port()))
        }
        ListenAddress::Tcp(address) => (String::new(), format!("{scheme}://{address}")),
    }
}

/// The path of the plainest route that `key` may read, in its first project; other parameters are to be filled in.
fn path(list: &RouteList, key: &KeyRecord) -> String {
    let own: Option<&str> = match &key.projects {
        ProjectSet::All => None,
        ProjectSet::Only(ids) => Some(ids.first().map_or("", |id| id)),
    };
    let granted = list.scopes.iter().filter(|scope| key.scopes.contains(&scope.name));
    let opened = granted
        .flat_map(|scope| &scope.opens)
        .filter(|opened| opened.methods.iter().any(|method| method == "GET" || method == "*"));
    let routes = opened
        .filter_map(|opened| list.routes.iter().find(|route| route.index == opened.route))
        .filter(|route| own.is_none() || is_for_restricted_keys(route));
    let shortest =
        routes.min_by_key(|route: &&ListedRoute| (route.pattern.matches('{').count(), route.pattern.len()));
    let Some(route) = shortest else { return "/".to_owned() };
    let pattern = match (&route.project, own) {
        (Some(ListedProject::Path(name)), Some(own)) => route.pattern.replace(&format!("{{{name}}}"), own),
        (Some(_) | None, Some(_) | None) => route.pattern.clone(),
    };
    pattern.replace("{*", "{")
}

/// Whether a key that is restricted to projects may read `route`.
fn is_for_restricted_keys(route: &ListedRoute) -> bool {
    route.project.is_some() || route.restricted_keys.iter().any(|method| method == "GET")
}
