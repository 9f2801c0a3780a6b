//! From text to a configuration that cannot hold a wrong value.
//!
//! [`load`] reads `keygate.yaml`: [`raw`] is the file as it is written, `resolve` checks what no single value can tell
//! and fills in the defaults, [`model`] is what the rest of the program reads.

pub mod address;
pub mod authority;
mod load;
pub mod model;
mod problem;
pub mod raw;
mod resolve;
mod schema;

pub use self::{
    address::{ListenAddress, reachable},
    authority::{Authority, PublicUrl},
    load::{Exposure, LIMITS, Loaded, Surroundings, load, parse},
    model::Config,
    problem::Problem,
    resolve::is_link_local,
    schema::{SCHEMA_ID, schema},
};
