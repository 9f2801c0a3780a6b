//! From text to a configuration that cannot hold a wrong value.

pub mod model;
