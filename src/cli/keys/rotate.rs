//! `keygate keys rotate`.

use clap::Args;

use super::create::{EnvironmentName, show_secret};
use crate::{
    cli::{
        Exit,
        committed::AfterChange,
        key_store::{KeyStore, Stopped, key_id, not_changed, wrong_input},
        output::{Output, tell},
    },
    clock::{Clock as _, SystemClock},
    control::{key_admin, term},
    store::record_yaml,
};

/// Give a key a new secret and print it, this once: alone on standard output.
///
/// Id, name, scopes, projects and expiry stay. The old secret works on for the overlap, never past the expiry.
#[derive(Debug, Args)]
#[command(after_help = "Example: keygate keys rotate key_01kba2x7m4n0p5q6r8s9tavbwc --overlap 7d")]
pub(super) struct Rotate {
    #[command(flatten)]
    store: KeyStore,
    /// The id of the key.
    id: String,
    /// How long the old secret works on: 0, 1h, 24h, 7d, …
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    overlap: String,
    /// What the new secret says it is for [default: as the old one].
    #[arg(long = "env", value_enum)]
    environment: Option<EnvironmentName>,
    #[command(flatten)]
    after: AfterChange,
    /// How to answer: the secret alone, or JSON with id and secret.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

impl Rotate {
    pub(super) async fn run(self) -> Result<Exit, Stopped> {
        let id = key_id(&self.id)?;
        let overlap =
            term::duration(&self.overlap).map_err(|error| wrong_input(&format!("--overlap: {error}")))?;
        let opened = self.store.open().await?;
        let environment = self.environment.map(Into::into);
        let rotated =
            key_admin::rotate(&opened.administration, &id, overlap, environment, None, SystemClock.now())
                .await
                .map_err(|error| not_changed(&error))?;
        let exit = self.after.tell(&rotated.issued.committed, &format!("key {id} was rotated"));
        tell(&if overlap.is_zero() {
            "the old secret is refused from now on".to_owned()
        } else {
            format!("the old secret works until {}", record_yaml::instant(rotated.old_until))
        });
        if let Some(ended) = rotated.ended {
            let ended = record_yaml::instant(ended);
            tell(&format!(
                "warning: the secret before it would have worked until {ended}, and works no longer"
            ));
        }
        if let Some(failed) = show_secret(&rotated.issued, self.output) {
            return Ok(failed);
        }
        Ok(self.after.confirm(&opened, &rotated.issued.committed).await.unwrap_or(exit))
    }
}
