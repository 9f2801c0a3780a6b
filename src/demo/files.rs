//! The files of the demo: real ones, as `keygate serve` reads them, with what is known only at run time filled in.

use std::{fs, io, net::SocketAddr, path::Path};

use jiff::{Timestamp, ToSpan as _};

use super::{keyring::Keyring, replace_file};
use crate::clock::{Clock as _, SystemClock};

pub(super) const CONFIG: &str = "keygate.yaml";
pub(super) const KEYS: &str = "keys.yaml";
pub(super) const ACCESS_LOG: &str = "log/access.log";

/// Writes configuration and key file to `folder`.
pub(super) fn write(
    folder: &Path,
    listen: SocketAddr,
    upstream: SocketAddr,
    keyring: &Keyring,
) -> io::Result<()> {
    let config = include_str!("files/keygate.yaml")
        .replace("{listen}", &listen.to_string())
        .replace("{upstream}", &format!("http://{upstream}"));
    fs::create_dir(folder.join("log"))?;
    replace_file(&folder.join(CONFIG), &config)?;
    replace_file(&folder.join(KEYS), &keys(keyring, SystemClock.now()))
}

fn keys(keyring: &Keyring, now: Timestamp) -> String {
    let mut text = include_str!("files/keys.yaml").to_owned();
    let days = [("{last_month}", -30), ("{yesterday}", -1), ("{tomorrow}", 1), ("{next_month}", 30)];
    for (name, days) in days {
        // Far from the ends of time.
        let then = now.checked_add((days * 24).hours()).unwrap_or(now);
        text = text.replace(name, &format!("{then:.0}"));
    }
    for (id, digest, prefix) in keyring.entries() {
        text = text.replace(&format!("{{{id}.hash}}"), &digest);
        text = text.replace(&format!("{{{id}.prefix}}"), prefix);
    }
    text
}
