//! The console: what people see and do in a browser, as HTML from the server. It works without JavaScript; with it, it is
//! quicker. Every page is a template of `templates/`, a struct with its fields, and a handler that calls a use-case of
//! `control`, as the admin API does.

pub mod address;
pub mod answer;
pub mod assets;
pub mod audit;
pub mod chart;
pub mod compression;
pub mod entrance;
pub mod form;
pub mod keys;
pub mod markup;
pub mod overseer;
pub mod overview;
pub mod page;
pub mod parts;
pub mod people;
pub mod projects;
pub mod reference;
pub mod replicas;
pub mod routes;
pub mod sign_in;
pub mod sources;
pub mod sparkline;
pub mod surveys;
pub mod times;
pub mod traffic;
pub mod visitor;

use axum::{
    Extension, Router,
    middleware::{from_fn, from_fn_with_state},
    routing::get,
};

use self::surveys::Surveys;
use crate::admin::state::AdminState;

/// Every page, and a fallback for addresses of which there is none.
pub fn router(state: &AdminState) -> Router<AdminState> {
    let inside = Router::new()
        .route(reference::PATH, get(reference::show))
        .merge(overview::router())
        .merge(keys::router())
        .merge(people::router())
        .merge(projects::router())
        .merge(routes::router())
        .merge(audit::router())
        .merge(replicas::router())
        .merge(sign_in::account_router())
        .fallback(entrance::no_page);
    inside
        .layer(Extension(Surveys::default()))
        .layer(from_fn_with_state(state.clone(), entrance::enter))
        .merge(sign_in::router())
        .layer(from_fn(compression::compress))
        .merge(assets::router())
}
