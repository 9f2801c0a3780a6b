//! What became of a change, and where it is in force.

use std::time::Duration;

use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::paste::PasteView;
use crate::{
    control::{
        administration::{AdminError, Administration},
        local_revocation::RevokedHere,
        receipt::{self, Receipt},
        receipt_view::ReceiptView,
    },
    store::contract::Committed,
};

/// What became of a change.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct Change {
    /// Whether anything is another than before.
    pub changed: bool,
    /// The revision it is in the database as.
    pub revision: Option<u64>,
    /// Where that is in force, if it was waited for; ask `/receipts/{revision}` for more.
    pub receipt: Option<ReceiptView>,
    /// The receipt in one sentence.
    pub summary: Option<String>,
    /// Where keys are kept in files: what the file has to say too, as the change is in force in this process alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paste: Option<PasteView>,
}

impl Change {
    /// What became of `committed`, after waiting for its receipt.
    pub async fn confirmed(
        administration: &Administration,
        committed: &Committed,
        patience: Duration,
    ) -> Self {
        let change = Self::of(committed);
        let Some(database) = administration.database().filter(|_| !patience.is_zero()) else { return change };
        // Who repeats a revocation wants to know where it is in force.
        let revision = match change.revision {
            Some(revision) => Ok(revision),
            None => database.head().await.map(|head| head.revision),
        };
        let asked = match revision {
            Ok(revision) => receipt::wait(database, revision, patience).await,
            Err(error) => Err(error),
        };
        match asked {
            Ok(receipt) => change.with(&receipt),
            Err(error) => {
                tracing::warn!(%error, "a receipt could not be asked for");
                change
            }
        }
    }

    /// What became of a change that may have been made before, by the same request; then nothing is another now.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub async fn of_outcome(
        administration: &Administration,
        outcome: Result<Committed, AdminError>,
        patience: Duration,
    ) -> Result<Self, AdminError> {
        match outcome {
            Ok(committed) => Ok(Self::confirmed(administration, &committed, patience).await),
            Err(AdminError::Done(before)) => Ok(Self { revision: Some(before.revision), ..Self::default() }),
            Err(error) => Err(error),
        }
    }

    /// What became of a revocation in this process.
    pub fn here(here: &RevokedHere, changed: bool) -> Self {
        Self {
            changed,
            summary: Some(here.to_string()),
            paste: here.paste.as_ref().map(PasteView::of),
            ..Self::default()
        }
    }

    /// What became of `committed`.
    pub fn of(committed: &Committed) -> Self {
        match committed {
            Committed::Unchanged | Committed::ToCommit(_) => Self::default(),
            Committed::Revision(revision) => {
                Self { changed: true, revision: Some(*revision), ..Self::default() }
            }
            Committed::Written(_) | Committed::Unaudited(..) => Self { changed: true, ..Self::default() },
        }
    }

    fn with(self, receipt: &Receipt) -> Self {
        Self { receipt: Some(ReceiptView::new(receipt)), summary: Some(receipt.to_string()), ..self }
    }

    /// 200 where it is in force wherever it was waited for; 202 where somebody has not confirmed it.
    pub fn status(&self) -> StatusCode {
        match &self.receipt {
            Some(receipt) if !receipt.pending.is_empty() => StatusCode::ACCEPTED,
            Some(_) | None => StatusCode::OK,
        }
    }
}
