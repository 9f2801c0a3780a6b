//! `keygate keys revoke`.

use clap::Args;

use crate::{
    cli::{
        Exit,
        committed::AfterChange,
        key_store::{KeyStore, Stopped, key_id, not_changed, parsed_if},
        output::{Output, tell},
    },
    clock::{Clock as _, SystemClock},
    control::key_admin,
    keys::record::Name,
    store::record_yaml,
};

/// Revoke a key, at once and for good. Its entry stays, so that its holder is told why.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: keygate keys revoke key_01kba2x7m4n0p5q6r8s9tavbwc --reason 'printed by a build'"
)]
pub(super) struct Revoke {
    #[command(flatten)]
    store: KeyStore,
    /// The id of the key.
    id: String,
    /// Why, for the list.
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    after: AfterChange,
    /// How to answer: with nothing, or the receipt as JSON.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

impl Revoke {
    pub(super) async fn run(self) -> Result<Exit, Stopped> {
        let id = key_id(&self.id)?;
        let reason = parsed_if("--reason", self.reason.as_ref(), Name::parse)?;
        let opened = self.store.open().await?;
        let revoked =
            key_admin::revoke(&opened.administration, &id, reason.as_ref(), None, SystemClock.now())
                .await
                .map_err(|error| not_changed(&error))?;
        if let Some(before) = revoked.before {
            tell(&format!("key {id} was revoked already, at {}", record_yaml::instant(before)));
        }
        if revoked.files_are_wrong {
            tell("warning: the key files are wrong otherwise; a gateway takes this revocation all the same");
        }
        let done = format!("key {id} was revoked");
        Ok(self.after.report_as(self.output, &opened, &revoked.committed, &done).await)
    }
}
