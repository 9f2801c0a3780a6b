//! What outlives the process: key files, and the folder where the gateway keeps what it must not forget.
//!
//! The contract: [`KeyFiles::look`] reads what changed and keeps of every file its last good content;
//! [`KeyFiles::resolve`] makes of them one snapshot, tells what is wrong and where, and which revocations the wrong
//! ones mark; [`KeyFiles::accept`] says that this is in force now. Nothing here asks a clock.
//!
//! [`KeyFiles::look`]: key_files::KeyFiles::look
//! [`KeyFiles::resolve`]: key_files::KeyFiles::resolve
//! [`KeyFiles::accept`]: key_files::KeyFiles::accept

pub mod accounts;
pub(crate) mod backoff;
pub mod contract;
pub mod database_url;
pub(crate) mod directory;
pub mod editable;
pub mod file;
pub mod file_set;
pub mod file_store;
pub mod key_file_writer;
pub mod key_files;
mod limit_claims;
pub mod memory;
pub mod memory_accounts;
mod merge;
pub mod query;
mod raw;
pub mod read;
pub mod record_yaml;
pub mod records_in_force;
pub mod replace;
pub mod right;
mod scan;
pub mod snapshot_file;
pub mod sql;
pub mod state;
mod usage_rows;

pub use raw::{instant, json_schema as key_file_schema};
