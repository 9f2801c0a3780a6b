//! The lines of a log, however long a hostile one is.

use std::io::{self, BufRead, Read as _};

/// A longer line is passed over: no gateway takes such a request.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'l> {
    /// Without its end.
    Text(&'l [u8]),
    /// Nothing but blanks.
    Blank,
    /// More than 64 KiB.
    TooLong,
}

/// Gives the lines of `reader` one by one, each in the same room.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, line: Vec::new() }
    }

    /// The next line; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let read = self.reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        if self.line.last() != Some(&b'\n') && read as u64 == LINE_BYTES_MAX {
            self.skip_line()?;
            return Ok(Some(Line::TooLong));
        }
        let text = self.line.trim_ascii();
        Ok(Some(if text.is_empty() { Line::Blank } else { Line::Text(text) }))
    }

    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.reader.fill_buf()?;
            let end = memchr::memchr(b'\n', buffer);
            let length = end.map_or(buffer.len(), |at| at + 1);
            self.reader.consume(length);
            if end.is_some() || length == 0 {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_end_costs_no_more_than_the_limit() {
        let long = vec![b'x'; 200_000];
        let text = [b"one\n\n".as_slice(), &long, b"\n two \r\nlast"].concat();
        let mut lines = Lines::new(text.as_slice());
        let mut seen = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            seen.push(match line {
                Line::Text(text) => String::from_utf8_lossy(text).into_owned(),
                other => format!("{other:?}"),
            });
        }
        assert_eq!(seen, ["one", "Blank", "TooLong", "two", "last"]);
        assert!(lines.line.capacity() < 2 * 64 * 1024 + 1);
    }
}
