//! What operators and their machines ask of a running gateway, on listeners of its own.

pub mod health;
