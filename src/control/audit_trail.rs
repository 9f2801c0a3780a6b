//! What was changed, by whom: all of it for operators, for owners and admins that of their organization.

use super::{
    actor::{Acting, Action},
    administration::{AdminError, Administration},
};
use crate::store::contract::{AuditFilter, AuditPage};

/// A page of the changes that `filter` asks for, as far as whoever asks may see them.
///
/// # Errors
/// Where the store cannot be read, keeps no trail, or whoever asks manages nothing.
pub async fn page(administration: &Administration, filter: &AuditFilter) -> Result<AuditPage, AdminError> {
    let organization = {
        let work = administration.look().await?;
        match &work.acting {
            Acting::Operator => filter.organization.clone(),
            Acting::Person(_, own) => {
                work.demand(Action::SeeAudit, own)?;
                Some(own.clone())
            }
        }
    };
    let filter = AuditFilter { organization, ..filter.clone() };
    Ok(administration.store().audit(&filter).await?)
}
