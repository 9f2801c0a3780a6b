//! Everything a user could see, asserted mostly through the real binary and real peers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

mod admin_api;
mod admin_listener;
mod adoption;
mod answers;
mod assertion;
mod audit;
mod cli;
mod compat;
mod config;
mod console;
mod console_browser;
mod database_cli;
mod decision_cost;
mod decisions;
mod demo;
mod deploy;
mod doors;
mod enforcement;
mod exchanges;
mod file_mode;
mod first_owner;
mod fixture;
mod fleet;
mod fuzz_http1;
mod fuzz_inputs;
mod grpc;
mod guides;
mod harness;
mod health;
mod hostile_requests;
mod http2;
mod key_edits;
mod key_import;
mod limits;
mod manage_scope;
mod management;
mod moving;
mod net;
mod population;
mod possession;
mod readme;
mod reference;
mod reload;
mod replica;
mod reserved_ids;
mod rust_text;
mod scan;
mod serving;
mod store_contract;
mod streams;
mod tidy;
mod tls;
mod upstream_http2;
mod wrong_key_files;
