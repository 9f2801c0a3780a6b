//! Descriptors that the reloader keeps for itself, so that a revocation is read also when clients hold all others.

use std::{fs::File, io, time::Duration};

use rustix::io::Errno;

/// The most that one look has open at once, and some more.
const SPARES: usize = 8;

/// How soon to look again when the process can open no more files.
const AGAIN_IN: Duration = Duration::from_secs(1);

/// Some open files that are good for nothing but being closed.
#[derive(Debug, Default)]
pub(super) struct Spares(Vec<File>);

impl Spares {
    /// Makes room for a look at the sources.
    pub(super) fn release(&mut self) {
        self.0.clear();
    }

    /// Takes the room again. When to look again if there is none: what could not be opened may be missing.
    pub(super) fn hold(&mut self) -> Option<Duration> {
        while self.0.len() < SPARES {
            match File::open("/dev/null") {
                Ok(file) => self.0.push(file),
                Err(error) => return is_exhausted(&error).then_some(AGAIN_IN),
            }
        }
        None
    }
}

/// Whether the process or the system can open no more files.
fn is_exhausted(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}
