//! `GET /api/v1/routes`.

use axum::{Json, extract::State};

use crate::{
    admin::{caller::Caller, problem::Problem, state::AdminState},
    control::route_list::RouteList,
};

/// List the routes and scopes that are in force.
///
/// For owners and admins. Of an upstream there is its name and host, and no credential.
#[utoipa::path(
    get,
    path = "/api/v1/routes",
    tag = "gateway",
    responses((status = 200, description = "The routes, and what each scope opens of them.", body = RouteList))
)]
pub(in crate::admin) async fn list_routes(
    State(state): State<AdminState>,
    caller: Caller,
) -> Result<Json<RouteList>, Problem> {
    state.administration(&caller, None).demand_watcher().await?;
    Ok(Json(RouteList::of(&state.published())))
}
