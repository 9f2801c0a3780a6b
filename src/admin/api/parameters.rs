//! Only query parameters that an operation knows: one that is misspelt would be left unheard, and the answer would be
//! another than was asked for. What it knows is what its description says.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{MatchedPath, Request},
    http::Method,
    middleware::Next,
    response::{IntoResponse, Response},
};
use utoipa::openapi::{
    OpenApi, RefOr,
    path::{Operation, ParameterIn},
};

use super::document::operations;
use crate::{admin::problem::Problem, policy::reason::Reason};

/// The query parameters of each operation.
#[derive(Debug, Clone)]
pub(super) struct Parameters(Arc<HashMap<(Method, String), Vec<String>>>);

impl Parameters {
    /// Those that `document` names.
    pub(super) fn of(document: &OpenApi) -> Self {
        let known = operations(document)
            .map(|(method, path, operation)| ((method, path.to_owned()), of_query(operation)))
            .collect();
        Self(Arc::new(known))
    }

    /// Lets requests pass that name each parameter once, and no other.
    pub(super) async fn check(self, request: Request, next: Next) -> Response {
        match self.problem(&request) {
            Some(problem) => problem.into_response(),
            None => next.run(request).await,
        }
    }

    fn problem(&self, request: &Request) -> Option<Problem> {
        let query = request.uri().query()?;
        let path = request.extensions().get::<MatchedPath>()?.as_str();
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        let known = self.0.get(&(method.clone(), path.to_owned()))?;
        let mut seen = Vec::new();
        for name in query.split('&').filter(|pair| !pair.is_empty()) {
            let name = name.split('=').next().unwrap_or_default();
            if !known.iter().any(|known| known == name) {
                let names = if known.is_empty() { "no parameters".to_owned() } else { known.join(", ") };
                let detail =
                    format!("The query has a parameter that this operation does not know; it knows {names}.");
                return Some(Problem::of(Reason::BadRequest, detail));
            }
            if seen.contains(&name) {
                return Some(Problem::of(Reason::BadRequest, "The query has a parameter twice."));
            }
            seen.push(name);
        }
        None
    }
}

fn of_query(operation: &Operation) -> Vec<String> {
    let parameters = operation.parameters.iter().flatten().filter_map(|parameter| match parameter {
        RefOr::T(parameter) => Some(parameter),
        RefOr::Ref(_) => None,
    });
    parameters
        .filter(|parameter| parameter.parameter_in == ParameterIn::Query)
        .map(|parameter| parameter.name.clone())
        .collect()
}
