//! May this principal do this? Pure: no IO, no clock, no logging.

pub mod principal;
pub mod project;
pub mod reason;
pub mod scope;
