//! `keygate keys whoami`.

use clap::Args;
use serde::Serialize;

use super::view::KeyView;
use crate::{
    cli::{
        Exit,
        key_store::{KeyStore, Stopped, stopped, usage, wrong_input},
        output::{Output, answer, answer_json, tell},
        secret_input,
    },
    clock::{Clock as _, SystemClock},
    keys::{
        digest::KeyDigest,
        record::KeyRecord,
        secret::{KeySecret, ShapeHint},
    },
};

/// Tell whose secret this is, and what it may do now. The secret comes by standard input or in `KEYGATE_KEY`.
///
/// Exit code 1 where it belongs to no key.
#[derive(Debug, Args)]
#[command(after_help = "Example: keygate keys whoami < secret")]
pub(super) struct Whoami {
    #[command(flatten)]
    store: KeyStore,
    /// How to answer.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    key: KeyView,
    is_previous_secret: bool,
}

impl Whoami {
    pub(super) fn run(self) -> Result<Exit, Stopped> {
        let secret = secret_input::read().map_err(|message| wrong_input(&message))?;
        let administration = self.store.open()?;
        let records = administration.read().map_err(|error| stopped(&error))?;
        let digest = KeyDigest::of(secret.expose().as_bytes());
        let Some((key, is_previous_secret)) =
            records.keys().find_map(|key| Some((key, whose(key, &digest)?)))
        else {
            for problem in records.wrong() {
                tell(&problem.to_string());
            }
            tell(&unknown(&secret, &records.rules.brand));
            return Ok(Exit::Failed);
        };
        let key = KeyView::new(key, &records, usage(&administration).as_ref(), SystemClock.now());
        match self.output {
            Output::Json => answer_json(&Answer { key, is_previous_secret }),
            Output::Table => {
                answer(&key.to_fields());
                if is_previous_secret {
                    tell(&previous(&key));
                }
            }
        }
        Ok(Exit::Done)
    }
}

/// Whether `digest` is of the previous secret of `key`; `None`: of neither.
fn whose(key: &KeyRecord, digest: &KeyDigest) -> Option<bool> {
    if key.digest == *digest {
        return Some(false);
    }
    key.previous.as_ref().filter(|previous| previous.digest == *digest).map(|_| true)
}

fn previous(key: &KeyView) -> String {
    match &key.previous_secret_until {
        Some(until) => format!("this is the secret from before the last rotation; it works until {until}"),
        None => "this is the secret from before the last rotation; it works no longer".to_owned(),
    }
}

fn unknown(secret: &KeySecret, brand: &crate::keys::secret::Brand) -> String {
    match ShapeHint::of(secret.expose().as_bytes(), brand) {
        Some(hint) => format!("this secret belongs to no key: {hint}"),
        None => "this secret belongs to no key".to_owned(),
    }
}
