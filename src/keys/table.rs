//! The look-up from digest to key: about 110 bytes per key, no allocation per look-up, and a change rebuilds only the
//! shards it touches.
//!
//! The first bits of a digest choose a shard of about 1,024 records, the next eight a bucket of about four. Records
//! have a fixed 64 bytes; what has no fixed size, or is rare, stands in the shard's arena (see `super::details`).

use std::{borrow::Borrow, fmt, sync::Arc};

use super::{
    details::{self, Details},
    digest::KeyDigest,
    grants::Grants,
};

pub use super::details::Entry;

/// Records per shard that a new table aims at; a shard may grow to twice as many before the table is divided anew.
const SHARD_RECORDS: usize = 1024;

/// Shards are chosen by at most this many bits.
const SHARD_BITS_MAX: u32 = 20;

const NONE: u32 = u32::MAX;
const NO_END: i64 = i64::MAX;

/// One key change.
#[derive(Debug, Clone)]
pub enum Change<'a> {
    /// Adds the entry, or puts it in the place of the one with its digest.
    Upsert(Entry<'a>),
    /// Revokes the entry with this digest as of the given Unix milliseconds; one that is revoked already keeps its date.
    Revoke(KeyDigest, i64),
    /// Forgets the entry with this digest, if there is one.
    Remove(KeyDigest),
}

impl Change<'_> {
    fn digest(&self) -> &KeyDigest {
        match self {
            Self::Upsert(entry) => &entry.digest,
            Self::Revoke(digest, _) | Self::Remove(digest) => digest,
        }
    }
}

/// The table cannot hold this: more than 2^32 entries, or a shard with over 4 GiB of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableFull;

/// The place of an entry in one table: `0..len`, in the order of digests. Other tables have other places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyIndex(pub u32);

/// An entry as the table holds it.
#[derive(Debug, Clone, Copy)]
pub struct KeyView<'t> {
    /// Its place.
    pub index: KeyIndex,
    /// The digest it is found by.
    pub digest: KeyDigest,
    /// The granted scopes.
    pub grants: Grants,
    /// The first Unix millisecond at which the secret is no longer in force.
    pub expires_ms: Option<i64>,
    /// Index of its owner.
    pub owner: Option<u32>,
    /// Index of the organization it names.
    pub organization: Option<u32>,
    /// Index of its project set.
    pub projects: u32,
    /// Id, name, and what is rare.
    pub details: Details<'t>,
}

impl KeyView<'_> {
    /// The first Unix millisecond at which the key is no longer in force; the secret may end before, where the key was
    /// given another.
    pub fn key_expires_ms(&self) -> Option<i64> {
        if self.details.is_previous() { self.details.key_expires_ms() } else { self.expires_ms }
    }
}

/// An immutable table of keys by digest; cheap to clone, and clones share their shards. `Debug` shows its size only.
#[derive(Clone)]
pub struct KeyTable {
    bits: u32,
    shards: Box<[Arc<Shard>]>,
    /// The index of each shard's first record, and the length of the table.
    starts: Box<[u32]>,
}

impl KeyTable {
    /// The table of `entries`; of two with one digest the later counts. `expected` is about how many there are.
    /// Cost: O(n log n), some hundred nanoseconds an entry.
    ///
    /// # Errors
    /// [`TableFull`].
    pub fn build<'a>(
        expected: usize,
        entries: impl IntoIterator<Item = Entry<'a>>,
    ) -> Result<Self, TableFull> {
        let mut builder = TableBuilder::new(expected);
        for entry in entries {
            builder.push(&entry)?;
        }
        builder.finish()
    }

    /// This table after `changes`, in their order. Cost: tens of microseconds per shard that is touched; a table that
    /// outgrew its shards, or shrank far below them, is divided anew.
    ///
    /// # Errors
    /// [`TableFull`].
    pub fn with_changes(&self, changes: &[Change<'_>]) -> Result<Self, TableFull> {
        let mut by_shard: Vec<_> =
            changes.iter().map(|change| (shard_of(change.digest(), self.bits), change)).collect();
        by_shard.sort_by_key(|(shard, _)| *shard);
        let mut shards = self.shards.to_vec();
        for group in by_shard.chunk_by(|(a, _), (b, _)| a == b) {
            let at = group[0].0;
            let mut shard = Shard::clone(&shards[at]);
            for (_, change) in group {
                shard.apply(change)?;
            }
            shards[at] = Arc::new(shard.compacted()?.sealed(self.bits));
        }
        Self::of_shards(self.bits, shards.into())?.divided()
    }

    fn of_shards(bits: u32, shards: Box<[Arc<Shard>]>) -> Result<Self, TableFull> {
        let mut starts = Vec::with_capacity(shards.len() + 1);
        let mut total = 0u32;
        starts.push(0);
        for shard in &shards {
            let length = u32::try_from(shard.records.len()).map_err(|_| TableFull)?;
            total = total.checked_add(length).ok_or(TableFull)?;
            starts.push(total);
        }
        Ok(Self { bits, shards, starts: starts.into() })
    }

    /// This table, divided anew if its shards are far from the size they should have.
    fn divided(self) -> Result<Self, TableFull> {
        let bits = bits_for(self.len());
        if self.len() <= (2 * SHARD_RECORDS) << self.bits && self.bits <= bits + 2 {
            return Ok(self);
        }
        let shards = divide(self.shards.iter().map(|shard| &**shard), bits)?;
        Self::of_shards(bits, sealed(shards, bits))
    }

    /// This table with other numbers for scopes and project sets. Cost: a copy of the whole table.
    pub(super) fn renumbered(
        &self,
        grants: impl Fn(Grants) -> Grants,
        projects: impl Fn(u32) -> u32,
    ) -> Self {
        let renumber = |shard: &Arc<Shard>| {
            let mut shard = Shard::clone(shard);
            for record in &mut shard.records {
                record.grants = grants(record.grants);
                record.projects = projects(record.projects);
            }
            Arc::new(shard)
        };
        Self {
            bits: self.bits,
            shards: self.shards.iter().map(renumber).collect(),
            starts: self.starts.clone(),
        }
    }

    /// How many entries there are; a key in rotation has two.
    pub fn len(&self) -> usize {
        self.starts.last().map_or(0, |total| *total as usize)
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entry of `digest`. Cost: some tens of nanoseconds and a few cache misses; no allocation.
    pub fn find(&self, digest: &KeyDigest) -> Option<KeyView<'_>> {
        let at = shard_of(digest, self.bits);
        let position = self.shards[at].position(digest, self.bits)?;
        Some(self.view(at, position))
    }

    /// The entry at `index`, if the table is that long.
    pub fn get(&self, index: KeyIndex) -> Option<KeyView<'_>> {
        if index.0 as usize >= self.len() {
            return None;
        }
        let at = self.starts.partition_point(|start| *start <= index.0) - 1;
        Some(self.view(at, (index.0 - self.starts[at]) as usize))
    }

    /// The entry of the current secret of the key `id`. Cost: a scan of the whole table; never per request.
    pub fn by_id(&self, id: &str) -> Option<KeyView<'_>> {
        self.iter().find(|view| !view.details.is_previous() && *view.details.id() == *id)
    }

    /// Every entry, in the order of digests.
    pub fn iter(&self) -> impl Iterator<Item = KeyView<'_>> {
        self.shards.iter().enumerate().flat_map(move |(at, shard)| {
            (0..shard.records.len()).map(move |position| self.view(at, position))
        })
    }

    /// The memory the table holds, shards shared with other tables included; what the allocator adds is not counted.
    pub fn memory_bytes(&self) -> usize {
        let pointers = size_of_val(&*self.shards) + size_of_val(&*self.starts);
        let shards: usize = self.shards.iter().map(|shard| shard.memory_bytes()).sum();
        size_of::<Self>() + pointers + shards
    }

    fn view(&self, at: usize, position: usize) -> KeyView<'_> {
        let shard = &self.shards[at];
        let record = &shard.records[position];
        #[expect(clippy::cast_possible_truncation, reason = "of_shards counted all positions in a u32")]
        let index = KeyIndex(self.starts[at] + position as u32);
        KeyView {
            index,
            digest: record.digest,
            grants: record.grants,
            expires_ms: (record.expires_ms != NO_END).then_some(record.expires_ms),
            owner: (record.owner != NONE).then_some(record.owner),
            organization: (record.organization != NONE).then_some(record.organization),
            projects: record.projects,
            details: shard.details(record),
        }
    }
}

/// A table that is being filled, entry by entry; no entry is kept beside it.
#[derive(Debug)]
pub(super) struct TableBuilder {
    bits: u32,
    shards: Vec<Shard>,
    len: usize,
}

impl TableBuilder {
    /// An empty table for about `expected` entries; with many more it is divided anew while it grows.
    pub(super) fn new(expected: usize) -> Self {
        let bits = bits_for(expected);
        Self { bits, shards: empty_shards(bits), len: 0 }
    }

    /// Adds `entry`; of two with one digest the later counts.
    pub(super) fn push(&mut self, entry: &Entry<'_>) -> Result<(), TableFull> {
        if self.len >= (2 * SHARD_RECORDS) << self.bits && self.bits < SHARD_BITS_MAX {
            self.divide((self.bits + 2).min(SHARD_BITS_MAX))?;
        }
        self.len += 1;
        self.shards[shard_of(&entry.digest, self.bits)].push(entry)
    }

    /// The table.
    pub(super) fn finish(mut self) -> Result<KeyTable, TableFull> {
        let bits = bits_for(self.len);
        if bits > self.bits {
            self.divide(bits)?;
        }
        KeyTable::of_shards(self.bits, sealed(self.shards, self.bits))
    }

    fn divide(&mut self, bits: u32) -> Result<(), TableFull> {
        // Each old shard is freed before the next is taken apart, so that there are never two tables.
        self.shards = divide(std::mem::take(&mut self.shards).into_iter(), bits)?;
        self.bits = bits;
        Ok(())
    }
}

fn empty_shards(bits: u32) -> Vec<Shard> {
    (0..1usize << bits).map(|_| Shard::default()).collect()
}

/// What is in `old`, among the shards that `bits` choose from.
fn divide<S: Borrow<Shard>>(old: impl Iterator<Item = S>, bits: u32) -> Result<Vec<Shard>, TableFull> {
    let mut shards = empty_shards(bits);
    for old in old {
        let old = old.borrow();
        for record in &old.records {
            shards[shard_of(&record.digest, bits)].adopt(record, old)?;
        }
    }
    Ok(shards)
}

fn sealed(shards: Vec<Shard>, bits: u32) -> Box<[Arc<Shard>]> {
    shards.into_iter().map(|shard| Arc::new(shard.sealed(bits))).collect()
}

/// What a request needs of a key: exactly one cache line, so that looking at it costs one miss.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Record {
    digest: KeyDigest,
    grants: Grants,
    expires_ms: i64,
    owner: u32,
    organization: u32,
    projects: u32,
    /// Where its details start in the arena.
    details: u32,
}

const _: () = assert!(size_of::<Record>() == 64);

impl fmt::Debug for KeyTable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KeyTable")
            .field("len", &self.len())
            .field("shards", &self.shards.len())
            .finish_non_exhaustive()
    }
}

/// The records whose digests start with the same bits.
#[derive(Debug, Clone)]
struct Shard {
    /// Sorted by digest once sealed.
    records: Vec<Record>,
    /// Where each bucket starts in `records`, and its length.
    buckets: [u32; 257],
    arena: Vec<u8>,
}

impl Default for Shard {
    fn default() -> Self {
        Self { records: Vec::new(), buckets: [0; 257], arena: Vec::new() }
    }
}

impl Shard {
    fn push(&mut self, entry: &Entry<'_>) -> Result<(), TableFull> {
        let record = self.record(entry)?;
        self.records.push(record);
        Ok(())
    }

    /// The record of `entry`, whose details are put into the arena.
    fn record(&mut self, entry: &Entry<'_>) -> Result<Record, TableFull> {
        let details = self.arena_end()?;
        details::write(&mut self.arena, entry);
        Ok(Record {
            digest: entry.digest,
            grants: entry.grants,
            expires_ms: entry.expires_ms.unwrap_or(NO_END),
            owner: entry.owner.unwrap_or(NONE),
            organization: entry.organization.unwrap_or(NONE),
            projects: entry.projects,
            details,
        })
    }

    /// Adds `record`, whose details are in `from`.
    fn adopt(&mut self, record: &Record, from: &Self) -> Result<(), TableFull> {
        let details = self.arena_end()?;
        self.arena.extend_from_slice(from.details(record).bytes());
        self.records.push(Record { details, ..*record });
        Ok(())
    }

    /// Applies one change to a shard whose records are sorted, and leaves them sorted.
    fn apply(&mut self, change: &Change<'_>) -> Result<(), TableFull> {
        let place = self.records.binary_search_by(|record| record.digest.cmp(change.digest()));
        match (change, place) {
            (Change::Upsert(entry), Ok(at)) => self.records[at] = self.record(entry)?,
            (Change::Upsert(entry), Err(at)) => {
                let record = self.record(entry)?;
                self.records.insert(at, record);
            }
            (Change::Revoke(_, at_ms), Ok(at)) => self.revoke(at, *at_ms)?,
            (Change::Remove(_), Ok(at)) => {
                self.records.remove(at);
            }
            (Change::Revoke(..) | Change::Remove(_), Err(_)) => {}
        }
        Ok(())
    }

    fn revoke(&mut self, at: usize, at_ms: i64) -> Result<(), TableFull> {
        let old = self.details(&self.records[at]);
        if old.revoked_ms().is_some() {
            return Ok(());
        }
        let revoked = old.revoked_bytes(at_ms);
        self.records[at].details = self.arena_end()?;
        self.arena.extend_from_slice(&revoked);
        Ok(())
    }

    /// This shard without what no record points to.
    fn compacted(&self) -> Result<Self, TableFull> {
        let mut compact = Self { records: Vec::with_capacity(self.records.len()), ..Self::default() };
        for record in &self.records {
            compact.adopt(record, self)?;
        }
        Ok(compact)
    }

    /// This shard ready for look-ups: sorted, the later of two equal digests kept, indexed, without spare room.
    fn sealed(mut self, bits: u32) -> Self {
        self.records.sort_by_key(|record| record.digest);
        self.records.dedup_by(|later, kept| {
            let same = later.digest == kept.digest;
            if same {
                *kept = *later;
            }
            same
        });
        self.buckets = [0; 257];
        for record in &self.records {
            self.buckets[bucket_of(&record.digest, bits) + 1] += 1;
        }
        for at in 1..self.buckets.len() {
            self.buckets[at] += self.buckets[at - 1];
        }
        self.records.shrink_to_fit();
        self.arena.shrink_to_fit();
        self
    }

    fn position(&self, digest: &KeyDigest, bits: u32) -> Option<usize> {
        let bucket = bucket_of(digest, bits);
        let (start, end) = (self.buckets[bucket] as usize, self.buckets[bucket + 1] as usize);
        let found = self.records[start..end].iter().position(|record| record.digest == *digest)?;
        Some(start + found)
    }

    fn details(&self, record: &Record) -> Details<'_> {
        Details::read(&self.arena[record.details as usize..])
    }

    fn arena_end(&self) -> Result<u32, TableFull> {
        u32::try_from(self.arena.len()).map_err(|_| TableFull)
    }

    fn memory_bytes(&self) -> usize {
        const COUNTS_OF_ARC: usize = 2 * size_of::<usize>();
        COUNTS_OF_ARC
            + size_of::<Self>()
            + self.records.capacity() * size_of::<Record>()
            + self.arena.capacity()
    }
}

/// How many bits choose among shards that hold `count` records together.
fn bits_for(count: usize) -> u32 {
    let shards = count.div_ceil(SHARD_RECORDS).max(1).next_power_of_two();
    shards.trailing_zeros().min(SHARD_BITS_MAX)
}

fn shard_of(digest: &KeyDigest, bits: u32) -> usize {
    // Two steps, since a shift by all 64 bits is none.
    (head(digest) >> 1 >> (63 - bits)) as usize
}

fn bucket_of(digest: &KeyDigest, bits: u32) -> usize {
    (head(digest) << bits >> 56) as usize
}

fn head(digest: &KeyDigest) -> u64 {
    digest.as_bytes().first_chunk().map_or(0, |head| u64::from_be_bytes(*head))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ipnet::IpNet;
    use proptest::prelude::*;

    use super::{
        super::{plans::PlanNumber, record::KeyId},
        *,
    };

    /// What an entry is made from: enough variety to take every branch of the details.
    #[derive(Debug, Clone, PartialEq)]
    struct Seed {
        digest: KeyDigest,
        id: KeyId,
        name: String,
        number: u32,
        revoked_ms: Option<i64>,
        not_before_ms: Option<i64>,
        addresses: Vec<IpNet>,
    }

    impl Seed {
        fn entry(&self) -> Entry<'_> {
            Entry {
                digest: self.digest,
                grants: Grants::from_bits(u64::from(self.number)),
                expires_ms: self.number.is_multiple_of(3).then_some(i64::from(self.number)),
                key_expires_ms: match (self.number % 5, self.number % 3) {
                    (0, _) => self.not_before_ms,
                    (_, 0) => Some(i64::from(self.number)),
                    (_, _) => None,
                },
                owner: self.number.is_multiple_of(2).then_some(self.number),
                organization: self.number.is_multiple_of(7).then_some(self.number / 2),
                projects: self.number / 3,
                id: self.id,
                name: &self.name,
                is_previous: self.number.is_multiple_of(5),
                manages: self.number.is_multiple_of(11),
                revoked_ms: self.revoked_ms,
                not_before_ms: self.not_before_ms,
                addresses: &self.addresses,
                plan: self.number.is_multiple_of(13).then_some(PlanNumber::of(self.number)),
            }
        }

        fn assert_is(&self, view: &KeyView<'_>) {
            let entry = self.entry();
            assert_eq!(
                (view.digest, view.grants, view.expires_ms),
                (entry.digest, entry.grants, entry.expires_ms)
            );
            assert_eq!(
                (view.owner, view.organization, view.projects),
                (entry.owner, entry.organization, entry.projects)
            );
            let details = &view.details;
            assert_eq!((&*details.id(), details.name()), (entry.id.as_str(), entry.name));
            assert_eq!(details.is_previous(), entry.is_previous);
            assert_eq!(details.manages(), entry.manages);
            assert_eq!(view.key_expires_ms(), entry.key_expires_ms);
            assert_eq!(
                (details.revoked_ms(), details.not_before_ms()),
                (entry.revoked_ms, entry.not_before_ms)
            );
            assert_eq!(details.addresses().iter().collect::<Vec<_>>(), entry.addresses);
        }
    }

    fn digest(number: u16, crowded: bool) -> KeyDigest {
        let mut bytes = *KeyDigest::of(&number.to_be_bytes()).as_bytes();
        if crowded {
            // All in one bucket of one shard, as an import of chosen digests could have it.
            bytes[..4].fill(7);
        }
        KeyDigest::from_bytes(bytes)
    }

    fn seeds(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Seed>> {
        let id = prop_oneof!["key_[0-7][0-9a-hjkmnp-tv-z]{25}", "[A-Za-z0-9._-]{1,64}"];
        let networks = prop::collection::vec(
            prop_oneof![
                (any::<[u8; 4]>(), 0u8..=32).prop_map(|(ip, length)| IpNet::new(ip.into(), length).unwrap()),
                (any::<[u8; 15]>(), 0u8..=128).prop_map(|(rest, length)| {
                    // Not 0 first, or the address could be a mapped one, which comes back as IPv4.
                    let mut octets = [0x20; 16];
                    octets[1..].copy_from_slice(&rest);
                    IpNet::new(octets.into(), length).unwrap()
                }),
            ],
            0..3,
        );
        let rare =
            (prop::option::weighted(0.2, any::<i64>()), prop::option::weighted(0.2, any::<i64>()), networks);
        let seed = (any::<u16>(), prop::bool::weighted(0.1), id, ".{0,24}", any::<u32>(), rare).prop_map(
            |(key, crowded, id, name, number, (revoked_ms, not_before_ms, addresses))| Seed {
                digest: digest(key, crowded),
                id: KeyId::parse(&id).unwrap(),
                name,
                number: number.min(u32::MAX - 1),
                revoked_ms,
                not_before_ms,
                addresses,
            },
        );
        prop::collection::vec(seed, count)
    }

    #[derive(Debug, Clone)]
    enum Step {
        Upsert(Seed),
        Revoke(usize, i64),
        Remove(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            seeds(1..2).prop_map(|mut seed| Step::Upsert(seed.remove(0))),
            (any::<usize>(), any::<i64>()).prop_map(|(at, ms)| Step::Revoke(at, ms)),
            any::<usize>().prop_map(Step::Remove),
        ];
        prop::collection::vec(step, 0..40)
    }

    type Oracle = BTreeMap<KeyDigest, Seed>;

    /// Takes the step in the oracle; a digest the table does not have stands for one that never was.
    fn change<'s>(oracle: &mut Oracle, step: &'s Step) -> Change<'s> {
        let pick = |oracle: &Oracle, at: usize| {
            let keys: Vec<_> = oracle.keys().copied().chain([KeyDigest::of(b"never was")]).collect();
            keys[at % keys.len()]
        };
        match step {
            Step::Upsert(seed) => {
                oracle.insert(seed.digest, seed.clone());
                Change::Upsert(seed.entry())
            }
            Step::Revoke(at, ms) => {
                let digest = pick(oracle, *at);
                if let Some(seed) = oracle.get_mut(&digest) {
                    seed.revoked_ms.get_or_insert(*ms);
                }
                Change::Revoke(digest, *ms)
            }
            Step::Remove(at) => {
                let digest = pick(oracle, *at);
                oracle.remove(&digest);
                Change::Remove(digest)
            }
        }
    }

    fn assert_same(table: &KeyTable, oracle: &Oracle) {
        assert_eq!(table.len(), oracle.len());
        assert_eq!(table.iter().count(), oracle.len());
        for (position, (view, seed)) in table.iter().zip(oracle.values()).enumerate() {
            assert_eq!(view.index.0 as usize, position);
            seed.assert_is(&view);
            seed.assert_is(&table.get(view.index).unwrap());
            seed.assert_is(&table.find(&seed.digest).unwrap());
        }
        assert!(table.find(&KeyDigest::of(b"never was")).is_none());
        assert!(table.get(KeyIndex(u32::try_from(oracle.len()).unwrap())).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn finds_what_a_map_would(seeds in seeds(0..100), expected in 0usize..5000, deltas in prop::collection::vec(steps(), 0..3)) {
            let mut oracle: Oracle = seeds.iter().map(|seed| (seed.digest, seed.clone())).collect();
            let mut table = KeyTable::build(expected, seeds.iter().map(Seed::entry)).unwrap();
            assert_same(&table, &oracle);
            for delta in &deltas {
                let changes: Vec<_> = delta.iter().map(|step| change(&mut oracle, step)).collect();
                table = table.with_changes(&changes).unwrap();
                assert_same(&table, &oracle);
            }
        }
    }

    fn plain(number: u32) -> Seed {
        Seed {
            digest: KeyDigest::of(&number.to_be_bytes()),
            id: KeyId::parse(&super::super::record::own_id_text(u128::from(number))).unwrap(),
            name: format!("deploy bot number {number:06}"),
            number: 1,
            revoked_ms: None,
            not_before_ms: None,
            addresses: Vec::new(),
        }
    }

    #[test]
    fn a_table_grows_and_shrinks_by_changes() {
        let seeds: Vec<_> = (0..20_000).map(plain).collect();
        let mut table = KeyTable::build(0, []).unwrap();
        for part in seeds.chunks(3000) {
            let changes: Vec<_> = part.iter().map(|seed| Change::Upsert(seed.entry())).collect();
            table = table.with_changes(&changes).unwrap();
        }
        assert_same(&table, &seeds.iter().map(|seed| (seed.digest, seed.clone())).collect());
        assert!(table.shards.iter().all(|shard| shard.records.len() <= 2 * SHARD_RECORDS + 200));
        let changes: Vec<_> = seeds[10..].iter().map(|seed| Change::Remove(seed.digest)).collect();
        table = table.with_changes(&changes).unwrap();
        assert_same(&table, &seeds[..10].iter().map(|seed| (seed.digest, seed.clone())).collect());
        assert_eq!(table.shards.len(), 1);
    }

    #[test]
    fn a_change_rebuilds_only_its_shard() {
        let seeds: Vec<_> = (0..5000).map(plain).collect();
        let old = KeyTable::build(seeds.len(), seeds.iter().map(Seed::entry)).unwrap();
        let new = old.with_changes(&[Change::Revoke(seeds[7].digest, 1)]).unwrap();
        let rebuilt = old.shards.iter().zip(&new.shards).filter(|(a, b)| !Arc::ptr_eq(a, b)).count();
        assert_eq!((rebuilt, new.shards.len()), (1, 8));
        assert_eq!(old.find(&seeds[7].digest).unwrap().details.revoked_ms(), None);
        assert_eq!(new.find(&seeds[7].digest).unwrap().details.revoked_ms(), Some(1));
    }

    #[test]
    fn at_most_120_bytes_per_key() {
        for count in [20_000u32, 65_536, 65_600, 100_000] {
            let seeds: Vec<_> = (0..count).map(plain).collect();
            assert_eq!(seeds[0].name.len(), 24);
            let table = KeyTable::build(seeds.len(), seeds.iter().map(Seed::entry)).unwrap();
            let each = table.memory_bytes().div_ceil(count as usize);
            assert!(each <= 120, "{each} bytes per key of {count}");
        }
    }

    #[test]
    fn by_id_finds_the_current_secret() {
        let mut previous = plain(1);
        previous.digest = KeyDigest::of(b"old");
        previous.number = 5;
        let current = plain(1);
        let table = KeyTable::build(2, [previous.entry(), current.entry()]).unwrap();
        assert_eq!(table.by_id(current.id.as_str()).unwrap().digest, current.digest);
        assert!(table.by_id("key_never").is_none());
    }

    #[test]
    fn mapped_networks_are_ipv4() {
        let allows = |networks: &[&str], client: &str| {
            let mut seed = plain(1);
            seed.addresses = networks.iter().map(|network| network.parse().unwrap()).collect();
            let table = KeyTable::build(1, [seed.entry()]).unwrap();
            table.find(&seed.digest).unwrap().details.addresses().allow(client.parse().unwrap())
        };
        let cases: [(&[&str], &str, bool); 9] = [
            (&[], "192.0.2.1", true),
            (&["10.0.0.0/8"], "10.1.2.3", true),
            (&["10.0.0.0/8"], "11.1.2.3", false),
            (&["10.0.0.0/8"], "::ffff:10.1.2.3", true),
            (&["::ffff:10.0.0.0/104"], "10.1.2.3", true),
            (&["::ffff:10.0.0.0/104"], "::ffff:11.1.2.3", false),
            (&["2001:db8::/32", "10.0.0.1/32"], "2001:db8::1", true),
            (&["2001:db8::/32", "10.0.0.1/32"], "10.0.0.1", true),
            (&["::/0"], "10.0.0.1", false),
        ];
        for (networks, client, expected) in cases {
            assert_eq!(allows(networks, client), expected, "{networks:?} {client}");
        }
    }
}
