//! What has to be pasted into a key file, where the file is changed by somebody else than whoever asks.

use std::{fmt, sync::Arc};

use crate::{
    keys::{record::KeyId, secret::KeySecret},
    store::contract::Patch,
};

/// A change that was worked out and not made.
#[derive(Debug, Clone)]
pub struct Paste {
    /// The file, how it changes, and why it was not changed here.
    pub patch: Arc<Patch>,
    /// The key that it makes or gives a secret, and the secret, which nobody can ask for again. The file has its
    /// digest: the secret works once the change is in force.
    pub issued: Option<Arc<(KeyId, KeySecret)>>,
}

impl Paste {
    /// A change without a secret.
    pub fn new(patch: Patch) -> Self {
        Self { patch: Arc::new(patch), issued: None }
    }
}

/// What to do, without the YAML and the secret.
impl fmt::Display for Paste {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Patch { path, why, .. } = &*self.patch;
        write!(formatter, "{why}: paste the change into {}, and commit it", path.display())?;
        if self.issued.is_some() {
            formatter.write_str("; the secret is shown this once, and works when that is in force")?;
        }
        Ok(())
    }
}
