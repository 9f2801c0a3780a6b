//! The only writer: takes what changed in the sources, builds what it makes together, and publishes it as one unit.
//! Start reading at [`reload::Reloader`].

mod changes;
pub mod config_file;
pub mod reload;
pub mod reload_thread;
pub mod report;
mod revocations;
pub mod usage_flush;
mod watch;
