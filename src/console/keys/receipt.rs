//! `/receipts/{revision}`: where a change is in force, as it spreads.

use std::time::Duration;

use askama::Template;
use axum::{extract::Path, response::Response};

use crate::{
    console::{
        answer::{Failure, html},
        form::Query,
        page::Page,
        parts::{Badge, Link},
        visitor::Visitor,
    },
    control::{
        receipt::{self, Confirmation, Receipt},
        term,
    },
    keys::record::KeyStatus,
};

/// How long a page waits for replicas: most have confirmed by then.
const PATIENCE: Duration = Duration::from_millis(500);

/// A receipt as pages show it.
pub(super) struct ReceiptView {
    pub(super) revision: u64,
    pub(super) state: Badge,
    pub(super) sentence: String,
    pub(super) note: &'static str,
    pub(super) confirmed: usize,
    pub(super) total: usize,
    pub(super) done: bool,
    pub(super) replicas: Vec<ReceiptRow>,
}

/// A replica in a receipt.
pub(super) struct ReceiptRow {
    pub(super) id: String,
    pub(super) address: String,
    pub(super) state: Badge,
    pub(super) how: String,
}

#[derive(Template)]
#[template(path = "receipt.html")]
struct ReceiptPage {
    page: Page,
    what: String,
    back: Link,
    receipt: ReceiptView,
}

#[derive(Template)]
#[template(path = "receipt_live.html")]
struct LiveReceipt {
    receipt: ReceiptView,
}

/// The receipt; `?key=` says of which key it is.
pub(super) async fn show(
    visitor: Visitor,
    Path(revision): Path<String>,
    query: Query,
) -> Result<Response, Failure> {
    let receipt = ask(&visitor, number(&revision)?).await?;
    let (what, back) = match query.get("key") {
        Some(id) => {
            let administration = visitor.administration();
            let owned = super::find(&mut administration.look().await?, id).await?;
            let title = super::title(&owned);
            let what = match owned.key.status(visitor.now, None) {
                KeyStatus::Revoked => format!("“{title}” is revoked"),
                KeyStatus::Active
                | KeyStatus::NotYetValid
                | KeyStatus::Expired
                | KeyStatus::OwnerDisabled => format!("“{title}” is changed"),
            };
            (what, super::link(&owned))
        }
        None => (format!("Revision {}", receipt.revision), Link::new("/keys", "Keys")),
    };
    Ok(html(&ReceiptPage { page: visitor.page("Receipt", "keys"), what, back, receipt }))
}

/// The part of the page that fills.
pub(super) async fn live(visitor: Visitor, Path(revision): Path<String>) -> Result<Response, Failure> {
    Ok(html(&LiveReceipt { receipt: ask(&visitor, number(&revision)?).await? }))
}

fn number(text: &str) -> Result<u64, Failure> {
    text.parse().map_err(|_| Failure::no_page())
}

/// Where `revision` is in force by now.
pub(super) async fn ask(visitor: &Visitor, revision: u64) -> Result<ReceiptView, Failure> {
    let administration = visitor.administration();
    let none = || Failure::not_found("There is no such revision.");
    let database = administration.database().ok_or_else(none)?;
    if database.head().await?.revision < revision {
        return Err(none());
    }
    Ok(ReceiptView::new(&receipt::wait(database, revision, PATIENCE).await?, visitor.manages()))
}

impl ReceiptView {
    /// `receipt`; where replicas can be found is for those who manage.
    fn new(receipt: &Receipt, manages: bool) -> Self {
        let confirmed = receipt.confirmed.iter().map(|confirmed| ReceiptRow {
            id: confirmed.replica.clone(),
            address: String::new(),
            state: Badge::new("ok", "in force"),
            how: match confirmed.by {
                Confirmation::Acknowledgement(after) => format!("acknowledged after {}", term::shown(after)),
                Confirmation::Heartbeat => "its heartbeat names it".to_owned(),
                Confirmation::Lapsed => "silent beyond its lease: it answers 503".to_owned(),
            },
        });
        let pending = receipt.pending.iter().map(|pending| ReceiptRow {
            id: pending.replica.clone(),
            address: if manages { pending.address.clone() } else { String::new() },
            state: Badge::new("waiting", "not confirmed"),
            how: format!("last heard of {} ago", term::shown(pending.silent)),
        });
        let done = receipt.is_complete();
        let note = if done {
            "Every replica forwards nothing by an older revision."
        } else {
            "A replica that cannot be reached serves what it knows until its lease is over, unless it is set to serve on."
        };
        Self {
            revision: receipt.revision,
            state: if done { Badge::new("ok", "in force") } else { Badge::new("waiting", "not confirmed") },
            sentence: receipt.to_string(),
            note,
            confirmed: receipt.confirmed.len(),
            total: receipt.confirmed.len() + receipt.pending.len(),
            done,
            replicas: confirmed.chain(pending).collect(),
        }
    }
}
