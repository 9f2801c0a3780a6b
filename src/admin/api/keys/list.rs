//! `GET /api/v1/keys`.

use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::views;
use crate::{
    admin::{
        asked::Queried,
        caller::Caller,
        page::{Page, PageQuery, cursor},
        problem::Problem,
        state::AdminState,
    },
    control::{key_view::KeyView, listing},
    keys::record::{KeyId, KeyStatus, OrganizationId, PersonId},
    policy::reason::Reason,
    store::contract::{KeyCursor, KeyQuery},
};

/// Which keys.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::admin) struct Filter {
    /// Only of this person.
    owner: Option<String>,
    /// Only those that were granted this project, or all.
    project: Option<String>,
    /// Only those that were given this plan.
    plan: Option<String>,
    /// Only with this status.
    #[param(inline)]
    status: Option<Status>,
    /// Only with this in their name, id, prefix or owner, in upper or lower case. No secret: it would stand in a URL.
    q: Option<String>,
}

/// Whether a key works.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::admin) enum Status {
    /// It works.
    Active,
    /// Its time has not come.
    NotYetValid,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
    /// The person it belongs to is disabled.
    OwnerDisabled,
}

/// A place in the list.
#[derive(Debug, Serialize, Deserialize)]
struct Place {
    created_at: Option<Timestamp>,
    id: String,
}

/// List the keys that you may see, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/keys",
    tag = "keys",
    params(Filter, PageQuery),
    responses(
        (status = 200, description = "A page of keys.", body = Page<KeyView>),
    )
)]
pub(in crate::admin) async fn list_keys(
    State(state): State<AdminState>,
    caller: Caller,
    Queried(filter): Queried<Filter>,
    Queried(page): Queried<PageQuery>,
) -> Result<Page<KeyView>, Problem> {
    let now = state.clock.now();
    let administration = state.administration(&caller, None);
    let query = filter.query(&page, now)?;
    let mut work = administration.look().await?;
    let listing = listing::keys_page(&mut work, query).await?;
    let last = listing
        .records
        .last()
        .filter(|_| listing.has_more)
        .map(|owned| Place { created_at: owned.key.created_at, id: owned.key.id.to_string() });
    Ok(Page { items: views(&mut work, &listing.records, now).await?, next: last.as_ref().and_then(cursor) })
}

impl Filter {
    fn query(self, page: &PageQuery, now: Timestamp) -> Result<KeyQuery, Problem> {
        let wrong = |what| Problem::of(Reason::BadRequest, what);
        let owner = self.owner.as_deref().map(PersonId::parse).transpose();
        let after = page
            .cursor::<Place>()?
            .map(|place| Ok(KeyCursor { created_at: place.created_at, id: KeyId::parse(&place.id)? }));
        Ok(KeyQuery {
            organization: None::<OrganizationId>,
            owner: owner.map_err(|_| wrong("owner must be the id of a person."))?,
            project: self.project,
            plan: self.plan,
            status: self.status.map(KeyStatus::from),
            text: self.q.filter(|text| !text.trim().is_empty()),
            after: after
                .transpose()
                .map_err(|_: crate::keys::record::TextError| wrong("This is no cursor of this list."))?,
            limit: page.limit()?,
            now,
        })
    }
}

impl From<Status> for KeyStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Active => Self::Active,
            Status::NotYetValid => Self::NotYetValid,
            Status::Expired => Self::Expired,
            Status::Revoked => Self::Revoked,
            Status::OwnerDisabled => Self::OwnerDisabled,
        }
    }
}
