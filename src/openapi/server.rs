//! `servers`: the host that an API is served at, and the path that all of its paths begin with.

use super::reader::Found;
use crate::yaml::Node;

/// Where an API, a path or an operation is served.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Server {
    /// The host without port, if the URL is absolute.
    pub(super) host: Option<String>,
    /// The path without `/` at its end: empty, or it begins with `/`.
    pub(super) base: String,
}

/// The first server of `servers`; `None` where none is named or none can be read.
pub(super) fn first_server(servers: Node<'_>, found: &mut Found) -> Option<Server> {
    let mut all = Vec::new();
    for server in servers.items() {
        let Some(url) = server.get("url").and_then(Node::text) else {
            found.wrong(server, "a server has no url", "write - {url: https://api.example.com/v1}");
            continue;
        };
        match read(url, server) {
            Some(read) => all.push(read),
            None => found.wrong(
                server,
                "the url of the server cannot be read",
                "write it as https://api.example.com/v1, or as /v1; each {variable} needs a default",
            ),
        }
    }
    let first = all.first()?.clone();
    if let Some(other) = all.iter().find(|other| other.base != first.base) {
        found.doubt(
            servers,
            format!(
                "the servers have different paths, {:?} and {:?}; the first one is taken",
                shown(&first.base),
                shown(&other.base)
            ),
            "--base-path says which one the gateway sees",
        );
    }
    Some(first)
}

fn shown(base: &str) -> &str {
    if base.is_empty() { "/" } else { base }
}

fn read(url: &str, server: Node<'_>) -> Option<Server> {
    let url = substituted(url, server)?;
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let url = &url[..end];
    let (host, path) = match url.split_once("://") {
        Some((_, rest)) => {
            let at = rest.find('/').unwrap_or(rest.len());
            (Some(host_of(&rest[..at])?), &rest[at..])
        }
        None => (None, url.strip_prefix('.').unwrap_or(url)),
    };
    let base = path.trim_end_matches('/');
    let is_path = base.is_empty() || (base.starts_with('/') && !base.contains("//"));
    is_path.then(|| Server { host, base: base.to_owned() })
}

/// The name of `HOST:PORT`.
fn host_of(authority: &str) -> Option<String> {
    let authority = authority.rsplit('@').next()?;
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) | None => authority,
    };
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
}

/// `url` with the default of each `{variable}`.
fn substituted(url: &str, server: Node<'_>) -> Option<String> {
    let mut out = String::with_capacity(url.len());
    let mut rest = url;
    while let Some(start) = rest.find('{') {
        let end = start + rest[start..].find('}')?;
        out.push_str(&rest[..start]);
        let variable = server.get("variables")?.get(&rest[start + 1..end])?;
        out.push_str(variable.get("default")?.text()?);
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    Some(out)
}
