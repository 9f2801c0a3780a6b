//! The admin API, `/api/v1`: one operation, one file. Each reads what is asked, calls the use-case in `control` that the
//! command line calls too, and says what became of it.

mod audit;
mod document;
mod explain;
mod keys;
mod organizations;
mod parameters;
mod people;
mod projects;
mod receipts;
mod reload;
mod replicas;
mod routes;
mod sessions;

use axum::{Router, http::header::CONTENT_TYPE, middleware, routing::get};
use utoipa::{PartialSchema, ToSchema, openapi::OpenApi};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::parameters::Parameters;
use super::{
    caller::Caller,
    problem::{FieldProblem, Problem},
    state::AdminState,
};

/// Every operation, and the document that describes them.
pub fn router() -> Router<AdminState> {
    let (router, document) = operations();
    let (known, json) = (Parameters::of(&document), to_json(&document));
    let answer = move |_: Caller| {
        let json = json.clone();
        async move { ([(CONTENT_TYPE, "application/json")], json) }
    };
    router
        .route("/api/v1/openapi.json", get(answer))
        .route_layer(middleware::from_fn(move |request, next| known.clone().check(request, next)))
}

/// The document that describes the API (OpenAPI 3.1).
pub fn document() -> OpenApi {
    operations().1
}

fn operations() -> (Router<AdminState>, OpenApi) {
    let (router, mut document) = OpenApiRouter::with_openapi(document::beginning())
        .routes(routes!(keys::list::list_keys, keys::create::create_key))
        .routes(routes!(keys::search::search_key))
        .routes(routes!(keys::show::show_key, keys::update::update_key))
        .routes(routes!(keys::usage::show_key_usage))
        .routes(routes!(keys::revoke::revoke_key))
        .routes(routes!(keys::rotate::rotate_key))
        .routes(routes!(people::list::list_people, people::create::create_person))
        .routes(routes!(people::show::show_person, people::update::update_person))
        .routes(routes!(people::disable::disable_person))
        .routes(routes!(people::enable::enable_person))
        .routes(routes!(people::invite::invite_person))
        .routes(routes!(people::sign_out::sign_out_person))
        .routes(routes!(projects::list::list_projects, projects::create::create_project))
        .routes(routes!(projects::remove::remove_project))
        .routes(routes!(organizations::list_organizations))
        .routes(routes!(audit::list_audit))
        .routes(routes!(routes::list_routes))
        .routes(routes!(explain::explain_request))
        .routes(routes!(reload::reload_gateway))
        .routes(routes!(replicas::list_replicas))
        .routes(routes!(receipts::show_receipt))
        .routes(routes!(sessions::show::show_session, sessions::sign_out::sign_out))
        .routes(routes!(sessions::list::list_sessions))
        .routes(routes!(sessions::end::end_session))
        .split_for_parts();
    let schemas = &mut document.components.get_or_insert_default().schemas;
    schemas.insert(Problem::name().into_owned(), Problem::schema());
    schemas.insert(FieldProblem::name().into_owned(), FieldProblem::schema());
    (router, document::with_refusals(document))
}

fn to_json(document: &OpenApi) -> String {
    // Strings, lists and maps with texts as keys: serializing them cannot fail.
    document.to_pretty_json().unwrap_or_default()
}
