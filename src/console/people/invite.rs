//! `POST /people/{id}/invite`: a one-time link, shown once.

use askama::Template;
use axum::{extract::Path, response::Response};
use zeroize::Zeroizing;

use super::person_id;
use crate::{
    console::{
        address,
        answer::{Failure, html_with_secret},
        overseer::Overseer,
        page::Page,
        times::Time,
    },
    control::sign_in::INVITATION_VALID,
    keys::record::PersonId,
};

#[derive(Template)]
#[template(path = "person_invited.html")]
struct InvitedPage {
    page: Page,
    id: String,
    href: String,
    link: Zeroizing<String>,
    expires: Time,
}

/// Makes a link, in the place of any other for them.
pub(super) async fn invite(overseer: Overseer, Path(id): Path<String>) -> Result<Response, Failure> {
    invited(&overseer, &person_id(&id)?).await
}

/// The page with a new link for the person `id`.
pub(super) async fn invited(overseer: &Overseer, id: &PersonId) -> Result<Response, Failure> {
    let token = overseer.state.sign_in.invite(&overseer.administration(), id).await?;
    let expires = overseer.now.checked_add(INVITATION_VALID).unwrap_or(overseer.now);
    let origin = overseer.state.url.as_deref().unwrap_or_default().trim_end_matches('/');
    let page = InvitedPage {
        page: overseer.page(format!("A link for {id}"), "people"),
        id: id.to_string(),
        href: address::person(id.as_str()),
        link: Zeroizing::new(format!("{origin}/invitation/{}", token.expose())),
        expires: overseer.time(expires),
    };
    Ok(html_with_secret(&page))
}
