//! `keygate healthcheck`: whether the gateway on this machine is ready, for container engines.

use std::net::{IpAddr, SocketAddr};

use clap::Args;

use super::Exit;
use crate::admin::health::healthcheck;

/// Ask the health listener whether the gateway is ready; exits with 1 where it is not, or does not answer within 2 s.
// An address and no config: a config that was broken by an edit must not make the running gateway look unhealthy.
#[derive(Debug, Args)]
#[command(after_help = "Example: keygate healthcheck --address 127.0.0.1:8082")]
pub(super) struct Healthcheck {
    /// The `health.address` of the config; an unspecified address means this machine.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8082", value_parser = address)]
    address: SocketAddr,
}

impl Healthcheck {
    #[expect(clippy::print_stderr, reason = "the reason is told to whoever asks")]
    pub(super) fn run(&self) -> Exit {
        match healthcheck(self.address) {
            Ok(()) => Exit::Done,
            Err(unhealthy) => {
                eprintln!("keygate: {unhealthy}");
                Exit::Failed
            }
        }
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| match text.parse::<IpAddr>() {
        Ok(ip) => format!("the port is missing; write {}", SocketAddr::new(ip, 8082)),
        Err(_) => "write an IP address and a port, as health.address has them: 127.0.0.1:8082".to_owned(),
    })
}
