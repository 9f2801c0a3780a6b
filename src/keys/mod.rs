//! What a key is: its secret, its digest, its record, and the look-up that answers whose secret this is.
//! Pure: no IO, no clock, no logging; only a new secret or id asks the operating system for randomness.

pub mod build;
pub mod caps;
pub mod checksum;
mod chunks;
pub mod credential;
mod details;
pub mod digest;
mod directory;
pub mod editor;
pub mod grants;
pub mod image;
pub mod network;
pub mod plans;
pub mod problem;
pub mod record;
mod register;
pub mod rules;
pub mod secret;
pub mod secret_scan;
pub mod snapshot;
pub mod table;
pub mod tally;

#[cfg(test)]
mod tests;
