//! How far a long command is: a line on a terminal that counts, and nothing anywhere else.

use std::io::{self, IsTerminal as _, Write as _};

/// See the module. The line is taken away at the end.
#[derive(Debug)]
pub(super) struct Progress {
    what: &'static str,
    is_shown: bool,
    has_line: bool,
}

impl Progress {
    /// None is shown yet.
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, is_shown: io::stderr().is_terminal(), has_line: false }
    }

    /// Shows that `done` of `all` are done.
    pub(super) fn show(&mut self, done: usize, all: usize) {
        if self.is_shown {
            let percent = done.saturating_mul(100).checked_div(all).unwrap_or(100);
            // A terminal that has gone misses nothing.
            let _ = write!(io::stderr().lock(), "\r{done} of {all} {} ({percent} %)", self.what);
            self.has_line = true;
        }
    }

    /// Takes the line away.
    pub(super) fn end(&mut self) {
        if std::mem::take(&mut self.has_line) {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}
