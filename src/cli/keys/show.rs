//! `keygate keys show`.

use clap::Args;

use super::view::fields;
use crate::{
    cli::{
        Exit,
        key_store::{KeyStore, Stopped, key_id, stopped},
        output::{Output, answer, answer_json},
    },
    clock::{Clock as _, SystemClock},
    control::{key_admin, key_view::KeyView, listing},
};

/// Show a key: what it was granted, what it may do now, its uses; never its secret or digest.
#[derive(Debug, Args)]
pub(super) struct Show {
    #[command(flatten)]
    store: KeyStore,
    /// The id of the key.
    id: String,
    /// How to show it.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

impl Show {
    pub(super) async fn run(self) -> Result<Exit, Stopped> {
        let id = key_id(&self.id)?;
        let now = SystemClock.now();
        let opened = self.store.open().await?;
        let mut work = opened.administration.look().await.map_err(|error| stopped(&error))?;
        let key = key_admin::find(&mut work, &id).await.map_err(|error| stopped(&error))?;
        let listed = listing::with_owner(&mut work, key).await.map_err(|error| stopped(&error))?;
        let usage = opened.usage(std::slice::from_ref(&listed), now).await?;
        let rules = opened.administration.rules_for([&listed.key]);
        let view = KeyView::new(&listed, &work, &rules, usage.as_ref(), now);
        match self.output {
            Output::Json => answer_json(&view),
            Output::Table => answer(&fields(&view)),
        }
        Ok(Exit::Done)
    }
}
