//! Which route each operation of a description leads to.

use std::collections::BTreeSet;

use super::{Api, Operation, pattern::route_pattern};
use crate::policy::{
    path::RequestPath,
    route::{Access, Route, RouteTable},
};

/// Stands where a path has a parameter: no literal segment is so called.
const SAMPLE: &str = "keygate-sample";

/// What routes make of an API.
#[derive(Debug)]
pub struct Coverage<'a> {
    /// Each operation, in the order of the description.
    pub operations: Vec<CoveredOperation<'a>>,
    /// The routes that no operation leads to, by their number in the config.
    pub unreached: Vec<usize>,
}

/// An operation and where it leads.
#[derive(Debug)]
pub struct CoveredOperation<'a> {
    /// The operation.
    pub operation: &'a Operation,
    /// Where it leads.
    pub reach: Reach<'a>,
}

/// Where an operation leads.
#[derive(Debug, Clone, Copy)]
pub enum Reach<'a> {
    /// To a route that maps its method, which needs this there.
    Route(&'a Route, Access),
    /// To a route that does not map its method.
    NotMapped(&'a Route),
    /// To none.
    NoRoute,
    /// Nowhere: no gateway serves its method.
    NeverServed,
}

/// Where the operations of `api` lead by `routes`. Each is asked with made-up values for its parameters, at the host of its
/// server, else at any host that a route names.
///
/// Cost: a walk of the routes for each operation and host.
pub fn coverage<'a>(api: &'a Api, routes: &'a RouteTable) -> Coverage<'a> {
    let mut reached = BTreeSet::new();
    let hosts: BTreeSet<String> = routes
        .routes()
        .iter()
        .flat_map(|route| &route.hosts)
        .map(|host| host.replacen('*', SAMPLE, 1))
        .collect();
    let operations = api
        .operations
        .iter()
        .map(|operation| CoveredOperation {
            operation,
            reach: reach(operation, routes, &hosts, &mut reached),
        })
        .collect();
    let unreached = (0..routes.routes().len()).filter(|at| !reached.contains(at)).collect();
    Coverage { operations, unreached }
}

fn reach<'a>(
    operation: &Operation,
    routes: &'a RouteTable,
    hosts: &BTreeSet<String>,
    reached: &mut BTreeSet<usize>,
) -> Reach<'a> {
    if operation.method == "TRACE" {
        return Reach::NeverServed;
    }
    let path = sample(&operation.path);
    let Ok(path) = RequestPath::parse(path.as_bytes()) else { return Reach::NoRoute };
    let named = operation.host.as_deref();
    let others = hosts.iter().map(String::as_str).filter(|_| named.is_none());
    let found = [named].into_iter().chain(others.map(Some)).find_map(|host| routes.find(host, &path));
    let Some(found) = found else { return Reach::NoRoute };
    if let Some((route, access)) = found.route_for(operation.method) {
        reached.insert(route.forwarding);
        return Reach::Route(route, access);
    }
    reached.extend(found.routes().map(|route| route.forwarding));
    found.routes().next().map_or(Reach::NoRoute, Reach::NotMapped)
}

/// A path of the operation, with made-up parameters.
fn sample(path: &str) -> String {
    let pattern = route_pattern(path).text;
    let made_up = |segment: &str| if segment.starts_with('{') { SAMPLE } else { segment }.to_owned();
    pattern.split('/').map(made_up).collect::<Vec<_>>().join("/")
}
