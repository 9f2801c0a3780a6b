//! `GET /api/v1/audit`.

use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    admin::{
        asked::Queried,
        caller::Caller,
        page::{Page, PageQuery, cursor},
        problem::Problem,
        state::AdminState,
    },
    control::{audit_trail, term},
    policy::reason::Reason,
    store::contract::{AuditCursor, AuditFilter, AuditFrom, AuditPage, AuditRecord},
};

/// Which changes.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::admin) struct Filter {
    /// Only of records of this kind: `key`, `person`, `project`, `organization`.
    record: Option<String>,
    /// Only of the record with this id.
    id: Option<String>,
    /// Only by this actor: `person:ada`, or `person:ada key:key_01…` for what was done by a key of hers.
    actor: Option<String>,
    /// Only from this instant or day on.
    #[param(example = "2026-11-21")]
    since: Option<String>,
    /// Only before this instant or day.
    until: Option<String>,
    /// The newest first; or the oldest, to follow what happens: then there is always a next page to ask for.
    #[serde(default)]
    #[param(inline)]
    order: Order,
}

/// In which order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::admin) enum Order {
    /// The newest first.
    #[default]
    Newest,
    /// The oldest first.
    Oldest,
}

/// A change.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct AuditView {
    /// When.
    at: String,
    /// The revision it came into force with; `null` where keys are kept in files.
    revision: Option<u64>,
    /// Who.
    actor: String,
    /// From where; `null`: at the machine itself.
    address: Option<String>,
    /// The organization it belongs to, where that is known.
    organization: Option<String>,
    /// What they did: `keys revoke`.
    command: String,
    /// What kind of record changed.
    record: String,
    /// Its id.
    id: String,
    /// What of it.
    what: String,
}

/// A place in the trail.
#[derive(Debug, Serialize, Deserialize)]
struct Place {
    revision: u64,
    position: u64,
}

/// List what was changed, and by whom.
///
/// For owners and admins: the changes of their organization.
#[utoipa::path(
    get,
    path = "/api/v1/audit",
    tag = "audit",
    params(Filter, PageQuery),
    responses((status = 200, description = "A page of changes.", body = Page<AuditView>))
)]
pub(in crate::admin) async fn list_audit(
    State(state): State<AdminState>,
    caller: Caller,
    Queried(filter): Queried<Filter>,
    Queried(page): Queried<PageQuery>,
) -> Result<Page<AuditView>, Problem> {
    let (order, limit) = (filter.order, page.limit()?);
    let filter = filter.read(&page, limit)?;
    let AuditPage { records, end, .. } =
        audit_trail::page(&state.administration(&caller, None), &filter).await?;
    let is_last = order == Order::Newest && records.len() < limit;
    let next =
        end.filter(|_| !is_last).map(|AuditCursor { revision, position }| Place { revision, position });
    let next = next.as_ref().and_then(cursor).or_else(|| page.cursor.filter(|_| order == Order::Oldest));
    Ok(Page { items: records.into_iter().map(AuditView::from).collect(), next })
}

impl Filter {
    fn read(self, page: &PageQuery, limit: usize) -> Result<AuditFilter, Problem> {
        let place = page.cursor::<Place>()?;
        let place = place.map(|Place { revision, position }| AuditCursor { revision, position });
        Ok(AuditFilter {
            organization: None,
            record: self.record,
            id: self.id,
            actor: self.actor,
            since: time("since", self.since.as_deref())?,
            until: time("until", self.until.as_deref())?,
            from: match self.order {
                Order::Newest => AuditFrom::Before(place),
                Order::Oldest => AuditFrom::After(place),
            },
            limit: limit as u64,
        })
    }
}

fn time(name: &str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let read = text.map(|text| term::instant(text.trim())).transpose();
    read.map_err(|wrong| Problem::of(Reason::BadRequest, format!("{name}: {wrong}.")))
}

impl From<AuditRecord> for AuditView {
    fn from(record: AuditRecord) -> Self {
        let AuditRecord { at, revision, actor, address, organization, command, record, id, what } = record;
        Self {
            at: at.to_string(),
            revision,
            actor,
            address: address.map(|address| address.to_string()),
            organization: organization.map(|id| id.to_string()),
            command,
            record,
            id,
            what,
        }
    }
}
