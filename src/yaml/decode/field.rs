//! A value that knows its place.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};

use super::error::{excuse_missing, forget_missing};
use crate::yaml::problem::Place;

/// The name under which a decoder knows a [`Field`].
pub(super) const FIELD: &str = "$keygate::yaml::Field";

/// A `T` and the place where it stands. It reads as a `T`, and its JSON Schema is that of `T`.
///
/// From another format than YAML, it has no place.
#[derive(Clone)]
pub struct Field<T> {
    place: Place,
    interpolated: bool,
    value: Option<T>,
}

impl<T> Field<T> {
    /// A value that was not read, such as a default: it has no place.
    pub fn unplaced(value: T) -> Self {
        Self { place: Place::default(), interpolated: false, value: Some(value) }
    }

    /// The value.
    #[allow(
        clippy::expect_used,
        clippy::missing_panics_doc,
        reason = "a field without value is always recorded as a problem, and then neither its struct nor `decode` \
                  gives a value that holds it"
    )]
    pub fn value(&self) -> &T {
        self.value.as_ref().expect("a bad field does not leave its decoder")
    }

    /// The value alone.
    #[allow(clippy::expect_used, clippy::missing_panics_doc, reason = "as in `value`")]
    pub fn into_value(self) -> T {
        self.value.expect("a bad field does not leave its decoder")
    }

    /// Where the value stands.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Whether the value came from interpolation, so that it may be secret and must not be shown.
    pub fn is_interpolated(&self) -> bool {
        self.interpolated
    }
}

impl<T> Deref for Field<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value()
    }
}

impl<T: PartialEq> PartialEq for Field<T> {
    /// Compares the values, wherever they stand.
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Field<T> {}

impl<T: fmt::Debug> fmt::Debug for Field<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(_) if self.interpolated => formatter.write_str("(interpolated)"),
            Some(value) => value.fmt(formatter),
            None => formatter.write_str("(bad)"),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        forget_missing();
        match deserializer.deserialize_newtype_struct(FIELD, FieldVisitor(PhantomData)) {
            Err(_) if excuse_missing::<T>() => {
                Ok(Self { place: Place::default(), interpolated: false, value: None })
            }
            result => result,
        }
    }
}

struct FieldVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for FieldVisitor<T> {
    type Value = Field<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Field<T>, D::Error> {
        T::deserialize(deserializer).map(Field::unplaced)
    }

    /// Line, column, whether interpolated, value: only our decoder speaks so, and it records why a value is wrong.
    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Field<T>, A::Error> {
        let line = parts.next_element()?.unwrap_or_default();
        let column = parts.next_element()?.unwrap_or_default();
        let interpolated = parts.next_element()?.unwrap_or_default();
        let value = parts.next_element().ok().flatten();
        Ok(Field { place: Place { line, column }, interpolated, value })
    }
}

impl<T: JsonSchema> JsonSchema for Field<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}
