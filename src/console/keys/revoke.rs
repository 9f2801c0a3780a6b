//! `/keys/{id}/revoke`: the end of a key.

use askama::Template;
use axum::{extract::Path, http::StatusCode, response::Response};

use super::{
    use_of_key::Hours,
    view::{self, LastUsed},
};
use crate::{
    console::{
        answer::{Failure, html_as, see_other},
        form::{Form, Typed, refusals},
        page::Page,
        parts::Link,
        times::Time,
        visitor::Visitor,
    },
    control::{
        actor::Action,
        administration::{AdminError, Refusal},
        key_admin,
        key_view::KeyView,
        listing,
    },
    keys::record::Name,
    store::contract::{Committed, OwnedKey},
};

#[derive(Template)]
#[template(path = "key_revoke.html")]
struct RevokePage {
    page: Page,
    key: Link,
    key_id: String,
    name: String,
    prefix: String,
    owner: Option<Link>,
    last_used: Option<Time>,
    last_from: Option<String>,
    recent: Option<String>,
    form: Form,
}

/// The form, with what would stop.
pub(super) async fn form(visitor: Visitor, Path(id): Path<String>) -> Result<Response, Failure> {
    let owned = revocable(&visitor, &id).await?;
    page(&visitor, &owned, StatusCode::OK, Form::default()).await
}

/// Revokes the key, and leads to the receipt.
pub(super) async fn revoke(
    visitor: Visitor,
    Path(id): Path<String>,
    typed: Typed,
) -> Result<Response, Failure> {
    let owned = revocable(&visitor, &id).await?;
    let revoked = match reason(&typed, &super::title(&owned)) {
        Ok(reason) => {
            let administration = visitor.administration();
            key_admin::revoke(&administration, &owned.key.id, reason.as_ref(), None, visitor.now).await
        }
        Err(wrong) => Err(AdminError::Refused(wrong)),
    };
    match revoked {
        Ok(revoked) => Ok(see_other(&onward(&owned, &revoked.committed))),
        Err(error) => {
            let form = typed.again(refusals(error)?);
            page(&visitor, &owned, StatusCode::UNPROCESSABLE_ENTITY, form).await
        }
    }
}

/// Where one sees it spread; in file mode there is nothing to wait for.
fn onward(owned: &OwnedKey, committed: &Committed) -> String {
    let id = &owned.key.id;
    match committed {
        Committed::Revision(revision) => format!("/receipts/{revision}?key={id}"),
        Committed::Unchanged | Committed::Written(_) | Committed::Unaudited(..) | Committed::ToCommit(_) => {
            format!("/keys/{id}")
        }
    }
}

/// Why, where `title` was typed to confirm.
fn reason(typed: &Typed, title: &str) -> Result<Option<Name>, Vec<Refusal>> {
    let mut wrong = Vec::new();
    let reason = Some(typed.get("reason").trim()).filter(|reason| !reason.is_empty()).map(Name::parse);
    let reason = reason.transpose().map_err(|error| wrong.push(Refusal::of("reason", error.to_string())));
    if typed.get("confirm").trim() != title.trim() {
        wrong.push(Refusal::of("confirm", "Type the name of the key, as it stands above."));
    }
    match reason {
        Ok(reason) if wrong.is_empty() => Ok(reason),
        Ok(_) | Err(()) => Err(wrong),
    }
}

async fn revocable(visitor: &Visitor, id: &str) -> Result<OwnedKey, Failure> {
    let administration = visitor.administration();
    let mut work = administration.look().await?;
    let owned = super::find(&mut work, id).await?;
    let organization = work.organization_of_key(&owned.key, owned.owner.as_ref())?.id;
    work.demand(Action::RevokeKey(owned.key.owner.as_ref()), &organization)?;
    if owned.key.revoked.is_some() {
        let failure = Failure::conflict("Revoked", "This key is revoked already, for good.");
        return Err(failure.leading(super::link(&owned)));
    }
    Ok(owned)
}

async fn page(
    visitor: &Visitor,
    owned: &OwnedKey,
    status: StatusCode,
    form: Form,
) -> Result<Response, Failure> {
    let administration = visitor.administration();
    let work = administration.look().await?;
    let known = listing::known_uses(&administration, std::slice::from_ref(owned), visitor.now).await?;
    let rules = administration.rules_for([&owned.key]);
    let shown = KeyView::new(owned, &work, &rules, known.as_ref(), visitor.now);
    let hours = Hours::of(&administration, &owned.key, known.as_ref(), visitor.now).await?;
    let last = LastUsed::of(&shown, visitor);
    let page = RevokePage {
        page: visitor.page(format!("Revoke {}", super::title(owned)), "keys"),
        key: super::link(owned),
        key_id: owned.key.id.to_string(),
        name: super::title(owned),
        prefix: shown.prefix.clone().unwrap_or_default(),
        owner: view::owner_link(owned, visitor),
        last_used: last.at,
        last_from: last.from,
        recent: known.map(|_| match hours.last_day(visitor.now) {
            0 => "no request in the last 24 hours".to_owned(),
            1 => "1 request in the last 24 hours".to_owned(),
            count => format!("{count} requests in the last 24 hours"),
        }),
        form,
    };
    Ok(html_as(status, &page))
}
