//! Values that are written as text in a form of their own, and the switch between a value, `null` and nothing said.

use std::{borrow::Cow, fmt, marker::PhantomData, ops::Deref};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A type that is written as a scalar.
pub trait Written: Sized {
    /// What the value is, with an article: "a duration such as 10s".
    const EXPECTED: &'static str;

    /// Reads `text`.
    ///
    /// # Errors
    /// What is wrong, then `"; "` and what would be right.
    fn read(text: &str) -> Result<Self, String>;

    /// Reads a whole number.
    ///
    /// # Errors
    /// As for [`Written::read`].
    fn read_number(number: u64) -> Result<Self, String> {
        let found = format!("expected {}, found a number", Self::EXPECTED);
        match Self::read(&number.to_string()) {
            Ok(_) => Err(format!("{found}; put it in quotes if it is meant so")),
            Err(_) => Err(format!("{found}; write {}", Self::EXPECTED)),
        }
    }

    /// The JSON Schema of the text.
    fn schema() -> Schema;
}

/// A `T` that was written as a scalar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text<T>(pub T);

impl<T> Deref for Text<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<'de, T: Written> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor(PhantomData)).map(Self)
    }
}

struct TextVisitor<T>(PhantomData<T>);

impl<T: Written> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::read(text).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        T::read_number(number).map_err(E::custom)
    }
}

impl<T: Written> JsonSchema for Text<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::EXPECTED.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        T::schema()
    }
}

/// A part that is on by default (or inherited) and that `null` turns off.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Switch<T> {
    /// The field is not there.
    #[default]
    Unsaid,
    /// `null`.
    Off,
    /// A value.
    On(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Switch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::<T>::deserialize(deserializer).map(|value| value.map_or(Self::Off, Self::On))
    }
}

impl<T: JsonSchema> JsonSchema for Switch<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Option::<T>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Option::<T>::json_schema(generator)
    }
}

/// `text` as it may stand in a message: in quotes, bounded, on one line.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN_MAX: usize = 60;
    let shown: String = text.chars().take(SHOWN_MAX).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!("{shown:?}{more}")
}
