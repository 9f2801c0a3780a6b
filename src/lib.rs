//! Keygate: an API-key gateway.
//!
//! *policy decides, keys identify, store remembers, control publishes, proxy enforces, admin changes.*
//! Modules stand in the order of their layers; `tests/suite/tidy.rs` keeps who may import whom.

// What a request says and what is known of it: pure.
pub mod clock;
pub mod gate;
pub mod http1;
pub mod keys;
pub mod message;
pub mod openapi;
pub mod policy;
pub mod yaml;

// Between the pure parts and the world.
pub mod assertion;
pub mod config;
pub mod limit;
pub mod live;
pub mod net;
pub mod store;
pub mod telemetry;

// What acts.
pub mod admin;
pub mod console;
pub mod control;
pub mod doors;
pub mod proxy;

// What puts it together.
pub mod app;
pub mod cli;
pub mod demo;
