//! What tells one state of a record from another, so that nobody overwrites what they have not seen (the entity tags
//! of RFC 9110 §8.8.3).

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use crate::{
    keys::record::{KeyRecord, Organization, Person},
    store::record_yaml,
};

/// Tells one state of a record from every other; tells nothing about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordTag(String);

impl RecordTag {
    /// Of a key as it is now.
    pub fn of_key(key: &KeyRecord) -> Self {
        Self::of(&record_yaml::key(key))
    }

    /// Of a person as they are now.
    pub fn of_person(person: &Person) -> Self {
        Self::of(&record_yaml::person(person))
    }

    /// Of an organization as it is now.
    pub fn of_organization(organization: &Organization) -> Self {
        Self::of(&record_yaml::organization(organization))
    }

    /// What somebody says they have seen, whatever it may be.
    pub fn said(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The tag, without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(fields: &impl fmt::Debug) -> Self {
        let sum = Sha256::digest(format!("{fields:?}"));
        Self(URL_SAFE_NO_PAD.encode(&sum[..12]))
    }
}
