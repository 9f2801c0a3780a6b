//! `/keys/{id}/rotate`: a second secret for a key.

use askama::Template;
use axum::{extract::Path, http::StatusCode, response::Response};

use super::{
    secret::{self, Done},
    view::LastUsed,
};
use crate::{
    console::{
        answer::{Failure, html_as},
        form::{Form, Typed, refusals},
        page::Page,
        parts::Link,
        times::Time,
        visitor::Visitor,
    },
    control::{
        actor::Action,
        administration::{AdminError, Administration, Refusal, Work},
        key_admin,
        key_view::KeyView,
        listing, term,
    },
    store::contract::OwnedKey,
};

#[derive(Template)]
#[template(path = "key_rotate.html")]
struct RotatePage {
    page: Page,
    key: Link,
    key_id: String,
    expires: Option<Time>,
    last_used: Option<Time>,
    running: Option<Time>,
    form: Form,
}

/// The form.
pub(super) async fn form(visitor: Visitor, Path(id): Path<String>) -> Result<Response, Failure> {
    page(&visitor, &id, StatusCode::OK, Form::new([("overlap", "24h")])).await
}

/// Rotates the key, and shows its new secret.
pub(super) async fn rotate(
    visitor: Visitor,
    Path(id): Path<String>,
    typed: Typed,
) -> Result<Response, Failure> {
    let administration = visitor.submitting(&typed);
    match attempt(&visitor, &administration, &id, &typed).await {
        Ok(rotated) => {
            let overlap = Some(rotated.old_until).filter(|until| *until > visitor.now);
            let done = Done::Rotated(overlap.map(|until| visitor.time(until)));
            secret::page(&visitor, &rotated.issued, done).await
        }
        Err(Refused::Form(AdminError::Done(before))) => secret::shown_before(&visitor, &before).await,
        Err(Refused::Form(error)) => {
            page(&visitor, &id, StatusCode::UNPROCESSABLE_ENTITY, typed.again(refusals(error)?)).await
        }
        Err(Refused::Page(failure)) => Err(failure),
    }
}

enum Refused {
    Form(AdminError),
    Page(Failure),
}

async fn attempt(
    visitor: &Visitor,
    administration: &Administration,
    id: &str,
    typed: &Typed,
) -> Result<key_admin::Rotated, Refused> {
    let looking = visitor.administration();
    let owned = {
        let mut work = looking.look().await.map_err(Refused::Form)?;
        super::find(&mut work, id).await.map_err(Refused::Page)?
    };
    let overlap = term::duration(typed.get("overlap").trim());
    let overlap =
        overlap.map_err(|reason| Refused::Form(AdminError::Refused(vec![Refusal::of("overlap", reason)])))?;
    let rotated = key_admin::rotate(administration, &owned.key.id, overlap, None, None, visitor.now).await;
    rotated.map_err(Refused::Form)
}

async fn page(visitor: &Visitor, id: &str, status: StatusCode, form: Form) -> Result<Response, Failure> {
    let administration = visitor.administration();
    let mut work = administration.look().await?;
    let owned = super::find(&mut work, id).await?;
    demand_rotatable(visitor, &work, &owned)?;
    let known = listing::known_uses(&administration, std::slice::from_ref(&owned), visitor.now).await?;
    let rules = administration.rules_for([&owned.key]);
    let shown = KeyView::new(&owned, &work, &rules, known.as_ref(), visitor.now);
    let running = owned.key.previous.as_ref().map(|previous| previous.until);
    let page = RotatePage {
        page: visitor.page(format!("Rotate {}", super::title(&owned)), "keys"),
        key: super::link(&owned),
        key_id: owned.key.id.to_string(),
        expires: owned.key.expires_at.map(|at| visitor.time(at)),
        last_used: LastUsed::of(&shown, visitor).at,
        running: running.filter(|until| *until > visitor.now).map(|until| visitor.time(until)),
        form,
    };
    Ok(html_as(status, &page))
}

fn demand_rotatable(visitor: &Visitor, work: &Work<'_>, owned: &OwnedKey) -> Result<(), Failure> {
    let organization = work.organization_of_key(&owned.key, owned.owner.as_ref())?.id;
    work.demand(Action::IssueSecret(owned.owner.as_ref()), &organization)?;
    super::demand_alive(owned, visitor.now)
}
