//! Shapes that a config needs and serde's derive cannot give without losing places.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::error::{excuse_missing, forget_missing};
use super::field::Field;

/// The name under which a decoder knows a [`Map`].
pub(super) const MAP: &str = "$keygate::yaml::Map";
/// The name under which a decoder knows a [`List`].
pub(super) const LIST: &str = "$keygate::yaml::List";
/// The name under which a decoder knows a [`OneOrMany`].
pub(super) const ONE_OR_MANY: &str = "$keygate::yaml::OneOrMany";
/// The name under which a decoder knows a [`StringOr`].
pub(super) const STRING_OR: &str = "$keygate::yaml::StringOr";

/// What `decode` gives; if that is a missing field, nothing: the struct's decoder tells of it.
fn unless_missing<T: Default, E>(decode: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    forget_missing();
    match decode() {
        Err(_) if excuse_missing::<IgnoredAny>() => Ok(T::default()),
        result => result,
    }
}

/// A mapping with names of the user's choice, in the order of the file. Every wrong value is reported and left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map<V> {
    /// Names and values.
    pub entries: Vec<(Field<String>, V)>,
}

impl<V> Map<V> {
    /// The value under `name`. Cost: linear in the entries.
    pub fn get(&self, name: &str) -> Option<&V> {
        self.entries.iter().find(|(key, _)| key.value() == name).map(|(_, value)| value)
    }

    /// The names and values, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, (Field<String>, V)> {
        self.entries.iter()
    }
}

impl<V> Default for Map<V> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<V> IntoIterator for Map<V> {
    type Item = (Field<String>, V);
    type IntoIter = std::vec::IntoIter<(Field<String>, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl<'m, V> IntoIterator for &'m Map<V> {
    type Item = &'m (Field<String>, V);
    type IntoIter = std::slice::Iter<'m, (Field<String>, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Map<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        unless_missing(|| deserializer.deserialize_newtype_struct(MAP, MapVisitor(PhantomData)))
    }
}

struct MapVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for MapVisitor<V> {
    type Value = Map<V>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a mapping")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Map<V>, D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Map<V>, A::Error> {
        let mut map = Map::default();
        while let Some(entry) = access.next_entry()? {
            map.entries.push(entry);
        }
        Ok(map)
    }

    /// Keys and values in turn: only our decoder speaks so, and it records why one is wrong.
    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Map<V>, A::Error> {
        let mut map = Map::default();
        while let Some(key) = access.next_element()? {
            if let Ok(Some(value)) = access.next_element() {
                map.entries.push((key, value));
            }
        }
        Ok(map)
    }
}

impl<V: JsonSchema> JsonSchema for Map<V> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Map_of_{}", V::schema_name()).into()
    }

    fn schema_id() -> Cow<'static, str> {
        format!("Map<{}>", V::schema_id()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": generator.subschema_for::<V>() })
    }
}

/// A list. Every wrong item is reported and left out.
pub type List<T> = Items<T, false>;

/// A list that may be written as its only item. Every wrong item is reported and left out.
pub type OneOrMany<T> = Items<T, true>;

/// The items of a [`List`] or, if `ONE`, of a [`OneOrMany`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Items<T, const ONE: bool> {
    /// The items, in order.
    pub items: Vec<Field<T>>,
}

impl<T, const ONE: bool> Items<T, ONE> {
    /// The items, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Field<T>> {
        self.items.iter()
    }
}

impl<T, const ONE: bool> Default for Items<T, ONE> {
    fn default() -> Self {
        Self { items: Vec::new() }
    }
}

impl<T, const ONE: bool> IntoIterator for Items<T, ONE> {
    type Item = Field<T>;
    type IntoIter = std::vec::IntoIter<Field<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

impl<'m, T, const ONE: bool> IntoIterator for &'m Items<T, ONE> {
    type Item = &'m Field<T>;
    type IntoIter = std::slice::Iter<'m, Field<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'de, T: Deserialize<'de>, const ONE: bool> Deserialize<'de> for Items<T, ONE> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = if ONE { ONE_OR_MANY } else { LIST };
        unless_missing(|| deserializer.deserialize_newtype_struct(name, ItemsVisitor(PhantomData)))
    }
}

struct ItemsVisitor<T, const ONE: bool>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const ONE: bool> Visitor<'de> for ItemsVisitor<T, ONE> {
    type Value = Items<T, ONE>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        Vec::deserialize(deserializer).map(|items| Items { items })
    }

    /// Only our decoder speaks so, and it records why an item is wrong.
    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        loop {
            match access.next_element() {
                Ok(Some(item)) => items.push(item),
                Ok(None) => return Ok(Items { items }),
                Err(_) => {}
            }
        }
    }
}

impl<T: JsonSchema, const ONE: bool> JsonSchema for Items<T, ONE> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}_{}", if ONE { "One_or_many" } else { "Array_of" }, T::schema_name()).into()
    }

    fn schema_id() -> Cow<'static, str> {
        format!("{}<{}>", if ONE { "OneOrMany" } else { "List" }, T::schema_id()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = generator.subschema_for::<T>();
        if ONE {
            json_schema!({ "anyOf": [item.clone(), { "type": "array", "items": item }] })
        } else {
            json_schema!({ "type": "array", "items": item })
        }
    }
}

/// A string, or something that is no scalar: `all` or a list, an address or a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StringOr<T> {
    /// A string.
    String(String),
    /// A list or mapping.
    Other(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for StringOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(STRING_OR, StringOrVisitor(PhantomData))
    }
}

struct StringOrVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for StringOrVisitor<T> {
    type Value = StringOr<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<StringOr<T>, E> {
        Ok(StringOr::String(text.into()))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<StringOr<T>, D::Error> {
        T::deserialize(deserializer).map(StringOr::Other)
    }
}

impl<T: JsonSchema> JsonSchema for StringOr<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("String_or_{}", T::schema_name()).into()
    }

    fn schema_id() -> Cow<'static, str> {
        format!("StringOr<{}>", T::schema_id()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, generator.subschema_for::<T>()] })
    }
}
