//! The decision about an authenticated request: rows 9 to 13 of the table in `tests/decisions.yaml`.

use jiff::Timestamp;

use super::{
    path::RequestPath,
    principal::Principal,
    project::{Named, ProjectInDoubt, ProjectSource, from_header, from_query},
    route::{Access, Found, Route},
    scope::ScopeSet,
};
use crate::message::Fields;

/// What is asked, read from the request's head.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'b, 'h> {
    /// The method as sent.
    pub method: &'b str,
    /// The path.
    pub path: &'h RequestPath<'b>,
    /// What follows the first `?` of the target.
    pub query: Option<&'b [u8]>,
    /// The host as sent, without port and trailing dot.
    pub host: Option<&'b str>,
    /// The header section.
    pub fields: &'h Fields<'b>,
    /// The method that `X-HTTP-Method-Override` or its kin ask for.
    pub method_override: Option<&'b str>,
    /// Whether the request has a body.
    pub has_body: bool,
}

/// Proof that policy permits a request. Only [`decide`] and [`permit_public`] make one, and [`permit_observed`] one that
/// is kept apart as an [`ObservedPermit`]; nothing is forwarded without.
#[derive(Debug)]
pub struct Permit<'s, 'b> {
    route: &'s Route,
    principal: Option<Principal<'s>>,
    needs: Needs<'b>,
}

/// What a request takes of its key, and goes on taking while it is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs<'b> {
    /// The scopes.
    pub scopes: ScopeSet,
    /// The projects it touches: by the method that is decided on, and by the one that was sent where that is overridden.
    pub projects: [Option<&'b str>; 2],
    /// It names no project, and the key was restricted to none.
    pub every_project: bool,
    /// It names no project, and is answered for those that the key may see.
    pub listed_projects: bool,
}

impl Needs<'_> {
    /// What both take.
    fn and(self, other: Self) -> Self {
        Self {
            scopes: self.scopes.union(other.scopes),
            projects: [self.projects[0], other.projects[0]],
            every_project: self.every_project || other.every_project,
            listed_projects: self.listed_projects || other.listed_projects,
        }
    }
}

impl<'s, 'b> Permit<'s, 'b> {
    /// The route that permitted the request.
    pub fn route(&self) -> &'s Route {
        self.route
    }

    /// Who asks; `None` on a public route.
    pub fn principal(&self) -> Option<&Principal<'s>> {
        self.principal.as_ref()
    }

    /// The project the request touches, if it names one.
    pub fn project(&self) -> Option<&'b str> {
        self.needs.projects[0]
    }

    /// What it takes of the key; nothing on a public route.
    pub fn needs(&self) -> &Needs<'b> {
        &self.needs
    }
}

/// Proof that a request which is refused goes on all the same, as nobody's: its route observes. Only
/// [`permit_observed`] makes one.
#[derive(Debug)]
pub struct ObservedPermit<'s, 'b>(Permit<'s, 'b>);

impl<'s, 'b> ObservedPermit<'s, 'b> {
    /// What it is worth: as much as one of a public route, without a principal, a project, or a need of any key.
    pub fn as_anonymous(&self) -> &Permit<'s, 'b> {
        &self.0
    }
}

/// Why an authenticated request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Rows 9 and 10: nothing to be seen here.
    Unseen(Unseen),
    /// Row 1, where only the route could tell.
    Doubtful(Doubt),
    /// Row 11: the path exists for this key, the method does not. The methods that do, for `Allow`.
    MethodNotMapped(Vec<Box<str>>),
    /// Row 12: the scopes that the method needs.
    ScopeTooLow(ScopeSet),
}

/// Why nothing is to be seen: for `explain` and the log, never for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unseen {
    /// No route has this path.
    NoRoute,
    /// The lax reading of the path leads elsewhere.
    ReadingsDiffer,
    /// The path holds what the route's `allow_in_tail` does not permit there.
    NotAllowedInPath,
    /// The method is overridden, and the route does not honour that.
    MethodOverridden,
    /// The key is restricted, and which project the request names is in doubt.
    ProjectInDoubt,
    /// What stands for the project is no project id.
    ProjectOutsideGrammar,
    /// The key may not see the project.
    ProjectOutOfSight,
    /// The key is restricted and the request names no project.
    ProjectNotNamed,
}

/// What is in doubt about a request, seen by its route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// The project is named more than once, or so that only some back ends find it.
    Project,
    /// The method is overridden, and the public route does not honour that.
    MethodOverride,
    /// A GET or HEAD with a body, and the route does not permit that.
    BodyOnGet,
}

/// Decides whether `principal` may do what is `asked`, given what the path led to. An overridden method must be
/// permitted both ways: as it was sent, for a back end that knows no override, and as it asks for.
///
/// Cost: a binary search per restricted list, no heap memory unless refused.
///
/// # Errors
/// The first [`Refusal`] in the order of the table.
pub fn decide<'s, 'b>(
    principal: Principal<'s>,
    found: Option<&Found<'s>>,
    asked: &Asked<'b, '_>,
) -> Result<Permit<'s, 'b>, Refusal> {
    let found = found.ok_or(Refusal::Unseen(Unseen::NoRoute))?;
    check_readings(found)?;
    let method = effective_method(found, asked).map_err(|_| Refusal::Unseen(Unseen::MethodOverridden))?;
    let (route, mut needs) = permit_method(&principal, found, method, asked)?;
    if method != asked.method {
        needs = needs.and(permit_method(&principal, found, asked.method, asked)?.1);
    }
    if body_in_doubt(route, method, asked) {
        return Err(Refusal::Doubtful(Doubt::BodyOnGet));
    }
    Ok(Permit { route, principal: Some(principal), needs })
}

/// Rows 9 to 12 for one method: the route that maps it, and what it takes.
fn permit_method<'s, 'b>(
    principal: &Principal<'s>,
    found: &Found<'s>,
    method: &str,
    asked: &Asked<'b, '_>,
) -> Result<(&'s Route, Needs<'b>), Refusal> {
    let mapped = found.route_for(method);
    // Visibility comes before the method: of a project out of sight not even the methods are told.
    let nearest = mapped.map(|(route, _)| route).or_else(|| found.routes().next());
    let nearest = nearest.ok_or(Refusal::Unseen(Unseen::NoRoute))?;
    check_tail(nearest, found, asked)?;
    let seen = match visible_project(nearest, principal, found, method, asked) {
        Err(unseen @ Refusal::Unseen(_)) => return Err(unseen),
        // What is in doubt is told only where method and scope would have passed.
        seen => seen,
    };
    let Some((route, access)) = mapped else {
        let allow = found.mapped_methods().into_iter().map(Into::into).collect();
        return Err(Refusal::MethodNotMapped(allow));
    };
    let scopes = match access {
        Access::Public => ScopeSet::EMPTY,
        Access::Scopes(required) if principal.scopes.contains(required) => required,
        Access::Scopes(required) => return Err(Refusal::ScopeTooLow(required)),
    };
    Ok((route, Needs { scopes, ..seen? }))
}

/// Permits what is `asked` to anyone if the path led, in both readings, to a route that is public for the method.
///
/// # Errors
/// What is in doubt about the request, on a public route. `Ok(None)` means that a key is needed.
pub fn permit_public<'s, 'b>(
    found: Option<&Found<'s>>,
    asked: &Asked<'b, '_>,
) -> Result<Option<Permit<'s, 'b>>, Doubt> {
    let Some(found) = found.filter(|found| found.readings_agree()) else { return Ok(None) };
    let Some((sent_route, Access::Public)) = found.route_for(asked.method) else { return Ok(None) };
    let method = effective_method(found, asked)?;
    let Some((route, Access::Public)) = found.route_for(method) else { return Ok(None) };
    if check_tail(route, found, asked).is_err() || check_tail(sent_route, found, asked).is_err() {
        return Ok(None);
    }
    if body_in_doubt(route, method, asked) {
        return Err(Doubt::BodyOnGet);
    }
    Ok(Some(Permit { route, principal: None, needs: Needs::default() }))
}

/// Permits what was refused to go on as nobody's, where every route observes at `now` that it may reach: that of the
/// method as sent and as overridden, and, where the path has two readings, all those of both.
///
/// # Errors
/// What is in doubt about the request, which is refused on every route.
pub fn permit_observed<'s, 'b>(
    found: Option<&Found<'s>>,
    asked: &Asked<'b, '_>,
    now: Timestamp,
) -> Result<Option<ObservedPermit<'s, 'b>>, Doubt> {
    let Some(found) = found.filter(|found| observes_in_both_readings(found, asked, now)) else {
        return Ok(None);
    };
    let method = effective_method(found, asked).unwrap_or(asked.method);
    for method in [Some(asked.method), asked.method_override].into_iter().flatten() {
        let observes = match found.route_for(method) {
            Some((route, _)) => route.observes(now),
            None => found.routes().all(|route| route.observes(now)),
        };
        if !observes {
            return Ok(None);
        }
    }
    let mapped = found.route_for(method).map(|(route, _)| route);
    let Some(route) = mapped.or_else(|| found.routes().next()) else { return Ok(None) };
    if body_in_doubt(route, method, asked) {
        return Err(Doubt::BodyOnGet);
    }
    named_project(route, found, asked).map_err(|ProjectInDoubt| Doubt::Project)?;
    Ok(Some(ObservedPermit(Permit { route, principal: None, needs: Needs::default() })))
}

/// Whether the lax reading of the path reaches no route that enforces, or that is none.
fn observes_in_both_readings(found: &Found<'_>, asked: &Asked<'_, '_>, now: Timestamp) -> bool {
    found.readings_agree()
        || (found.routes().all(|route| route.observes(now))
            && found
                .folded_routes(asked.host, asked.path)
                .is_some_and(|mut folded| folded.all(|route| route.observes(now))))
}

fn check_readings(found: &Found<'_>) -> Result<(), Refusal> {
    if found.readings_agree() { Ok(()) } else { Err(Refusal::Unseen(Unseen::ReadingsDiffer)) }
}

fn check_tail(route: &Route, found: &Found<'_>, asked: &Asked<'_, '_>) -> Result<(), Refusal> {
    if asked.path.permitted_in_tail(found.tail_start(), route.allow_in_tail) {
        Ok(())
    } else {
        Err(Refusal::Unseen(Unseen::NotAllowedInPath))
    }
}

/// The method that is decided on: the one asked for by an override only where every route of the path honours it.
///
/// # Errors
/// [`Doubt::MethodOverride`] where one does not.
pub fn effective_method<'b>(found: &Found<'_>, asked: &Asked<'b, '_>) -> Result<&'b str, Doubt> {
    match asked.method_override {
        None => Ok(asked.method),
        Some(method) if found.routes().all(|route| route.honour_method_override) => Ok(method),
        Some(_) => Err(Doubt::MethodOverride),
    }
}

/// What the request takes of the key's projects.
fn visible_project<'b>(
    route: &Route,
    principal: &Principal<'_>,
    found: &Found<'_>,
    method: &str,
    asked: &Asked<'b, '_>,
) -> Result<Needs<'b>, Refusal> {
    let named = match named_project(route, found, asked) {
        Ok(named) => named,
        Err(ProjectInDoubt) if principal.projects.is_unrestricted() => {
            return Err(Refusal::Doubtful(Doubt::Project));
        }
        // A restricted key may not even learn that there is a route.
        Err(ProjectInDoubt) => return Err(Refusal::Unseen(Unseen::ProjectInDoubt)),
    };
    match named {
        Named::Project(id) if principal.projects.contains(id) => {
            Ok(Needs { projects: [Some(id), None], ..Needs::default() })
        }
        Named::Project(_) => Err(Refusal::Unseen(Unseen::ProjectOutOfSight)),
        Named::OutsideGrammar => Err(Refusal::Unseen(Unseen::ProjectOutsideGrammar)),
        Named::Nothing if principal.projects.is_unrestricted() => {
            Ok(Needs { every_project: true, ..Needs::default() })
        }
        Named::Nothing if lists(route, method) => Ok(Needs { listed_projects: true, ..Needs::default() }),
        Named::Nothing => Err(Refusal::Unseen(Unseen::ProjectNotNamed)),
    }
}

/// Whether restricted keys may use `method` of `route` although no project is named: the upstream filters.
fn lists(route: &Route, method: &str) -> bool {
    let named = |name: &str| route.restricted_keys.iter().any(|known| **known == *name);
    named(method) || (method == "HEAD" && named("GET"))
}

/// What a request of `route` says about its project.
///
/// # Errors
/// [`ProjectInDoubt`] where it names more than one.
pub fn named_project<'b>(
    route: &Route,
    found: &Found<'_>,
    asked: &Asked<'b, '_>,
) -> Result<Named<'b>, ProjectInDoubt> {
    let value = match &route.project {
        None => None,
        Some(ProjectSource::Path(at)) => found.segment(asked.path, *at).map(str::as_bytes),
        Some(ProjectSource::Query(name)) => from_query(asked.query.unwrap_or_default(), name)?,
        Some(ProjectSource::Header(name)) => from_header(asked.fields, name)?,
        Some(ProjectSource::HostLabel(at)) => {
            // Hosts have no case (RFC 3986 section 3.2.2) but ids do: only the lower-case spelling names a project.
            let host = asked.host.unwrap_or_default();
            host.split('.')
                .nth(*at)
                .map(|label| if host.bytes().any(|b| b.is_ascii_uppercase()) { "" } else { label })
                .map(str::as_bytes)
        }
    };
    let Some(value) = value else { return Ok(Named::Nothing) };
    Ok(match std::str::from_utf8(value) {
        Ok(id) if route.project_pattern.admits(id) => Named::Project(id),
        Ok(_) | Err(_) => Named::OutsideGrammar,
    })
}

fn body_in_doubt(route: &Route, method: &str, asked: &Asked<'_, '_>) -> bool {
    let unexpected = |method: &str| matches!(method, "GET" | "HEAD");
    asked.has_body && !route.body_on_get && (unexpected(method) || unexpected(asked.method))
}
