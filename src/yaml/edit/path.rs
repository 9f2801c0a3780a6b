//! Where in a document an edit goes.

use super::EditError;
use crate::yaml::document::{Node, Shape};
use crate::yaml::problem;

/// One step from a container to something in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// The value under this key of a mapping.
    Key(&'a str),
    /// The item at this position of a list, from 0.
    Index(usize),
    /// The one item of a list in which `key` has the text `is`.
    Where {
        /// A key of the item.
        key: &'a str,
        /// The text of its value.
        is: &'a str,
    },
}

/// How a node hangs on its parent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Slot<'d> {
    Root,
    Item { sequence: Node<'d> },
    Entry { mapping: Node<'d>, key: Node<'d> },
}

/// A node and the way to it.
#[derive(Debug, Clone)]
pub(super) struct Target<'d> {
    pub(super) node: Node<'d>,
    pub(super) slot: Slot<'d>,
    /// The slot of the parent.
    above: Option<Slot<'d>>,
    /// The position in each container on the way.
    pub(super) indices: Vec<usize>,
}

impl Target<'_> {
    /// The container that the node is in.
    pub(super) fn parent(&self) -> Option<Self> {
        let node = match self.slot {
            Slot::Root => return None,
            Slot::Item { sequence } => sequence,
            Slot::Entry { mapping, .. } => mapping,
        };
        let (_, indices) = self.indices.split_last()?;
        Some(Self { node, slot: self.above?, above: None, indices: indices.to_vec() })
    }

    /// Whether the node stands inside brackets or braces.
    pub(super) fn in_flow(&self) -> bool {
        match self.slot {
            Slot::Root => false,
            Slot::Item { sequence: parent } | Slot::Entry { mapping: parent, .. } => parent.shape().is_flow(),
        }
    }
}

/// What a path leads to.
#[derive(Debug)]
pub(super) enum Found<'d, 'p> {
    Node(Target<'d>),
    /// A mapping (or null) that lacks the last key.
    Missing(Target<'d>, &'p str),
}

/// Follows `path` from `root`.
pub(super) fn locate<'d, 'p>(root: Node<'d>, path: &[Step<'p>]) -> Result<Found<'d, 'p>, EditError> {
    let mut target = Target { node: root, slot: Slot::Root, above: None, indices: Vec::new() };
    for (count, step) in path.iter().enumerate() {
        let not_found = || EditError::NotFound(shown(&path[..=count]));
        let node = target.node;
        let (index, child, slot) = match *step {
            Step::Key(name) => {
                let mapping = matches!(node.shape(), Shape::Mapping { .. });
                let entry = node.entries().enumerate().find(|(_, (key, _))| key.text() == Some(name));
                match entry {
                    Some((index, (key, value))) => (index, value, Slot::Entry { mapping: node, key }),
                    None if count + 1 == path.len() && (mapping || node.is_null()) => {
                        return Ok(Found::Missing(target, name));
                    }
                    None => return Err(not_found()),
                }
            }
            Step::Index(index) => {
                let item = node.items().nth(index).ok_or_else(not_found)?;
                (index, item, Slot::Item { sequence: node })
            }
            Step::Where { key, is } => {
                let mut fitting = node
                    .items()
                    .enumerate()
                    .filter(|(_, item)| item.get(key).is_some_and(|value| value.text() == Some(is)));
                let (index, item) = fitting.next().ok_or_else(not_found)?;
                if fitting.next().is_some() {
                    return Err(EditError::Ambiguous(shown(&path[..=count])));
                }
                (index, item, Slot::Item { sequence: node })
            }
        };
        target.above = Some(target.slot);
        target.node = child;
        target.slot = slot;
        target.indices.push(index);
    }
    Ok(Found::Node(target))
}

/// A path as a user reads it: `keys[id=a].name`.
pub(super) fn shown(path: &[Step<'_>]) -> String {
    let steps: String = path
        .iter()
        .map(|step| match step {
            Step::Key(key) => format!(".{key}"),
            Step::Index(index) => format!("[{index}]"),
            Step::Where { key, is } => format!("[{key}={is}]"),
        })
        .collect();
    if steps.is_empty() { "the document".into() } else { problem::shown(steps.trim_start_matches('.')) }
}
