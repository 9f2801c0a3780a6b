//! `/`: what is worth a look, what was served lately, and what was changed.

mod attention;
mod cards;
mod own_use;

use std::time::Duration;

use askama::Template;
use axum::{Router, response::Response, routing::get};

use self::cards::HealthCard;
use super::{
    answer::{Failure, html},
    audit::{self, AuditRow},
    markup::Markup,
    page::Page,
    replicas::{self, ReplicaRow},
    sources::{self, SourceRow},
    surveys::Surveys,
    traffic,
    visitor::Visitor,
};
use crate::{
    admin::state::AdminState,
    control::{actor::Action, administration::AdminError},
};

/// How long each point of a chart of the last hour is.
const STEP: Duration = Duration::from_mins(1);

/// How many changes are shown.
const LATEST: u64 = 6;

/// The overview, and what its cards lead to.
pub fn router() -> Router<AdminState> {
    Router::new().route("/", get(show)).route("/keys-to-look-at/{finding}", get(attention::show))
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    page: Page,
    fresh: bool,
    may_create: bool,
    cards: Vec<HealthCard>,
    charts: Vec<Markup>,
    replicas: Vec<ReplicaRow>,
    sources: Vec<SourceRow>,
    latest: Vec<AuditRow>,
}

/// Owners and admins see the organization and this gateway; members and viewers their own keys.
async fn show(visitor: Visitor, surveys: Surveys) -> Result<Response, Failure> {
    let survey = surveys.of(&visitor).await?;
    let manages = visitor.manages();
    let page = OverviewPage {
        page: visitor.page("Overview", "overview"),
        fresh: survey.keys == 0,
        may_create: may_create(&visitor).await?,
        cards: cards::of(&survey),
        charts: if manages { charts(&visitor) } else { vec![own_use::chart(&visitor).await?.figure()] },
        replicas: if manages { replicas::rows(&visitor).await? } else { Vec::new() },
        sources: if manages { sources::wrong(&visitor) } else { Vec::new() },
        latest: if manages { latest(&visitor).await? } else { Vec::new() },
    };
    Ok(html(&page))
}

/// What this process served within the last hour.
pub(super) fn charts(visitor: &Visitor) -> Vec<Markup> {
    let hour = visitor.state.history.hour().coarser(STEP);
    let charts = [traffic::requests(&hour), traffic::refusals(&hour), traffic::latency(&hour)];
    charts.iter().map(super::chart::Chart::figure).collect()
}

/// The newest changes; none where nobody keeps a trail.
async fn latest(visitor: &Visitor) -> Result<Vec<AuditRow>, Failure> {
    if visitor.is_file_mode() {
        return Ok(Vec::new());
    }
    audit::latest(visitor, LATEST).await
}

async fn may_create(visitor: &Visitor) -> Result<bool, AdminError> {
    let administration = visitor.administration();
    let work = administration.look().await?;
    let own = work.acting.person();
    let organization = work.organization(own.and_then(|own| own.organization.as_ref()))?.id;
    Ok(work.permits(Action::IssueSecret(own), &organization))
}
