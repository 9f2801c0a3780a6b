//! The records of keys, people and organizations as stores keep them and listings show them.

use std::{collections::BTreeMap, fmt};

use ipnet::IpNet;
use jiff::Timestamp;

use super::digest::KeyDigest;
use crate::policy::{
    plan::is_plan_name,
    principal::{KeyIdText, Role},
    project::ProjectSet,
};

/// The longest name, reason or label, in characters.
pub const NAME_CHARS_MAX: usize = 128;

/// The most networks a key may be bound to.
pub const ADDRESSES_MAX: usize = 64;

/// Why a text is no id or name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextError {
    expected: &'static str,
}

impl fmt::Display for TextError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "must be {}", self.expected)
    }
}

impl std::error::Error for TextError {}

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $valid:expr, $expected:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// The value written as `text`.
            ///
            /// # Errors
            /// [`TextError`] says what the text must be.
            pub fn parse(text: &str) -> Result<Self, TextError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.into())) } else { Err(TextError { expected: $expected }) }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(&self.0)
            }
        }
    };
}

checked_text!(
    /// The id of a person: an account name, an e-mail address, a subject of an identity provider.
    PersonId,
    |text| is_id(text, 128, b"._-@+:|"),
    "1 to 128 letters, digits and . _ - @ + : |"
);

checked_text!(
    /// The id of an organization.
    OrganizationId,
    |text| is_id(text, 64, b"._-"),
    "1 to 64 letters, digits and . _ -"
);

checked_text!(
    /// A name for people: no control, line-separating, invisible or direction-changing characters.
    Name,
    is_name,
    "1 to 128 characters, none of them control, invisible or direction-changing ones"
);

checked_text!(
    /// An e-mail address, as far as a machine can tell: something, `@`, something, without spaces.
    Email,
    is_email,
    "an e-mail address of at most 254 bytes"
);

checked_text!(
    /// The name of a plan.
    PlanName,
    is_plan_name,
    "1 to 64 letters, digits and . _ -"
);

impl PersonId {
    /// The id of somebody who shall be added.
    ///
    /// # Errors
    /// As [`PersonId::parse`], and as [`check_new_id`].
    pub fn parse_new(text: &str) -> Result<Self, TextError> {
        check_new_id(text).and_then(|()| Self::parse(text))
    }
}

/// That a new person, project or organization may have this id: none of `new`, `.` and `..`. As segments of addresses, the
/// first is the form for another one, and browsers take the others away (RFC 3986 §5.2.4). Records that have one keep it.
///
/// # Errors
/// [`TextError`] says which ids are taken.
pub fn check_new_id(text: &str) -> Result<(), TextError> {
    const ERROR: TextError =
        TextError { expected: "none of new, . and .., which mean something else in addresses" };
    if ["new", ".", ".."].contains(&text) { Err(ERROR) } else { Ok(()) }
}

impl Default for OrganizationId {
    /// `default`: the organization of deployments that name none.
    fn default() -> Self {
        Self("default".into())
    }
}

fn is_id(text: &str, longest: usize, also: &[u8]) -> bool {
    (1..=longest).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || also.contains(&b))
}

fn is_name(text: &str) -> bool {
    // The byte limit first, so that a huge text is not walked.
    (1..=4 * NAME_CHARS_MAX).contains(&text.len())
        && text.chars().count() <= NAME_CHARS_MAX
        && !text.chars().any(is_deceptive)
}

fn is_email(text: &str) -> bool {
    let parts = text.rsplit_once('@');
    text.len() <= 254
        && parts.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
        && !text.chars().any(|c| c.is_whitespace() || is_deceptive(c))
}

/// Characters that make a listing show something else than it holds.
fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}')
}

/// The id of a key: `[A-Za-z0-9._-]{1,64}`. Ours are `key_` and a `UUIDv7` (RFC 9562 §5.7) in lower-case Crockford base32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(KeyIdText);

impl KeyId {
    /// The id written as `text`.
    ///
    /// # Errors
    /// [`TextError`] if it is not of the form `[A-Za-z0-9._-]{1,64}`.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        const ERROR: TextError = TextError { expected: "1 to 64 letters, digits and . _ -" };
        if !is_id(text, 64, b"._-") {
            return Err(ERROR);
        }
        KeyIdText::from(text).map(Self).map_err(|_| ERROR)
    }

    /// A new id that sorts after those made earlier.
    ///
    /// # Errors
    /// What the operating system says if it has no randomness to give.
    pub fn generate(now: Timestamp) -> Result<Self, getrandom::Error> {
        let mut random = [0; 10];
        getrandom::fill(&mut random)?;
        let milliseconds = u64::try_from(now.as_millisecond()).unwrap_or(0);
        let uuid = uuid::Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid();
        Ok(Self(own_id_text(uuid.as_u128())))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, for storage without heap memory.
    pub fn text(&self) -> KeyIdText {
        self.0
    }

    /// The 128 bits of an id of our form, which [`own_id_text`] writes out again.
    pub(super) fn own_bits(text: &str) -> Option<u128> {
        let digits = text.strip_prefix("key_")?.as_bytes();
        // 26 digits hold 130 bits: the first may not exceed 7.
        if digits.len() != 26 || !(b'0'..=b'7').contains(&digits[0]) {
            return None;
        }
        digits.iter().try_fold(0u128, |bits, digit| Some(bits << 5 | u128::from(crockford_value(*digit)?)))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

const CROCKFORD: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

fn crockford_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'h' => Some(digit - b'a' + 10),
        b'j' | b'k' => Some(digit - b'j' + 18),
        b'm' | b'n' => Some(digit - b'm' + 20),
        b'p'..=b't' => Some(digit - b'p' + 22),
        b'v'..=b'z' => Some(digit - b'v' + 27),
        _ => None,
    }
}

/// `key_` and the 26 digits of `bits`. Runs for every request: 64-bit halves, since shifts of 128 bits are slow.
pub(super) fn own_id_text(bits: u128) -> KeyIdText {
    let mut text = *b"key_00000000000000000000000000";
    let (top, rest) = text[4..].split_at_mut(2);
    let (high, low) = rest.split_at_mut(12);
    for (digits, shift) in [(top, 120), (high, 60), (low, 0)] {
        #[expect(clippy::cast_possible_truncation, reason = "12 digits show no more than 60 bits")]
        let mut part = (bits >> shift) as u64;
        for digit in digits.iter_mut().rev() {
            *digit = CROCKFORD[(part & 31) as usize];
            part >>= 5;
        }
    }
    str::from_utf8(&text).ok().and_then(|text| KeyIdText::from(text).ok()).unwrap_or_default()
}

/// The end of a key before its time: irreversible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// When.
    pub at: Timestamp,
    /// By whom, if known.
    pub by: Option<Name>,
    /// Why, if said.
    pub reason: Option<Name>,
}

/// The secret a key had before its last rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousSecret {
    /// Its digest.
    pub digest: KeyDigest,
    /// The end of the overlap; never past the key's expiry, whatever stands here.
    pub until: Timestamp,
}

/// Everything that is known about a key, but its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Unique among all keys.
    pub id: KeyId,
    /// For people; not unique.
    pub name: Option<Name>,
    /// For machines; the gateway reads none of them.
    pub labels: BTreeMap<Name, Name>,
    /// `None`: the owner's organization, or the only one.
    pub organization: Option<OrganizationId>,
    /// The person it belongs to; a key without owner is capped by nothing but itself.
    pub owner: Option<PersonId>,
    /// Of the current secret.
    pub digest: KeyDigest,
    /// Of the secret before the last rotation.
    pub previous: Option<PreviousSecret>,
    /// What listings show of the secret.
    pub prefix: Option<Name>,
    /// Names of granted scopes. None permits nothing.
    pub scopes: Vec<String>,
    /// Granted projects.
    pub projects: ProjectSet,
    /// When it was made, if known.
    pub created_at: Option<Timestamp>,
    /// The first instant at which it is in force; `None`: always was.
    pub not_before: Option<Timestamp>,
    /// The first instant at which it is no longer in force; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// Where it may be used from; none: anywhere. At most [`ADDRESSES_MAX`].
    pub addresses: Vec<IpNet>,
    /// How much it may ask for; `None`: what the config says of keys without a plan.
    pub plan: Option<PlanName>,
    /// Set once it is revoked.
    pub revoked: Option<Revocation>,
}

impl KeyRecord {
    /// A key with the current secret of `digest` and nothing else: granted nothing, owned by nobody, without end.
    pub fn new(id: KeyId, digest: KeyDigest) -> Self {
        Self {
            id,
            name: None,
            labels: BTreeMap::new(),
            organization: None,
            owner: None,
            digest,
            previous: None,
            prefix: None,
            scopes: Vec::new(),
            projects: ProjectSet::only::<_, &str>([]),
            created_at: None,
            not_before: None,
            expires_at: None,
            addresses: Vec::new(),
            plan: None,
            revoked: None,
        }
    }

    /// Whether `scope` is among the granted ones, by this name.
    pub fn is_granted(&self, scope: &str) -> bool {
        self.scopes.iter().any(|name| name == scope)
    }

    /// Whether the key works at `now`, and if not, the first reason in the order of the decision table.
    /// `owner` is the person named by [`KeyRecord::owner`]. The window is half open: `[not_before, expires_at)`.
    pub fn status(&self, now: Timestamp, owner: Option<&Person>) -> KeyStatus {
        if self.revoked.is_some() {
            KeyStatus::Revoked
        } else if self.expires_at.is_some_and(|end| now >= end) {
            KeyStatus::Expired
        } else if self.not_before.is_some_and(|start| now < start) {
            KeyStatus::NotYetValid
        } else if owner.is_some_and(|owner| owner.disabled) {
            KeyStatus::OwnerDisabled
        } else {
            KeyStatus::Active
        }
    }
}

/// Whether a key works at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyStatus {
    /// It works.
    Active,
    /// Its time has not come.
    NotYetValid,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
    /// The person it belongs to is disabled.
    OwnerDisabled,
}

impl KeyStatus {
    /// The word in listings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::NotYetValid => "not yet valid",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::OwnerDisabled => "owner disabled",
        }
    }
}

/// A person, who owns keys and caps them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Unique among all people.
    pub id: PersonId,
    /// As the upstream is told.
    pub email: Email,
    /// For people.
    pub name: Option<Name>,
    /// `None`: the only organization.
    pub organization: Option<OrganizationId>,
    /// Caps the scopes of their keys.
    pub role: Role,
    /// Caps the projects of their keys.
    pub projects: ProjectSet,
    /// Stops all their keys.
    pub disabled: bool,
}

/// An organization, which owns projects, people and keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Organization {
    /// Unique among all organizations.
    pub id: OrganizationId,
    /// For people.
    pub name: Option<Name>,
    /// The projects it declares; `None`: any id is its own, which only a single organization may say.
    pub projects: Option<Vec<String>>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_and_names() {
        for good in ["a", "key_01jd", "A.b-c_9", &"x".repeat(64)] {
            assert_eq!(KeyId::parse(good).unwrap().as_str(), good);
            assert_eq!(OrganizationId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a/b", "é", &"x".repeat(65)] {
            assert!(KeyId::parse(bad).is_err() && OrganizationId::parse(bad).is_err(), "{bad}");
        }
        assert!(PersonId::parse("auth0|ada+ci@example.com").is_ok());
        assert!(PersonId::parse("ada,bob").is_err());
        for reserved in ["new", ".", ".."] {
            assert!(
                PersonId::parse(reserved).is_ok() && PersonId::parse_new(reserved).is_err(),
                "{reserved}"
            );
        }
        assert!(["New", "new.", "...", "ada"].iter().all(|text| PersonId::parse_new(text).is_ok()));
        assert!(PersonId::parse_new("ada,bob").is_err());
        for good in ["GitHub Actions - staging", "é", &"ü".repeat(128)] {
            assert!(Name::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a\nb", "a\u{202e}b", "a\u{2028}b", "\u{feff}a", "a\u{200b}", &"x".repeat(129)] {
            assert!(Name::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Email::parse("ada@example.com").is_ok());
        for bad in ["", "@", "ada", "ada@", "@example.com", "a da@example.com", "a@b\n"] {
            assert!(Email::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_new_id_is_ours_and_sorts_by_time() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let early = KeyId::generate(at(1_700_000_000)).unwrap();
        let late = KeyId::generate(at(1_800_000_000)).unwrap();
        assert_eq!(early.as_str().len(), 30);
        assert!(early < late && KeyId::own_bits(early.as_str()).is_some());
        let uuid = uuid::Uuid::from_u128(KeyId::own_bits(late.as_str()).unwrap());
        assert_eq!(uuid.get_version_num(), 7);
        assert_eq!(uuid.get_timestamp().unwrap().to_unix().0, 1_800_000_000);
    }

    proptest! {
        #[test]
        fn own_ids_round_trip(bits: u128) {
            let text = own_id_text(bits);
            prop_assert_eq!(KeyId::own_bits(&text), Some(bits));
            prop_assert!(KeyId::parse(&text).is_ok());
        }

        #[test]
        fn only_own_ids_have_bits(text in "key_[0-9a-zA-Z]{25,27}") {
            if let Some(bits) = KeyId::own_bits(&text) {
                prop_assert_eq!(&*own_id_text(bits), &*text);
            }
        }
    }
}
