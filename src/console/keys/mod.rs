//! Pages about keys.

mod curl;
mod edit;
mod list;
mod make;
mod plan;
mod receipt;
mod revoke;
mod rotate;
mod secret;
mod show;
mod use_of_key;
mod view;

use axum::{
    Router,
    routing::{get, post},
};
use jiff::Timestamp;

use super::{answer::Failure, parts::Link};
use crate::{
    admin::state::AdminState,
    control::{
        administration::{AdminError, Work},
        listing,
    },
    keys::record::KeyId,
    store::contract::OwnedKey,
};

/// Everything under `/keys`, and receipts.
pub fn router() -> Router<AdminState> {
    Router::new()
        .route("/keys", get(list::show).post(make::create))
        .route("/keys/new", get(make::form))
        .route("/keys/search", post(list::search))
        .route("/keys/{id}", get(show::show))
        .route("/keys/{id}/edit", get(edit::form).post(edit::change))
        .route("/keys/{id}/rotate", get(rotate::form).post(rotate::rotate))
        .route("/keys/{id}/rotate/live", get(show::rotation_live))
        .route("/keys/{id}/revoke", get(revoke::form).post(revoke::revoke))
        .route("/receipts/{revision}", get(receipt::show))
        .route("/receipts/{revision}/live", get(receipt::live))
}

/// The key that an address names, where whoever asks may see it.
async fn find(work: &mut Work<'_>, id: &str) -> Result<OwnedKey, Failure> {
    let none = || Failure::not_found("There is no such key.").leading(Link::new("/keys", "All keys"));
    let id = KeyId::parse(id).map_err(|_| none())?;
    listing::key(work, &id).await.map_err(|error| match error {
        AdminError::NotFound(_) => none(),
        error => error.into(),
    })
}

/// What people call it, else how its secret begins, else its id.
fn title(owned: &OwnedKey) -> String {
    let key = &owned.key;
    let name = key.name.as_ref().or(key.prefix.as_ref());
    name.map_or_else(|| key.id.to_string(), ToString::to_string)
}

/// The page of a key.
fn link(owned: &OwnedKey) -> Link {
    Link::new(format!("/keys/{}", owned.key.id), title(owned))
}

/// That it works at `now` but for its owner: what has ended cannot be changed.
fn demand_alive(owned: &OwnedKey, now: Timestamp) -> Result<(), Failure> {
    use crate::keys::record::KeyStatus::{Active, Expired, NotYetValid, OwnerDisabled, Revoked};
    match owned.key.status(now, None) {
        Active | NotYetValid | OwnerDisabled => Ok(()),
        Revoked => Err(Failure::conflict("Revoked", "This key is revoked, for good. Make another.")),
        Expired => Err(Failure::conflict("Expired", "This key has expired. Make another.")),
    }
    .map_err(|failure: Failure| failure.leading(link(owned)))
}
