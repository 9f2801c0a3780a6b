//! What an operator does with keys: create, revoke, rotate.

use std::{collections::BTreeMap, time::Duration};

use ipnet::IpNet;
use jiff::Timestamp;

use super::{
    administration::{AdminError, Administration, Changed, Outcome, Records, items_called},
    term,
};
use crate::{
    keys::{
        digest::KeyDigest,
        record::{KeyId, KeyRecord, KeyStatus, Name, OrganizationId, Person, PersonId},
        secret::{Environment, KeySecret},
    },
    policy::project::ProjectSet,
    store::record_yaml,
    yaml::{
        Node,
        edit::{NewValue, Step},
    },
};

/// The field that ends a key. It must be there, so that a file with `count:` shows where it was cut: what a key may
/// have as well stands before it.
const LAST_FIELD: &str = "expires_at";

/// A key that shall be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// For people.
    pub name: Name,
    /// For machines.
    pub labels: BTreeMap<Name, Name>,
    /// The person it belongs to.
    pub owner: Option<PersonId>,
    /// `None`: the owner's, or the only one.
    pub organization: Option<OrganizationId>,
    /// Names of scopes.
    pub scopes: Vec<String>,
    /// Projects.
    pub projects: ProjectSet,
    /// What its secret says it is for.
    pub environment: Environment,
    /// When it begins to work; `None`: at once.
    pub not_before: Option<Timestamp>,
    /// When it stops; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// Where it may be used from; none: anywhere.
    pub addresses: Vec<IpNet>,
}

/// A key and its secret, which nobody can ask for again.
#[derive(Debug)]
pub struct Issued {
    /// The key.
    pub id: KeyId,
    /// To be shown once.
    pub secret: KeySecret,
    /// What became of the change.
    pub outcome: Outcome,
}

/// Makes a key. Its secret works once the change is in force.
///
/// # Errors
/// Where the key would exceed its owner or make a wrong file, or could not be written: then there is none.
pub fn create(administration: &Administration, new: NewKey, now: Timestamp) -> Result<Issued, AdminError> {
    let mut records = administration.hold()?;
    let random = |error| AdminError::Failed(format!("the system gives no randomness: {error}"));
    let secret = KeySecret::generate(&records.rules.brand, new.environment).map_err(random)?;
    let id = KeyId::generate(now).map_err(random)?;
    let key = KeyRecord {
        id,
        name: Some(new.name),
        labels: new.labels,
        organization: new.organization,
        owner: new.owner,
        digest: KeyDigest::of(secret.expose().as_bytes()),
        previous: None,
        prefix: secret.prefix().and_then(|prefix| Name::parse(prefix).ok()),
        scopes: new.scopes,
        projects: new.projects,
        created_at: Some(term::whole_seconds(now)),
        not_before: new.not_before,
        expires_at: new.expires_at,
        addresses: new.addresses,
        revoked: None,
    };
    let excesses = excesses(&records, &key);
    if !excesses.is_empty() {
        return Err(AdminError::Refused(excesses));
    }
    let file = records.file_for_new()?;
    let mut edit = records.edit(file)?;
    edit.extend("keys", vec![record_yaml::key(&key)])?;
    let outcome = edit.commit("keys create", &[Changed::new("key", id.as_str(), &granted(&key))], now)?;
    Ok(Issued { id, secret, outcome })
}

/// What the audit log says of a new key.
pub(super) fn granted(key: &KeyRecord) -> String {
    let projects = match &key.projects {
        ProjectSet::All => "all".to_owned(),
        ProjectSet::Only(ids) => ids.join(","),
    };
    let expires = key.expires_at.map_or_else(|| "never".to_owned(), record_yaml::instant);
    let owner = key.owner.as_ref().map(|owner| format!(" owner={owner}")).unwrap_or_default();
    format!("created: scopes={} projects={projects} expires_at={expires}{owner}", key.scopes.join(","))
}

/// Why `key` may not be made: nobody can create a key that exceeds its owner.
pub(super) fn excesses(records: &Records<'_>, key: &KeyRecord) -> Vec<String> {
    let Some(owner) = records.owner(key) else { return Vec::new() };
    let mut excesses = Vec::new();
    let Person { id, role, .. } = owner;
    let (scopes, cap) = (&records.rules.scopes, records.rules.role_caps.get(*role));
    for name in &key.scopes {
        if scopes.get(name).is_some_and(|closure| !cap.contains(closure)) {
            let allowed: Vec<_> = scopes.names(cap).collect();
            excesses.push(format!(
                "the scope {name} exceeds the owner: {id} is {}, whose keys have at most {}",
                role.as_str(),
                listed(&allowed)
            ));
        }
    }
    match (&key.projects, &owner.projects) {
        (_, ProjectSet::All) => {}
        (ProjectSet::All, ProjectSet::Only(ids)) => {
            let allowed: Vec<_> = ids.iter().map(AsRef::as_ref).collect();
            excesses.push(format!("all projects exceed the owner: {id} has {}; name them", listed(&allowed)));
        }
        (ProjectSet::Only(wanted), allowed @ ProjectSet::Only(ids)) => {
            for project in wanted.iter().filter(|project| !allowed.contains(project)) {
                let allowed: Vec<_> = ids.iter().map(AsRef::as_ref).collect();
                excesses
                    .push(format!("the project {project} exceeds the owner: {id} has {}", listed(&allowed)));
            }
        }
    }
    if owner.disabled {
        excesses.push(format!("the owner {id} is disabled, so that the key would not work"));
    }
    excesses
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// A key after its revocation.
#[derive(Debug)]
pub struct Revoked {
    /// Since when it was revoked already, if it was.
    pub before: Option<String>,
    /// What became of the change.
    pub outcome: Outcome,
    /// Whether something else is wrong with the key files, so that of this change only the revocation takes effect.
    pub files_are_wrong: bool,
}

/// Revokes the key `id`, for good. A file that is wrong otherwise is no hindrance: a gateway takes revocations of
/// wrong files too.
///
/// # Errors
/// Where there is no such key, or its file cannot be read or written.
pub fn revoke(
    administration: &Administration,
    id: &KeyId,
    reason: Option<&Name>,
    now: Timestamp,
) -> Result<Revoked, AdminError> {
    let records = administration.hold()?;
    let by = records.operator().name();
    let Some(file) = records.files_with("keys", id.as_str()).first().copied() else {
        return Err(no_such_key(&records, id));
    };
    let mut edit = records.edit_wrong(file)?;
    let files_are_wrong = !edit.was_right();
    let Some(keys) = edit.root().get("keys") else { return Err(no_such_key(&edit.records, id)) };
    // A wrong file may hold the id twice: then both.
    let entries: Vec<_> = items_called(keys, id.as_str())
        .map(|(at, key)| (at, key.get("revoked_at").and_then(Node::text).map(str::to_owned)))
        .collect();
    if let Some(before) = entries.iter().map(|(_, revoked)| revoked.clone()).collect::<Option<Vec<_>>>() {
        let before = before.into_iter().next();
        return Ok(Revoked { before, outcome: Outcome::Unchanged, files_are_wrong });
    }
    let at = record_yaml::instant(term::whole_seconds(now));
    for (index, _) in entries.iter().filter(|(_, revoked)| revoked.is_none()) {
        let field = |name| [Step::Key("keys"), Step::Index(*index), Step::Key(name)];
        edit.set_before(&field("revoked_at"), at.as_str().into(), LAST_FIELD)?;
        if let Some(by) = &by {
            edit.set_before(&field("revoked_by"), by.as_str().into(), LAST_FIELD)?;
        }
        if let Some(reason) = reason {
            edit.set_before(&field("revoked_reason"), reason.as_str().into(), LAST_FIELD)?;
        }
    }
    let what = reason.map_or_else(|| "revoked".to_owned(), |reason| format!("revoked: {reason}"));
    let outcome = edit.commit("keys revoke", &[Changed::new("key", id.as_str(), &what)], now)?;
    Ok(Revoked { before: None, outcome, files_are_wrong })
}

/// A rotated key.
#[derive(Debug)]
pub struct Rotated {
    /// The key with its new secret.
    pub issued: Issued,
    /// Until when the old secret works.
    pub old_until: Timestamp,
    /// Until when the secret before that one would have worked, which this ended.
    pub ended: Option<Timestamp>,
}

/// Gives the key `id` a second secret; the one it has works on for `overlap`, but never past the key's expiry.
///
/// # Errors
/// Where there is no such key, or it is revoked or expired, or could not be written; then nothing was changed.
pub fn rotate(
    administration: &Administration,
    id: &KeyId,
    overlap: Duration,
    environment: Option<Environment>,
    now: Timestamp,
) -> Result<Rotated, AdminError> {
    let records = administration.hold()?;
    let Some(key) = records.keys().find(|key| key.id == *id).cloned() else {
        return Err(no_such_key(&records, id));
    };
    match key.status(now, None) {
        KeyStatus::Revoked => {
            return Err(AdminError::refused(format!("the key {id} is revoked; create another")));
        }
        KeyStatus::Expired => {
            return Err(AdminError::refused(format!("the key {id} is expired; create another")));
        }
        KeyStatus::Active | KeyStatus::NotYetValid | KeyStatus::OwnerDisabled => {}
    }
    let random = |error| AdminError::Failed(format!("the system gives no randomness: {error}"));
    let environment = environment.unwrap_or_else(|| environment_of(&key));
    let secret = KeySecret::generate(&records.rules.brand, environment).map_err(random)?;
    let until = term::after(now, overlap).map_err(AdminError::refused)?;
    let old_until = key.expires_at.map_or(until, |end| end.min(until));
    let file = records.files_with("keys", id.as_str()).first().copied().unwrap_or(0);
    let mut edit = records.edit(file)?;
    let field = |name| [Step::Key("keys"), Step::Where { key: "id", is: id.as_str() }, Step::Key(name)];
    let digest = KeyDigest::of(secret.expose().as_bytes()).to_text();
    edit.set_before(&field("previous_hash"), NewValue::Str(key.digest.to_text()), LAST_FIELD)?;
    edit.set_before(&field("previous_until"), NewValue::Str(record_yaml::instant(old_until)), LAST_FIELD)?;
    edit.set(&field("hash"), NewValue::Str(digest))?;
    if let Some(prefix) = secret.prefix() {
        edit.set_before(&field("prefix"), prefix.into(), LAST_FIELD)?;
    }
    let what = format!("rotated: previous_until={}", record_yaml::instant(old_until));
    let outcome = edit.commit("keys rotate", &[Changed::new("key", id.as_str(), &what)], now)?;
    let ended = key.previous.map(|previous| previous.until).filter(|until| *until > now);
    Ok(Rotated { issued: Issued { id: *id, secret, outcome }, old_until, ended })
}

/// What the prefix of its secret says a key is for.
fn environment_of(key: &KeyRecord) -> Environment {
    let is_test = key.prefix.as_ref().is_some_and(|prefix| prefix.as_str().split('_').nth(1) == Some("test"));
    if is_test { Environment::Test } else { Environment::Live }
}

/// Where no key is called `id`: the files that are wrong, for it may stand there, or that there is none.
pub fn no_such_key(records: &Records<'_>, id: &KeyId) -> AdminError {
    let wrong = records.wrong();
    if wrong.is_empty() {
        AdminError::refused(format!("no key has the id {id}; `keygate keys list` shows them"))
    } else {
        AdminError::WrongFiles(wrong)
    }
}
