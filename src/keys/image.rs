//! A snapshot as bytes, to be kept on disk: a gateway starts with it while its database is down. Digests and names only.
//!
//! Layout, numbers little-endian: magic (8 bytes) · format version (4) · stamp (24, see [`stamp`]) · instance (16) ·
//! revision (8) · scope names · plan names · organizations · people · project sets · entries · SHA-256 (32) of all before it but the
//! stamp. Lists start with their length; what may be missing starts with 0 or 1. Of roles and scopes the names are
//! written: what they mean is asked of the config of whoever reads.

mod bytes;

use std::{fmt, io, sync::Arc};

use ipnet::IpNet;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use self::bytes::{Reader, put_list, put_option, put_text, put_u8};
use super::{
    build::KeyPolicy,
    chunks::Chunks,
    digest::KeyDigest,
    directory::{Directory, OrganizationEntry, PersonEntry, PersonFacts},
    editor::SnapshotEditor,
    grants::{Grants, Renumbering, ScopeNames},
    plans::{PlanNames, PlanNumber},
    record::{Email, KeyId, OrganizationId, PersonId},
    register::{Register, is_project},
    snapshot::KeySnapshot,
    table::{Entry, KeyView, TableBuilder},
};
use crate::policy::{principal::Role, project::ProjectSet};

const MAGIC: [u8; 8] = *b"\x89KGKEYS\n";

/// Grows with every change of the layout; no other is read.
const VERSION: u32 = 3;

/// Where the stamp stands.
pub const STAMP_OFFSET: u64 = 12;

const STAMP_BYTES: usize = 24;

/// The bytes before the first list: they tell what an image is of.
pub const HEAD_BYTES: usize = 60;

const DIGEST_BYTES: usize = 32;

/// So many bytes are written at once.
const WRITE_BYTES: usize = 64 << 10;

/// What a snapshot is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageOf {
    /// The database.
    pub instance: Uuid,
    /// Its revision.
    pub revision: u64,
}

/// A snapshot that was read.
#[derive(Debug)]
pub struct Image {
    /// What it is of.
    pub of: ImageOf,
    /// When its database was last heard of, as far as that is known.
    pub heard_at: Option<Timestamp>,
    /// The snapshot under today's config, ready to be changed.
    pub editor: SnapshotEditor,
}

/// Why bytes are no snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageError {
    /// They are something else.
    NotAnImage,
    /// Another version of Keygate wrote them.
    OtherVersion(u32),
    /// They are cut short or changed.
    Damaged,
}

impl fmt::Display for ImageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnImage => formatter.write_str("this is no snapshot of keys"),
            Self::OtherVersion(found) => {
                write!(
                    formatter,
                    "another version of Keygate wrote it: format {found}, where this one reads {VERSION}"
                )
            }
            Self::Damaged => formatter.write_str("it is damaged: its checksum does not match its content"),
        }
    }
}

impl std::error::Error for ImageError {}

/// The bytes at [`STAMP_OFFSET`] that tell when the database was last heard of. They have a checksum of their own, so
/// that they can be written over where the rest stays as it is.
pub fn stamp(heard_at: Timestamp) -> [u8; STAMP_BYTES] {
    let time = heard_at.as_nanosecond().to_le_bytes();
    let mut stamp = [0; STAMP_BYTES];
    stamp[..16].copy_from_slice(&time);
    stamp[16..].copy_from_slice(&Sha256::digest(time)[..8]);
    stamp
}

fn read_stamp(bytes: &[u8]) -> Option<Timestamp> {
    let heard_at = Timestamp::from_nanosecond(i128::from_le_bytes(*bytes.first_chunk()?)).ok()?;
    (stamp(heard_at) == bytes).then_some(heard_at)
}

/// Whether the image that starts with `head` is of this version and `of` that revision.
pub fn is_head_of(head: &[u8; HEAD_BYTES], of: ImageOf) -> bool {
    let is_ours = head.starts_with(&MAGIC) && head[8..].starts_with(&VERSION.to_le_bytes());
    let tail = &head[12 + STAMP_BYTES..];
    is_ours && tail.starts_with(of.instance.as_bytes()) && tail[16..] == of.revision.to_le_bytes()
}

/// Writes the image of `snapshot`. Cost: about 120 bytes and some hundred nanoseconds a key, little memory.
///
/// # Errors
/// What `out` says.
pub fn write(
    of: ImageOf,
    heard_at: Timestamp,
    snapshot: &KeySnapshot,
    out: &mut impl io::Write,
) -> io::Result<()> {
    let mut sink = Sink { out, hash: Sha256::new(), buffer: Vec::with_capacity(2 * WRITE_BYTES) };
    sink.buffer.extend(MAGIC);
    sink.buffer.extend(VERSION.to_le_bytes());
    sink.flush()?;
    sink.out.write_all(&stamp(heard_at))?;
    sink.buffer.extend(of.instance.as_bytes());
    sink.buffer.extend(of.revision.to_le_bytes());
    write_directory(&mut sink, &snapshot.directory)?;
    put_list(&mut sink.buffer, snapshot.table.len());
    for view in snapshot.table.iter() {
        sink.item(|buffer| put_entry(buffer, &view))?;
    }
    sink.finish()
}

fn write_directory(sink: &mut Sink<'_, impl io::Write>, directory: &Directory) -> io::Result<()> {
    let scopes = &directory.scopes;
    put_u8(&mut sink.buffer, u8::from(scopes.is_short()));
    put_list(&mut sink.buffer, scopes.names().len());
    for name in scopes.names() {
        sink.item(|buffer| put_text(buffer, name))?;
    }
    put_list(&mut sink.buffer, directory.plans.names().len());
    for name in directory.plans.names() {
        sink.item(|buffer| put_text(buffer, name))?;
    }
    put_list(&mut sink.buffer, directory.organizations.len());
    for organization in directory.organizations.iter() {
        sink.item(|buffer| {
            put_text(buffer, organization.id.as_str());
            put_option(buffer, organization.projects.as_ref(), put_projects);
        })?;
    }
    put_option(&mut sink.buffer, directory.sole_organization, put_u32);
    put_list(&mut sink.buffer, directory.people.len());
    for person in directory.people.iter() {
        sink.item(|buffer| {
            put_text(buffer, person.id.as_str());
            put_option(buffer, person.facts.as_ref(), put_facts);
        })?;
    }
    put_list(&mut sink.buffer, directory.project_sets.len());
    for set in directory.project_sets.iter() {
        sink.item(|buffer| put_projects(buffer, set))?;
    }
    Ok(())
}

fn put_facts(buffer: &mut Vec<u8>, facts: &PersonFacts) {
    put_text(buffer, facts.email.as_str());
    put_text(buffer, facts.role.as_str());
    put_option(buffer, facts.organization, put_u32);
    put_projects(buffer, &facts.projects);
    put_u8(buffer, u8::from(facts.disabled));
}

fn put_projects(buffer: &mut Vec<u8>, set: &ProjectSet) {
    let ids = match set {
        ProjectSet::All => None,
        ProjectSet::Only(ids) => Some(ids),
    };
    put_option(buffer, ids, |buffer, ids| {
        put_list(buffer, ids.len());
        ids.iter().for_each(|id| put_text(buffer, id));
    });
}

fn put_entry(buffer: &mut Vec<u8>, view: &KeyView<'_>) {
    let details = &view.details;
    buffer.extend(view.digest.as_bytes());
    buffer.extend(view.grants.bits().to_le_bytes());
    put_option(buffer, view.expires_ms, put_i64);
    put_option(buffer, view.owner, put_u32);
    put_option(buffer, view.organization, put_u32);
    put_u32(buffer, view.projects);
    put_text(buffer, &details.id());
    put_text(buffer, details.name());
    put_u8(buffer, u8::from(details.is_previous()));
    put_u8(buffer, u8::from(details.manages()));
    if details.is_previous() {
        put_option(buffer, view.key_expires_ms(), put_i64);
    }
    put_option(buffer, details.revoked_ms(), put_i64);
    put_option(buffer, details.not_before_ms(), put_i64);
    put_list(buffer, details.addresses().iter().count());
    for network in details.addresses().iter() {
        put_network(buffer, network);
    }
    put_option(buffer, details.plan().map(|plan| plan.0), put_u16);
}

fn put_network(buffer: &mut Vec<u8>, network: IpNet) {
    match network {
        IpNet::V4(network) => {
            buffer.extend([4, network.prefix_len()]);
            buffer.extend(network.addr().octets());
        }
        IpNet::V6(network) => {
            buffer.extend([6, network.prefix_len()]);
            buffer.extend(network.addr().octets());
        }
    }
}

fn put_u16(buffer: &mut Vec<u8>, number: u16) {
    buffer.extend(number.to_le_bytes());
}

fn put_u32(buffer: &mut Vec<u8>, number: u32) {
    buffer.extend(number.to_le_bytes());
}

fn put_i64(buffer: &mut Vec<u8>, number: i64) {
    buffer.extend(number.to_le_bytes());
}

/// Writes in large pieces and sums up what it wrote.
struct Sink<'o, W> {
    out: &'o mut W,
    hash: Sha256,
    buffer: Vec<u8>,
}

impl<W: io::Write> Sink<'_, W> {
    fn item(&mut self, put: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        put(&mut self.buffer);
        if self.buffer.len() < WRITE_BYTES { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hash.update(&self.buffer);
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.out.write_all(&self.hash.finalize())
    }
}

/// The image in `bytes`, with scopes, role caps, brand and plans of `policy`: scopes are known by their names, and what the
/// config does not know counts for nothing. Cost: below a microsecond a key.
///
/// # Errors
/// [`ImageError`]; whatever the bytes are, there is no panic.
pub fn read(bytes: &[u8], policy: &KeyPolicy<'_>) -> Result<Image, ImageError> {
    let content = bytes.strip_prefix(&MAGIC).ok_or(ImageError::NotAnImage)?;
    let (version, content) = content.split_first_chunk().ok_or(ImageError::Damaged)?;
    let version = u32::from_le_bytes(*version);
    if version != VERSION {
        return Err(ImageError::OtherVersion(version));
    }
    let (stamp, content) = content.split_at_checked(STAMP_BYTES).ok_or(ImageError::Damaged)?;
    let (content, digest) = content.split_last_chunk::<DIGEST_BYTES>().ok_or(ImageError::Damaged)?;
    let hash = Sha256::new().chain_update(MAGIC).chain_update(version.to_le_bytes()).chain_update(content);
    if *hash.finalize() != *digest {
        return Err(ImageError::Damaged);
    }
    let (of, editor) = read_content(Reader::new(content), policy).ok_or(ImageError::Damaged)?;
    Ok(Image { of, heard_at: read_stamp(stamp), editor })
}

/// `None` where something makes no sense.
fn read_content(mut reader: Reader<'_>, policy: &KeyPolicy<'_>) -> Option<(ImageOf, SnapshotEditor)> {
    let instance = Uuid::from_bytes(reader.array()?);
    let revision = u64::from_le_bytes(reader.array()?);
    let (directory, renumbering) = read_directory(&mut reader, policy)?;
    let entries = reader.list()?;
    let mut table = TableBuilder::new(entries);
    let mut networks = Vec::new();
    for _ in 0..entries {
        let mut entry = read_entry(&mut reader, &mut networks)?;
        if !is_in(&directory, &entry) {
            return None;
        }
        if let Some(renumbering) = &renumbering {
            entry.grants = renumbering.of(entry.grants);
        }
        table.push(&entry).ok()?;
    }
    let table = reader.is_empty().then(|| table.finish().ok())??;
    Some((
        ImageOf { instance, revision },
        SnapshotEditor::new(Register::of(Arc::new(directory), policy.plans), table),
    ))
}

/// Whether the directory has all that `entry` points to.
fn is_in(directory: &Directory, entry: &Entry<'_>) -> bool {
    directory.project_sets.get(entry.projects).is_some()
        && entry.owner.is_none_or(|at| directory.people.get(at).is_some())
        && entry.organization.is_none_or(|at| directory.organizations.get(at).is_some())
}

fn read_directory(
    reader: &mut Reader<'_>,
    policy: &KeyPolicy<'_>,
) -> Option<(Directory, Option<Renumbering>)> {
    let is_short = reader.flag()?;
    let names = (0..reader.list()?).map(|_| reader.text().map(str::to_owned)).collect::<Option<_>>()?;
    let (scopes, renumbering) = ScopeNames::restored(names, is_short, policy.scopes)?;
    let plans = (0..reader.list()?).map(|_| reader.text().map(Into::into)).collect::<Option<_>>()?;
    let plans = PlanNames::restored(plans, policy.plans)?;
    let organizations = read_list(reader, |reader| {
        let id = OrganizationId::parse(reader.text()?).ok()?;
        Some(OrganizationEntry { id, projects: reader.option(read_projects)? })
    })?;
    let sole_organization = reader.option(Reader::u32)?;
    let people = read_list(reader, |reader| {
        let id = PersonId::parse(reader.text()?).ok()?;
        Some(PersonEntry { id, facts: reader.option(read_facts)? })
    })?;
    let directory = Directory {
        brand: policy.brand.clone(),
        role_caps: *policy.role_caps,
        scopes,
        plans,
        organizations,
        sole_organization,
        people,
        project_sets: read_list(reader, read_projects)?,
    };
    Some((directory, renumbering))
}

fn read_list<T: Clone>(
    reader: &mut Reader<'_>,
    mut item: impl FnMut(&mut Reader<'_>) -> Option<T>,
) -> Option<Chunks<T>> {
    let mut items = Chunks::default();
    for _ in 0..reader.list()? {
        items.push(item(reader)?).ok()?;
    }
    Some(items)
}

fn read_facts(reader: &mut Reader<'_>) -> Option<PersonFacts> {
    Some(PersonFacts {
        email: Email::parse(reader.text()?).ok()?,
        role: Role::from_name(reader.text()?)?,
        organization: reader.option(Reader::u32)?,
        projects: read_projects(reader)?,
        disabled: reader.flag()?,
    })
}

fn read_projects(reader: &mut Reader<'_>) -> Option<ProjectSet> {
    let only = reader.option(|reader| {
        let ids = (0..reader.list()?).map(|_| reader.text().filter(|id| is_project(id)));
        Some(ProjectSet::only(ids.collect::<Option<Vec<_>>>()?))
    })?;
    Some(only.unwrap_or(ProjectSet::All))
}

fn read_entry<'e, 'b: 'e>(reader: &mut Reader<'b>, networks: &'e mut Vec<IpNet>) -> Option<Entry<'e>> {
    let digest = KeyDigest::from_bytes(reader.array()?);
    let grants = Grants::from_bits(u64::from_le_bytes(reader.array()?));
    let expires_ms = reader.option(Reader::i64)?;
    let owner = reader.option(Reader::u32)?;
    let organization = reader.option(Reader::u32)?;
    let projects = reader.u32()?;
    let id = KeyId::parse(reader.text()?).ok()?;
    let name = reader.text()?;
    let is_previous = reader.flag()?;
    let manages = reader.flag()?;
    let key_expires_ms = if is_previous { reader.option(Reader::i64)? } else { expires_ms };
    let revoked_ms = reader.option(Reader::i64)?;
    let not_before_ms = reader.option(Reader::i64)?;
    networks.clear();
    for _ in 0..reader.list()? {
        networks.push(read_network(reader)?);
    }
    let plan = reader.option(Reader::u16)?.map(PlanNumber);
    Some(Entry {
        digest,
        grants,
        manages,
        expires_ms,
        key_expires_ms,
        owner,
        organization,
        projects,
        id,
        name,
        is_previous,
        revoked_ms,
        not_before_ms,
        addresses: networks,
        plan,
    })
}

fn read_network(reader: &mut Reader<'_>) -> Option<IpNet> {
    let [family, prefix_length] = reader.array()?;
    match family {
        4 => IpNet::new(reader.array::<4>()?.into(), prefix_length).ok(),
        6 => IpNet::new(reader.array::<16>()?.into(), prefix_length).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
