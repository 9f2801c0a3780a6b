//! Who works at the command line.

use std::{fmt, fs::File, io::Read as _};

use super::audit::Actor;
use crate::keys::record::Name;

/// The most that is read of the list of users.
const USERS_BYTES_MAX: u64 = 4 << 20;

/// The user of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// The user id.
    pub uid: u32,
    /// The name that `/etc/passwd` has for it.
    pub user: Option<String>,
}

impl Operator {
    /// The real user of this process.
    pub fn of_process() -> Self {
        Self::with_id(rustix::process::getuid().as_raw())
    }

    /// The user with this id.
    pub fn with_id(uid: u32) -> Self {
        Self { uid, user: name_of(uid) }
    }

    /// As the audit log names it.
    pub fn actor(&self) -> Actor<'_> {
        Actor { uid: self.uid, user: self.user.as_deref() }
    }

    /// As audit records of a database name it: `ada (uid 1000)`.
    pub fn in_full(&self) -> String {
        match &self.user {
            Some(user) => format!("{user} (uid {})", self.uid),
            None => self.to_string(),
        }
    }

    /// As a key file names it.
    pub fn name(&self) -> Option<Name> {
        Name::parse(&self.to_string()).ok()
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.user {
            Some(user) => formatter.write_str(user),
            None => write!(formatter, "uid {}", self.uid),
        }
    }
}

fn name_of(uid: u32) -> Option<String> {
    let mut text = Vec::new();
    File::open("/etc/passwd").ok()?.take(USERS_BYTES_MAX).read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    let names = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse::<u32>().ok()? == uid && !name.is_empty()).then(|| name.to_owned())
    };
    text.lines().find_map(names)
}
