//! What is done with organizations: create.

use super::{
    actor::Action,
    administration::{AdminError, Administration, Changed},
    record_check::{demand_new_id, problems_of_organizations},
};
use crate::{keys::record::Organization, store::contract::Committed};

/// Adds an organization. The first one may leave its projects undeclared.
///
/// # Errors
/// Where the id is taken, it contradicts other records, whoever asks may not, or it could not be written; then nothing
/// was changed.
pub async fn create(administration: &Administration, new: &Organization) -> Result<Committed, AdminError> {
    let mut work = administration.change().await?;
    work.demand(Action::ManageOrganizations, &new.id)?;
    if work.organizations.iter().any(|known| known.id == new.id) {
        return Err(AdminError::refused(format!(
            "organization {}: this id is taken already; ids are unique",
            new.id
        )));
    }
    demand_new_id("id", new.id.as_str())?;
    new.projects.iter().flatten().try_for_each(|project| demand_new_id("projects", project))?;
    work.organizations.push(new.clone());
    let problems = problems_of_organizations(&work, &administration.rules_for([]));
    if !problems.is_empty() {
        return Err(AdminError::Refused(problems));
    }
    work.transaction.put_organization(new).await?;
    work.commit("organizations create", &[Changed::new("organization", &new.id, "created").within(&new.id)])
        .await
}
