//! Records as they are written into key files.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    keys::record::{KeyRecord, Name, Organization, OrganizationId, Person, PersonId, PlanName},
    policy::project::ProjectSet,
    yaml::edit::NewValue,
};

/// A key with its fields in the order of the examples; `expires_at` last, so that a file with `count` that is cut
/// short shows it.
pub fn key(key: &KeyRecord) -> NewValue {
    let mut fields = Fields::default();
    fields.text("id", key.id.as_str());
    fields.optional("name", key.name.as_ref().map(Name::as_str));
    if !key.labels.is_empty() {
        fields.put("labels", labels(&key.labels));
    }
    fields.optional("owner", key.owner.as_ref().map(PersonId::as_str));
    fields.optional("organization", key.organization.as_ref().map(OrganizationId::as_str));
    fields.text("hash", &key.digest.to_text());
    if let Some(previous) = &key.previous {
        fields.text("previous_hash", &previous.digest.to_text());
        fields.text("previous_until", &instant(previous.until));
    }
    fields.optional("prefix", key.prefix.as_ref().map(Name::as_str));
    fields.put("scopes", NewValue::strings(&key.scopes));
    fields.put("projects", projects(&key.projects));
    if !key.addresses.is_empty() {
        fields.put("addresses", NewValue::strings(key.addresses.iter().map(ToString::to_string)));
    }
    fields.optional("plan", key.plan.as_ref().map(PlanName::as_str));
    fields.optional("created_at", key.created_at.map(instant).as_deref());
    fields.optional("not_before", key.not_before.map(instant).as_deref());
    if let Some(revoked) = &key.revoked {
        fields.text("revoked_at", &instant(revoked.at));
        fields.optional("revoked_by", revoked.by.as_ref().map(Name::as_str));
        fields.optional("revoked_reason", revoked.reason.as_ref().map(Name::as_str));
    }
    fields.text("expires_at", &expiry(key.expires_at));
    NewValue::Map(fields.0)
}

/// A person.
pub fn person(person: &Person) -> NewValue {
    let mut fields = Fields::default();
    fields.text("id", person.id.as_str());
    fields.text("email", person.email.as_str());
    fields.optional("name", person.name.as_ref().map(Name::as_str));
    fields.optional("organization", person.organization.as_ref().map(OrganizationId::as_str));
    fields.text("role", person.role.as_str());
    fields.put("projects", projects(&person.projects));
    if person.disabled {
        fields.put("disabled", NewValue::Bool(true));
    }
    NewValue::Map(fields.0)
}

/// An organization.
pub fn organization(organization: &Organization) -> NewValue {
    let mut fields = Fields::default();
    fields.text("id", organization.id.as_str());
    fields.optional("name", organization.name.as_ref().map(Name::as_str));
    if let Some(projects) = &organization.projects {
        fields.put("projects", NewValue::strings(projects));
    }
    NewValue::Map(fields.0)
}

/// `all` or a list.
pub fn projects(projects: &ProjectSet) -> NewValue {
    match projects {
        ProjectSet::All => "all".into(),
        ProjectSet::Only(ids) => NewValue::strings(ids.iter().map(ToString::to_string)),
    }
}

/// Labels.
pub(super) fn labels(labels: &BTreeMap<Name, Name>) -> NewValue {
    let label = |(name, value): (&Name, &Name)| (name.to_string(), NewValue::Str(value.to_string()));
    NewValue::Map(labels.iter().map(label).collect())
}

/// A date, or `never`.
pub fn expiry(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "never".to_owned(), instant)
}

/// An instant in UTC, as RFC 3339 §5.6 has it.
pub fn instant(at: Timestamp) -> String {
    at.to_string()
}

#[derive(Default)]
struct Fields(Vec<(String, NewValue)>);

impl Fields {
    fn put(&mut self, name: &str, value: NewValue) {
        self.0.push((name.to_owned(), value));
    }

    fn text(&mut self, name: &str, text: &str) {
        self.put(name, text.into());
    }

    fn optional(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }
}
