//! Routes: each on its own, then all of them as one table.

use jiff::Timestamp;

use super::{answer, range::size, scope, shown};
use crate::{
    config::{
        model::{Cors, Forwarding, UpstreamConfig, UpstreamHttp},
        problem::Findings,
        raw::{
            http::{MethodOrRest, ProjectPlace},
            route::{
                Access as RawAccess, Case, GetBody, MethodOverride, Methods, Route as RawRoute, ScopedMethod,
                TailItem, TrailingSlash,
            },
            text::{Switch, Text},
        },
    },
    policy::{
        path::TailAllowance,
        project::{ProjectPattern, ProjectSource},
        route::{Access, Route, RouteProblem, RouteTable, parameters},
        scope::{ScopeSet, Scopes},
    },
    yaml::{Field, Place},
};

/// What routes refer to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings<'s> {
    /// `None` if they are wrong.
    pub(super) scopes: Option<&'s Scopes>,
    pub(super) upstreams: &'s [UpstreamConfig],
    /// CORS of routes without their own.
    pub(super) cors: Option<&'s Cors>,
}

/// The table of `raw`, and what happens to the permitted requests of each; `None` if they do not make one.
pub(super) fn routes(
    raw: &Field<Vec<Field<RawRoute>>>,
    known: Surroundings<'_>,
    findings: &mut Findings<'_>,
) -> Option<(RouteTable, Vec<Forwarding>)> {
    if raw.is_empty() {
        findings.wrong(
            raw.place(),
            "no route is given, so every request would be answered 404",
            "add - {path: /, methods: {GET: read}}",
        );
    }
    let forwardings = raw.iter().map(|route| forwarding(route, known, findings)).collect();
    let routes: Vec<Route> =
        raw.iter().enumerate().map(|(at, route)| resolve(at, route, known, findings)).collect();
    match RouteTable::build(routes) {
        Ok(table) => Some((table, forwardings)),
        Err(problems) => {
            for problem in problems {
                route_problem(problem, raw, findings);
            }
            None
        }
    }
}

/// Tells `problem` at the path of its route, with the place of the other one.
fn route_problem(problem: RouteProblem, raw: &Field<Vec<Field<RawRoute>>>, findings: &mut Findings<'_>) {
    let path = |at: usize| raw.get(at).map(|route| &route.path);
    let place = path(problem.route).map_or_else(|| raw.place(), Field::place);
    let other = problem.other.filter(|other| *other != problem.route).and_then(path);
    let interpolated = [path(problem.route), other].into_iter().flatten().any(Field::is_interpolated);
    let message = match (interpolated, other) {
        (true, _) => "the path, some of it interpolated, cannot stand".into(),
        (false, Some(other)) => format!("{} (first at {})", problem.message, other.place()),
        (false, None) => problem.message,
    };
    findings.wrong(place, message, problem.remedy);
}

fn resolve(at: usize, raw: &RawRoute, known: Surroundings<'_>, findings: &mut Findings<'_>) -> Route {
    let (methods, other_methods) = accesses(raw, known.scopes, findings);
    let restricted_keys = restricted_keys(raw, &methods, other_methods, findings);
    if raw.access.is_some()
        && let Some(project) = &raw.project
    {
        findings.wrong(project.place(), "a public route has no project", "remove project, or access: public");
    }
    Route {
        pattern: raw.path.value().clone(),
        hosts: raw.hosts.iter().map(|host| host.0.0.clone()).collect(),
        methods,
        other_methods,
        project: raw.project.as_ref().and_then(|place| project(raw, place, findings)),
        project_pattern: project_pattern(raw, findings),
        restricted_keys,
        allow_in_tail: allow_in_tail(raw, findings),
        either_trailing_slash: is(raw.trailing_slash.as_ref(), &TrailingSlash::Either),
        ignore_case: is(raw.case.as_ref(), &Case::Ignore),
        honour_method_override: is(raw.method_override.as_ref(), &MethodOverride::Honour),
        body_on_get: is(raw.get_body.as_ref(), &GetBody::Allow),
        answers_preflight: answers_preflight(raw, known),
        observed_until: observed_until(raw, findings),
        forwarding: at,
    }
}

fn is<T: PartialEq>(field: Option<&Field<T>>, wanted: &T) -> bool {
    field.is_some_and(|field| field.value() == wanted)
}

type NamedAccesses = Vec<(Box<str>, Access)>;

/// What each named method needs, and what all others need.
fn accesses(
    raw: &RawRoute,
    scopes: Option<&Scopes>,
    findings: &mut Findings<'_>,
) -> (NamedAccesses, Option<Access>) {
    match (raw.access.as_deref(), raw.methods.as_ref()) {
        (Some(RawAccess::Public), None) => (Vec::new(), Some(Access::Public)),
        (Some(RawAccess::Public), Some(methods)) => match methods.value() {
            Methods::Listed(listed) => public(methods.place(), listed, findings),
            Methods::Scoped(_) => {
                findings.wrong(
                    methods.place(),
                    "a public route asks for scopes",
                    "write methods: [GET, POST], or remove access: public",
                );
                (Vec::new(), None)
            }
        },
        (None, Some(methods)) => match methods.value() {
            Methods::Scoped(mapped) => guarded(methods.place(), mapped, scopes, findings),
            Methods::Listed(_) => {
                findings.wrong(
                    methods.place(),
                    "the methods name no scopes",
                    "write methods: {GET: read, '*': write}, or add access: public",
                );
                (Vec::new(), None)
            }
        },
        (None, None) => {
            findings.wrong(
                raw.path.place(),
                format!("the route {} maps no method", shown(&raw.path, &raw.path)),
                "add methods: {GET: read, '*': write}, or access: public",
            );
            (Vec::new(), None)
        }
    }
}

fn public(
    place: Place,
    listed: &[Field<Text<MethodOrRest>>],
    findings: &mut Findings<'_>,
) -> (NamedAccesses, Option<Access>) {
    if listed.is_empty() {
        findings.wrong(place, "no method is listed", "list methods, or remove the field for all of them");
    }
    let (mut named, mut others) = (Vec::new(), None);
    for method in listed {
        add(method, Access::Public, &mut named, &mut others, findings);
    }
    (named, others)
}

fn guarded(
    place: Place,
    mapped: &[ScopedMethod],
    scopes: Option<&Scopes>,
    findings: &mut Findings<'_>,
) -> (NamedAccesses, Option<Access>) {
    if mapped.is_empty() {
        findings.wrong(place, "no method is mapped", "write methods: {GET: read, '*': write}");
    }
    let (mut named, mut others) = (Vec::new(), None);
    for (method, required) in mapped {
        if required.items.is_empty() {
            findings.wrong(
                required.place(),
                "no scope is named, which would let every key in",
                "name the scope that the method needs",
            );
        }
        // Where the scopes are wrong, the routes are checked for everything else.
        let required = required.iter().fold(ScopeSet::EMPTY, |set, name| match scopes {
            Some(scopes) => set.union(scope::scope(name, scopes, findings)),
            None => set,
        });
        add(method, Access::Scopes(required), &mut named, &mut others, findings);
    }
    (named, others)
}

fn add(
    method: &Field<Text<MethodOrRest>>,
    access: Access,
    named: &mut NamedAccesses,
    others: &mut Option<Access>,
    findings: &mut Findings<'_>,
) {
    let twice = match &method.0 {
        MethodOrRest::Rest => others.replace(access).is_some(),
        MethodOrRest::Method(name) => {
            let known = named.iter().any(|(known, _)| *known == name.0);
            named.push((name.0.clone(), access));
            known
        }
    };
    if twice {
        findings.wrong(method.place(), "the method is listed twice", "remove one of them");
    }
}

fn restricted_keys(
    raw: &RawRoute,
    methods: &[(Box<str>, Access)],
    others: Option<Access>,
    findings: &mut Findings<'_>,
) -> Vec<Box<str>> {
    if let Some(first) = raw.restricted_keys.iter().next() {
        let why = match (&raw.access, &raw.project) {
            (Some(_), _) => Some("a public route knows no keys"),
            (None, Some(place)) if matches!(place.0, ProjectPlace::Path(_) | ProjectPlace::Host(_)) => {
                Some("every request of the route names its project")
            }
            (None, _) => None,
        };
        if let Some(why) = why {
            findings.wrong(first.place(), format!("restricted_keys has no effect: {why}"), "remove it");
        }
    }
    let named = |name: &str| methods.iter().any(|(known, _)| **known == *name);
    let mapped = |name: &str| named(name) || (name == "HEAD" && named("GET"));
    // A route that maps nothing has been told so.
    let maps_all = others.is_some() || methods.is_empty();
    for method in raw.restricted_keys.iter().filter(|method| !maps_all && !mapped(&method.0.0)) {
        findings.wrong(
            method.place(),
            format!("restricted_keys names {}, which the route does not map", shown(method, &method.0.0)),
            "map it in methods, or remove it here",
        );
    }
    raw.restricted_keys.iter().map(|method| method.0.0.clone()).collect()
}

fn project(
    raw: &RawRoute,
    place: &Field<Text<ProjectPlace>>,
    findings: &mut Findings<'_>,
) -> Option<ProjectSource> {
    let name = match &place.0 {
        ProjectPlace::Query(name) => return Some(ProjectSource::Query(name.clone())),
        ProjectPlace::Header(name) => return Some(ProjectSource::Header(name.clone())),
        ProjectPlace::Host(at) => return Some(ProjectSource::HostLabel(*at)),
        ProjectPlace::Path(name) => name,
    };
    // A wrong pattern is told when the table is built.
    let names = parameters(&raw.path).ok()?;
    let at = names.iter().position(|known| known == name);
    if at.is_none() {
        findings.wrong(
            place.place(),
            format!(
                "the path {} has no segment {}",
                shown(&raw.path, &raw.path),
                shown(place, &format!("{{{name}}}"))
            ),
            if names.is_empty() {
                "write {NAME} for a segment of the path, or project: query:NAME, header:NAME or host:N".into()
            } else {
                scope::suggestion(name, names.iter().map(String::as_str))
            },
        );
    }
    at.map(ProjectSource::Path)
}

fn observed_until(raw: &RawRoute, findings: &mut Findings<'_>) -> Option<Timestamp> {
    let observe = raw.observe.as_ref()?;
    if raw.access.is_some() {
        findings.wrong(observe.place(), "observe has no effect: a public route refuses nobody", "remove it");
    }
    Some(observe.until.0.0)
}

fn project_pattern(raw: &RawRoute, findings: &mut Findings<'_>) -> ProjectPattern {
    let Some(pattern) = &raw.project_pattern else { return ProjectPattern::Default };
    if raw.project.is_none() {
        findings.wrong(
            pattern.place(),
            "project_pattern stands without project",
            "add project, or remove it",
        );
    }
    // On its own first, so that no `)` in it ends the group that anchors it.
    let custom = match regex_lite::Regex::new(pattern) {
        Ok(_) => ProjectPattern::custom(pattern),
        Err(error) => Err(error.to_string()),
    };
    custom.unwrap_or_else(|error| {
        let error = error.lines().last().unwrap_or_default().to_owned();
        findings.wrong(
            pattern.place(),
            format!("project_pattern is no regular expression: {error}"),
            "write one for the whole id, such as [0-9]{1,12}",
        );
        ProjectPattern::Default
    })
}

fn allow_in_tail(raw: &RawRoute, findings: &mut Findings<'_>) -> TailAllowance {
    let allowed = |item: TailItem| raw.allow_in_tail.iter().any(|known| *known.value() == item);
    if let Some(first) = raw.allow_in_tail.iter().next()
        && !raw.path.ends_with('}')
    {
        findings.wrong(
            first.place(),
            "allow_in_tail stands on a path without tail",
            "end the path in {*rest}, or remove it",
        );
    }
    TailAllowance {
        encoded_slash: allowed(TailItem::EncodedSlash),
        encoded_backslash: allowed(TailItem::EncodedBackslash),
        double_slash: allowed(TailItem::DoubleSlash),
        invalid_utf8: allowed(TailItem::InvalidUtf8),
    }
}

fn forwarding(raw: &RawRoute, known: Surroundings<'_>, findings: &mut Findings<'_>) -> Forwarding {
    let cors = match &raw.cors {
        Switch::On(own) => Some(answer::cors(own, findings)),
        Switch::Off => None,
        Switch::Unsaid => known.cors.cloned(),
    };
    let upstream = upstream(raw, known.upstreams, findings);
    websocket_needs_http1(raw, known.upstreams.get(upstream), findings);
    Forwarding {
        upstream,
        cors,
        body_bytes: raw.body_bytes.as_ref().map(|limit| size(Some(limit), 0, 0..=u64::MAX, findings)),
        websocket: raw.websocket.as_deref().copied().unwrap_or(false),
        request_trailers: raw.request_trailers.as_deref().copied().unwrap_or(false),
    }
}

fn answers_preflight(raw: &RawRoute, known: Surroundings<'_>) -> bool {
    match &raw.cors {
        Switch::On(_) => true,
        Switch::Off => false,
        Switch::Unsaid => known.cors.is_some(),
    }
}

/// Upgrades are of HTTP/1.1 (RFC 9113 §8.6); CONNECT in their place (RFC 8441) is not offered.
fn websocket_needs_http1(raw: &RawRoute, upstream: Option<&UpstreamConfig>, findings: &mut Findings<'_>) {
    if let (Some(websocket), Some(upstream)) = (&raw.websocket, upstream)
        && **websocket
        && upstream.http == UpstreamHttp::Http2
    {
        findings.wrong(
            websocket.place(),
            format!("WebSocket needs HTTP/1.1, and {} is spoken to in HTTP/2 only", upstream.name),
            "write http: auto or http: 1 at the upstream, or lead the route to another one",
        );
    }
}

/// The index of the route's upstream.
fn upstream(raw: &RawRoute, upstreams: &[UpstreamConfig], findings: &mut Findings<'_>) -> usize {
    let names = || upstreams.iter().map(|upstream| &*upstream.name);
    let Some(name) = &raw.upstream else {
        if upstreams.len() > 1 {
            findings.wrong(
                raw.path.place(),
                format!("the route {} does not say which upstream it is for", shown(&raw.path, &raw.path)),
                format!("add upstream: {}", names().collect::<Vec<_>>().join(" or ")),
            );
        }
        return 0;
    };
    if upstreams.is_empty() {
        return 0; // told where the upstreams are
    }
    names().position(|known| *known == **name).unwrap_or_else(|| {
        findings.wrong(
            name.place(),
            format!("the upstream {} is not defined", shown(name, name)),
            scope::suggestion(name, names()),
        );
        0
    })
}
