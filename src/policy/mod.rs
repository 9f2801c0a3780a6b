//! May this principal do this? Pure: no IO, no clock, no logging.

pub mod decide;
pub mod fold;
pub mod origin;
pub mod path;
pub mod plan;
pub mod principal;
pub mod project;
pub mod reason;
pub mod route;
pub mod scope;
