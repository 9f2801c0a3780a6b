//! What was changed, by whom: for operators, since records of every organization stand in one trail.

use super::{
    actor::Actor,
    administration::{AdminError, Administration},
};
use crate::store::contract::{AuditFilter, AuditPage};

/// A page of the changes that `filter` asks for.
///
/// # Errors
/// Where the store cannot be read, keeps no trail, or whoever asks is no operator.
pub async fn page(administration: &Administration, filter: &AuditFilter) -> Result<AuditPage, AdminError> {
    match &administration.actor {
        Actor::Operator(_) | Actor::FirstOwnerLink => Ok(administration.store().audit(filter).await?),
        Actor::Person(id) | Actor::Key(id, _) => Err(AdminError::Forbidden(format!(
            "{id} may not see the audit trail; operators may, without --as"
        ))),
    }
}
