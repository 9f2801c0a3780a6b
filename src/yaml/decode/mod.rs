//! From a [`Document`] to plain serde types, with every problem at once.
//!
//! serde stops a type at its first error. So [`Field`] decodes its content apart: what is wrong is recorded, the field
//! stays bad, and its siblings are still looked at. A struct that has a bad field then fails as a whole, so that no
//! code outside of this module ever meets one.

mod deserializer;
mod error;
mod field;
mod shapes;

use std::cell::RefCell;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use super::document::{Document, Node};
use super::problem::{Problem, Problems};
use deserializer::Decoder;
use error::{Error, excused_count, missing_field, take_excused};

pub use field::Field;
pub use shapes::{Items, List, Map, OneOrMany, StringOr};

/// The value of type `T` that `document` holds.
///
/// To learn of every problem in one run, let each field of a struct be a [`Field`], an `Option<Field<_>>`, a [`Map`], a
/// [`List`] or a [`OneOrMany`]. Any other type works too, but ends its struct where it is wrong: so write
/// `Field<Vec<Field<_>>>` for a plain list. A field the struct does not know is a problem, and so is a field it lacks
/// that is neither `Option` nor `#[serde(default)]`. `#[serde(flatten)]`, `untagged` and internally tagged enums lose
/// the places inside them and the check for unknown fields: use [`StringOr`] and [`OneOrMany`] instead.
///
/// An error of the type itself (`TryFrom`, `FromStr`) becomes a problem at its value; if its text holds `"; "`, the
/// part after that is the remedy.
///
/// Cost: linear in the document, beside the types' own.
///
/// # Errors
/// All problems, at least one, in the order of their places. No value from interpolation stands in them.
pub fn decode<T: DeserializeOwned>(document: &Document<'_>) -> Result<T, Vec<Problem>> {
    decode_node(document.root())
}

/// As [`decode`], of one node: what of a wrong document can still be checked. A key is no node for this: it would be
/// read as the value it looks like.
///
/// # Errors
/// As [`decode`].
pub fn decode_node<T: DeserializeOwned>(node: Node<'_>) -> Result<T, Vec<Problem>> {
    let context = Context::default();
    let root = Decoder { context: &context, node, key: None, names: false };
    let value = root.attempt(PhantomData::<T>);
    let problems = context.problems.into_inner();
    problems.unless(()).and_then(|()| value.map_err(|_| Vec::new()))
}

/// What one run of [`decode`] found wrong.
#[derive(Debug, Default)]
struct Context {
    problems: RefCell<Problems>,
}

impl Context {
    fn record(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    fn is_enough(&self) -> bool {
        self.problems.borrow().is_enough()
    }

    fn total(&self) -> usize {
        self.problems.borrow().total()
    }

    fn start(&self) -> Start {
        Start { total: self.total(), excused: excused_count() }
    }

    /// Records the fields that `mapping` was found to lack since `start`.
    fn tell_missing(&self, start: Start, mapping: Node<'_>) {
        for absent in take_excused(start.excused) {
            self.record(missing_field(mapping, absent));
        }
    }

    /// As [`Context::tell_missing`], and fails if anything was found wrong since `start`.
    fn settle<T>(&self, start: Start, mapping: Node<'_>, value: Result<T, Error>) -> Result<T, Error> {
        self.tell_missing(start, mapping);
        match value {
            Ok(_) if self.total() > start.total => Err(Error::Recorded),
            value => value,
        }
    }
}

/// How much was recorded when a container began.
#[derive(Debug, Clone, Copy)]
struct Start {
    total: usize,
    excused: usize,
}

#[cfg(test)]
mod tests;
