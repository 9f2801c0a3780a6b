//! What the gateway says about itself: metrics, access log, audit log, uses of keys, trace context.
//!
//! The data path only ever writes to what its own worker holds ([`worker::WorkerTelemetry`]) and hands it over
//! through bounded channels without waiting; what does not fit is dropped and counted. Start reading at
//! [`outcome::OutcomeGuard`].

pub mod access_log;
pub mod audit;
pub mod escape;
mod exposition;
pub mod history;
mod json_line;
mod log_writer;
pub mod logging;
pub mod metrics;
mod named_cells;
pub mod names;
pub mod operator;
pub mod outcome;
mod process;
pub(crate) mod throttle;
pub mod trace_context;
pub mod usage;
pub mod worker;
