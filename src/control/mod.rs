//! The only writer: takes what changed in the sources, builds what it makes together, and publishes it as one unit.

pub mod usage_flush;
