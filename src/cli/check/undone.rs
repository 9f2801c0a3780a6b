//! Revocations that a key file takes back. A revocation is irreversible: `serve` goes on refusing what it saw revoked,
//! but a replica that never saw it would let the key in.

use std::collections::HashMap;

use crate::{
    cli::{deployment::Deployment, finding::Finding},
    keys::{digest::KeyDigest, record::KeyRecord},
};

/// The revocations of `before` that `after` takes back: of the same digest, or of a key with the same id.
pub(super) fn since(before: &Deployment, after: &Deployment) -> Vec<Finding> {
    let mut by_digest: HashMap<KeyDigest, (&KeyRecord, &std::path::Path)> = HashMap::new();
    let mut by_id = HashMap::new();
    for file in &after.key_files {
        for key in &file.keys {
            by_id.insert(key.id.as_str(), (key, &*file.path));
            by_digest.insert(key.digest, (key, &*file.path));
            by_digest.extend(key.previous.iter().map(|previous| (previous.digest, (key, &*file.path))));
        }
    }
    let revoked = before.key_files.iter().flat_map(|file| &file.keys).filter(|key| key.revoked.is_some());
    revoked
        .filter_map(|old| {
            let (new, path) = by_digest.get(&old.digest).or_else(|| by_id.get(old.id.as_str()))?;
            let at = old.revoked.as_ref()?.at;
            new.revoked.is_none().then(|| undone(path, new, at))
        })
        .collect()
}

/// The revocations that gateways saw, as the `state:` folder keeps them, and that the key files take back.
pub(super) fn since_seen(deployment: &Deployment) -> Vec<Finding> {
    let seen = match &deployment.seen {
        Ok(seen) => seen,
        Err(error) => return vec![Finding::of_state(error)],
    };
    let files = deployment.key_files.iter();
    let keys = files.flat_map(|file| file.keys.iter().map(move |key| (key, &*file.path)));
    keys.filter(|(key, _)| key.revoked.is_none())
        .filter_map(|(key, path)| seen.get(&key.digest).map(|seen| undone(path, key, seen.at)))
        .collect()
}

fn undone(path: &std::path::Path, key: &KeyRecord, at: jiff::Timestamp) -> Finding {
    let message = format!(
        "the key {} was revoked on {at}, and this file takes that back; put `revoked_at: {at}` back, and make a new key instead",
        key.id.as_str()
    );
    Finding::of_file(path, &message)
}
