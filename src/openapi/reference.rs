//! `$ref`: RFC 6901 pointers within the document; others are told and not followed.

use super::reader::Found;
use crate::yaml::{Node, Problem};

/// More references than this, one leading to the next, go in a circle.
const REFERENCES_MAX: usize = 16;

/// Where a reference leads.
#[derive(Debug, Clone, Copy)]
pub(super) enum Resolved<'d> {
    /// To a node, perhaps the one that was asked about.
    Node(Node<'d>),
    /// Out of the document.
    External,
    /// Nowhere, which was told.
    Nowhere,
}

/// What `node` is, once its references were followed.
pub(super) fn resolve<'d>(root: Node<'d>, node: Node<'d>, found: &mut Found) -> Resolved<'d> {
    let mut at = node;
    for _ in 0..REFERENCES_MAX {
        let Some(reference) = at.get("$ref") else { return Resolved::Node(at) };
        let Some(text) = reference.text() else {
            found.wrong(reference, "a $ref is no text", "write it as '#/components/parameters/NAME'");
            return Resolved::Nowhere;
        };
        let Some(pointer) = text.strip_prefix('#') else {
            found.doubt(
                reference,
                "the $ref leads out of the document, and is not followed",
                "bundle the description into one file first",
            );
            return Resolved::External;
        };
        let Some(next) = follow(root, pointer) else {
            found.wrong(reference, "the $ref leads to nothing", "correct it, or add what it names");
            return Resolved::Nowhere;
        };
        at = next;
    }
    found.problems.push(Problem::new(
        node.place(),
        "the $ref leads in a circle",
        "let it lead to a definition",
    ));
    Resolved::Nowhere
}

/// The node that the JSON pointer `pointer` (RFC 6901 §6, as a URI fragment) leads to from `root`.
fn follow<'d>(root: Node<'d>, pointer: &str) -> Option<Node<'d>> {
    if pointer.is_empty() {
        return Some(root);
    }
    pointer.strip_prefix('/')?.split('/').try_fold(root, |node, token| {
        let name = percent_decoded(token)?.replace("~1", "/").replace("~0", "~");
        match name.parse::<usize>() {
            Ok(index) if node.entries().next().is_none() => node.items().nth(index),
            Ok(_) | Err(_) => node.get(&name),
        }
    })
}

fn percent_decoded(token: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(token.len());
    let mut rest = token.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}
