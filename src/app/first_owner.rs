//! Where nobody owns anything yet, a one-time link lets whoever can read the gateway's terminal or files become the first
//! owner. There is no default password.

use std::{
    fs,
    io::{self, IsTerminal as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::sleep;

use crate::{
    admin::state::AdminState,
    control::{
        administration::AdminError,
        people_admin,
        sign_in::{FIRST_OWNER_VALID, Token},
    },
    store::contract::StoreError,
};

/// The file in the `state:` folder that holds the link where there is no terminal to show it on.
const FILE: &str = "first-owner-link";

/// How soon a database that is away is asked again.
const PAUSE: Duration = Duration::from_secs(5);

/// Shows a link for the first owner, if there is none and this gateway keeps passwords. `place` tells this gateway from
/// others of its database, of which one shows a link.
pub(super) async fn offer(state: AdminState, place: String, folder: Option<PathBuf>) {
    if !state.sign_in.keeps_passwords() {
        return;
    }
    let file = folder.map(|folder| folder.join(FILE));
    match link(&state, &place).await {
        Ok(Offer::Owned) => {
            if let Some(file) = &file {
                let _ = fs::remove_file(file);
            }
        }
        Ok(Offer::Elsewhere) => tracing::info!(
            "nobody is owner yet; another gateway of this database has shown a one-time link for the first owner, which \
             works for an hour"
        ),
        Ok(Offer::Link(token)) => {
            let path = format!("/welcome/{}", token.expose());
            let url = state.url.as_deref().map_or_else(|| path.clone(), |url| format!("{url}{path}"));
            show(&url, file.as_deref());
        }
        Err(error) => tracing::warn!(%error, "no link for the first owner can be made"),
    }
}

enum Offer {
    /// There is an owner.
    Owned,
    /// Another gateway has shown a link.
    Elsewhere,
    /// To be shown.
    Link(Token),
}

/// Waits for the database.
async fn link(state: &AdminState, place: &str) -> Result<Offer, AdminError> {
    loop {
        match people_admin::has_owner(&state.on_its_own(None)).await {
            Ok(true) => return Ok(Offer::Owned),
            Ok(false) => {
                let token = state.sign_in.first_owner_link(place).await?;
                return Ok(token.map_or(Offer::Elsewhere, Offer::Link));
            }
            Err(AdminError::Store(StoreError::Unavailable(_))) => sleep(PAUSE).await,
            Err(error) => return Err(error),
        }
    }
}

/// On a terminal, or in a file that nobody else reads; never in a log, which others keep.
fn show(url: &str, file: Option<&Path>) {
    let minutes = FIRST_OWNER_VALID.as_mins();
    if io::stderr().is_terminal() {
        let text = format!(
            "nobody is owner yet; within {minutes} minutes, become the first one at\n\n    {url}\n\n"
        );
        let _ = io::stderr().write_all(text.as_bytes());
        return;
    }
    let Some(file) = file else {
        tracing::info!(
            "nobody is owner yet; begin with `keygate people create --role owner` and `keygate people invite`, or start \
             the gateway on a terminal or with a state: folder to get a one-time link"
        );
        return;
    };
    match write(file, url) {
        Ok(()) => tracing::info!(
            "nobody is owner yet; a one-time link for the first owner is in {} for {minutes} minutes",
            file.display()
        ),
        Err(error) => tracing::warn!(%error, "{} cannot be written", file.display()),
    }
}

fn write(file: &Path, url: &str) -> io::Result<()> {
    // A file that is there may be read by others: mode is for new ones.
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    writeln!(file, "{url}")
}
