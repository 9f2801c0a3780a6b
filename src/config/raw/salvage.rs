//! What of a wrong file can still be checked, so that one run tells as much as it can.
//!
//! Each section, listener, upstream and route that decodes is kept. What stands for the others is neutral and has no
//! place, so that whatever is found wrong with it can be told from what is really there.

use serde::de::DeserializeOwned;

use super::{
    File, Keys, RoleCaps,
    scalar::Version,
    text::{Switch, Text},
    upstream::Upstream,
};
use crate::yaml::{Field, Map, Node, OneOrMany, decode_node};

/// The sound parts of the file whose topmost node is `root`.
pub(in crate::config) fn salvage(root: Node<'_>) -> File {
    File {
        version: Field::unplaced(Text(Version)),
        listen: Field::unplaced(one_or_many(root, "listen")),
        doors: section(root, "doors"),
        health: switch(root, "health"),
        admin: switch(root, "admin"),
        revocation_by_possession: section(root, "revocation_by_possession"),
        upstreams: Field::unplaced(upstreams(root)),
        keys: section(root, "keys").unwrap_or_else(|| Field::unplaced(Keys::default())),
        state: section(root, "state"),
        key_format: section(root, "key_format"),
        routes: Field::unplaced(items(root, "routes")),
        credential: section(root, "credential"),
        scopes: or_neutral(root, "scopes", Map::default),
        role_caps: or_neutral(root, "role_caps", RoleCaps::default),
        limits: section(root, "limits"),
        errors: section(root, "errors"),
        insufficient_scope: section(root, "insufficient_scope"),
        cors: section(root, "cors"),
        identity_headers: section(root, "identity_headers"),
        assertion: section(root, "assertion"),
        forward_headers: one_or_many(root, "forward_headers"),
        access_log: section(root, "access_log"),
        tracing: section(root, "tracing"),
        shutdown: section(root, "shutdown"),
        streams: section(root, "streams"),
        staleness: section(root, "staleness"),
        key_creation: section(root, "key_creation"),
        poll: section(root, "poll"),
        strict_permissions: section(root, "strict_permissions"),
        workers: section(root, "workers"),
    }
}

fn section<T: DeserializeOwned>(root: Node<'_>, name: &str) -> Option<T> {
    root.get(name).filter(|node| !node.is_null()).and_then(|node| decode_node(node).ok())
}

fn switch<T: DeserializeOwned>(root: Node<'_>, name: &str) -> Switch<T> {
    root.get(name).and_then(|node| decode_node(node).ok()).unwrap_or_default()
}

/// The section, absent if it is, or `neutral` where its default would make others wrong.
fn or_neutral<T: DeserializeOwned>(root: Node<'_>, name: &str, neutral: fn() -> T) -> Option<Field<T>> {
    root.get(name).filter(|node| !node.is_null())?;
    section(root, name).or_else(|| Some(Field::unplaced(neutral())))
}

/// The sound items of a list.
fn items<T: DeserializeOwned>(root: Node<'_>, name: &str) -> Vec<Field<T>> {
    root.get(name).into_iter().flat_map(Node::items).filter_map(|item| decode_node(item).ok()).collect()
}

/// The sound items of a list, or what stands in place of one.
fn one_or_many<T: DeserializeOwned>(root: Node<'_>, name: &str) -> OneOrMany<T> {
    match section(root, name) {
        Some(single) => OneOrMany { items: vec![single] },
        None => OneOrMany { items: items(root, name) },
    }
}

/// All upstreams by name, since routes name wrong ones too.
fn upstreams(root: Node<'_>) -> Map<Field<Upstream>> {
    let entries = root.get("upstreams").into_iter().flat_map(Node::entries);
    let named = entries.map(|(name, upstream)| {
        let text = || Field::unplaced(name.text().unwrap_or_default().to_owned());
        let upstream = decode_node(upstream).unwrap_or_else(|_| Field::unplaced(Upstream::default()));
        (decode_node(name).unwrap_or_else(|_| text()), upstream)
    });
    Map { entries: named.collect() }
}
