//! `keygate stop`: what `kill -TERM` does, for images that hold no other program.

use std::{fs, io};

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};

use super::Exit;

/// Ask a running gateway to stop as SIGTERM does: it is not ready any more, drains, and ends. Returns at once.
// For `preStop` hooks in containers, where the gateway is process 1 and there is no shell.
#[derive(Debug, Args)]
#[command(after_help = "Example: keygate stop --pid 1")]
pub(super) struct Stop {
    /// The gateway's process id; in a container that is 1. Refused where the process is no keygate.
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pid: i32,
}

impl Stop {
    #[expect(clippy::print_stderr, reason = "the reason is told to whoever asks")]
    pub(super) fn run(&self) -> Exit {
        match stop(self.pid) {
            Ok(()) => Exit::Done,
            Err(error) => {
                eprintln!("keygate: process {}: {error}", self.pid);
                Exit::Failed
            }
        }
    }
}

fn stop(pid: i32) -> io::Result<()> {
    if program(&pid.to_string())? != program("self")? {
        return Err(io::Error::other("is no keygate and is left alone"));
    }
    let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(kill_process(pid, Signal::TERM)?)
}

/// The name of the program that a process runs.
fn program(process: &str) -> io::Result<String> {
    fs::read_to_string(format!("/proc/{process}/comm"))
}
