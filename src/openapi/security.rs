//! `security` and `x-keygate-scope`: what an operation says it needs.

use super::{DeclaredAccess, reader::Found};
use crate::yaml::{Node, Shape};

/// The extension that names scopes of the gateway, on an operation or a path.
pub(super) const SCOPE_EXTENSION: &str = "x-keygate-scope";

/// Stands for no scope in the extension.
const PUBLIC: &str = "public";

/// The access that `x-keygate-scope` of `node` names, if it stands there.
pub(super) fn extension(node: Node<'_>, found: &mut Found) -> Option<DeclaredAccess> {
    let value = node.get(SCOPE_EXTENSION)?;
    let names: Option<Vec<String>> = match value.text() {
        Some(name) => Some(vec![name.to_owned()]),
        None => value.items().map(|item| item.text().map(str::to_owned)).collect(),
    };
    let is_name = |name: &String| {
        (1..=64).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
    };
    match names {
        Some(names) if names == [PUBLIC] => Some(DeclaredAccess::Public),
        Some(names) if !names.is_empty() && names.iter().all(is_name) => Some(DeclaredAccess::Scopes(names)),
        Some(_) | None => {
            found.wrong(
                value,
                "x-keygate-scope names no scope",
                "write a scope such as read, a list of them, or public",
            );
            None
        }
    }
}

/// The access that the requirements `security` name, by the schemes of `root`. They are alternatives; within one,
/// everything is needed.
pub(super) fn requirements(security: Node<'_>, root: Node<'_>, found: &mut Found) -> DeclaredAccess {
    if !matches!(security.shape(), Shape::Sequence { .. }) {
        found.wrong(security, "security is no list", "write security: [{SCHEME: []}], or [] for none");
        return DeclaredAccess::Unsaid;
    }
    let schemes = root.get("components").and_then(|components| components.get("securitySchemes"));
    let (mut any, mut none) = (false, false);
    let mut scopes: Option<Vec<String>> = None;
    for requirement in security.items() {
        if !matches!(requirement.shape(), Shape::Mapping { .. }) {
            found.wrong(requirement, "a security requirement is no mapping", "write {SCHEME: []}");
            continue;
        }
        any = true;
        let mut needed = Vec::new();
        for (name, values) in requirement.entries() {
            let known = name.text().and_then(|name| schemes?.get(name));
            if known.is_none() {
                found.wrong(
                    name,
                    "the security scheme is not defined",
                    "define it in components.securitySchemes, or correct the name",
                );
            }
            let is_oauth = known.is_some_and(|scheme| {
                matches!(scheme.get("type").and_then(Node::text), Some("oauth2" | "openIdConnect"))
            });
            needed.extend(values.items().filter_map(Node::text).filter(|_| is_oauth).map(str::to_owned));
        }
        none |= requirement.entries().next().is_none();
        // Of alternatives the first one that names scopes is taken.
        if scopes.is_none() && !needed.is_empty() {
            scopes = Some(needed);
        }
    }
    match (any, none, scopes) {
        (false, ..) => DeclaredAccess::Public,
        (true, true, _) => DeclaredAccess::Optional,
        (true, false, Some(scopes)) => DeclaredAccess::OauthScopes(scopes),
        (true, false, None) => DeclaredAccess::Unsaid,
    }
}
