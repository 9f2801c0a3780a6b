//! W3C Trace Context (<https://www.w3.org/TR/trace-context/>) and request ids. Pure, but for the seed of an
//! [`IdSource`], which comes from the operating system once per worker.

use std::fmt;

use arrayvec::ArrayString;

/// The id of a trace; all zero means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TraceId(pub [u8; 16]);

impl TraceId {
    /// 32 lower-case hex digits.
    pub fn hex(self) -> [u8; 32] {
        let mut out = [0; 32];
        write_hex(&self.0, &mut out);
        out
    }

    /// Whether it is all zero.
    pub fn is_none(self) -> bool {
        self.0 == [0; 16]
    }
}

/// The id of one hop of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpanId(pub [u8; 8]);

/// A `traceparent` (§3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace_id: TraceId,
    /// The hop that sent it.
    pub span_id: SpanId,
    /// `01` sampled, `02` the trace id is random; no other bit is kept.
    pub flags: u8,
}

/// The flags that are defined (level 2, §3.2.2.5); others must be sent as zero.
const KNOWN_FLAGS: u8 = 0b11;
const SAMPLED: u8 = 0b01;
const RANDOM_TRACE_ID: u8 = 0b10;

impl TraceParent {
    /// Reads the value of the one `traceparent` line; `None` where it is invalid, and the trace begins anew (§4.3).
    /// Several lines are the caller's to refuse. A version above `00` is read as far as `00` goes (§3.2.4), and of
    /// its flags only *sampled* is taken.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (head, rest) = value.split_at_checked(55)?;
        let version = hex_byte(head[0], head[1])?;
        let whole = match version {
            0 => rest.is_empty(),
            255 => false,
            1..=254 => rest.is_empty() || rest[0] == b'-',
        };
        if !whole || head[2] != b'-' || head[35] != b'-' || head[52] != b'-' {
            return None;
        }
        let (mut trace_id, mut span_id) = ([0; 16], [0; 8]);
        read_hex(&head[3..35], &mut trace_id)?;
        read_hex(&head[36..52], &mut span_id)?;
        let flags = hex_byte(head[53], head[54])? & if version == 0 { KNOWN_FLAGS } else { SAMPLED };
        let good = trace_id != [0; 16] && span_id != [0; 8];
        good.then_some(Self { trace_id: TraceId(trace_id), span_id: SpanId(span_id), flags })
    }

    /// What goes upstream: the same trace and flags, this gateway's hop. `tracestate` passes untouched beside it;
    /// where this trace is new, `tracestate` is removed (§3.3.1.5).
    pub fn next_hop(self, ids: &mut IdSource) -> Self {
        Self { span_id: ids.span_id(), ..self }
    }

    /// A trace that begins here: not sampled, since nothing records it here; the id is random.
    pub fn begin(ids: &mut IdSource) -> Self {
        Self { trace_id: ids.trace_id(), span_id: ids.span_id(), flags: RANDOM_TRACE_ID }
    }

    /// The header value, in version `00`.
    pub fn to_header(self) -> [u8; 55] {
        let mut out = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_hex(&self.trace_id.0, &mut out[3..35]);
        write_hex(&self.span_id.0, &mut out[36..52]);
        write_hex(&[self.flags], &mut out[53..55]);
        out
    }
}

/// The id a request goes by in answers, logs and upstream: ours, a `UUIDv7`, or a trusted peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestId(ArrayString<64>);

impl RequestId {
    /// Takes the id that a trusted peer sent: 1 to 64 bytes of `[A-Za-z0-9._:/+=@~-]`; `None` otherwise.
    pub fn accept(value: &[u8]) -> Option<Self> {
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._:/+=@~-".contains(byte);
        let text = str::from_utf8(value).ok().filter(|_| !value.is_empty() && value.iter().all(allowed))?;
        ArrayString::from(text).ok().map(Self)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Makes ids: xoshiro256++, seeded by the operating system. One per worker. The ids are distinct, not secret: they
/// are no credential, and whoever sees many of them can tell the next.
#[derive(Debug)]
pub struct IdSource([u64; 4]);

impl IdSource {
    /// A source with a seed of the operating system.
    ///
    /// # Errors
    /// Where the operating system gives no randomness.
    pub fn from_os() -> Result<Self, getrandom::Error> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        Ok(Self::from_seed(seed))
    }

    /// A source whose ids follow from `seed`.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let mut state = [0; 4];
        for (word, bytes) in state.iter_mut().zip(seed.chunks_exact(8)) {
            *word = bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        // All zero is the one state that never leaves itself.
        state[0] |= u64::from(state == [0; 4]);
        Self(state)
    }

    /// The next 64 bits. Cost: about 1 ns.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.0;
        let out = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        out
    }

    /// A trace id, never all zero.
    pub fn trace_id(&mut self) -> TraceId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.next_u64().to_be_bytes());
        id[8..].copy_from_slice(&(self.next_u64() | 1).to_be_bytes());
        TraceId(id)
    }

    /// A span id, never all zero.
    pub fn span_id(&mut self) -> SpanId {
        SpanId((self.next_u64() | 1).to_be_bytes())
    }

    /// A request id: a `UUIDv7` (RFC 9562 §5.7) of `unix_ms`. Cost: about 45 ns, no system call.
    pub fn request_id(&mut self, unix_ms: u64) -> RequestId {
        let (time, high, low) = (unix_ms & 0xffff_ffff_ffff, self.next_u64(), self.next_u64());
        let top = time << 16 | 0x7000 | high & 0x0fff;
        let bottom = 1 << 63 | low >> 2;
        let (mut bytes, mut hex, mut text) = ([0; 16], [0; 32], [b'-'; 36]);
        bytes[..8].copy_from_slice(&top.to_be_bytes());
        bytes[8..].copy_from_slice(&bottom.to_be_bytes());
        write_hex(&bytes, &mut hex);
        for (from, to) in [(0..8, 0..8), (8..12, 9..13), (12..16, 14..18), (16..20, 19..23), (20..32, 24..36)]
        {
            text[to].copy_from_slice(&hex[from]);
        }
        RequestId(
            str::from_utf8(&text).ok().and_then(|text| ArrayString::from(text).ok()).unwrap_or_default(),
        )
    }

    /// True once in `n` times, on average.
    pub(super) fn one_in(&mut self, n: u32) -> bool {
        (u128::from(self.next_u64()) * u128::from(n)) >> 64 == 0
    }
}

/// Writes two lower-case digits per byte; `out` is twice as long as `bytes`.
fn write_hex(bytes: &[u8], out: &mut [u8]) {
    for (digits, word) in out.chunks_mut(16).zip(bytes.chunks(8)) {
        let mut padded = [0; 8];
        padded[..word.len()].copy_from_slice(word);
        digits.copy_from_slice(&hex_digits(u64::from_be_bytes(padded))[..digits.len()]);
    }
}

const ONES: u128 = 0x0101_0101_0101_0101_0101_0101_0101_0101;

/// The 16 digits of `word`, all at once: spread a nibble per byte, then turn each into its digit.
fn hex_digits(word: u64) -> [u8; 16] {
    let mut nibbles = u128::from(word);
    for (shift, mask) in [
        (32, 0x0000_0000_ffff_ffff_0000_0000_ffff_ffff),
        (16, 0x0000_ffff_0000_ffff_0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f_0f0f_0f0f_0f0f_0f0f_u128),
    ] {
        nibbles = (nibbles | nibbles << shift) & mask;
    }
    let letters = (nibbles + 6 * ONES) >> 4 & ONES;
    (nibbles + u128::from(b'0') * ONES + letters * u128::from(b'a' - b'9' - 1)).to_be_bytes()
}

/// Reads lower-case digits, as §3.2.2 demands; `None` where one is none.
fn read_hex(digits: &[u8], out: &mut [u8]) -> Option<()> {
    for (pair, byte) in digits.chunks_exact(2).zip(out) {
        *byte = hex_byte(pair[0], pair[1])?;
    }
    Some(())
}

fn hex_byte(high: u8, low: u8) -> Option<u8> {
    Some(hex_digit(high)? << 4 | hex_digit(low)?)
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn valid_and_invalid_traceparents() {
        let cases: &[(&str, Option<u8>)] = &[
            (GOOD, Some(1)),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", Some(0)),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff", Some(3)),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03", Some(1)),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes-later", Some(1)),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 ", None),
            ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", None),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", None),
            ("00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            ("0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g", None),
            ("", None),
        ];
        for (value, flags) in cases {
            assert_eq!(TraceParent::parse(value.as_bytes()).map(|parent| parent.flags), *flags, "{value}");
        }
    }

    #[test]
    fn next_hop_keeps_the_trace_and_takes_a_new_span() {
        let parent = TraceParent::parse(GOOD.as_bytes()).unwrap();
        let next = parent.next_hop(&mut IdSource::from_seed([7; 32]));
        assert_eq!((next.trace_id, next.flags), (parent.trace_id, 1));
        assert_ne!(next.span_id, parent.span_id);
        assert_eq!(&parent.to_header(), GOOD.as_bytes());
    }

    #[test]
    fn request_ids_are_uuid_v7_of_their_time() {
        let id = IdSource::from_seed([3; 32]).request_id(1_795_000_000_123);
        let uuid = uuid::Uuid::parse_str(id.as_str()).unwrap();
        assert_eq!(uuid.get_version_num(), 7);
        assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
        let (seconds, nanos) = uuid.get_timestamp().unwrap().to_unix();
        assert_eq!((seconds, nanos), (1_795_000_000, 123_000_000));
    }

    #[test]
    fn peers_request_ids_are_bounded() {
        for good in ["a", "01JD-x_7.9~:/+=@".replace('_', ".").as_str(), &"x".repeat(64)] {
            assert_eq!(RequestId::accept(good.as_bytes()).unwrap().as_str(), good);
        }
        let long = "x".repeat(65);
        for bad in [&b""[..], b"a b", b"a\"b", b"a\nb", b"\xff", b"a,b", long.as_bytes()] {
            assert_eq!(RequestId::accept(bad), None);
        }
    }

    #[test]
    fn two_sources_give_different_ids() {
        let ids: Vec<_> = (0..2).map(|_| IdSource::from_os().unwrap().request_id(0)).collect();
        assert_ne!(ids[0], ids[1]);
        let mut zero = IdSource::from_seed([0; 32]);
        assert!((0..16).any(|_| zero.next_u64() != 0));
    }

    proptest! {
        #[test]
        fn hex_is_what_the_standard_library_writes(word: u64) {
            prop_assert_eq!(str::from_utf8(&hex_digits(word)).unwrap().to_owned(), format!("{word:016x}"));
        }

        #[test]
        fn parsing_never_panics(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = TraceParent::parse(&value);
        }

        #[test]
        fn what_is_written_is_read(seed: [u8; 32]) {
            let begun = TraceParent::begin(&mut IdSource::from_seed(seed));
            prop_assert_eq!(TraceParent::parse(&begun.to_header()), Some(begun));
        }
    }
}
