//! What a request leads to before anybody is asked for a key: for `explain`, never for a client.

use super::{Policy, Request};
use crate::policy::{
    decide::{effective_method, named_project},
    project::{Named, ProjectInDoubt},
    route::{Access, Route},
};

/// How the routes read one request.
#[derive(Debug)]
pub struct Explanation<'s, 'b> {
    /// The path as it stands.
    pub path: &'b str,
    /// The route that the path leads to as it stands: the one that maps the method, or the first of the path.
    pub route: Option<&'s Route>,
    /// What the method needs there, if it is mapped.
    pub access: Option<Access>,
    /// The lax reading, where it differs from the path as it stands.
    pub lax: Option<LaxReading<'s>>,
    /// The method that is decided on, where the request overrides the one that was sent and the route honours that.
    pub method: &'b str,
    /// What the request says about its project, where a route asks.
    pub project: Result<Named<'b>, ProjectInDoubt>,
}

/// How the laxest back end might read a path.
#[derive(Debug)]
pub struct LaxReading<'s> {
    /// The path as it would be read.
    pub path: Vec<u8>,
    /// The route that it leads to.
    pub route: Option<&'s Route>,
    /// Whether both readings lead to the same route and project, so that the path passes.
    pub agrees: bool,
}

impl<'s, 'b> Explanation<'s, 'b> {
    /// How `policy` reads `request`; `None` for `OPTIONS *`, which has no path.
    pub fn of(policy: &'s Policy, request: &Request<'b>) -> Option<Self> {
        let path = request.path.as_ref()?;
        let found = policy.routes.find(request.host_name(), path);
        let asked = request.asked(path);
        let method = found
            .as_ref()
            .and_then(|found| effective_method(found, &asked).ok())
            .unwrap_or_else(|| request.method());
        let mapped = found.as_ref().and_then(|found| found.route_for(method));
        let route = mapped.map(|(route, _)| route).or_else(|| found.as_ref()?.routes().next());
        let lax = (!path.is_plain()).then(|| LaxReading {
            path: path.fold().to_vec(),
            route: policy.routes.find_folded(request.host_name(), path),
            agrees: found.as_ref().is_some_and(super::Found::readings_agree),
        });
        let project = match (&found, route) {
            (Some(found), Some(route)) => named_project(route, found, &asked),
            (None, _) | (_, None) => Ok(Named::Nothing),
        };
        Some(Self {
            path: path.as_str(),
            route,
            access: mapped.map(|(_, access)| access),
            lax,
            method,
            project,
        })
    }
}
