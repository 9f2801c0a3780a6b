//! The configuration of the demo: a real file, as `keygate serve` reads it, with what is known only at run time filled in.

use std::{fs, io, net::SocketAddr, path::Path};

pub(super) const CONFIG: &str = "keygate.yaml";
pub(super) const DATABASE: &str = "keygate.db";
pub(super) const ACCESS_LOG: &str = "log/access.log";

/// Where everybody listens.
pub(super) struct Addresses {
    /// The gateway, for clients.
    pub(super) listen: SocketAddr,
    /// The console.
    pub(super) admin: SocketAddr,
    /// The sample API.
    pub(super) api: SocketAddr,
    /// Its events.
    pub(super) events: SocketAddr,
}

/// Writes the configuration to `folder`.
pub(super) fn write(folder: &Path, addresses: &Addresses) -> io::Result<()> {
    let config = include_str!("files/keygate.yaml")
        .replace("{listen}", &addresses.listen.to_string())
        .replace("{admin}", &addresses.admin.to_string())
        .replace("{api}", &format!("http://{}", addresses.api))
        .replace("{events}", &format!("http://{}", addresses.events));
    fs::create_dir(folder.join("log"))?;
    fs::write(folder.join(CONFIG), config)
}
