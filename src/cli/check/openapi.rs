//! What the routes make of the API that a description tells of.

use std::path::Path;

use serde::Serialize;

use crate::{
    cli::{
        deployment::Deployment,
        finding::Finding,
        table::{columns, or_dash},
    },
    openapi::{Api, Reach, coverage},
    policy::{route::Access, scope::Scopes},
};

/// An operation and the route that it leads to.
#[derive(Debug, Serialize)]
pub(super) struct Operation {
    method: &'static str,
    path: String,
    /// Its `operationId`.
    id: Option<String>,
    line: u32,
    column: u32,
    /// The pattern of the route; `None` where no route has the path.
    route: Option<String>,
    /// The scopes that the method needs, or `public`; `None` where it is not mapped.
    needs: Option<String>,
}

/// How a description and the routes fit together.
pub(super) struct Comparison {
    pub(super) operations: Vec<Operation>,
    /// What is described and cannot be had: it is answered 404 or 405.
    pub(super) unserved: Vec<Finding>,
    /// What else does not fit.
    pub(super) warnings: Vec<Finding>,
}

/// Holds the operations of `api`, described in `file`, against the routes of `deployment`.
pub(super) fn compare(api: &Api, file: &Path, deployment: &Deployment) -> Comparison {
    let policy = &deployment.config.policy;
    let coverage = coverage(api, &policy.routes);
    let mut warnings: Vec<Finding> = api.doubts.iter().map(|doubt| Finding::of_text(file, doubt)).collect();
    let (mut operations, mut unserved) = (Vec::new(), Vec::new());
    let is_apart = coverage.operations.iter().all(|covered| matches!(covered.reach, Reach::NoRoute));
    for covered in &coverage.operations {
        let operation = covered.operation;
        let name = format!("{} {}", operation.method, operation.path);
        let (route, needs, problem) = match covered.reach {
            Reach::Route(route, access) => (Some(route), Some(words(access, &policy.scopes)), None),
            Reach::NotMapped(route) => {
                let message = format!(
                    "{name} leads to the route {:?}, which does not map its method: 405",
                    route.pattern
                );
                (Some(route), None, Some((message, "map the method, or remove the operation")))
            }
            Reach::NoRoute => {
                let remedy = if is_apart {
                    "add one; where its paths begin otherwise at the gateway, say how by --base-path (/ for none)"
                } else {
                    "add one, or remove the operation"
                };
                (None, None, Some((format!("no route has {name}: 404"), remedy)))
            }
            Reach::NeverServed => {
                (None, None, Some((format!("{name} is never served: 405"), "remove the operation")))
            }
        };
        if let Some((message, remedy)) = problem {
            unserved.push(Finding::at(file, operation.place, &message, remedy));
        }
        operations.push(Operation {
            method: operation.method,
            path: operation.path.clone(),
            id: operation.id.clone(),
            line: operation.place.line,
            column: operation.place.column,
            route: route.map(|route| route.pattern.clone()),
            needs,
        });
    }
    for at in coverage.unreached {
        let place = deployment.route_place(at).unwrap_or_default();
        let pattern = &policy.routes.routes()[at].pattern;
        let message = format!("no operation of {} leads to the route {pattern:?}", file.display());
        warnings.push(Finding::at(
            &deployment.path,
            place,
            &message,
            "describe what it serves, or remove it",
        ));
    }
    Comparison { operations, unserved, warnings }
}

fn words(access: Access, scopes: &Scopes) -> String {
    match access {
        Access::Public => "public".to_owned(),
        Access::Scopes(required) => scopes.least_names(required).collect::<Vec<_>>().join(" "),
    }
}

/// The operations as a table.
pub(super) fn table(operations: &[Operation]) -> String {
    columns(
        ["METHOD", "PATH", "ROUTE", "NEEDS"],
        operations.iter().map(|operation| {
            [
                operation.method.to_owned(),
                operation.path.clone(),
                or_dash(operation.route.as_ref()),
                or_dash(operation.needs.as_ref()),
            ]
        }),
    )
}
