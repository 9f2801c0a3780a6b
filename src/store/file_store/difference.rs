//! What has to be written into a key file so that a record becomes another: field by field, the rest stays.

use std::{path::Path, sync::Arc};

use similar::{ChangeTag, TextDiff};

use crate::{
    keys::record::{KeyRecord, Organization, Person, Revocation},
    store::{
        contract::Patch,
        record_yaml::{self, instant},
    },
    yaml::edit::NewValue,
};

/// A field and its new value; `None`: it goes.
pub(super) type FieldChange = (&'static str, Option<NewValue>);

/// How `after` differs from `before`.
pub(super) fn of_people(before: &Person, after: &Person) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    if before.role != after.role {
        changes.push(("role", Some(after.role.as_str().into())));
    }
    if before.projects != after.projects {
        changes.push(("projects", Some(record_yaml::projects(&after.projects))));
    }
    if before.email != after.email {
        changes.push(("email", Some(after.email.as_str().into())));
    }
    if before.name != after.name {
        changes.push(("name", after.name.as_ref().map(text)));
    }
    if before.organization != after.organization {
        changes.push(("organization", after.organization.as_ref().map(text)));
    }
    if before.disabled != after.disabled {
        changes.push(("disabled", Some(NewValue::Bool(after.disabled))));
    }
    changes
}

/// How `after` differs from `before`.
pub(super) fn of_keys(before: &KeyRecord, after: &KeyRecord) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    if before.name != after.name {
        changes.push(("name", after.name.as_ref().map(text)));
    }
    if before.labels != after.labels {
        let labels = Some(&after.labels).filter(|labels| !labels.is_empty());
        changes.push(("labels", labels.map(record_yaml::labels)));
    }
    if before.owner != after.owner {
        changes.push(("owner", after.owner.as_ref().map(text)));
    }
    if before.organization != after.organization {
        changes.push(("organization", after.organization.as_ref().map(text)));
    }
    if before.previous != after.previous {
        let previous = after.previous.as_ref();
        changes.push(("previous_hash", previous.map(|previous| previous.digest.to_text().as_str().into())));
        changes.push(("previous_until", previous.map(|previous| instant(previous.until).as_str().into())));
    }
    if before.digest != after.digest {
        changes.push(("hash", Some(after.digest.to_text().as_str().into())));
    }
    if before.prefix != after.prefix {
        changes.push(("prefix", after.prefix.as_ref().map(text)));
    }
    if before.scopes != after.scopes {
        changes.push(("scopes", Some(NewValue::strings(&after.scopes))));
    }
    if before.projects != after.projects {
        changes.push(("projects", Some(record_yaml::projects(&after.projects))));
    }
    if before.addresses != after.addresses {
        let networks = NewValue::strings(after.addresses.iter().map(ToString::to_string));
        changes.push(("addresses", Some(networks).filter(|_| !after.addresses.is_empty())));
    }
    if before.plan != after.plan {
        changes.push(("plan", after.plan.as_ref().map(text)));
    }
    if before.created_at != after.created_at {
        changes.push(("created_at", after.created_at.map(|at| instant(at).as_str().into())));
    }
    if before.not_before != after.not_before {
        changes.push(("not_before", after.not_before.map(|at| instant(at).as_str().into())));
    }
    if let Some(revocation) = after.revoked.as_ref().filter(|_| before.revoked.is_none()) {
        changes.extend(revoked(revocation));
    }
    if before.expires_at != after.expires_at {
        changes.push(("expires_at", Some(record_yaml::expiry(after.expires_at).as_str().into())));
    }
    changes
}

/// The fields of a revocation.
pub(super) fn revoked(revocation: &Revocation) -> impl Iterator<Item = FieldChange> {
    let fields = [
        ("revoked_at", Some(instant(revocation.at).as_str().into())),
        ("revoked_by", revocation.by.as_ref().map(text)),
        ("revoked_reason", revocation.reason.as_ref().map(text)),
    ];
    fields.into_iter().filter(|(_, value)| value.is_some())
}

/// What becomes of the projects that an organization declares.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ProjectsChange {
    /// They stay.
    None,
    /// These positions go, then these are added at the end.
    Edit { removed: Vec<usize>, added: Vec<String> },
    /// The list is another.
    Set(Option<Vec<String>>),
}

/// How the projects of `after` differ from those of `before`.
pub(super) fn of_projects(before: &Organization, after: &Organization) -> ProjectsChange {
    let (Some(old), Some(new)) = (&before.projects, &after.projects) else {
        if before.projects == after.projects {
            return ProjectsChange::None;
        }
        return ProjectsChange::Set(after.projects.clone());
    };
    if old == new {
        return ProjectsChange::None;
    }
    let (kept, removed): (Vec<usize>, Vec<usize>) = (0..old.len()).partition(|at| new.contains(&old[*at]));
    let begins_so = kept.len() <= new.len() && kept.iter().zip(new).all(|(at, id)| old[*at] == *id);
    if begins_so {
        ProjectsChange::Edit { removed, added: new[kept.len()..].to_vec() }
    } else {
        ProjectsChange::Set(Some(new.clone()))
    }
}

fn text(value: &impl ToString) -> NewValue {
    NewValue::Str(value.to_string())
}

/// The change of the file `path`, for whoever has to make it, since `why`.
pub(super) fn patch(path: &Arc<Path>, why: String, is_new: bool, before: &[u8], after: &str) -> Patch {
    let before = String::from_utf8_lossy(before);
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let old = if is_new { "/dev/null".to_owned() } else { format!("a/{name}") };
    let new = format!("b/{name}");
    let diff = TextDiff::from_lines(&*before, after);
    let added = diff.iter_all_changes().filter(|change| change.tag() == ChangeTag::Insert);
    Patch {
        path: Arc::clone(path),
        why,
        lines: added.map(|change| change.value()).collect(),
        diff: diff.unified_diff().context_radius(3).header(&old, &new).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projects_are_edited_in_place_where_that_says_it() {
        let organization = |projects: Option<&[&str]>| Organization {
            projects: projects.map(|ids| ids.iter().map(ToString::to_string).collect()),
            ..Organization::default()
        };
        let edit = |removed: &[usize], added: &[&str]| ProjectsChange::Edit {
            removed: removed.to_vec(),
            added: added.iter().map(ToString::to_string).collect(),
        };
        let set = |ids: Option<&[&str]>| {
            ProjectsChange::Set(ids.map(|ids| ids.iter().map(ToString::to_string).collect()))
        };
        for (before, after, expected) in [
            (None, None, ProjectsChange::None),
            (Some(&["a"][..]), Some(&["a"][..]), ProjectsChange::None),
            (None, Some(&["a"]), set(Some(&["a"]))),
            (Some(&["a"]), None, set(None)),
            (Some(&["a", "b"]), Some(&["a", "b", "c"]), edit(&[], &["c"])),
            (Some(&["a", "b", "c"]), Some(&["a", "c"]), edit(&[1], &[])),
            (Some(&["a", "b"]), Some(&["b", "c"]), edit(&[0], &["c"])),
            (Some(&["a"]), Some(&[]), edit(&[0], &[])),
            (Some(&["a", "b"]), Some(&["b", "a"]), set(Some(&["b", "a"]))),
        ] {
            assert_eq!(
                of_projects(&organization(before), &organization(after)),
                expected,
                "{before:?} {after:?}"
            );
        }
    }
}
