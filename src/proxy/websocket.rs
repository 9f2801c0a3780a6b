//! Frames of WebSocket (RFC 6455 §5.2) as far as their ends matter: so that a frame of ours never lands inside another.

use arrayvec::ArrayVec;

use crate::policy::reason::Reason;

/// The longest header: two bytes, an extended length, a mask.
const HEADER_MAX: usize = 2 + 8 + 4;
const OPCODE_CLOSE: u8 = 8;

/// Follows the frames in one direction. Cost: a few nanoseconds a frame, whatever its length.
#[derive(Debug, Clone, Default)]
pub(super) struct FrameFollower {
    /// What came of a header that is not whole.
    header: ArrayVec<u8, HEADER_MAX>,
    /// What is missing of the frame behind its header.
    payload_left: u64,
    has_closed: bool,
}

impl FrameFollower {
    /// Whether what was seen ends with a whole frame.
    pub(super) fn is_at_boundary(&self) -> bool {
        self.header.is_empty() && self.payload_left == 0
    }

    /// Whether a close frame has begun: no other may follow it (RFC 6455 §5.5.1).
    pub(super) fn has_closed(&self) -> bool {
        self.has_closed
    }

    /// Takes note of `bytes`.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let frame = self.follow_frame(bytes);
            bytes = &bytes[frame..];
        }
    }

    /// How many of `bytes` belong to the frame that has begun; 0 at a boundary.
    pub(super) fn rest_of_frame(&self, bytes: &[u8]) -> usize {
        if self.is_at_boundary() { 0 } else { self.clone().follow_frame(bytes) }
    }

    /// Takes note of what belongs to the same frame as the first of `bytes`. How many those are, at least one.
    fn follow_frame(&mut self, bytes: &[u8]) -> usize {
        let mut seen = 0;
        while self.payload_left == 0 {
            let Some(byte) = bytes.get(seen) else { return seen };
            self.header.push(*byte);
            seen += 1;
            if let Some(length) = payload_length(&self.header) {
                self.has_closed |= self.header[0] & 0x0f == OPCODE_CLOSE;
                self.header.clear();
                self.payload_left = length;
                break;
            }
        }
        let left = usize::try_from(self.payload_left).unwrap_or(usize::MAX);
        let payload = left.min(bytes.len() - seen);
        self.payload_left -= payload as u64;
        seen + payload
    }
}

/// The length of the payload behind `header`, once that is whole.
fn payload_length(header: &[u8]) -> Option<u64> {
    let second = *header.get(1)?;
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    let extended = match second & 0x7f {
        126 => 2,
        127 => 8,
        length => return (header.len() == 2 + mask).then_some(u64::from(length)),
    };
    let number = header.get(2..2 + extended)?;
    let length = number.iter().fold(0, |length, byte| length << 8 | u64::from(*byte));
    (header.len() == 2 + extended + mask).then_some(length)
}

/// The close frame that tells a client why its key is good no longer: 1008, "policy violation" (RFC 6455 §7.4.1), or 1013,
/// "try again later" (IANA), while keys cannot be checked.
pub(super) fn close_frame(reason: Reason) -> Vec<u8> {
    let code: u16 = if reason == Reason::KeyStoreUnavailable { 1013 } else { 1008 };
    let text = reason.title().as_bytes();
    let mut frame = vec![0x80 | OPCODE_CLOSE];
    // Titles are far shorter than the 123 bytes that fit.
    frame.extend(u8::try_from(2 + text.len()));
    frame.extend_from_slice(&code.to_be_bytes());
    frame.extend_from_slice(text);
    frame
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(opcode: u8, is_masked: bool, length: usize) -> Vec<u8> {
        let mask = if is_masked { 0x80 } else { 0 };
        let mut frame = vec![opcode];
        match length {
            0..126 => frame.push(mask | u8::try_from(length).unwrap()),
            126..65536 => {
                frame.push(mask | 0x7e);
                frame.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(mask | 0x7f);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        frame.resize(frame.len() + length + if is_masked { 4 } else { 0 }, 0x88);
        frame
    }

    proptest! {
        #[test]
        fn boundaries_are_where_frames_end(
            frames in prop::collection::vec(
                (prop::sample::select(vec![0u8, 0x01, 0x82, 0x89, 0xc1]), any::<bool>(),
                 prop_oneof![0usize..300, 65530usize..65540]), 1..8),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let mut bytes = Vec::new();
            let mut ends = vec![0];
            for (opcode, is_masked, length) in frames {
                bytes.extend(frame(opcode, is_masked, length));
                ends.push(bytes.len());
            }
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.push(bytes.len());
            cuts.sort_unstable();
            let mut follower = FrameFollower::default();
            let mut seen = 0;
            for cut in cuts {
                follower.follow(&bytes[seen..cut]);
                seen = cut;
                prop_assert_eq!(follower.is_at_boundary(), ends.contains(&seen));
                let end = ends.iter().find(|end| **end >= seen).unwrap();
                prop_assert_eq!(follower.rest_of_frame(&bytes[seen..]), end - seen);
            }
            prop_assert!(!follower.has_closed());
        }

        #[test]
        fn no_bytes_are_too_strange(pieces in prop::collection::vec(any::<Vec<u8>>(), 0..20)) {
            let mut follower = FrameFollower::default();
            for piece in pieces {
                prop_assert!(follower.rest_of_frame(&piece) <= piece.len());
                follower.follow(&piece);
            }
        }
    }

    #[test]
    fn a_close_frame_is_the_last() {
        let mut follower = FrameFollower::default();
        follower.follow(&frame(0x82, false, 3));
        assert!(!follower.has_closed());
        follower.follow(&close_frame(Reason::KeyRevoked));
        assert!(follower.has_closed() && follower.is_at_boundary());
    }

    #[test]
    fn close_frames_say_why() {
        assert_eq!(close_frame(Reason::KeyRevoked), b"\x88\x11\x03\xf0API key revoked");
        for reason in Reason::ALL {
            let frame = close_frame(reason);
            assert_eq!(frame.len(), 2 + usize::from(frame[1]));
            assert!(frame[1] <= 125);
        }
    }
}
