//! What operators and their machines ask of a running gateway, on listeners of its own.

pub mod guard;
pub mod health;
pub mod listener;
pub mod problem;
pub mod thread;
