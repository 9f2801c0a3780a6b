//! Edits of the lists of a key file.

use crate::yaml::{
    Node,
    edit::{EditError, Editor, NewValue, Step},
};

/// The items of `list` whose `id` is `id`, with their positions.
pub(super) fn items_called<'d>(list: Node<'d>, id: &str) -> impl Iterator<Item = (usize, Node<'d>)> {
    let is = move |item: &Node<'d>| item.get("id").and_then(Node::text) == Some(id);
    list.items().enumerate().filter(move |(_, item)| is(item))
}

/// Adds records at the end of `list`. The keys stay the last list: only so does their count show that a file is whole.
pub(super) fn extend(editor: &mut Editor, list: &str, records: Vec<NewValue>) -> Result<(), EditError> {
    if records.is_empty() {
        return Ok(());
    }
    if list != "keys" && editor.document().root().get(list).is_none() {
        editor.set_before(&[Step::Key(list)], NewValue::List(Vec::new()), Some("keys"))?;
    }
    editor.extend(&[Step::Key(list)], records)?;
    let root = editor.document().root();
    let (Some(_), Some(keys)) = (root.get("count"), root.get("keys")) else { return Ok(()) };
    let count = i64::try_from(keys.items().count()).unwrap_or(i64::MAX);
    editor.set(&[Step::Key("count")], NewValue::Int(count))
}
