//! A document as a tree that remembers where everything stood.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use super::problem::Place;
use super::scalar::{self, Value};

/// How a scalar was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Style {
    /// Without quotes: its meaning is inferred.
    Plain,
    /// `'…'`
    SingleQuoted,
    /// `"…"`
    DoubleQuoted,
    /// `|`
    Literal,
    /// `>`
    Folded,
}

/// What a node is and how it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// A single value.
    Scalar(Style),
    /// A list.
    Sequence {
        /// In brackets, not on lines of its own.
        flow: bool,
    },
    /// Keys with values.
    Mapping {
        /// In braces, not on lines of its own.
        flow: bool,
    },
}

impl Shape {
    /// Whether this is a container in brackets or braces.
    pub fn is_flow(self) -> bool {
        match self {
            Self::Sequence { flow } | Self::Mapping { flow } => flow,
            Self::Scalar(_) => false,
        }
    }
}

/// Where the content of a scalar is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content {
    /// Not a scalar.
    None,
    /// In the text, without its quotes.
    Verbatim,
    /// Unescaped or folded, in [`Document::owned`].
    Owned(u32),
    /// Interpolated, in [`Document::owned`]: perhaps a secret.
    Interpolated(u32),
}

/// A node, in 36 bytes. Nodes stand in document order, a container before its children, so a subtree is a range.
#[derive(Debug, Clone, Copy)]
pub(super) struct Raw {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) place: Place,
    /// The node after this one's subtree.
    pub(super) next: u32,
    pub(super) shape: Shape,
    pub(super) content: Content,
}

/// A parsed document. Scalars that stand in the text as they mean are not copied.
pub struct Document<'t> {
    pub(super) text: Cow<'t, str>,
    pub(super) nodes: Vec<Raw>,
    pub(super) owned: Vec<Box<str>>,
}

impl fmt::Debug for Document<'_> {
    /// Sizes only: the content may be secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Document({} bytes, {} nodes)", self.text.len(), self.nodes.len())
    }
}

impl Document<'_> {
    /// The document with a text of its own.
    pub(super) fn into_owned(self) -> Document<'static> {
        Document { text: Cow::Owned(self.text.into_owned()), nodes: self.nodes, owned: self.owned }
    }

    /// The topmost node.
    pub fn root(&self) -> Node<'_> {
        Node { document: self, id: 0 }
    }
}

/// One node of a document.
#[derive(Clone, Copy)]
pub struct Node<'d> {
    pub(super) document: &'d Document<'d>,
    pub(super) id: u32,
}

impl fmt::Debug for Node<'_> {
    /// Shape and place only: the content may be secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} at {}", self.shape(), self.place())
    }
}

impl<'d> Node<'d> {
    pub(super) fn raw(self) -> &'d Raw {
        &self.document.nodes[self.id as usize]
    }

    /// Where the node begins.
    pub fn place(self) -> Place {
        self.raw().place
    }

    /// The bytes the node takes in the text that was parsed, counted after a byte order mark; quotes, brackets and
    /// the header of a block scalar are part of it. A value that is not there has an empty range after its `:` or `-`.
    pub fn span(self) -> Range<usize> {
        self.raw().start as usize..self.raw().end as usize
    }

    /// What the node is and how it was written.
    pub fn shape(self) -> Shape {
        self.raw().shape
    }

    /// The content of a scalar, unescaped, folded and interpolated; `None` for a container.
    pub fn text(self) -> Option<&'d str> {
        let raw = self.raw();
        match raw.content {
            Content::None => None,
            Content::Verbatim => {
                let quote =
                    u32::from(matches!(raw.shape, Shape::Scalar(Style::SingleQuoted | Style::DoubleQuoted)));
                Some(&self.document.text[(raw.start + quote) as usize..(raw.end - quote) as usize])
            }
            Content::Owned(index) | Content::Interpolated(index) => {
                Some(&self.document.owned[index as usize])
            }
        }
    }

    /// What a scalar means; `None` for a container. Everything but a plain scalar is text.
    pub fn value(self) -> Option<Value<'d>> {
        let text = self.text()?;
        match self.shape() {
            Shape::Scalar(Style::Plain) => Some(scalar::resolve(text)),
            Shape::Scalar(_) | Shape::Sequence { .. } | Shape::Mapping { .. } => Some(Value::Text(text)),
        }
    }

    /// Whether the node is a scalar that came from interpolation, so that its content must not be shown.
    pub fn is_interpolated(self) -> bool {
        matches!(self.raw().content, Content::Interpolated(_))
    }

    /// Whether anything in this node, itself included, came from interpolation.
    pub(super) fn holds_interpolated(self) -> bool {
        let subtree = &self.document.nodes[self.id as usize..self.raw().next as usize];
        subtree.iter().any(|raw| matches!(raw.content, Content::Interpolated(_)))
    }

    /// Whether the node is a plain `null`, `~` or nothing.
    pub fn is_null(self) -> bool {
        matches!(self.value(), Some(Value::Null))
    }

    /// The items of a sequence; nothing for any other node.
    pub fn items(self) -> impl Iterator<Item = Node<'d>> {
        let sequence = matches!(self.shape(), Shape::Sequence { .. });
        self.children().filter(move |_| sequence)
    }

    /// The keys and values of a mapping, in order; nothing for any other node.
    pub fn entries(self) -> impl Iterator<Item = (Node<'d>, Node<'d>)> {
        let mapping = matches!(self.shape(), Shape::Mapping { .. });
        let mut children = self.children().filter(move |_| mapping);
        std::iter::from_fn(move || Some((children.next()?, children.next()?)))
    }

    /// The value under `key`; `None` if this is no mapping or has no such key. Cost: linear in the entries.
    pub fn get(self, key: &str) -> Option<Node<'d>> {
        self.entries().find(|(name, _)| name.text() == Some(key)).map(|(_, value)| value)
    }

    /// Items, or keys and values in turn.
    pub(super) fn children(self) -> Children<'d> {
        let end = self.raw().next;
        Children { document: self.document, next: self.id + 1, end }
    }
}

/// The children of one node, in order.
#[derive(Debug, Clone)]
pub(super) struct Children<'d> {
    document: &'d Document<'d>,
    next: u32,
    end: u32,
}

impl<'d> Iterator for Children<'d> {
    type Item = Node<'d>;

    fn next(&mut self) -> Option<Node<'d>> {
        if self.next >= self.end {
            return None;
        }
        let node = Node { document: self.document, id: self.next };
        self.next = node.raw().next;
        Some(node)
    }
}
