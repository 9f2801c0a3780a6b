//! The text as saphyr's scanner reads it, with a horizon.
//!
//! Inside a flow collection that may yet turn out to be a key, the scanner holds every token back, some hundred bytes
//! for each byte of text. So the text seems to end at a horizon, which the reader moves on with every event.

use std::cell::Cell;

use saphyr_parser::Input;

/// How far the scanner may read without giving an event: no scalar, and no outermost flow collection, is longer.
pub(super) const HORIZON: usize = 4 << 20;

/// How much of the text may remain unread before it seems to end, and whether the scanner came that far.
#[derive(Debug, Default)]
pub(super) struct Horizon {
    floor: Cell<usize>,
    reached: Cell<bool>,
}

impl Horizon {
    /// A horizon [`HORIZON`] bytes on, when `remaining` bytes are unread.
    pub(super) fn move_on(&self, remaining: usize) {
        self.floor.set(remaining.saturating_sub(HORIZON));
    }

    /// Whether the text seemed to end before its end.
    pub(super) fn is_reached(&self) -> bool {
        self.reached.get()
    }
}

/// What is unread of a text.
#[derive(Debug)]
pub(super) struct Source<'t, 'h> {
    rest: &'t str,
    ahead: usize,
    horizon: &'h Horizon,
}

impl<'t, 'h> Source<'t, 'h> {
    pub(super) fn new(text: &'t str, horizon: &'h Horizon) -> Self {
        horizon.move_on(text.len());
        Self { rest: text, ahead: 0, horizon }
    }

    #[inline]
    fn first(&self) -> Option<char> {
        match self.rest.as_bytes().first() {
            Some(&byte) if byte.is_ascii() => Some(char::from(byte)),
            Some(_) => self.rest.chars().next(),
            None => None,
        }
    }

    #[inline]
    fn pop(&mut self) -> Option<char> {
        let first = self.first()?;
        self.rest = &self.rest[first.len_utf8()..];
        Some(first)
    }

    #[cold]
    fn end_at_horizon(&mut self) {
        self.horizon.reached.set(true);
        self.rest = "";
    }
}

impl Input for Source<'_, '_> {
    /// The scanner asks for this at least once in every [`Input::bufmaxlen`] characters, so the horizon is kept here.
    #[inline]
    fn lookahead(&mut self, count: usize) {
        self.ahead = self.ahead.max(count);
        if self.rest.len() < self.horizon.floor.get() {
            self.end_at_horizon();
        }
    }

    #[inline]
    fn buflen(&self) -> usize {
        self.ahead
    }

    #[inline]
    fn bufmaxlen(&self) -> usize {
        32
    }

    #[inline]
    fn raw_read_ch(&mut self) -> char {
        self.pop().unwrap_or('\0')
    }

    #[inline]
    fn raw_read_non_breakz_ch(&mut self) -> Option<char> {
        match self.first() {
            Some('\n' | '\r' | '\0') | None => None,
            Some(_) => self.pop(),
        }
    }

    #[inline]
    fn skip(&mut self) {
        self.pop();
    }

    #[inline]
    fn skip_n(&mut self, count: usize) {
        for _ in 0..count {
            self.pop();
        }
    }

    #[inline]
    fn peek(&self) -> char {
        self.first().unwrap_or('\0')
    }

    #[inline]
    fn peek_nth(&self, n: usize) -> char {
        match (n, self.rest.as_bytes()) {
            (1, [first, second, ..]) if first.is_ascii() && second.is_ascii() => char::from(*second),
            (0..4, bytes) if bytes.get(..=n).is_some_and(<[u8]>::is_ascii) => char::from(bytes[n]),
            _ => self.rest.chars().nth(n).unwrap_or('\0'),
        }
    }

    #[inline]
    fn peek_opt(&self) -> Option<char> {
        self.first()
    }

    #[inline]
    fn next_is_blank_or_breakz(&self) -> bool {
        matches!(self.rest.as_bytes().first(), None | Some(b' ' | b'\t' | b'\n' | b'\r' | b'\0'))
    }

    /// An indicator (YAML 1.2.2 §7.3.3) or a byte order mark ends a plain scalar.
    #[inline]
    fn next_can_be_plain_scalar(&self, in_flow: bool) -> bool {
        match self.rest.as_bytes() {
            [b':', b' ' | b'\t' | b'\n' | b'\r' | b'\0', ..] | [b':'] | [0xef, 0xbb, 0xbf, ..] => false,
            [b':', b',' | b'[' | b']' | b'{' | b'}', ..] | [b',' | b'[' | b']' | b'{' | b'}', ..] => !in_flow,
            _ => true,
        }
    }
}
