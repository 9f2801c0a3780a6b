//! What a serde type says of a value, and how a user is told.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{self, Deserialize, Unexpected};

use crate::yaml::document::{Node, Shape};
use crate::yaml::problem::{Problem, listed, nearest, shown};
use crate::yaml::scalar::{self, Value};

thread_local! {
    /// serde tells of a missing field through a constructor without receiver, so there is no other way to hear which.
    static MISSING: Missing = const { Missing { latest: Cell::new(None), excused: RefCell::new(Vec::new()) } };
}

struct Missing {
    latest: Cell<Option<&'static str>>,
    excused: RefCell<Vec<Absent>>,
}

/// A field that is not there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Absent {
    name: &'static str,
    /// What it may be, where that is one of a few names.
    values: &'static [&'static str],
}

/// Forgets a missing field that nobody excused.
pub(super) fn forget_missing() {
    MISSING.with(|missing| missing.latest.set(None));
}

/// Whether a field, which would be a `T`, was just found missing. Then it is for the struct's decoder to tell, and the
/// struct goes on.
pub(super) fn excuse_missing<'de, T: Deserialize<'de>>() -> bool {
    let Some(name) = MISSING.with(|missing| missing.latest.take()) else { return false };
    let absent = Absent { name, values: names_of::<T>() };
    MISSING.with(|missing| missing.excused.borrow_mut().push(absent));
    true
}

/// What a `T` is called, where it is one of a few names.
fn names_of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let names = Cell::new(&[][..]);
    let _ = T::deserialize(Names(&names));
    names.get()
}

/// Holds no value, and hears by which names a type would know one.
struct Names<'n>(&'n Cell<&'static [&'static str]>);

impl<'de> de::Deserializer<'de> for Names<'_> {
    type Error = Error;

    fn deserialize_any<V: de::Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::Recorded)
    }

    fn deserialize_enum<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        self.0.set(names);
        Err(Error::Recorded)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// How many excused fields were not told yet.
pub(super) fn excused_count() -> usize {
    MISSING.with(|missing| missing.excused.borrow().len())
}

/// The excused fields from `start` on, to be told now.
pub(super) fn take_excused(start: usize) -> Vec<Absent> {
    MISSING.with(|missing| {
        let mut excused = missing.excused.borrow_mut();
        let start = start.min(excused.len());
        excused.split_off(start)
    })
}

/// Why a value is not what the type wants. Never holds the value itself, but for [`Error::Custom`].
#[derive(Debug)]
pub(super) enum Error {
    /// Recorded already.
    Recorded,
    /// In the words of the type: what is wrong, then perhaps `; ` and what would be right.
    Custom(String),
    /// Another kind of value, or another number, than the type expects.
    Expected(String),
    UnknownVariant(&'static [&'static str]),
    UnknownField(&'static [&'static str]),
    MissingField(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recorded => formatter.write_str("a value inside is wrong"),
            Self::Custom(message) => formatter.write_str(message),
            Self::Expected(expected) => write!(formatter, "expected {expected}"),
            Self::UnknownVariant(known) => write!(formatter, "expected one of {}", listed(known)),
            Self::UnknownField(known) => write!(formatter, "expected the fields {}", listed(known)),
            Self::MissingField(name) => write!(formatter, "missing field `{name}`"),
        }
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Custom(message.to_string())
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::Expected(humane(expected))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::Expected(humane(expected))
    }

    fn invalid_length(_: usize, expected: &dyn de::Expected) -> Self {
        Self::Expected(humane(expected))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::UnknownVariant(expected)
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self::UnknownField(expected)
    }

    fn missing_field(name: &'static str) -> Self {
        MISSING.with(|missing| missing.latest.set(Some(name)));
        Self::MissingField(name)
    }
}

/// serde's and Rust's words in those of the file.
fn humane(expected: &dyn de::Expected) -> String {
    let expected = expected.to_string();
    let range =
        |low: &dyn fmt::Display, high: &dyn fmt::Display| format!("a whole number from {low} to {high}");
    match expected.as_str() {
        "u8" => range(&0, &u8::MAX),
        "u16" => range(&0, &u16::MAX),
        "u32" => range(&0, &u32::MAX),
        "u64" | "usize" => range(&0, &u64::MAX),
        "i8" => range(&i8::MIN, &i8::MAX),
        "i16" => range(&i16::MIN, &i16::MAX),
        "i32" => range(&i32::MIN, &i32::MAX),
        "i64" | "isize" => range(&i64::MIN, &i64::MAX),
        "f32" | "f64" => "a number".into(),
        "a nonzero u8" | "a nonzero u16" | "a nonzero u32" | "a nonzero u64" | "a nonzero usize" => {
            "a whole number above 0".into()
        }
        "a boolean" => "true or false".into(),
        "a sequence" => "a list".into(),
        "a map" => "a mapping".into(),
        "unit" => "nothing (null)".into(),
        other if other.starts_with("struct ") => "a mapping".into(),
        other if other.starts_with("enum ") || other.contains("variant") => "a name".into(),
        other => other.into(),
    }
}

/// `error` as the problem of `node`; `key` is the key under which it stands.
pub(super) fn describe(error: Error, node: Node<'_>, key: Option<Node<'_>>) -> Problem {
    let place = node.place();
    match error {
        Error::Custom(_) if node.holds_interpolated() => Problem::new(
            place,
            "the interpolated value is not valid here (it is not shown, since it may be secret)",
            valid_value(key),
        ),
        Error::Custom(message) => match message.split_once("; ") {
            Some((message, remedy)) => Problem::new(place, message, remedy),
            None => Problem::new(place, message, valid_value(key)),
        },
        Error::Expected(expected) => {
            let remedy = remedy(&expected, node);
            Problem::new(place, format!("expected {expected}, found {}", found(node)), remedy)
        }
        Error::UnknownVariant(known) => unknown_name("value", named(node), known),
        Error::UnknownField(known) => unknown_name("field", named(node), known),
        Error::MissingField(name) => missing_field(node, Absent { name, values: &[] }),
        Error::Recorded => Problem::new(place, "a value inside is wrong", valid_value(key)),
    }
}

/// The node whose text names a variant: the scalar, or the one key of a mapping.
fn named(node: Node<'_>) -> Node<'_> {
    match node.shape() {
        Shape::Mapping { .. } => node.entries().next().map_or(node, |(key, _)| key),
        Shape::Scalar(_) | Shape::Sequence { .. } => node,
    }
}

pub(super) fn missing_field(mapping: Node<'_>, Absent { name, values }: Absent) -> Problem {
    let remedy = match values {
        [] => format!("add `{name}: …`"),
        values => format!("add `{name}: …`, one of {}", listed(values)),
    };
    Problem::new(mapping.place(), format!("missing field `{name}`"), remedy)
}

pub(super) fn unknown_field(key: Node<'_>, known: &[&str]) -> Problem {
    unknown_name("field", key, known)
}

fn unknown_name(what: &str, node: Node<'_>, known: &[&str]) -> Problem {
    let text = node.text().unwrap_or_default();
    let message = if node.is_interpolated() {
        format!("the interpolated {what} is not known")
    } else {
        format!("unknown {what} {}", shown(text))
    };
    let remedy = match nearest(text, known) {
        Some(name) if !node.is_interpolated() => format!("did you mean `{name}`?"),
        _ if known.is_empty() => format!("no {what} is known here; remove it"),
        _ => format!("known are {}", listed(known)),
    };
    Problem::new(node.place(), message, remedy)
}

fn valid_value(key: Option<Node<'_>>) -> String {
    match key.and_then(Node::text) {
        Some(name) => format!("give a valid value for {}", shown(name)),
        None => "give a valid value".into(),
    }
}

/// What kind of thing a node is, never its content.
fn found(node: Node<'_>) -> &'static str {
    match node.value() {
        Some(Value::Null) => "nothing (null)",
        Some(Value::Bool(_)) => "a boolean",
        Some(Value::Integer(_)) => "a number",
        Some(Value::Float(_)) => "a number with a fraction",
        Some(Value::Text(_)) => "a string",
        None if matches!(node.shape(), Shape::Sequence { .. }) => "a list",
        None => "a mapping",
    }
}

fn remedy(expected: &str, node: Node<'_>) -> String {
    let sequence = matches!(node.shape(), Shape::Sequence { .. });
    match (expected, node.value()) {
        ("a string", Some(Value::Null)) if node.span().is_empty() => {
            "write a value, or \"\" for an empty string".into()
        }
        ("a string", Some(_)) => "put it in quotes".into(),
        ("a list", Some(Value::Text(_))) => "put it in brackets: [one] or [one, two]".into(),
        ("a list", Some(_)) => "write a list: [one, two], or [] for none".into(),
        ("a list", None) => "begin each item with `- `".into(),
        ("a mapping", None) if sequence => "remove the `- `: write `name: value` lines".into(),
        ("a mapping", _) => "write `name: value` lines, indented below".into(),
        ("true or false", Some(Value::Text(text))) => match text.to_lowercase().as_str() {
            "yes" | "on" | "y" => "write true".into(),
            "no" | "off" | "n" => "write false".into(),
            "true" | "false" => "remove the quotes".into(),
            _ => "write true or false".into(),
        },
        (number, Some(Value::Text(text))) if number.contains("number") => match scalar::resolve(text) {
            Value::Integer(_) | Value::Float(_) => "remove the quotes".into(),
            Value::Null | Value::Bool(_) | Value::Text(_) => format!("write {number}, in digits"),
        },
        (list, None) if sequence && list.starts_with("a list") => format!("write {list}"),
        (_, None) if sequence => "write one value, without [ ] or `- `".into(),
        (_, None) => "write one value instead of a mapping".into(),
        (expected, Some(_)) => format!("write {expected}"),
    }
}
