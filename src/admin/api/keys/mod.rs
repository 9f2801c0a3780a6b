//! `/api/v1/keys`: what is done with keys.

pub(super) mod create;
pub(super) mod list;
pub(super) mod revoke;
pub(super) mod rotate;
pub(super) mod search;
pub(super) mod show;
pub(super) mod update;
pub(super) mod usage;

use crate::{
    admin::problem::Problem,
    control::{
        administration::{AdminError, Work},
        key_view::KeyView,
        listing,
        record_tag::RecordTag,
    },
    keys::record::KeyId,
    store::contract::OwnedKey,
};
use jiff::Timestamp;

/// The key that the path names. What is no id names none.
pub(in crate::admin) fn key_id(text: &str) -> Result<KeyId, Problem> {
    KeyId::parse(text).map_err(|_| unknown().into())
}

fn unknown() -> AdminError {
    AdminError::NotFound("no key has this id".to_owned())
}

/// The key `id` as whoever asks may see it, with its uses and entity tag.
async fn view(work: &mut Work<'_>, id: &KeyId, now: Timestamp) -> Result<(RecordTag, KeyView), AdminError> {
    let owned = listing::key(work, id).await?;
    let mut views = views(work, std::slice::from_ref(&owned), now).await?;
    let view = views.pop().ok_or_else(unknown)?;
    Ok((RecordTag::of_key(&owned.key), view))
}

/// `keys` with their uses.
async fn views(work: &mut Work<'_>, keys: &[OwnedKey], now: Timestamp) -> Result<Vec<KeyView>, AdminError> {
    let usage = listing::known_uses(work.administration, keys, now).await?;
    let records = keys.iter().map(|owned| &owned.key);
    let rules = work.administration.rules_for(records);
    Ok(keys.iter().map(|owned| KeyView::new(owned, work, &rules, usage.as_ref(), now)).collect())
}
