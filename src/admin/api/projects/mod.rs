//! `/api/v1/projects`: what organizations declare.

pub(super) mod create;
pub(super) mod list;
pub(super) mod remove;
