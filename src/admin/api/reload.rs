//! `POST /api/v1/reload`.

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    admin::{
        asked::{Asked, Nothing},
        caller::Caller,
        problem::Problem,
        state::AdminState,
    },
    control::report::{Report, Taken, Wrong},
    telemetry::audit::KeyChanges,
};

/// What a look at all sources led to.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct Reloaded {
    /// The revision in force.
    revision: u64,
    /// Whether it is a new one.
    is_new: bool,
    /// Sources whose newest content came into force.
    taken: Vec<TakenSource>,
    /// Every source whose newest content is not in force.
    wrong: Vec<WrongSource>,
    /// Keys that are revoked by nothing but the marks of a wrong file.
    revoked_by_wrong_files: Vec<String>,
    /// Keys that a file lists as good although they were revoked; they stay refused.
    undone: Vec<String>,
    /// What is permitted and probably not meant.
    warnings: Vec<String>,
}

/// A source whose newest content came into force.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct TakenSource {
    /// Its path.
    source: String,
    /// Keys that were not there before.
    added: u64,
    /// Keys that differ.
    changed: u64,
    /// Keys that are there no more.
    removed: u64,
    /// Keys that were good and are revoked.
    revoked: u64,
}

/// A source whose newest content is not in force.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct WrongSource {
    /// Its path.
    source: String,
    /// Everything that is wrong, with where it stands and its remedy.
    problems: Vec<String>,
}

/// Have this gateway look at its config, key files and certificates.
///
/// It does so by itself too; here whoever asks learns what was found. For owners and admins. May take two seconds while
/// something is being written.
#[utoipa::path(
    post,
    path = "/api/v1/reload",
    tag = "gateway",
    responses((status = 200, description = "It has looked.", body = Reloaded))
)]
pub(in crate::admin) async fn reload_gateway(
    State(state): State<AdminState>,
    caller: Caller,
    _: Asked<Nothing>,
) -> Result<Json<Reloaded>, Problem> {
    state.administration(&caller, None).demand_watcher().await?;
    let handle = state.reload.clone();
    let report = tokio::task::spawn_blocking(move || handle.reload()).await.ok().flatten();
    Ok(Json(report.ok_or_else(stopping)?.into()))
}

fn stopping() -> Problem {
    let detail = "The gateway is about to stop and looks at nothing any more.";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "The gateway stops", detail)
}

impl From<Report> for Reloaded {
    fn from(report: Report) -> Self {
        let taken = |Taken { source, changes }| {
            let KeyChanges { keys: _, added, changed, removed, revoked } = changes;
            TakenSource { source, added, changed, removed, revoked }
        };
        let wrong = |Wrong { source, problems }| WrongSource { source, problems };
        Self {
            revision: report.revision,
            is_new: report.is_new,
            taken: report.taken.into_iter().map(taken).collect(),
            wrong: report.wrong.into_iter().map(wrong).collect(),
            revoked_by_wrong_files: report.revoked_by_wrong_files,
            undone: report.undone,
            warnings: report.warnings,
        }
    }
}
