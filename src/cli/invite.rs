//! `keygate people invite`.

use clap::Args;

use super::{
    Exit,
    key_store::{KeyStore, Stopped, parsed, stopped, wrong_input},
    output::{answer, tell},
};
use crate::{
    clock::{Clock as _, SystemClock},
    control::sign_in::{self, INVITATION_VALID},
    keys::record::PersonId,
};

/// Print a one-time link by which a person gives themselves a password for the console.
///
/// It works once, for seven days, and takes the place of any other for the same person. Whoever has it can sign in as
/// them: give it to nobody else.
#[derive(Debug, Args)]
#[command(after_help = "Example: keygate people invite ada")]
pub(super) struct Invite {
    #[command(flatten)]
    store: KeyStore,
    /// The id of the person.
    id: String,
}

impl Invite {
    pub(super) async fn run(self) -> Result<Exit, Stopped> {
        let id = parsed("the id", &self.id, PersonId::parse)?;
        let opened = self.store.open().await?;
        let Some(database) = opened.administration.database() else {
            return Err(wrong_input(
                "key files hold no passwords: with them, people sign in to the console with a key that carries \
                 keygate:manage",
            ));
        };
        let (accounts, now) = (database.accounts(), SystemClock.now());
        let invited = sign_in::invite(&opened.administration, &*accounts, &id, now).await;
        let token = invited.map_err(|error| stopped(&error))?;
        let path = format!("/invitation/{}", token.expose());
        if let Some(url) = &opened.console {
            answer(&format!("{url}{path}"));
        } else {
            answer(&path);
            tell("this is the path alone: put it after the address of the console");
        }
        tell(&format!("it works once, for {} days", INVITATION_VALID.as_hours() / 24));
        Ok(Exit::Done)
    }
}
