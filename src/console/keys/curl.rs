//! A first request with a new key, as a line for a shell.

use crate::{
    config::{ListenAddress, model::ListenerConfig},
    control::route_list::{ListedRoute, RouteList},
    live::Published,
};

/// `curl` with `secret` for a route that one of `scopes` opens.
pub(super) fn line(published: &Published, scopes: &[String], secret: &str) -> String {
    let listener = published.config.listeners.first().map(AsRef::as_ref);
    let path = path(&RouteList::of(published), scopes);
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

/// The path of a route that is read with one of `scopes`; its parameters are to be filled in.
fn path(list: &RouteList, scopes: &[String]) -> String {
    let granted = list.scopes.iter().filter(|scope| scopes.contains(&scope.name));
    let opened = granted
        .flat_map(|scope| &scope.opens)
        .filter(|opened| opened.methods.iter().any(|method| method == "GET" || method == "*"));
    let routes = opened.filter_map(|opened| list.routes.iter().find(|route| route.index == opened.route));
    let shortest =
        routes.min_by_key(|route: &&ListedRoute| (route.pattern.matches('{').count(), route.pattern.len()));
    shortest.map_or_else(|| "/".to_owned(), |route| route.pattern.replace("{*", "{"))
}
