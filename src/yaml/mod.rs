//! The one module that knows YAML: reads with limits, keeps the place of every node, decodes with all problems at
//! once, edits without loss.
//!
//! Pure: bytes in, values or [`Problem`]s out; no file, environment or clock is touched.
//!
//! - [`parse`] reads the subset of YAML 1.2 that a configuration needs into a [`Document`]: one document, mappings,
//!   sequences and scalars of the core schema. Anchors, aliases, tags, merge keys and duplicate keys are refused, as
//!   is anything beyond the [`Limits`].
//! - [`Document::interpolate`] replaces `${VAR}` and its kin in values.
//! - [`decode`] gives plain `#[derive(Deserialize)]` types; [`Field`] keeps a value's place and lets the rest of the
//!   document be checked when that value is wrong.
//! - [`edit::Editor`] changes a text and leaves everything else as it was.
//!
//! A value that came from interpolation may be a secret, so no problem ever shows one.

mod decode;
mod document;
pub mod edit;
mod interpolate;
mod problem;
mod read;
mod scalar;
mod source;
mod syntax;

pub use decode::{Field, Items, List, Map, OneOrMany, StringOr, decode, decode_node};
pub use document::{Document, Node, Shape, Style};
pub use interpolate::Interpolation;
pub use problem::{Place, Problem, is_invisible, nearest};
pub use read::{Limits, parse};
pub use scalar::Value;

#[cfg(test)]
mod tests;
