//! What an operator does with the projects that an organization declares.

use jiff::Timestamp;

use super::administration::{AdminError, Administration, Changed, Outcome, Records};
use crate::{
    keys::record::{Organization, OrganizationId},
    store::record_yaml,
    yaml::edit::{NewValue, Step},
};

/// A project that shall be declared.
#[derive(Debug, Clone)]
pub struct NewProject {
    /// Its id.
    pub id: String,
    /// Whose; `None`: the only organization.
    pub organization: Option<OrganizationId>,
    /// Whether an organization that declared none may begin: from then on every other id is nobody's.
    pub may_be_first: bool,
}

/// Declares a project.
///
/// # Errors
/// Where it is declared already, or would be the first unasked, or could not be written; then nothing was changed.
pub fn create(
    administration: &Administration,
    new: &NewProject,
    now: Timestamp,
) -> Result<Outcome, AdminError> {
    let mut records = administration.hold()?;
    let organization = organization(&records, new.organization.as_ref())?;
    if organization.projects.as_ref().is_some_and(|declared| declared.contains(&new.id)) {
        return Ok(Outcome::Unchanged);
    }
    if organization.projects.is_none() && !new.may_be_first {
        return Err(AdminError::refused(format!(
            "the organization {} declares no projects, so that any id is its own; once it declares one, every other id \
             is answered 404; say --first to begin",
            organization.id
        )));
    }
    let changed = [Changed::new("project", &new.id, &format!("declared by {}", organization.id))];
    let file = match records.files_with("organizations", organization.id.as_str()).first() {
        Some(file) => *file,
        None => records.file_for_new()?,
    };
    let is_written = !records.files_with("organizations", organization.id.as_str()).is_empty();
    let mut edit = records.edit(file)?;
    if is_written {
        let path = projects_of(&organization.id);
        if organization.projects.is_some() {
            edit.extend_at(&path, vec![new.id.as_str().into()])?;
        } else {
            edit.set(&path, NewValue::strings([new.id.as_str()]))?;
        }
    } else {
        let projects = Some(vec![new.id.clone()]);
        let organization = Organization { projects, ..organization };
        edit.extend("organizations", vec![record_yaml::organization(&organization)])?;
    }
    edit.commit("projects create", &changed, now)
}

/// Takes back the declaration of a project; from then on it is nobody's.
///
/// # Errors
/// Where it is not declared, or a key or person names it, or it could not be written; then nothing was changed.
pub fn remove(administration: &Administration, id: &str, now: Timestamp) -> Result<Outcome, AdminError> {
    let records = administration.hold()?;
    let declares =
        |organization: &&Organization| organization.projects.iter().flatten().any(|project| project == id);
    let Some(organization) = records.organizations().find(declares).cloned() else {
        return Err(AdminError::refused(format!(
            "no organization declares the project {id}; `keygate projects list` shows them"
        )));
    };
    let at = organization.projects.iter().flatten().position(|project| project == id).unwrap_or(0);
    let file = records.files_with("organizations", organization.id.as_str()).first().copied().unwrap_or(0);
    let mut edit = records.edit(file)?;
    let [list, item, projects] = projects_of(&organization.id);
    edit.remove(&[list, item, projects, Step::Index(at)])?;
    let what = format!("no longer declared by {}", organization.id);
    edit.commit("projects remove", &[Changed::new("project", id, &what)], now)
}

fn projects_of(organization: &OrganizationId) -> [Step<'_>; 3] {
    let item = Step::Where { key: "id", is: organization.as_str() };
    [Step::Key("organizations"), item, Step::Key("projects")]
}

/// The organization that is meant; `default` where the files name none.
fn organization(records: &Records<'_>, named: Option<&OrganizationId>) -> Result<Organization, AdminError> {
    let wrong = records.wrong();
    if !wrong.is_empty() {
        return Err(AdminError::WrongFiles(wrong));
    }
    let unnamed = Organization::default();
    if records.organizations().next().is_none() && named.is_none_or(|named| *named == unnamed.id) {
        return Ok(unnamed);
    }
    let found = records.organization(named.map(OrganizationId::as_str));
    found.cloned().ok_or_else(|| {
        AdminError::refused(match named {
            Some(id) => format!("no organization has the id {id}"),
            None => {
                "there are several organizations; name the one that is meant by --organization".to_owned()
            }
        })
    })
}
