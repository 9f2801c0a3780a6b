//! Keygate: an API-key gateway.
//!
//! *policy decides, keys identify, store remembers, control publishes, proxy enforces, admin changes.*
//! Modules stand in the order of their layers; `tests/suite/tidy.rs` keeps who may import whom.

pub mod admin;
pub mod clock;
pub mod config;
pub mod gate;
pub mod http1;
pub mod keys;
pub mod live;
pub mod message;
pub mod net;
pub mod policy;
pub mod proxy;
pub mod store;
pub mod telemetry;
pub mod yaml;
