//! What is permitted in routes and probably not meant.

use crate::{
    config::{
        model::{Forwarding, UpstreamConfig},
        problem::Findings,
        raw::route::Route as RawRoute,
    },
    policy::route::{Access, Route},
    yaml::{Field, Map},
};

/// The methods that most back ends know.
const USUAL_METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// Methods that are registered or in wide use; another one is probably a slip of the pen.
const KNOWN_METHODS: [&str; 24] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "OPTIONS",
    "PATCH",
    "QUERY",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "REPORT",
    "SEARCH",
    "MKCALENDAR",
    "MERGE",
    "LINK",
    "UNLINK",
    "PURGE",
    "LIST",
    "ACL",
];

/// Warns of doubtful routes; `raw` and `routes` are the same ones in the same order.
pub(super) fn routes(raw: &[Field<RawRoute>], routes: &[Route], findings: &mut Findings<'_>) {
    for (at, (raw, route)) in raw.iter().zip(routes).enumerate() {
        let others =
            || routes.iter().enumerate().filter(move |(other, _)| *other != at).map(|(_, other)| other);
        public_catch_all(raw, route, others(), findings);
        list_route(raw, route, others(), findings);
        unmapped_methods(raw, route, others(), findings);
        unknown_methods(raw, route, findings);
    }
}

/// Warns of upstreams that no route leads to.
pub(super) fn unused_upstreams<V>(
    raw: &Map<V>,
    upstreams: &[UpstreamConfig],
    forwardings: &[Forwarding],
    findings: &mut Findings<'_>,
) {
    for (at, ((name, _), upstream)) in raw.iter().zip(upstreams).enumerate() {
        if !forwardings.iter().any(|forwarding| forwarding.upstream == at) {
            findings.warn(
                name.place(),
                format!("no route leads to the upstream {}", upstream.name),
                "add upstream: to a route, or remove it",
            );
        }
    }
}

fn is_public(route: &Route) -> bool {
    route
        .methods
        .iter()
        .map(|(_, access)| *access)
        .chain(route.other_methods)
        .any(|access| access == Access::Public)
}

/// The literal beginning of a pattern that ends in `{*rest}`.
fn tail_prefix(route: &Route) -> Option<&str> {
    let at = route.pattern.rfind("{*")?;
    Some(&route.pattern[..at])
}

fn public_catch_all<'r>(
    raw: &RawRoute,
    route: &Route,
    mut others: impl Iterator<Item = &'r Route>,
    findings: &mut Findings<'_>,
) {
    let Some(prefix) = tail_prefix(route).filter(|_| is_public(route)) else { return };
    if let Some(guarded) = others.find(|other| !is_public(other) && other.pattern.starts_with(prefix)) {
        findings.warn(
            raw.path.place(),
            format!(
                "the public route {:?} serves everything below it that no other route names, beside the guarded {:?}",
                route.pattern, guarded.pattern
            ),
            "name what is public, such as /assets/{*rest}",
        );
    }
}

/// A collection whose members are projects: keys that are restricted to some of them see nothing of it.
fn list_route<'r>(
    raw: &RawRoute,
    route: &Route,
    mut others: impl Iterator<Item = &'r Route>,
    findings: &mut Findings<'_>,
) {
    if is_public(route) || route.project.is_some() || !route.restricted_keys.is_empty() {
        return;
    }
    let collection = route.pattern.trim_end_matches('/');
    let is_member = |other: &Route| {
        other.project.is_some()
            && other
                .pattern
                .strip_prefix(collection)
                .and_then(|rest| rest.strip_prefix('/'))
                .is_some_and(|rest| rest.starts_with('{') && !rest.starts_with("{*"))
    };
    if others.any(is_member) {
        findings.warn(
            raw.path.place(),
            format!("keys that are restricted to projects get 404 on {:?}, which names none", route.pattern),
            "if the upstream filters it by X-Auth-Projects, add restricted_keys: [GET]",
        );
    }
}

fn unmapped_methods<'r>(
    raw: &RawRoute,
    route: &Route,
    others: impl Iterator<Item = &'r Route>,
    findings: &mut Findings<'_>,
) {
    let same_path: Vec<&Route> =
        others.filter(|other| other.pattern == route.pattern && other.hosts == route.hosts).collect();
    let group = || same_path.iter().copied().chain([route]);
    if is_public(route) || group().any(|route| route.other_methods.is_some()) {
        return;
    }
    let mapped = |method: &str| group().any(|route| route.methods.iter().any(|(name, _)| **name == *method));
    let unmapped: Vec<&str> = USUAL_METHODS.into_iter().filter(|method| !mapped(method)).collect();
    let all = unmapped.len() == USUAL_METHODS.len();
    if mapped("POST") && is_grpc_service(&route.pattern) {
        return;
    }
    if all || (tail_prefix(route).is_some() && !unmapped.is_empty()) {
        findings.warn(
            raw.path.place(),
            format!("{} of {:?} are not mapped and answered 405", unmapped.join(", "), route.pattern),
            "map them, or add '*' for all that are not named",
        );
    }
}

/// Whether `pattern` is `/package.Service/` and one segment more, as gRPC has it, which knows no method but POST.
fn is_grpc_service(pattern: &str) -> bool {
    let mut segments = pattern.split('/').skip(1);
    matches!((segments.next(), segments.next(), segments.next()), (Some(service), Some(_), None)
        if service.contains('.') && !service.contains('{'))
}

fn unknown_methods(raw: &RawRoute, route: &Route, findings: &mut Findings<'_>) {
    for (method, _) in route.methods.iter().filter(|(name, _)| !KNOWN_METHODS.contains(&&**name)) {
        findings.warn(
            raw.methods.as_ref().map_or_else(|| raw.path.place(), Field::place),
            format!("{method} is no method that clients commonly send"),
            super::scope::suggestion(method, KNOWN_METHODS.into_iter()),
        );
    }
}
