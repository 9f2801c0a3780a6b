//! A change of a key file for whoever makes it by hand, as JSON says it.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::{control::paste::Paste, store::contract::Patch};

/// A change of a key file that somebody has to make: nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PasteView {
    /// The file.
    pub file: String,
    /// The lines of YAML that are added.
    pub yaml: String,
    /// The whole change as a unified diff, for `patch -p1` or `git apply` in the folder of the file.
    pub diff: String,
    /// The key that it makes or gives a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The key's new secret, this once; it works when the change is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub secret: Option<ShownSecret>,
}

/// A secret that is shown once, and never in a log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownSecret(Zeroizing<String>);

impl fmt::Debug for ShownSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ShownSecret(redacted)")
    }
}

impl PasteView {
    /// The new secret, if there is one.
    pub fn secret(&self) -> Option<&str> {
        self.secret.as_ref().map(|secret| secret.0.as_str())
    }

    /// `patch`, to be shown.
    pub fn of(patch: &Patch) -> Self {
        Self {
            file: patch.path.display().to_string(),
            yaml: patch.lines.clone(),
            diff: patch.diff.clone(),
            key: None,
            secret: None,
        }
    }
}

impl From<&Paste> for PasteView {
    fn from(paste: &Paste) -> Self {
        let issued = paste.issued.as_deref();
        let shown = |secret: &str| ShownSecret(Zeroizing::new(secret.to_owned()));
        Self {
            key: issued.map(|(id, _)| id.to_string()),
            secret: issued.map(|(_, secret)| shown(secret.expose())),
            ..Self::of(&paste.patch)
        }
    }
}
