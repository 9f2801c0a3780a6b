//! The only writer: takes what changed in the sources, builds what it makes together, and publishes it as one unit.
//! Start reading at [`reload::Reloader`].

pub mod actor;
pub mod administration;
pub mod audit_trail;
mod changes;
pub mod cold_start;
pub mod config_file;
pub mod database_keys;
mod database_usage;
pub mod explain;
mod file_keys;
pub mod key_admin;
pub mod key_export;
pub mod key_form;
pub mod key_import;
pub mod key_view;
pub mod listing;
pub mod loading;
pub mod organization_admin;
pub mod people_admin;
pub mod project_admin;
pub mod receipt;
mod record;
mod record_check;
pub mod record_tag;
pub mod reload;
pub mod reload_thread;
pub mod replica;
pub mod replica_thread;
pub mod report;
mod revocations;
pub mod sign_in;
mod spare;
pub mod term;
pub mod usage_flush;
mod watch;
