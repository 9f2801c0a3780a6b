//! What the operating system says about this process, read from `/proc` at each scrape.

use std::fs;

/// A reading; what could not be read is `None`.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct ProcessReading {
    pub(super) cpu_seconds: Option<f64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) virtual_bytes: Option<u64>,
    pub(super) open_fds: Option<u64>,
    pub(super) max_fds: Option<u64>,
}

impl ProcessReading {
    /// Reads. Cost: three small files and one directory; for the control side.
    pub(super) fn take() -> Self {
        let mut reading = Self {
            open_fds: fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as u64),
            max_fds: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
            ..Self::default()
        };
        if let Ok(stat) = fs::read_to_string("/proc/self/stat") {
            reading.read_stat(&stat);
        }
        reading
    }

    /// Takes utime, stime, vsize and rss from a line of proc(5) `stat`.
    fn read_stat(&mut self, stat: &str) {
        // The second field is the program's name in parentheses, which may itself hold spaces and parentheses.
        let Some((_, fields)) = stat.rsplit_once(')') else { return };
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
        if let (Some(user), Some(system)) = (number(11), number(12)) {
            self.cpu_seconds = Some(as_seconds(user + system, rustix::param::clock_ticks_per_second()));
        }
        self.virtual_bytes = number(20);
        self.resident_bytes = number(21).map(|pages| pages * rustix::param::page_size() as u64);
    }
}

#[expect(clippy::cast_precision_loss, reason = "ticks stay far below 2^52")]
fn as_seconds(ticks: u64, per_second: u64) -> f64 {
    ticks as f64 / per_second.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_process_is_read() {
        let reading = ProcessReading::take();
        assert!(reading.resident_bytes.unwrap() > 100_000);
        assert!(reading.virtual_bytes.unwrap() >= reading.resident_bytes.unwrap());
        assert!(reading.open_fds.unwrap() >= 3 && reading.cpu_seconds.is_some());
    }

    #[test]
    fn a_hostile_program_name_moves_no_field() {
        let mut reading = ProcessReading::default();
        reading.read_stat("7 (a) R 9) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 1 0 99 8192 3 0");
        let ticks = rustix::param::clock_ticks_per_second();
        assert_eq!(reading.cpu_seconds, Some(as_seconds(200, ticks)));
        assert_eq!(reading.virtual_bytes, Some(8192));
        assert_eq!(reading.resident_bytes, Some(3 * rustix::param::page_size() as u64));
    }

    #[test]
    fn a_short_line_is_no_panic() {
        for line in ["", ")", "1 (x) R", "1 (x"] {
            let mut reading = ProcessReading::default();
            reading.read_stat(line);
            assert_eq!(reading, ProcessReading::default());
        }
    }
}
