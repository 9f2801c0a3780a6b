//! The part of a table entry that has no fixed size: id, name, and what few keys have. Written once into a shard's
//! arena and read in place: flags, revocation date, start date, the key's own end, plan, id, name, addresses; absent ones
//! take no room.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::fmt;

use ipnet::IpNet;

use super::{
    digest::KeyDigest,
    grants::Grants,
    network::canonical,
    plans::PlanNumber,
    record::{KeyId, own_id_text},
};
use crate::policy::principal::KeyIdText;

/// The id is one of ours: 16 bytes instead of its text.
const OWN_ID: u8 = 1;
/// The digest is of the secret before the last rotation; the key's own end is told, which may be later than that of the
/// secret.
const PREVIOUS: u8 = 2;
const REVOKED: u8 = 4;
const NOT_BEFORE: u8 = 8;
const ADDRESSES: u8 = 16;
/// The key carries `keygate:manage`.
const MANAGES: u8 = 32;
/// The key names a plan.
const PLAN: u8 = 64;

const NO_END: i64 = i64::MAX;

/// A key, or the previous secret of one, as it is put into a table.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// Of the secret.
    pub digest: KeyDigest,
    /// The granted scopes.
    pub grants: Grants,
    /// Whether it was granted `keygate:manage`, which is none of them.
    pub manages: bool,
    /// The first Unix millisecond at which the secret is no longer in force.
    pub expires_ms: Option<i64>,
    /// The first Unix millisecond at which the key is no longer in force: never before that of its secret.
    pub key_expires_ms: Option<i64>,
    /// Index of the owner; below `u32::MAX`.
    pub owner: Option<u32>,
    /// Index of the organization that the key names; below `u32::MAX`.
    pub organization: Option<u32>,
    /// Index of the project set.
    pub projects: u32,
    /// The key's id.
    pub id: KeyId,
    /// The key's name; empty if it has none. What exceeds 65,535 bytes is cut.
    pub name: &'a str,
    /// Whether the digest is of the secret before the last rotation.
    pub is_previous: bool,
    /// The Unix millisecond of its revocation.
    pub revoked_ms: Option<i64>,
    /// The first Unix millisecond at which it is in force.
    pub not_before_ms: Option<i64>,
    /// Where it may be used from; none: anywhere. What exceeds 255 is cut.
    pub addresses: &'a [IpNet],
    /// The plan that it names.
    pub plan: Option<PlanNumber>,
}

/// Appends the details of `entry` to `arena`.
pub(super) fn write(arena: &mut Vec<u8>, entry: &Entry<'_>) {
    let own_bits = KeyId::own_bits(entry.id.as_str());
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    arena.push(
        flag(own_bits.is_some(), OWN_ID)
            | flag(entry.is_previous, PREVIOUS)
            | flag(entry.revoked_ms.is_some(), REVOKED)
            | flag(entry.not_before_ms.is_some(), NOT_BEFORE)
            | flag(!entry.addresses.is_empty(), ADDRESSES)
            | flag(entry.manages, MANAGES)
            | flag(entry.plan.is_some(), PLAN),
    );
    for time in [entry.revoked_ms, entry.not_before_ms].into_iter().flatten() {
        arena.extend_from_slice(&time.to_le_bytes());
    }
    if entry.is_previous {
        arena.extend_from_slice(&entry.key_expires_ms.unwrap_or(NO_END).to_le_bytes());
    }
    if let Some(plan) = entry.plan {
        arena.extend_from_slice(&plan.0.to_le_bytes());
    }
    match own_bits {
        Some(bits) => arena.extend_from_slice(&bits.to_le_bytes()),
        None => write_text::<1>(arena, entry.id.as_str()),
    }
    write_text::<2>(arena, entry.name);
    if !entry.addresses.is_empty() {
        write_addresses(arena, entry.addresses);
    }
}

/// A length of `N` bytes and the text.
fn write_text<const N: usize>(arena: &mut Vec<u8>, text: &str) {
    let text = &text[..text.floor_char_boundary((1 << (8 * N)) - 1)];
    arena.extend_from_slice(&text.len().to_le_bytes()[..N]);
    arena.extend_from_slice(text.as_bytes());
}

/// Their number, then of each the family, the prefix length and the octets. An IPv4-mapped network is written as IPv4.
fn write_addresses(arena: &mut Vec<u8>, networks: &[IpNet]) {
    let count = u8::try_from(networks.len()).unwrap_or(u8::MAX);
    arena.push(count);
    for network in &networks[..usize::from(count)] {
        match canonical(*network) {
            IpNet::V4(network) => {
                arena.extend_from_slice(&[4, network.prefix_len()]);
                arena.extend_from_slice(&network.addr().octets());
            }
            IpNet::V6(network) => {
                arena.extend_from_slice(&[6, network.prefix_len()]);
                arena.extend_from_slice(&network.addr().octets());
            }
        }
    }
}

/// The details of one entry, read in place.
#[derive(Clone, Copy)]
pub struct Details<'t> {
    bytes: &'t [u8],
    revoked_ms: Option<i64>,
    not_before_ms: Option<i64>,
    key_expires_ms: i64,
    plan: Option<PlanNumber>,
    id: Id<'t>,
    name: &'t str,
    addresses: Addresses<'t>,
}

#[derive(Clone, Copy)]
enum Id<'t> {
    Own(u128),
    Other(&'t str),
}

impl<'t> Details<'t> {
    /// The details that [`write`] put at the start of `arena`.
    pub(super) fn read(arena: &'t [u8]) -> Self {
        let mut cursor = Cursor(arena);
        let [flags] = cursor.array();
        let revoked_ms = (flags & REVOKED != 0).then(|| i64::from_le_bytes(cursor.array()));
        let not_before_ms = (flags & NOT_BEFORE != 0).then(|| i64::from_le_bytes(cursor.array()));
        let key_expires_ms = if flags & PREVIOUS == 0 { NO_END } else { i64::from_le_bytes(cursor.array()) };
        let plan = (flags & PLAN != 0).then(|| PlanNumber(u16::from_le_bytes(cursor.array())));
        let id = if flags & OWN_ID == 0 {
            Id::Other(cursor.text::<1>())
        } else {
            Id::Own(u128::from_le_bytes(cursor.array()))
        };
        let name = cursor.text::<2>();
        let addresses = if flags & ADDRESSES == 0 { Addresses(&[]) } else { cursor.addresses() };
        let bytes = &arena[..arena.len() - cursor.0.len()];
        Self { bytes, revoked_ms, not_before_ms, key_expires_ms, plan, id, name, addresses }
    }

    /// The bytes, to be copied into another arena.
    pub(super) fn bytes(&self) -> &'t [u8] {
        self.bytes
    }

    /// The bytes of the same details, revoked at `at_ms`; for those that are not revoked yet.
    pub(super) fn revoked_bytes(&self, at_ms: i64) -> Vec<u8> {
        let (flags, rest) = self.bytes.split_first().map_or((0, self.bytes), |(flags, rest)| (*flags, rest));
        let mut bytes = Vec::with_capacity(self.bytes.len() + 8);
        bytes.push(flags | REVOKED);
        bytes.extend_from_slice(&at_ms.to_le_bytes());
        bytes.extend_from_slice(rest);
        bytes
    }

    /// The key's id. Cost: for one of ours, 26 digits are written.
    pub fn id(&self) -> KeyIdText {
        match self.id {
            Id::Own(bits) => own_id_text(bits),
            Id::Other(text) => KeyIdText::from(text).unwrap_or_default(),
        }
    }

    /// The key's name; empty if it has none.
    pub fn name(&self) -> &'t str {
        self.name
    }

    /// Whether the digest is of the secret before the last rotation.
    pub fn is_previous(&self) -> bool {
        self.has(PREVIOUS)
    }

    /// Whether the key was granted `keygate:manage`.
    pub fn manages(&self) -> bool {
        self.has(MANAGES)
    }

    fn has(&self, flag: u8) -> bool {
        self.bytes.first().is_some_and(|flags| flags & flag != 0)
    }

    /// Of a secret from before the last rotation: the first Unix millisecond at which its key is no longer in force.
    pub(super) fn key_expires_ms(&self) -> Option<i64> {
        (self.key_expires_ms != NO_END).then_some(self.key_expires_ms)
    }

    /// The Unix millisecond of its revocation.
    pub fn revoked_ms(&self) -> Option<i64> {
        self.revoked_ms
    }

    /// The first Unix millisecond at which it is in force.
    pub fn not_before_ms(&self) -> Option<i64> {
        self.not_before_ms
    }

    /// The plan that the key names, in the numbering of its snapshot.
    pub fn plan(&self) -> Option<PlanNumber> {
        self.plan
    }

    /// Where it may be used from.
    pub fn addresses(&self) -> Addresses<'t> {
        self.addresses
    }
}

impl fmt::Debug for Details<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Details")
            .field("id", &self.id())
            .field("name", &self.name)
            .field("is_previous", &self.is_previous())
            .field("manages", &self.manages())
            .field("revoked_ms", &self.revoked_ms)
            .field("not_before_ms", &self.not_before_ms)
            .field("plan", &self.plan)
            .field("addresses", &self.addresses.iter().collect::<Vec<_>>())
            .finish()
    }
}

/// The networks a key may be used from.
#[derive(Debug, Clone, Copy)]
pub struct Addresses<'t>(&'t [u8]);

impl<'t> Addresses<'t> {
    /// Whether a client at `client` may use the key: in one of the networks, or there are none. An IPv4-mapped IPv6
    /// address (RFC 4291 §2.5.5.2) counts as IPv4.
    pub fn allow(self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.0.is_empty() || self.iter().any(|network| network.contains(&client))
    }

    /// The networks.
    pub fn iter(self) -> impl Iterator<Item = IpNet> + 't {
        let mut cursor = Cursor(self.0);
        std::iter::from_fn(move || cursor.network())
    }
}

/// Reads what [`write`] wrote. Past the end it reads zeros, which no arena of ours makes it do.
struct Cursor<'t>(&'t [u8]);

impl<'t> Cursor<'t> {
    fn array<const N: usize>(&mut self) -> [u8; N] {
        let Some((array, rest)) = self.0.split_first_chunk() else { return [0; N] };
        self.0 = rest;
        *array
    }

    fn take(&mut self, length: usize) -> &'t [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn text<const N: usize>(&mut self) -> &'t str {
        let mut length = [0; size_of::<usize>()];
        length[..N].copy_from_slice(&self.array::<N>());
        str::from_utf8(self.take(usize::from_le_bytes(length))).unwrap_or_default()
    }

    fn addresses(&mut self) -> Addresses<'t> {
        let [count] = self.array();
        let start = self.0;
        for _ in 0..count {
            self.network();
        }
        Addresses(&start[..start.len() - self.0.len()])
    }

    fn network(&mut self) -> Option<IpNet> {
        if self.0.is_empty() {
            return None;
        }
        let [family, prefix_length] = self.array();
        let address = match family {
            4 => IpAddr::from(Ipv4Addr::from(self.array::<4>())),
            _ => IpAddr::from(Ipv6Addr::from(self.array::<16>())),
        };
        IpNet::new(address, prefix_length).ok()
    }
}
