//! `GET /api/v1/people`.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    admin::{
        asked::Queried,
        caller::Caller,
        page::{Page, PageQuery, cursor},
        problem::Problem,
        state::AdminState,
    },
    control::{listing, person_view::PersonView},
    keys::record::PersonId,
    policy::reason::Reason,
    store::contract::PersonQuery,
};

/// Which people.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::admin) struct Filter {
    /// Only with this in their id, e-mail address or name, in upper or lower case.
    q: Option<String>,
}

/// List the people whom you may see, by id.
#[utoipa::path(
    get,
    path = "/api/v1/people",
    tag = "people",
    params(Filter, PageQuery),
    responses((status = 200, description = "A page of people.", body = Page<PersonView>))
)]
pub(in crate::admin) async fn list_people(
    State(state): State<AdminState>,
    caller: Caller,
    Queried(filter): Queried<Filter>,
    Queried(page): Queried<PageQuery>,
) -> Result<Page<PersonView>, Problem> {
    let after = page.cursor::<String>()?.map(|id| PersonId::parse(&id)).transpose();
    let query = PersonQuery {
        text: filter.q.filter(|text| !text.trim().is_empty()),
        after: after.map_err(|_| Problem::of(Reason::BadRequest, "This is no cursor of this list."))?,
        limit: page.limit()?,
        ..PersonQuery::default()
    };
    let administration = state.administration(&caller, None);
    let mut work = administration.look().await?;
    let listing = listing::people_page(&mut work, query).await?;
    let last = listing.records.last().filter(|_| listing.has_more).map(|last| last.id.as_str());
    let next = last.and_then(|id| cursor(&id));
    let people = listing::with_keys(&mut work, listing.records).await?;
    Ok(Page { items: people.iter().map(|listed| PersonView::new(listed, &work)).collect(), next })
}
