//! Keys that carry `keygate:manage` without effect: the admin API takes those of owners and admins alone.

use std::collections::HashMap;

use crate::{
    cli::{deployment::Deployment, finding::Finding},
    keys::record::{KeyRecord, PersonId},
    policy::{principal::Role, scope::MANAGE},
    yaml::Problem,
};

/// A warning for each such key of the key files.
pub(super) fn without_effect(deployment: &Deployment) -> Vec<Finding> {
    let files = &deployment.key_files;
    let people = files.iter().flat_map(|file| &file.people);
    let roles: HashMap<&PersonId, Role> = people.map(|person| (&person.id, person.role)).collect();
    let doubt = |key: &KeyRecord| {
        let id = key.id.as_str();
        match &key.owner {
            None => Some(format!("the key {id} has no owner, so that {MANAGE} has no effect")),
            Some(owner) => roles.get(owner).filter(|role| !role.manages()).map(|role| {
                let role = role.as_str();
                format!("the key {id} belongs to {owner}, who is {role}, so that {MANAGE} has no effect")
            }),
        }
    };
    let mut found = Vec::new();
    for file in files {
        for (at, key) in file.keys.iter().enumerate() {
            let Some(message) = Some(key).filter(|key| key.is_granted(MANAGE)).and_then(doubt) else {
                continue;
            };
            let place = file.key_place(at).unwrap_or_default();
            let remedy = "leave the scope out, or give the key to an owner or admin";
            found.push(Finding::of_yaml(&file.path, &Problem::new(place, message, remedy)));
        }
    }
    found
}
