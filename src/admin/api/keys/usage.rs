//! `GET /api/v1/keys/{id}/usage`.

use axum::{Json, extract::State};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use utoipa::IntoParams;

use super::key_id;
use crate::{
    admin::{
        asked::{Id, Queried},
        caller::Caller,
        problem::Problem,
        state::AdminState,
    },
    control::{listing, term, usage_view::UsageView},
    policy::reason::Reason,
};

/// How far back hours are shown where nothing is said, and at most.
const SINCE: SignedDuration = SignedDuration::from_hours(7 * 24);
const SINCE_MAX: SignedDuration = SignedDuration::from_hours(92 * 24);

/// Which hours.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::admin) struct Span {
    /// An instant or a day, at most 92 days ago; a week ago, if it is left out.
    #[param(example = "2026-11-21")]
    since: Option<String>,
}

/// Show the uses of a key, hour by hour.
///
/// And which scopes its requests needed. Where keys are kept in files, the uses are those at this gateway, of the last 48
/// hours in which there were any.
#[utoipa::path(
    get,
    path = "/api/v1/keys/{id}/usage",
    tag = "keys",
    params(("id" = String, Path, description = "The id of the key."), Span),
    responses((status = 200, description = "Its uses.", body = UsageView))
)]
pub(in crate::admin) async fn show_key_usage(
    State(state): State<AdminState>,
    caller: Caller,
    Id(id): Id,
    Queried(span): Queried<Span>,
) -> Result<Json<UsageView>, Problem> {
    let (now, id) = (state.clock.now(), key_id(&id)?);
    let since = span.since(now)?;
    let administration = state.administration(&caller, None);
    let owned = listing::key(&mut administration.look().await?, &id).await?;
    Ok(Json(UsageView::of(&administration, &owned, since, now).await?))
}

impl Span {
    fn since(&self, now: Timestamp) -> Result<Timestamp, Problem> {
        let ago = |duration| now.saturating_sub(duration).unwrap_or(Timestamp::MIN);
        let Some(text) = &self.since else { return Ok(ago(SINCE)) };
        let since = term::instant(text.trim()).ok().filter(|since| *since >= ago(SINCE_MAX));
        let wrong = "since must be an instant or a day within the last 92 days, such as 2026-11-21.";
        since.ok_or_else(|| Problem::of(Reason::BadRequest, wrong))
    }
}
