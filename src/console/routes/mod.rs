//! `/routes`: the route table as the gateway sees it, and what it decides about a request.

mod explain;
mod table;

use askama::Template;
use axum::{Router, response::Response, routing::get};
use jiff::Timestamp;

use self::table::RouteRow;
use super::{
    answer::{Failure, html},
    form::Form,
    overseer::Overseer,
    page::Page,
    parts::Choice,
};
use crate::{
    admin::state::AdminState,
    control::route_list::{ListedRoute, RouteList},
};

/// The methods that the form offers.
const METHODS: [&str; 8] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"];

/// Everything under `/routes`.
pub fn router() -> Router<AdminState> {
    Router::new().route("/routes", get(show)).route("/routes/explain", get(show).post(explain::explain))
}

#[derive(Template)]
#[template(path = "routes.html")]
struct RoutesPage {
    page: Page,
    form: Form,
    methods: Vec<Choice>,
    revision: u64,
    routes: Vec<RouteRow>,
}

async fn show(overseer: Overseer) -> Result<Response, Failure> {
    let list = RouteList::of(&overseer.published());
    let page = RoutesPage {
        page: overseer.page("Routes", "routes"),
        form: Form::new([("method", "GET")]),
        methods: methods(),
        revision: list.revision,
        routes: rows(list.routes, overseer.now),
    };
    Ok(html(&page))
}

fn rows(routes: Vec<ListedRoute>, now: Timestamp) -> Vec<RouteRow> {
    routes.into_iter().map(|route| RouteRow::new(route, now)).collect()
}

fn methods() -> Vec<Choice> {
    METHODS.map(Choice::plain).into()
}
