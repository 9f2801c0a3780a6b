//! `keygate keys show`.

use clap::Args;

use super::view::KeyView;
use crate::{
    cli::{
        Exit,
        key_store::{KeyStore, Stopped, key_id, stopped, usage},
        output::{Output, answer, answer_json},
    },
    clock::{Clock as _, SystemClock},
    control::key_admin::no_such_key,
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
    pub(super) fn run(self) -> Result<Exit, Stopped> {
        let id = key_id(&self.id)?;
        let administration = self.store.open()?;
        let records = administration.read().map_err(|error| stopped(&error))?;
        let Some(key) = records.keys().find(|key| key.id == id) else {
            return Err(stopped(&no_such_key(&records, &id)));
        };
        let view = KeyView::new(key, &records, usage(&administration).as_ref(), SystemClock.now());
        match self.output {
            Output::Json => answer_json(&view),
            Output::Table => answer(&view.to_fields()),
        }
        Ok(Exit::Done)
    }
}
