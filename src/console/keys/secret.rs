//! The page that shows a new secret, this once.

use askama::Template;
use axum::response::Response;

use super::{
    curl,
    receipt::{self, ReceiptView},
};
use crate::{
    console::{
        answer::{Failure, html, html_with_secret},
        page::Page,
        times::Time,
        visitor::Visitor,
    },
    control::key_admin::Issued,
    keys::record::KeyId,
    store::contract::{Committed, OwnedKey, Remembered},
};

#[derive(Template)]
#[template(path = "key_secret.html")]
struct SecretPage<'s> {
    page: Page,
    heading: String,
    key_id: String,
    key_name: String,
    secret: Option<&'s str>,
    curl: String,
    receipt: Option<ReceiptView>,
    overlap: Option<Time>,
}

/// What was done to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Done {
    /// It was made.
    Made,
    /// It was rotated, and the secret before works until then.
    Rotated(Option<Time>),
}

/// The secret of `issued`. It goes into this answer and nowhere else.
pub(super) async fn page(visitor: &Visitor, issued: &Issued, done: Done) -> Result<Response, Failure> {
    let owned = load(visitor, &issued.id).await?;
    let title = super::title(&owned);
    let secret = issued.secret.expose();
    let (heading, overlap) = match done {
        Done::Made => (format!("“{title}” is made"), None),
        Done::Rotated(overlap) => (format!("“{title}” has a new secret"), overlap),
    };
    let receipt = match issued.committed {
        // It works here at once; a receipt that cannot be asked for now must not cost the secret.
        Committed::Revision(revision) => receipt::ask(visitor, revision).await.ok(),
        Committed::Unchanged | Committed::Written(_) | Committed::Unaudited(..) | Committed::ToCommit(_) => {
            None
        }
    };
    let page = SecretPage {
        page: visitor.page("The secret", "keys"),
        heading,
        key_id: issued.id.to_string(),
        key_name: title,
        secret: Some(secret),
        curl: curl::line(&visitor.published(), &owned.key, secret),
        receipt,
        overlap,
    };
    Ok(html_with_secret(&page))
}

/// The form was sent before: its secret was shown then, or got lost on the way.
pub(super) async fn shown_before(visitor: &Visitor, before: &Remembered) -> Result<Response, Failure> {
    let gone = || Failure::not_found("The key that this form made is gone.");
    let id = KeyId::parse(&before.id).map_err(|_| gone())?;
    let owned = load(visitor, &id).await?;
    let title = super::title(&owned);
    let page = SecretPage {
        page: visitor.page("The secret", "keys"),
        heading: format!("“{title}”"),
        key_id: id.to_string(),
        key_name: title,
        secret: None,
        curl: String::new(),
        receipt: None,
        overlap: None,
    };
    Ok(html(&page))
}

async fn load(visitor: &Visitor, id: &KeyId) -> Result<OwnedKey, Failure> {
    let administration = visitor.administration();
    let mut work = administration.look().await?;
    super::find(&mut work, id.as_str()).await
}
