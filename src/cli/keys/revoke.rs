//! `keygate keys revoke`.

use clap::Args;

use crate::{
    cli::{
        Exit,
        key_store::{KeyStore, PatchFile, Stopped, key_id, parsed_if, stopped},
        output::tell,
    },
    clock::{Clock as _, SystemClock},
    control::key_admin,
    keys::record::Name,
};

/// Revoke a key, at once and for good. Its entry stays, so that its holder is told why.
#[derive(Debug, Args)]
#[command(after_help = "Example: keygate keys revoke key_01kba2 --reason 'printed by a build'")]
pub(super) struct Revoke {
    #[command(flatten)]
    store: KeyStore,
    /// The id of the key.
    id: String,
    /// Why, for the list.
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    patch: PatchFile,
}

impl Revoke {
    pub(super) fn run(self) -> Result<Exit, Stopped> {
        let id = key_id(&self.id)?;
        let reason = parsed_if("--reason", self.reason.as_ref(), Name::parse)?;
        let administration = self.store.open()?;
        let revoked = key_admin::revoke(&administration, &id, reason.as_ref(), SystemClock.now())
            .map_err(|error| stopped(&error))?;
        if let Some(before) = revoked.before {
            tell(&format!("key {id} was revoked already, at {before}"));
        }
        if revoked.files_are_wrong {
            tell("warning: the key files are wrong otherwise; a gateway takes this revocation all the same");
        }
        Ok(self.patch.report(&revoked.outcome, &format!("key {id} was revoked")))
    }
}
