//! A trie over path segments.

use arrayvec::ArrayVec;

use super::{LeafIndex, PARAMETERS_MAX, pattern::Segment};

/// Where each `{name}` segment stands: start and end in bytes.
pub(super) type Captures = ArrayVec<(u16, u16), PARAMETERS_MAX>;

/// A trie over the segments of paths: literal beats `{name}` beats `{*rest}`, with backtracking. A node stands at one
/// depth and is entered at most once per walk, so a walk never takes longer than there are nodes.
#[derive(Debug, Default)]
pub(super) struct Trie {
    pub(super) nodes: Vec<Node>,
}

#[derive(Debug, Default)]
pub(super) struct Node {
    /// Sorted by text.
    literals: Vec<(Box<[u8]>, usize)>,
    /// Lower case, sorted: children of routes with `case: ignore`.
    caseless: Vec<(Box<[u8]>, usize)>,
    parameter: Option<usize>,
    here: Option<LeafIndex>,
    rest: Option<LeafIndex>,
}

pub(super) struct Walked {
    pub(super) leaf: LeafIndex,
    pub(super) captures: Captures,
    pub(super) tail_start: Option<usize>,
}

impl Trie {
    pub(super) fn walk(&self, path: &[u8]) -> Option<Walked> {
        let mut captures = Captures::new();
        let root = self.nodes.first()?;
        self.descend(root, path, Some(1), &mut captures).map(|(leaf, tail_start)| Walked {
            leaf,
            captures,
            tail_start,
        })
    }

    /// Walks on from `node` with the path's segments from byte `at`, `None` when none is left.
    fn descend(
        &self,
        node: &Node,
        path: &[u8],
        at: Option<usize>,
        captures: &mut Captures,
    ) -> Option<(LeafIndex, Option<usize>)> {
        let Some(start) = at else {
            return node.here.map(|leaf| (leaf, None)).or(node.rest.map(|leaf| (leaf, Some(path.len()))));
        };
        let end = memchr::memchr(b'/', &path[start..]).map_or(path.len(), |length| start + length);
        let next = (end < path.len()).then_some(end + 1);
        let segment = &path[start..end];
        if let Some(child) = node.literal(segment)
            && let Some(found) = self.descend(&self.nodes[child], path, next, captures)
        {
            return Some(found);
        }
        if let Some(child) = node.caseless(segment)
            && let Some(found) = self.descend(&self.nodes[child], path, next, captures)
        {
            return Some(found);
        }
        if let Some(child) = node.parameter
            && !segment.is_empty()
            && let (Ok(from), Ok(to)) = (u16::try_from(start), u16::try_from(end))
            && captures.try_push((from, to)).is_ok()
        {
            if let Some(found) = self.descend(&self.nodes[child], path, next, captures) {
                return Some(found);
            }
            captures.pop();
        }
        node.rest.map(|leaf| (leaf, Some(start)))
    }

    /// The node that `segments` lead to, made where it does not exist.
    pub(super) fn node_for(&mut self, segments: &[Segment], ignore_case: bool) -> usize {
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        let mut at = 0;
        for segment in segments {
            let child = match segment {
                Segment::Literal(text) if ignore_case => self.nodes[at].caseless(text),
                Segment::Literal(text) => self.nodes[at].literal(text),
                Segment::Parameter(_) => self.nodes[at].parameter,
                Segment::Rest => Some(at),
            };
            at = child.unwrap_or_else(|| self.add_child(at, segment, ignore_case));
        }
        at
    }

    fn add_child(&mut self, parent: usize, segment: &Segment, ignore_case: bool) -> usize {
        let child = self.nodes.len();
        self.nodes.push(Node::default());
        let node = &mut self.nodes[parent];
        match segment {
            Segment::Literal(text) if ignore_case => {
                insert_sorted(&mut node.caseless, text.to_ascii_lowercase().into(), child);
            }
            Segment::Literal(text) => insert_sorted(&mut node.literals, text.clone().into(), child),
            Segment::Parameter(_) => node.parameter = Some(child),
            Segment::Rest => {}
        }
        child
    }
}

fn insert_sorted(children: &mut Vec<(Box<[u8]>, usize)>, text: Box<[u8]>, child: usize) {
    let at = children.partition_point(|(known, _)| *known < text);
    children.insert(at, (text, child));
}

impl Node {
    fn literal(&self, segment: &[u8]) -> Option<usize> {
        let at = self.literals.binary_search_by(|(text, _)| (**text).cmp(segment)).ok()?;
        Some(self.literals[at].1)
    }

    fn caseless(&self, segment: &[u8]) -> Option<usize> {
        if self.caseless.is_empty() {
            return None;
        }
        let lower = segment.iter().map(u8::to_ascii_lowercase);
        let at = self.caseless.binary_search_by(|(text, _)| text.iter().copied().cmp(lower.clone())).ok()?;
        Some(self.caseless[at].1)
    }

    pub(super) fn slot(&mut self, is_rest: bool) -> &mut Option<LeafIndex> {
        if is_rest { &mut self.rest } else { &mut self.here }
    }
}
