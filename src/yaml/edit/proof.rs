//! Whether one document is another with just one change.

use std::mem::discriminant;

use super::NewValue;
use crate::yaml::document::{Node, Shape};
use crate::yaml::scalar::Value;

/// A change of one container or value.
#[derive(Debug)]
pub(super) enum Change<'a> {
    /// A list gets these as its last items.
    Extend(Vec<NewValue>),
    /// A value becomes this.
    Replace(NewValue),
    /// A mapping gets this entry at this position.
    Insert(usize, &'a str, NewValue),
    /// A container loses the item or entry at this position.
    Remove(usize),
}

/// Whether `after` is `before` with `change` made where `indices` lead, and nothing else.
pub(super) fn proves(before: Node<'_>, after: Node<'_>, indices: &[usize], change: &Change<'_>) -> bool {
    let Some((&index, rest)) = indices.split_first() else { return made(before, after, change) };
    kind(before) == kind(after)
        && pairwise(before, after, |position, (before_key, before), (after_key, after)| {
            same_key(before_key, after_key)
                && if position == index { proves(before, after, rest, change) } else { same(before, after) }
        })
}

fn made(before: Node<'_>, after: Node<'_>, change: &Change<'_>) -> bool {
    match change {
        Change::Replace(value) => is(after, value),
        Change::Extend(values) => kind(before) == kind(after) && extended(before, after, values),
        Change::Insert(index, key, value) => {
            kind(before) == kind(after) && inserted(before, after, *index, key, value)
        }
        Change::Remove(index) => {
            let mut after_members = members(after);
            let kept = members(before).enumerate().filter(|(position, _)| position != index);
            kind(before) == kind(after)
                && kept.map(|(_, member)| member).all(|(before_key, before)| {
                    after_members.next().is_some_and(|(after_key, after)| {
                        same_key(before_key, after_key) && same(before, after)
                    })
                })
                && after_members.next().is_none()
        }
    }
}

/// Whether `after` has the items of `before` and then `values`.
fn extended(before: Node<'_>, after: Node<'_>, values: &[NewValue]) -> bool {
    let mut after = members(after);
    members(before).all(|member| after.next().is_some_and(|other| same_member(member, other)))
        && values.iter().all(|value| after.next().is_some_and(|(key, node)| key.is_none() && is(node, value)))
        && after.next().is_none()
}

/// Whether `after` has the entries of `before`, and `key` with `value` at the position `index`.
fn inserted(before: Node<'_>, after: Node<'_>, index: usize, key: &str, value: &NewValue) -> bool {
    let (mut before, mut after) = (members(before), members(after));
    let is_new = |(name, node): Member<'_>| name.and_then(Node::text) == Some(key) && is(node, value);
    before.by_ref().take(index).all(|member| after.next().is_some_and(|other| same_member(member, other)))
        && after.next().is_some_and(is_new)
        && before.all(|member| after.next().is_some_and(|other| same_member(member, other)))
        && after.next().is_none()
}

fn same_member((before_key, before): Member<'_>, (after_key, after): Member<'_>) -> bool {
    same_key(before_key, after_key) && same(before, after)
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Scalar,
    Sequence,
    Mapping,
}

fn kind(node: Node<'_>) -> Kind {
    match node.shape() {
        Shape::Scalar(_) => Kind::Scalar,
        Shape::Sequence { .. } => Kind::Sequence,
        Shape::Mapping { .. } => Kind::Mapping,
    }
}

type Member<'d> = (Option<Node<'d>>, Node<'d>);

/// The items, or the values with their keys.
fn members(node: Node<'_>) -> impl Iterator<Item = Member<'_>> {
    let items = node.items().map(|item| (None, item));
    items.chain(node.entries().map(|(key, value)| (Some(key), value)))
}

fn pairwise<'b, 'a>(
    before: Node<'b>,
    after: Node<'a>,
    fits: impl Fn(usize, Member<'b>, Member<'a>) -> bool,
) -> bool {
    let (mut before, mut after) = (members(before), members(after));
    for position in 0.. {
        match (before.next(), after.next()) {
            (Some(before), Some(after)) if fits(position, before, after) => {}
            (None, None) => return true,
            _ => return false,
        }
    }
    false
}

fn same_key(before: Option<Node<'_>>, after: Option<Node<'_>>) -> bool {
    before.and_then(Node::text) == after.and_then(Node::text)
}

/// Whether two subtrees mean the same, to the letter.
fn same(before: Node<'_>, after: Node<'_>) -> bool {
    match (before.value(), after.value()) {
        (Some(one), Some(other)) => {
            before.text() == after.text() && discriminant(&one) == discriminant(&other)
        }
        (None, None) => {
            kind(before) == kind(after)
                && pairwise(before, after, |_, (before_key, before), (after_key, after)| {
                    same_key(before_key, after_key) && same(before, after)
                })
        }
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn is(node: Node<'_>, value: &NewValue) -> bool {
    match (value, node.value()) {
        (NewValue::Str(string), found) => found == Some(Value::Text(string)),
        (NewValue::Int(number), found) => found == Some(Value::Integer(Some(i128::from(*number)))),
        (NewValue::Bool(value), found) => found == Some(Value::Bool(*value)),
        (NewValue::List(items), None) => {
            kind(node) == Kind::Sequence
                && node.items().count() == items.len()
                && node.items().zip(items).all(|(node, item)| is(node, item))
        }
        (NewValue::Map(entries), None) => {
            kind(node) == Kind::Mapping
                && node.entries().count() == entries.len()
                && node
                    .entries()
                    .zip(entries)
                    .all(|((key, node), (name, value))| key.text() == Some(name) && is(node, value))
        }
        (NewValue::List(_) | NewValue::Map(_), Some(_)) => false,
    }
}
