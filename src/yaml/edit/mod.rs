//! Edits that leave everything else as it was: comments, order, indentation, line endings, the last newline.
//!
//! An edit replaces one stretch of the text. The result is read again and compared with the tree before: only if
//! nothing but the intended change differs does it count.

mod layout;
mod path;
mod proof;
mod render;

use std::borrow::Cow;
use std::fmt;

use super::document::{Document, Shape};
use super::problem::Problem;
use super::read::{Limits, parse};
use layout::{Layout, Splice};
use path::{Found, Slot, Target, locate};
use proof::{Change, proves};

pub use path::Step;

/// A value to be written. Strings are quoted only where YAML needs it; control, direction and other invisible
/// characters are escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewValue {
    /// A string.
    Str(String),
    /// A whole number.
    Int(i64),
    /// `true` or `false`.
    Bool(bool),
    /// A list.
    List(Vec<NewValue>),
    /// A mapping, written in this order; its keys must differ.
    Map(Vec<(String, NewValue)>),
}

impl NewValue {
    /// A list of strings.
    pub fn strings<I: IntoIterator<Item = S>, S: Into<String>>(strings: I) -> Self {
        Self::List(strings.into_iter().map(|string| Self::Str(string.into())).collect())
    }
}

/// `value` as an item of a list that is indented by two spaces: its lines, without a line break at the end.
pub fn list_item(value: &NewValue) -> String {
    render::item(value, 2, 2, "\n")
}

impl From<&str> for NewValue {
    fn from(string: &str) -> Self {
        Self::Str(string.into())
    }
}

/// Why an edit was not made. The text is as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EditError {
    /// The text as it is cannot be read.
    Unreadable(Vec<Problem>),
    /// The path leads nowhere.
    NotFound(String),
    /// More than one item fits the path.
    Ambiguous(String),
    /// The path leads to another kind of value than the edit needs.
    WrongKind {
        /// The path.
        path: String,
        /// What would be needed there.
        needed: &'static str,
    },
    /// The text is written in a way in which no safe edit was found.
    Unsafe(String),
}

impl fmt::Display for EditError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(problems) => match problems.first() {
                Some(first) => write!(formatter, "the file cannot be read: {first}"),
                None => formatter.write_str("the file cannot be read"),
            },
            Self::NotFound(path) => write!(formatter, "there is no {path}"),
            Self::Ambiguous(path) => write!(formatter, "there is more than one {path}"),
            Self::WrongKind { path, needed } => write!(formatter, "{path} is not {needed}"),
            Self::Unsafe(path) => {
                write!(formatter, "{path} is written in a way that cannot be edited safely; edit it by hand")
            }
        }
    }
}

impl std::error::Error for EditError {}

/// A text under edit.
#[derive(Debug)]
pub struct Editor {
    document: Document<'static>,
    byte_order_mark: bool,
    limits: Limits,
}

impl Editor {
    /// Begins to edit `text`. Cost: that of [`parse`], as is that of each edit.
    ///
    /// # Errors
    /// [`EditError::Unreadable`] with all problems of the text.
    pub fn new(text: &[u8], limits: &Limits) -> Result<Self, EditError> {
        let document = parse(text, limits).map_err(EditError::Unreadable)?;
        let byte_order_mark = text.len() > document.text.len();
        Ok(Self { document: document.into_owned(), byte_order_mark, limits: *limits })
    }

    /// The document as edited so far.
    pub fn document(&self) -> &Document<'static> {
        &self.document
    }

    /// The text as edited so far, with the byte order mark it began with.
    pub fn into_text(self) -> String {
        let text = self.document.text.into_owned();
        if self.byte_order_mark { format!("\u{feff}{text}") } else { text }
    }

    /// Adds `item` at the end of the list at `path`. A list that is absent from its mapping, or null, is begun.
    ///
    /// # Errors
    /// As [`EditError`] says; then nothing changed.
    pub fn append(&mut self, path: &[Step<'_>], item: NewValue) -> Result<(), EditError> {
        self.extend(path, vec![item])
    }

    /// As [`Editor::append`], with several items at the cost of one edit. No items change nothing.
    ///
    /// # Errors
    /// As [`EditError`] says; then nothing changed.
    pub fn extend(&mut self, path: &[Step<'_>], items: Vec<NewValue>) -> Result<(), EditError> {
        if items.is_empty() {
            return Ok(());
        }
        let layout = Layout::new(&self.document.text);
        let (splices, target, change) = match locate(self.document.root(), path)? {
            Found::Missing(parent, key) => {
                let splices = layout.insert_list(&parent, key, &items);
                let end = parent.node.entries().count();
                (splices, parent, Change::Insert(end, key, NewValue::List(items)))
            }
            Found::Node(target) if target.node.is_null() => {
                (layout.begin_list(&target, &items), target, Change::Replace(NewValue::List(items)))
            }
            Found::Node(target) if matches!(target.node.shape(), Shape::Sequence { .. }) => {
                (layout.extend(&target, &items), target, Change::Extend(items))
            }
            Found::Node(_) => return Err(EditError::WrongKind { path: path::shown(path), needed: "a list" }),
        };
        self.document = Self::first_proven(&self.document, &self.limits, &splices, &target, &change, path)?;
        Ok(())
    }

    /// Gives the value at `path` the new `value`. A key that is absent from its mapping is added at its end.
    ///
    /// # Errors
    /// As [`EditError`] says; then nothing changed.
    pub fn set(&mut self, path: &[Step<'_>], value: NewValue) -> Result<(), EditError> {
        self.set_before(path, value, None)
    }

    /// As [`Editor::set`], but a key that is absent from its mapping is added before the key `next`, if that is there.
    ///
    /// # Errors
    /// As [`EditError`] says; then nothing changed.
    pub fn set_before(
        &mut self,
        path: &[Step<'_>],
        value: NewValue,
        next: Option<&str>,
    ) -> Result<(), EditError> {
        let layout = Layout::new(&self.document.text);
        let (splices, target, change) = match locate(self.document.root(), path)? {
            Found::Missing(parent, key) if parent.node.is_null() => {
                let value = NewValue::Map(vec![(key.to_owned(), value)]);
                (layout.replace(&parent, &value), parent, Change::Replace(value))
            }
            Found::Missing(parent, key) => {
                let end = parent.node.entries().count();
                let named = parent.node.entries().position(|(key, _)| next.is_some() && key.text() == next);
                let splices = match named {
                    Some(index) => layout.insert_at(&parent, index, key, &value),
                    None => layout.insert(&parent, key, &value),
                };
                (splices, parent, Change::Insert(named.unwrap_or(end), key, value))
            }
            Found::Node(target) => (layout.replace(&target, &value), target, Change::Replace(value)),
        };
        self.document = Self::first_proven(&self.document, &self.limits, &splices, &target, &change, path)?;
        Ok(())
    }

    /// Removes the key with its value, or the item, at `path`, with the comments inside it and on its last line.
    ///
    /// # Errors
    /// As [`EditError`] says; then nothing changed.
    pub fn remove(&mut self, path: &[Step<'_>]) -> Result<(), EditError> {
        let layout = Layout::new(&self.document.text);
        let target = match locate(self.document.root(), path)? {
            Found::Node(target) => target,
            Found::Missing(..) => return Err(EditError::NotFound(path::shown(path))),
        };
        let (Some(parent), Some(index)) = (target.parent(), target.indices.last().copied()) else {
            return Err(EditError::WrongKind { path: path::shown(path), needed: "a key or an item" });
        };
        let splices = match target.slot {
            Slot::Root => Vec::new(),
            Slot::Item { .. } => layout.remove_item(&parent, index),
            Slot::Entry { .. } => layout.remove_entry(&parent, index),
        };
        self.document = Self::first_proven(
            &self.document,
            &self.limits,
            &splices,
            &parent,
            &Change::Remove(index),
            path,
        )?;
        Ok(())
    }

    /// The document after the first of `splices` that makes `change` at `target` and nothing else.
    fn first_proven(
        before: &Document<'static>,
        limits: &Limits,
        splices: &[Splice],
        target: &Target<'_>,
        change: &Change<'_>,
        path: &[Step<'_>],
    ) -> Result<Document<'static>, EditError> {
        for splice in splices {
            let Some(text) = splice.apply(&before.text) else { continue };
            let Ok(after) = parse(&text, limits) else { continue };
            if proves(before.root(), after.root(), &target.indices, change) {
                let (nodes, owned) = (after.nodes, after.owned);
                return Ok(Document { text: Cow::Owned(text), nodes, owned });
            }
        }
        Err(EditError::Unsafe(path::shown(path)))
    }
}

#[cfg(test)]
mod tests;
