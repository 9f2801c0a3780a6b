//! `keygate openapi`: the description of the admin API.

use super::{Exit, output::answer_json};
use crate::admin::api;

pub(super) fn run() -> Exit {
    answer_json(&api::document());
    Exit::Done
}
