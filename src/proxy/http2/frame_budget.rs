//! Counts frames that ask for nothing (RFC 9113 §10.5): PING, SETTINGS, `WINDOW_UPDATE`, PRIORITY, `RST_STREAM`, unknown
//! ones and empty DATA. The transport answers or ignores them one by one, for ever, and so would each cost us and
//! nothing cost the client.

use std::time::{Duration, Instant};

/// What a connection may send of such frames at once, in bytes.
const BURST_BYTES: u64 = 64 * 1024;
/// What time forgives: about 300 frames a second, more than any client needs for keeping alive.
const BYTES_PER_SECOND: u64 = 4 * 1024;
/// What each request, or the head of an answer, may bring along.
const BYTES_PER_REQUEST: u64 = 512;
/// A byte for so many that we sent: enough for a `WINDOW_UPDATE` or two per DATA frame, and less than what a PING or
/// SETTINGS costs by whose answers we only say that they came.
const SENT_BYTES_PER_BYTE: u64 = 2;

const PREFACE_BYTES: usize = 24;
const HEADER_BYTES: usize = 9;

/// What is left, and where in the other side's bytes we are.
#[derive(Debug)]
pub(super) struct FrameBudget {
    used: u64,
    refilled: Instant,
    /// The header of the frame that comes next, as far as it came.
    header: [u8; HEADER_BYTES],
    header_filled: usize,
    /// What is to come of the preface, or of the payload of a frame.
    skip: usize,
}

impl FrameBudget {
    /// For a client, whose bytes begin with the preface.
    pub(super) fn new(now: Instant) -> Self {
        Self { skip: PREFACE_BYTES, ..Self::of_server(now) }
    }

    /// For a server, whose bytes are frames from the first on (RFC 9113 §3.4).
    pub(super) fn of_server(now: Instant) -> Self {
        Self { used: 0, refilled: now, header: [0; HEADER_BYTES], header_filled: 0, skip: 0 }
    }

    /// Takes note of `bytes` that came at `now`. Says whether it kept within its budget.
    pub(super) fn received(&mut self, mut bytes: &[u8], now: impl FnOnce() -> Instant) -> bool {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            (self.skip, bytes) = (self.skip - skipped, &bytes[skipped..]);
            let part = bytes.len().min(HEADER_BYTES - self.header_filled);
            self.header[self.header_filled..][..part].copy_from_slice(&bytes[..part]);
            (self.header_filled, bytes) = (self.header_filled + part, &bytes[part..]);
            if self.header_filled == HEADER_BYTES {
                self.begin_frame();
            }
        }
        self.used <= BURST_BYTES || self.refill(now())
    }

    /// Takes note of so many bytes sent to the other side.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.used = self.used.saturating_sub(bytes as u64 / SENT_BYTES_PER_BYTE);
    }

    /// By the frame's type and length, RFC 9113 §4.1.
    fn begin_frame(&mut self) {
        const DATA: u8 = 0;
        const HEADERS: u8 = 1;
        const CONTINUATION: u8 = 9;
        let [a, b, c, kind, ..] = self.header;
        let length = u32::from_be_bytes([0, a, b, c]);
        (self.header_filled, self.skip) = (0, length as usize);
        match kind {
            HEADERS => self.used = self.used.saturating_sub(BYTES_PER_REQUEST),
            // The transport bounds these by itself.
            CONTINUATION => {}
            DATA if length > 0 => {}
            _ => self.used += HEADER_BYTES as u64 + u64::from(length),
        }
    }

    fn refill(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.refilled).min(Duration::from_hours(1));
        let forgiven = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX) * BYTES_PER_SECOND / 1000;
        if forgiven > 0 {
            self.refilled = now;
            self.used = self.used.saturating_sub(forgiven);
        }
        self.used <= BURST_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], kind, 0, 0, 0, 0, 1];
        bytes.resize(HEADER_BYTES + payload, 7);
        bytes
    }

    fn begun() -> (FrameBudget, Instant) {
        let now = crate::clock::monotonic();
        let mut budget = FrameBudget::new(now);
        assert!(budget.received(&[0; PREFACE_BYTES], || now));
        (budget, now)
    }

    /// How many of `frames` a connection may send at once, given in pieces of `piece` bytes; `None` is all of them.
    fn allowed(frame: &[u8], frames: usize, piece: usize) -> Option<usize> {
        let (mut budget, now) = begun();
        (0..frames).find(|_| !frame.chunks(piece).all(|piece| budget.received(piece, || now)))
    }

    #[test]
    fn frames_that_ask_for_nothing_run_out_and_requests_with_bodies_do_not() {
        let burst = usize::try_from(BURST_BYTES).unwrap();
        for piece in [1, 4, 9, 10, 100_000] {
            for (kind, payload) in [(6, 8), (4, 0), (4, 600), (2, 5), (3, 4), (8, 4), (99, 0), (0, 0)] {
                let most = burst / (HEADER_BYTES + payload);
                assert_eq!(
                    allowed(&frame(kind, payload), burst, piece),
                    Some(most),
                    "{kind} in pieces of {piece}"
                );
            }
            for (kind, payload) in [(1, 40), (9, 40), (0, 1), (0, 16384)] {
                assert_eq!(allowed(&frame(kind, payload), 2000, piece), None, "{kind} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_download_pays_for_its_window_updates_and_an_answered_ping_does_not_pay_for_itself() {
        let (mut budget, now) = begun();
        for _ in 0..100_000 {
            assert!(budget.received(&frame(8, 4), || now) && budget.received(&frame(8, 4), || now));
            budget.sent(HEADER_BYTES + 100);
        }
        let ping = frame(6, 8);
        assert!((0..100_000).any(|_| {
            budget.sent(ping.len());
            !budget.received(&ping, || now)
        }));
    }

    #[test]
    fn time_forgives() {
        let (mut budget, mut now) = begun();
        for _ in 0..10_000 {
            assert!(budget.received(&frame(6, 8), || now));
            now += Duration::from_millis(10);
        }
    }
}
