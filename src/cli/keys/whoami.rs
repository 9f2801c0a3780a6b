//! `keygate keys whoami`.

use clap::Args;
use serde::Serialize;

use super::view::fields;
use crate::{
    cli::{
        Exit,
        key_store::{KeyStore, Stopped, stopped, wrong_input},
        output::{Output, answer, answer_json, tell},
        secret_input,
    },
    clock::{Clock as _, SystemClock},
    control::{key_view::KeyView, listing},
    keys::{
        digest::KeyDigest,
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
    pub(super) async fn run(self) -> Result<Exit, Stopped> {
        let secret = secret_input::read().map_err(|message| wrong_input(&message))?;
        let now = SystemClock.now();
        let opened = self.store.open().await?;
        let mut work = opened.administration.look().await.map_err(|error| stopped(&error))?;
        let digest = KeyDigest::of(secret.expose().as_bytes());
        let found = listing::key_of(&mut work, digest).await.map_err(|error| stopped(&error))?;
        let Some(listed) = found else {
            for problem in work.wrong_files() {
                tell(&problem.to_string());
            }
            tell(&unknown(&secret, &opened.administration.rules_for([]).brand));
            return Ok(Exit::Failed);
        };
        let is_previous_secret = listed.key.digest != digest;
        let usage = opened.usage(std::slice::from_ref(&listed), now).await?;
        let rules = opened.administration.rules_for([&listed.key]);
        let key = KeyView::new(&listed, &work, &rules, usage.as_ref(), now);
        match self.output {
            Output::Json => answer_json(&Answer { key, is_previous_secret }),
            Output::Table => {
                answer(&fields(&key));
                if is_previous_secret {
                    tell(&previous(&key));
                }
            }
        }
        Ok(Exit::Done)
    }
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
