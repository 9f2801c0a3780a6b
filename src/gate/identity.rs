//! Who asks, as an upstream is told: the identity header lines of a permitted request, the same at every door.

use super::Denial;
use crate::policy::{principal::Principal, reason::Reason, scope::Scopes};

/// The most bytes of visible projects that an upstream is told; with more the request is refused, never cut short.
const PROJECTS_BYTES_MAX: usize = 4096;

/// Names of the identity headers; `None` leaves one out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityHeaders {
    /// The key's id; default `X-Auth-Key-Id`.
    pub key_id: Option<Box<str>>,
    /// The key's name; default `X-Auth-Key-Name`.
    pub key_name: Option<Box<str>>,
    /// The owner's id; default `X-Auth-User`.
    pub user: Option<Box<str>>,
    /// The owner's e-mail; default `X-Auth-Email`.
    pub email: Option<Box<str>>,
    /// The owner's role; default `X-Auth-Role`.
    pub role: Option<Box<str>>,
    /// The organization; default `X-Auth-Org`.
    pub organization: Option<Box<str>>,
    /// Effective scopes, space-separated; default `X-Auth-Scopes`.
    pub scopes: Option<Box<str>>,
    /// Visible projects: `*` or a comma list; default `X-Auth-Projects`.
    pub projects: Option<Box<str>>,
    /// The project the request touches; default `X-Auth-Project`.
    pub project: Option<Box<str>>,
}

impl Default for IdentityHeaders {
    fn default() -> Self {
        let name = |name: &str| Some(name.into());
        Self {
            key_id: name("X-Auth-Key-Id"),
            key_name: name("X-Auth-Key-Name"),
            user: name("X-Auth-User"),
            email: name("X-Auth-Email"),
            role: name("X-Auth-Role"),
            organization: name("X-Auth-Org"),
            scopes: name("X-Auth-Scopes"),
            projects: name("X-Auth-Projects"),
            project: name("X-Auth-Project"),
        }
    }
}

impl IdentityHeaders {
    /// The names in use.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        [
            &self.key_id,
            &self.key_name,
            &self.user,
            &self.email,
            &self.role,
            &self.organization,
            &self.scopes,
            &self.projects,
            &self.project,
        ]
        .into_iter()
        .filter_map(|name| name.as_deref())
    }
}

/// Writes a name and a value as percent-encoded UTF-8 (RFC 3986 §2.1), so that no value can be taken for two.
fn put_encoded(out: &mut Vec<u8>, name: Option<&str>, value: &str) {
    let Some(name) = name else { return };
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    encode_into(out, value);
    out.extend_from_slice(b"\r\n");
}

fn encode_into(out: &mut Vec<u8>, value: &str) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@:/".contains(&byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xf)]]);
        }
    }
}

/// Writes the header lines by which an upstream learns who asks, under `names`.
///
/// # Errors
/// Where the visible projects do not fit in a header.
pub fn write_identity(
    out: &mut Vec<u8>,
    names: &IdentityHeaders,
    scopes: &Scopes,
    principal: &Principal<'_>,
    project: Option<&str>,
) -> Result<(), Denial<'static>> {
    put_encoded(out, names.key_id.as_deref(), &principal.key_id);
    if !principal.key_name.is_empty() {
        put_encoded(out, names.key_name.as_deref(), principal.key_name);
    }
    if let Some(owner) = &principal.owner {
        put_encoded(out, names.user.as_deref(), owner.id);
        put_encoded(out, names.email.as_deref(), owner.email);
        put_encoded(out, names.role.as_deref(), owner.role.as_str());
    }
    put_encoded(out, names.organization.as_deref(), principal.organization);
    if let Some(name) = &names.scopes {
        put_list(out, name, scopes.names(principal.scopes), b' ');
    }
    if let Some(name) = &names.projects {
        match principal.projects.listed() {
            None => {
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b": *\r\n");
            }
            Some(ids) => {
                let before = out.len();
                put_list(out, name, ids, b',');
                if out.len() - before > PROJECTS_BYTES_MAX {
                    return Err(Denial::outside_table(
                        Reason::HeadersTooLarge,
                        "The API key sees more projects than fit in a header.",
                    ));
                }
            }
        }
    }
    if let Some(project) = project {
        put_encoded(out, names.project.as_deref(), project);
    }
    Ok(())
}

/// Every name in use with its value for a proxy that asks, empty where there is nothing to say: so that whatever the client
/// sent under it is overwritten. `principal` is `None` on a public route.
///
/// # Errors
/// As [`write_identity`].
pub fn identity_to_set<'n>(
    names: &'n IdentityHeaders,
    scopes: &Scopes,
    principal: Option<&Principal<'_>>,
    project: Option<&str>,
) -> Result<Vec<(&'n str, String)>, Denial<'static>> {
    let mut lines = Vec::with_capacity(512);
    if let Some(principal) = principal {
        write_identity(&mut lines, names, scopes, principal, project)?;
    }
    // Percent-encoded as it is, nothing in a value can end its line.
    let lines = String::from_utf8_lossy(&lines);
    let written: Vec<(&str, &str)> = lines.split("\r\n").filter_map(|line| line.split_once(": ")).collect();
    let value_of =
        |name: &str| written.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| *value);
    Ok(names.names().map(|name| (name, value_of(name).to_owned())).collect())
}

fn put_list<'v>(out: &mut Vec<u8>, name: &str, values: impl Iterator<Item = &'v str>, separator: u8) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    for (at, value) in values.enumerate() {
        if at > 0 {
            out.push(separator);
        }
        encode_into(out, value);
    }
    out.extend_from_slice(b"\r\n");
}
