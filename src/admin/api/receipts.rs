//! `GET /api/v1/receipts/{revision}`.

use std::time::Duration;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    admin::{
        asked::{Id, Wait, WaitQuery},
        caller::Caller,
        problem::Problem,
        state::AdminState,
    },
    control::{administration::AdminError, receipt, receipt_view::ReceiptView},
};

/// How long the database has to answer, where nothing is waited for.
const ANSWER: Duration = Duration::from_secs(5);

/// A receipt.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct ShownReceipt {
    /// Where the revision is in force.
    receipt: ReceiptView,
    /// In one sentence.
    summary: String,
    /// Whether every replica has confirmed it.
    complete: bool,
}

/// Show where a revision is in force.
///
/// With `wait`, once every replica has confirmed it, or the time is over.
#[utoipa::path(
    get,
    path = "/api/v1/receipts/{revision}",
    tag = "gateway",
    params(("revision" = u64, Path, description = "The revision that a change came into force with."), WaitQuery),
    responses((status = 200, description = "The receipt.", body = ShownReceipt))
)]
pub(in crate::admin) async fn show_receipt(
    State(state): State<AdminState>,
    caller: Caller,
    Id(revision): Id,
    Wait(wait): Wait,
) -> Result<Json<ShownReceipt>, Problem> {
    let unknown = || AdminError::NotFound("there is no such revision".to_owned());
    let administration = state.administration(&caller, None);
    let database = administration.database().ok_or_else(unknown)?;
    let revision: u64 = revision.parse().map_err(|_| unknown())?;
    let head = database.head().await.map_err(AdminError::from)?.revision;
    if revision == 0 || revision > head {
        return Err(unknown().into());
    }
    let shown = match wait.filter(|wait| !wait.is_zero()) {
        Some(patience) => receipt::wait(database, revision, patience).await,
        None => receipt::now(database, revision, ANSWER).await,
    };
    let shown = shown.map_err(AdminError::from)?;
    Ok(Json(ShownReceipt {
        receipt: ReceiptView::new(&shown),
        summary: shown.to_string(),
        complete: shown.is_complete(),
    }))
}
