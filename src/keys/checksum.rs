//! Sums over keys by which what is in force is compared with what is stored: the same keys give the same sum, in
//! whatever order, and a key that is missing, revoked or changed in its times gives another.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::{digest::KeyDigest, record::KeyRecord};

/// How many entries were added, and the sum of their marks. A key in rotation has two entries, as in the key table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeySums {
    /// How many.
    pub entries: u64,
    /// The sum modulo 2⁶⁴.
    pub sum: u64,
}

/// What of an entry decides whether and when it works; instants in Unix milliseconds, as the key table holds them.
#[derive(Debug, Clone, Copy)]
pub struct MarkedEntry<'e> {
    /// Of its secret.
    pub digest: &'e KeyDigest,
    /// Whether the secret is the one before the last rotation.
    pub is_previous: bool,
    /// When it was revoked, rounded down.
    pub revoked_ms: Option<i64>,
    /// The end, rounded down; of a previous secret no later than the key's.
    pub expires_ms: Option<i64>,
    /// The start, rounded up.
    pub not_before_ms: Option<i64>,
    /// The key's id.
    pub id: &'e str,
}

impl MarkedEntry<'_> {
    /// The first eight bytes, big endian, of SHA-256 over: digest, 1 for a previous secret and 0 for a current one, the
    /// instants of revocation, end and start as big-endian i64 (where there is none: the least, the greatest, the
    /// least), id. PostgreSQL computes the same (`store/sql/checksum.rs`).
    pub fn mark(&self) -> u64 {
        let mut hash = Sha256::new();
        hash.update(self.digest.as_bytes());
        hash.update([u8::from(self.is_previous)]);
        hash.update(self.revoked_ms.unwrap_or(i64::MIN).to_be_bytes());
        hash.update(self.expires_ms.unwrap_or(i64::MAX).to_be_bytes());
        hash.update(self.not_before_ms.unwrap_or(i64::MIN).to_be_bytes());
        hash.update(self.id.as_bytes());
        hash.finalize().iter().take(8).fold(0, |mark, byte| mark << 8 | u64::from(*byte))
    }
}

impl KeySums {
    /// Adds one entry.
    pub fn add_entry(&mut self, entry: &MarkedEntry<'_>) {
        self.entries += 1;
        self.sum = self.sum.wrapping_add(entry.mark());
    }

    /// Adds the entries of a record.
    pub fn add_record(&mut self, key: &KeyRecord) {
        let expires_ms = key.expires_at.map(floor_ms);
        let current = MarkedEntry {
            digest: &key.digest,
            is_previous: false,
            revoked_ms: key.revoked.as_ref().map(|revoked| floor_ms(revoked.at)),
            expires_ms,
            not_before_ms: key.not_before.map(ceil_ms),
            id: key.id.as_str(),
        };
        if let Some(previous) = &key.previous {
            let until = floor_ms(previous.until);
            let expires_ms = Some(expires_ms.map_or(until, |end| end.min(until)));
            self.add_entry(&MarkedEntry {
                digest: &previous.digest,
                is_previous: true,
                expires_ms,
                ..current
            });
        }
        self.add_entry(&current);
    }
}

/// An end in Unix milliseconds, rounded down, so that no key works a moment longer than it may.
pub fn floor_ms(at: Timestamp) -> i64 {
    let beyond = i64::from(at.subsec_nanosecond() % 1_000_000 < 0);
    at.as_millisecond() - beyond
}

/// A start in Unix milliseconds, rounded up.
pub fn ceil_ms(at: Timestamp) -> i64 {
    let short = i64::from(at.subsec_nanosecond() % 1_000_000 > 0);
    at.as_millisecond() + short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(digest: &KeyDigest) -> MarkedEntry<'_> {
        MarkedEntry {
            digest,
            is_previous: false,
            revoked_ms: None,
            expires_ms: None,
            not_before_ms: None,
            id: "k",
        }
    }

    #[test]
    fn whatever_decides_about_an_entry_changes_its_mark() {
        let (digest, other) = (KeyDigest::of(b"a"), KeyDigest::of(b"b"));
        let plain = entry(&digest);
        let marks = [
            plain,
            entry(&other),
            MarkedEntry { is_previous: true, ..plain },
            MarkedEntry { revoked_ms: Some(1), ..plain },
            MarkedEntry { expires_ms: Some(1), ..plain },
            MarkedEntry { not_before_ms: Some(1), ..plain },
            MarkedEntry { id: "l", ..plain },
        ]
        .map(|entry| entry.mark());
        let mut distinct = marks.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), marks.len());
    }

    #[test]
    fn the_mark_is_what_its_docs_say() {
        let digest = KeyDigest::of(b"a");
        let mut bytes = digest.as_bytes().to_vec();
        bytes.push(0);
        for instant in [i64::MIN, i64::MAX, i64::MIN] {
            bytes.extend(instant.to_be_bytes());
        }
        bytes.push(b'k');
        let hash = KeyDigest::of(&bytes);
        let first: [u8; 8] = hash.as_bytes()[..8].try_into().unwrap();
        assert_eq!(entry(&digest).mark(), u64::from_be_bytes(first));
    }

    #[test]
    fn instants_are_rounded_against_the_key() {
        let at = |nanoseconds| Timestamp::from_nanosecond(nanoseconds).unwrap();
        for (nanoseconds, floor, ceil) in [(0, 0, 0), (1, 0, 1), (-1, -1, 0), (1_000_000, 1, 1)] {
            assert_eq!((floor_ms(at(nanoseconds)), ceil_ms(at(nanoseconds))), (floor, ceil), "{nanoseconds}");
        }
    }
}
