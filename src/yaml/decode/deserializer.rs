//! serde's view of a node.

use serde::de::value::{BoolDeserializer, StrDeserializer, U32Deserializer};
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::Context;
use super::error::{Error, describe, unknown_field};
use super::field::FIELD;
use super::shapes::{LIST, MAP, ONE_OR_MANY, STRING_OR};
use crate::yaml::document::{Children, Node, Shape};
use crate::yaml::scalar::{self, Value};

type Result<T> = std::result::Result<T, Error>;

/// A node to be decoded, and the key under which it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decoder<'c, 'd> {
    pub(super) context: &'c Context,
    pub(super) node: Node<'d>,
    pub(super) key: Option<Node<'d>>,
    /// Whether the node is itself a key, which is a text whatever it looks like.
    pub(super) names: bool,
}

fn expected<T>(what: &str) -> Result<T> {
    Err(Error::Expected(what.into()))
}

impl<'c, 'd> Decoder<'c, 'd> {
    /// Decodes the node. If that fails, the reason is recorded: the problems inside it or, if there are none, its own.
    pub(super) fn attempt<S: DeserializeSeed<'d>>(self, seed: S) -> Result<S::Value> {
        let start = self.context.start();
        let value = seed.deserialize(self);
        self.context.tell_missing(start, self.node);
        value.map_err(|error| {
            if self.context.total() == start.total || matches!(error, Error::MissingField(_)) {
                self.context.record(describe(error, self.node, self.key));
            }
            Error::Recorded
        })
    }

    /// As [`Decoder::attempt`], and fails too if anything inside is wrong.
    fn attempt_whole<S: DeserializeSeed<'d>>(self, seed: S) -> Result<S::Value> {
        let start = self.context.start();
        let value = self.attempt(seed);
        self.context.settle(start, self.node, value)
    }

    /// For the value that stands under `key`.
    fn value(self, node: Node<'d>, key: Node<'d>) -> Self {
        Self { node, key: Some(key), names: false, ..self }
    }

    /// For a key.
    fn name(self, node: Node<'d>) -> Self {
        Self { node, key: None, names: true, ..self }
    }

    fn is_sequence(self) -> bool {
        matches!(self.node.shape(), Shape::Sequence { .. })
    }

    fn is_mapping(self) -> bool {
        matches!(self.node.shape(), Shape::Mapping { .. })
    }

    /// The node as text, if it is text.
    fn string(self) -> Option<&'d str> {
        match self.node.value()? {
            Value::Text(text) => Some(text),
            Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) if self.names => {
                self.node.text()
            }
            Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) => None,
        }
    }

    fn integer<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value> {
        let value = if self.names { self.node.text().map(scalar::resolve) } else { self.node.value() };
        let Some(Value::Integer(number)) = value else {
            return Err(serde::de::Error::invalid_type(serde::de::Unexpected::Unit, &visitor));
        };
        match number {
            Some(number) if let Ok(number) = u64::try_from(number) => visitor.visit_u64(number),
            Some(number) if let Ok(number) = i64::try_from(number) => visitor.visit_i64(number),
            Some(number) => visitor.visit_i128(number),
            None => Err(serde::de::Error::invalid_type(serde::de::Unexpected::Unit, &visitor)),
        }
    }

    /// The children of a container, each decoded apart; a problem inside makes the container fail at its end.
    fn container<V: Visitor<'d>>(
        self,
        fields: Option<&'static [&'static str]>,
        visit: impl FnOnce(Contents<'c, 'd>) -> Result<V::Value>,
    ) -> Result<V::Value> {
        let start = self.context.start();
        let contents = Contents { decoder: self, children: self.node.children(), value: None, fields };
        let value = visit(contents);
        self.context.settle(start, self.node, value)
    }

    /// Items one by one for a visitor that goes on after a wrong one.
    fn items<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_seq(Items { decoder: self, children: self.node.children(), key: None })
    }

    fn string_or<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value> {
        match (self.node.value(), self.string()) {
            (None, _) => visitor.visit_newtype_struct(self),
            (Some(_), Some(text)) => visitor.visit_str(text),
            (Some(_), None) => expected("a string"),
        }
    }
}

macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value> {
            self.integer(visitor)
        }
    )*};
}

impl<'d> Deserializer<'d> for Decoder<'_, 'd> {
    type Error = Error;

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
    }

    fn deserialize_any<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value> {
        match self.node.value() {
            Some(_) if self.names => self.deserialize_str(visitor),
            Some(Value::Null) => visitor.visit_unit(),
            Some(Value::Bool(value)) => visitor.visit_bool(value),
            Some(Value::Integer(_)) => self.integer(visitor),
            Some(Value::Float(value)) => visitor.visit_f64(value),
            Some(Value::Text(text)) => visitor.visit_str(text),
            None if self.is_sequence() => self.deserialize_seq(visitor),
            None => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value> {
        match self.node.value() {
            Some(Value::Bool(value)) => visitor.visit_bool(value),
            _ => expected("true or false"),
        }
    }

    fn deserialize_f32<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value> {
        match self.node.value() {
            Some(Value::Float(value)) => visitor.visit_f64(value),
            Some(Value::Integer(_)) => self.integer(visitor),
            _ => expected("a number"),
        }
    }

    fn deserialize_char<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value> {
        match self.string() {
            Some(text) => visitor.visit_str(text),
            None => expected("a string"),
        }
    }

    fn deserialize_string<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value> {
        match self.string() {
            Some(text) => visitor.visit_bytes(text.as_bytes()),
            None => expected("a string"),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value> {
        if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value> {
        if self.node.is_null() { visitor.visit_unit() } else { expected("nothing (null)") }
    }

    fn deserialize_unit_struct<V: Visitor<'d>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'d>>(self, name: &'static str, visitor: V) -> Result<V::Value> {
        match name {
            FIELD => visitor.visit_seq(FieldParts { decoder: self, part: 0 }),
            MAP if self.is_mapping() => self.items(visitor),
            MAP => expected("a mapping"),
            LIST | ONE_OR_MANY if self.is_sequence() => self.items(visitor),
            LIST => expected("a list"),
            ONE_OR_MANY => visitor.visit_seq(Once { decoder: self, done: false }),
            STRING_OR => self.string_or(visitor),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value> {
        if !self.is_sequence() {
            return expected("a list");
        }
        self.container::<V>(None, |contents| visitor.visit_seq(contents))
    }

    fn deserialize_tuple<V: Visitor<'d>>(self, length: usize, visitor: V) -> Result<V::Value> {
        if self.is_sequence() && self.node.items().count() != length {
            return expected(&format!("a list of {length}"));
        }
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'d>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_map<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value> {
        if !self.is_mapping() {
            return expected("a mapping");
        }
        self.container::<V>(None, |contents| visitor.visit_map(contents))
    }

    fn deserialize_struct<V: Visitor<'d>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        if !self.is_mapping() {
            return expected("a mapping");
        }
        self.container::<V>(Some(fields), |contents| visitor.visit_map(contents))
    }

    fn deserialize_enum<V: Visitor<'d>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.node.text() {
            Some(_) if self.node.is_null() => expected("a name"),
            Some(name) => visitor.visit_enum(StrDeserializer::new(name)),
            None => match (self.node.entries().next(), self.node.entries().nth(1)) {
                (Some((name, value)), None) => visitor.visit_enum(Variant { decoder: self, name, value }),
                _ => expected("a name, or a mapping with one name"),
            },
        }
    }

    fn deserialize_identifier<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }
}

/// The children of a container.
#[derive(Debug)]
struct Contents<'c, 'd> {
    decoder: Decoder<'c, 'd>,
    children: Children<'d>,
    /// The value whose key was read last, and that key.
    value: Option<(Node<'d>, Node<'d>)>,
    /// The fields that the struct knows.
    fields: Option<&'static [&'static str]>,
}

impl<'d> Contents<'_, 'd> {
    /// The next entry whose key the struct knows; the others are recorded.
    fn next_known(&mut self) -> Option<(Node<'d>, Node<'d>)> {
        loop {
            let (key, value) = (self.children.next()?, self.children.next()?);
            match self.fields {
                Some(fields) if !fields.iter().any(|&field| key.text() == Some(field)) => {
                    self.decoder.context.record(unknown_field(key, fields));
                }
                _ => return Some((key, value)),
            }
        }
    }
}

impl<'d> MapAccess<'d> for Contents<'_, 'd> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'d>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        let Some((key, value)) = self.next_known() else { return Ok(None) };
        self.value = Some((key, value));
        self.decoder.name(key).attempt(seed).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'d>>(&mut self, seed: V) -> Result<V::Value> {
        let Some((key, value)) = self.value.take() else { return Err(Error::Recorded) };
        self.decoder.value(value, key).attempt(seed)
    }
}

impl<'d> SeqAccess<'d> for Contents<'_, 'd> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'d>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        let Some(node) = self.children.next().filter(|_| !self.decoder.context.is_enough()) else {
            return Ok(None);
        };
        Decoder { node, ..self.decoder }.attempt(seed).map(Some)
    }
}

/// The items of a sequence, or the keys and values of a mapping in turn, for a visitor of ours: one that leaves out
/// what is wrong and goes on.
#[derive(Debug)]
struct Items<'c, 'd> {
    decoder: Decoder<'c, 'd>,
    children: Children<'d>,
    /// The key whose value is next.
    key: Option<Node<'d>>,
}

impl<'d> SeqAccess<'d> for Items<'_, 'd> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'d>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        let Some(node) = self.children.next().filter(|_| !self.decoder.context.is_enough()) else {
            return Ok(None);
        };
        let decoder = match self.key.take() {
            Some(key) => self.decoder.value(node, key),
            None if self.decoder.is_mapping() => {
                self.key = Some(node);
                self.decoder.name(node)
            }
            None => Decoder { node, ..self.decoder },
        };
        decoder.attempt_whole(seed).map(Some)
    }
}

/// A single value in place of a list of it.
#[derive(Debug)]
struct Once<'c, 'd> {
    decoder: Decoder<'c, 'd>,
    done: bool,
}

impl<'d> SeqAccess<'d> for Once<'_, 'd> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'d>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        if std::mem::replace(&mut self.done, true) {
            return Ok(None);
        }
        self.decoder.attempt_whole(seed).map(Some)
    }
}

/// What [`super::Field`] asks for: line, column, whether interpolated, value.
#[derive(Debug)]
struct FieldParts<'c, 'd> {
    decoder: Decoder<'c, 'd>,
    part: u8,
}

impl<'d> SeqAccess<'d> for FieldParts<'_, 'd> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'d>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        let node = self.decoder.node;
        self.part += 1;
        match self.part {
            1 => seed.deserialize(U32Deserializer::new(node.place().line)).map(Some),
            2 => seed.deserialize(U32Deserializer::new(node.place().column)).map(Some),
            3 => seed.deserialize(BoolDeserializer::new(node.is_interpolated())).map(Some),
            _ => self.decoder.attempt(seed).map(Some),
        }
    }
}

/// An enum variant with content: a mapping of one entry.
#[derive(Debug)]
struct Variant<'c, 'd> {
    decoder: Decoder<'c, 'd>,
    name: Node<'d>,
    value: Node<'d>,
}

impl<'d> EnumAccess<'d> for Variant<'_, 'd> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'d>>(self, seed: S) -> Result<(S::Value, Self)> {
        let variant = seed.deserialize(self.decoder.name(self.name))?;
        Ok((variant, self))
    }
}

impl<'d> VariantAccess<'d> for Variant<'_, 'd> {
    type Error = Error;

    fn unit_variant(self) -> Result<()> {
        if self.value.is_null() { Ok(()) } else { expected("a name alone") }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'d>>(self, seed: S) -> Result<S::Value> {
        self.decoder.value(self.value, self.name).attempt(seed)
    }

    fn tuple_variant<V: Visitor<'d>>(self, length: usize, visitor: V) -> Result<V::Value> {
        self.decoder.value(self.value, self.name).deserialize_tuple(length, visitor)
    }

    fn struct_variant<V: Visitor<'d>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value> {
        self.decoder.value(self.value, self.name).deserialize_struct("", fields, visitor)
    }
}
