//! The key file as it is written: serde types that mirror it field by field, and its JSON Schema.

use std::{borrow::Cow, fmt, marker::PhantomData};

use ipnet::IpNet;
use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::{
    keys::{
        digest::KeyDigest,
        record::{Email, KeyId, Name, OrganizationId, PersonId, PlanName},
    },
    policy::principal::Role,
    yaml::{Field, Map, Place, StringOr},
};

/// A key file: organizations, people and keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Keygate key file")]
pub(super) struct RawKeyFile {
    /// The version of this format.
    pub(super) version: Field<Version>,
    /// How many keys there are; another number is a wrong file. Above `keys`, it shows when the file was cut short.
    #[serde(default)]
    pub(super) count: Optional<usize>,
    /// The organizations; none: a single one that nobody has to name.
    #[serde(default)]
    pub(super) organizations: Optional<Vec<Field<RawOrganization>>>,
    /// The people who own keys.
    #[serde(default)]
    pub(super) people: Optional<Vec<Field<RawPerson>>>,
    /// The keys.
    pub(super) keys: Field<Vec<Field<RawKey>>>,
}

/// An organization, which owns projects, people and keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Organization")]
pub(super) struct RawOrganization {
    /// Unique among all organizations.
    pub(super) id: Field<Written<OrganizationId>>,
    /// For people.
    #[serde(default)]
    pub(super) name: Optional<Written<Name>>,
    /// The projects it declares; absent: any id is its own, which only a single organization may say.
    #[serde(default)]
    pub(super) projects: Optional<Vec<Field<String>>>,
}

/// A person, who owns keys and caps them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Person")]
pub(super) struct RawPerson {
    /// Unique among all people.
    pub(super) id: Field<Written<PersonId>>,
    /// As the upstream is told.
    pub(super) email: Field<Written<Email>>,
    /// For people.
    #[serde(default)]
    pub(super) name: Optional<Written<Name>>,
    /// Absent: the only organization.
    #[serde(default)]
    pub(super) organization: Optional<Written<OrganizationId>>,
    /// Caps the scopes of their keys.
    pub(super) role: Field<RawRole>,
    /// Caps the projects of their keys; default `all`.
    #[serde(default)]
    pub(super) projects: Optional<RawProjects>,
    /// Stops all their keys; default false.
    #[serde(default)]
    pub(super) disabled: Optional<bool>,
}

/// A key: everything but its secret.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Key")]
pub(super) struct RawKey {
    /// Unique among all keys.
    pub(super) id: Field<Written<KeyId>>,
    /// For people.
    #[serde(default)]
    pub(super) name: Optional<Written<Name>>,
    /// For machines; the gateway reads none of them.
    #[serde(default)]
    pub(super) labels: Optional<RawLabels>,
    /// The id of a person; absent: the key is capped by nothing but itself.
    #[serde(default)]
    pub(super) owner: Optional<Written<PersonId>>,
    /// Absent: the owner's, or the only one.
    #[serde(default)]
    pub(super) organization: Optional<Written<OrganizationId>>,
    /// The SHA-256 of the secret.
    pub(super) hash: Field<Written<KeyDigest>>,
    /// The first characters of the secret, for listings.
    #[serde(default)]
    pub(super) prefix: Optional<Written<Name>>,
    /// The granted scopes; an empty list permits nothing.
    pub(super) scopes: Field<Vec<Field<String>>>,
    /// The granted projects.
    pub(super) projects: Field<RawProjects>,
    /// When it was made.
    #[serde(default)]
    pub(super) created_at: Optional<Written<Timestamp>>,
    /// The first instant at which it works; absent: it always did.
    #[serde(default)]
    pub(super) not_before: Optional<Written<Timestamp>>,
    /// The first instant at which it works no longer, or `never`.
    pub(super) expires_at: Field<Written<Expiry>>,
    /// Networks it may be used from; absent: anywhere.
    #[serde(default)]
    pub(super) addresses: Optional<Vec<Field<Written<IpNet>>>>,
    /// The plan of `limits.plans` that says how much it may ask for; absent: `limits.default`.
    #[serde(default)]
    pub(super) plan: Optional<Written<PlanName>>,
    /// When it was revoked.
    #[serde(default)]
    pub(super) revoked_at: Optional<Written<Timestamp>>,
    /// By whom.
    #[serde(default)]
    pub(super) revoked_by: Optional<Written<Name>>,
    /// Why.
    #[serde(default)]
    pub(super) revoked_reason: Optional<Written<Name>>,
    /// The SHA-256 of the secret before the last rotation.
    #[serde(default)]
    pub(super) previous_hash: Optional<Written<KeyDigest>>,
    /// Until when that secret works too.
    #[serde(default)]
    pub(super) previous_until: Optional<Written<Timestamp>>,
}

/// A role.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Role")]
pub(super) enum RawRole {
    Viewer,
    Member,
    Admin,
    Owner,
}

impl From<RawRole> for Role {
    fn from(role: RawRole) -> Self {
        match role {
            RawRole::Viewer => Self::Viewer,
            RawRole::Member => Self::Member,
            RawRole::Admin => Self::Admin,
            RawRole::Owner => Self::Owner,
        }
    }
}

/// The only version there is.
#[derive(Debug, Deserialize)]
#[serde(try_from = "u64")]
pub(super) struct Version;

impl TryFrom<u64> for Version {
    type Error = String;

    fn try_from(version: u64) -> Result<Self, String> {
        match version {
            1 => Ok(Self),
            other => Err(format!("version {other} of the key file is not known; write `version: 1`")),
        }
    }
}

impl JsonSchema for Version {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Version".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "const": 1 })
    }
}

/// A field that may be absent. One that is there without a value is wrong: it may have been cut short, and what absence
/// means (no owner, no limit of addresses, not revoked) is never the narrower reading.
#[derive(Debug)]
pub(super) struct Optional<T>(Option<Field<T>>);

impl<T> Optional<T> {
    /// The field, if it is there.
    pub(super) fn field(&self) -> Option<&Field<T>> {
        self.0.as_ref()
    }

    /// Where it stands, if it is there.
    pub(super) fn place(&self) -> Option<Place> {
        self.field().map(Field::place)
    }

    /// The value, if it is there.
    pub(super) fn into_value(self) -> Option<T> {
        self.0.map(Field::into_value)
    }
}

impl<T> Default for Optional<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Optional<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Field::deserialize(deserializer).map(|field| Self(Some(field)))
    }
}

impl<T: JsonSchema> JsonSchema for Optional<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// `all` or a list of ids.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(try_from = "StringOr<Vec<Field<String>>>")]
#[schemars(rename = "Projects", with = "StringOr<Vec<Field<String>>>")]
pub(super) enum RawProjects {
    All,
    Only(Vec<Field<String>>),
}

impl TryFrom<StringOr<Vec<Field<String>>>> for RawProjects {
    type Error = &'static str;

    fn try_from(written: StringOr<Vec<Field<String>>>) -> Result<Self, &'static str> {
        match written {
            StringOr::String(word) if word == "all" => Ok(Self::All),
            StringOr::String(_) => {
                Err("projects are neither `all` nor a list; write `all`, or put ids in brackets: [alpha]")
            }
            StringOr::Other(ids) => Ok(Self::Only(ids)),
        }
    }
}

/// The most labels of a key.
const LABELS_MAX: usize = 64;

/// Names and values.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(try_from = "Map<Field<Written<Name>>>")]
#[schemars(rename = "Labels", with = "std::collections::BTreeMap<String, String>")]
pub(super) struct RawLabels(pub(super) Vec<(Name, Name)>);

impl TryFrom<Map<Field<Written<Name>>>> for RawLabels {
    type Error = String;

    fn try_from(map: Map<Field<Written<Name>>>) -> Result<Self, String> {
        if map.entries.len() > LABELS_MAX {
            return Err(format!("{} labels; a key may have at most {LABELS_MAX}", map.entries.len()));
        }
        let label = |(name, value): (Field<String>, Field<Written<Name>>)| {
            let name = Name::parse(name.value()).map_err(|error| format!("the name of a label {error}"))?;
            Ok((name, value.into_value().0))
        };
        map.into_iter().map(label).collect::<Result<_, String>>().map(Self)
    }
}

/// An instant, or `never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expiry(pub(super) Option<Timestamp>);

/// A value that is written as text: what is not of its form is refused with what the form is, never with the text
/// itself, which may be a secret in the wrong place.
#[derive(Debug, Clone)]
pub(super) struct Written<T>(pub(super) T);

/// How a value is written in a key file.
pub(super) trait Text: Sized {
    /// The name in the schema.
    const NAME: &'static str;
    /// A regular expression for editors; the parser may refuse more.
    const PATTERN: &'static str;

    /// The value, or what is wrong with `text`; perhaps `"; "` and what would be right.
    fn from_text(text: &str) -> Result<Self, String>;
}

impl<'de, T: Text> Deserialize<'de> for Written<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor(PhantomData))
    }
}

struct TextVisitor<T>(PhantomData<T>);

impl<T: Text> de::Visitor<'_> for TextVisitor<T> {
    type Value = Written<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Written<T>, E> {
        T::from_text(text).map(Written).map_err(E::custom)
    }
}

impl<T: Text> JsonSchema for Written<T> {
    fn schema_name() -> Cow<'static, str> {
        T::NAME.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": T::PATTERN })
    }
}

macro_rules! checked_text {
    ($($type:ty, $name:literal, $pattern:literal;)*) => {$(
        impl Text for $type {
            const NAME: &'static str = $name;
            const PATTERN: &'static str = $pattern;

            fn from_text(text: &str) -> Result<Self, String> {
                Self::parse(text).map_err(|error| format!("the value {error}"))
            }
        }
    )*};
}

checked_text! {
    KeyId, "KeyId", "^[A-Za-z0-9._-]{1,64}$";
    PersonId, "PersonId", "^[A-Za-z0-9._@+:|-]{1,128}$";
    OrganizationId, "OrganizationId", "^[A-Za-z0-9._-]{1,64}$";
    PlanName, "PlanName", "^[A-Za-z0-9._-]{1,64}$";
    Name, "Name", "^.{1,128}$";
    Email, "Email", "^\\S+@\\S+$";
}

impl Text for KeyDigest {
    const NAME: &'static str = "Digest";
    const PATTERN: &'static str = "^sha256:[0-9A-Fa-f]{64}$";

    fn from_text(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| format!("{error}; `keygate keys hash` makes it from a secret"))
    }
}

impl Text for Timestamp {
    const NAME: &'static str = "Instant";
    const PATTERN: &'static str =
        "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$";

    fn from_text(text: &str) -> Result<Self, String> {
        instant(text).ok_or_else(|| {
            "this is no date and time of RFC 3339; write it like 2026-11-21T10:00:00Z".to_owned()
        })
    }
}

impl Text for Expiry {
    const NAME: &'static str = "Expiry";
    const PATTERN: &'static str = "^(never|[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2}))$";

    fn from_text(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self(None));
        }
        instant(text).map(|at| Self(Some(at))).ok_or_else(|| {
            "this is neither `never` nor a date and time of RFC 3339; write it like 2026-11-21T10:00:00Z"
                .to_owned()
        })
    }
}

/// The instant that `text` names in the form of RFC 3339 §5.6; the parser itself would take more.
pub fn instant(text: &str) -> Option<Timestamp> {
    const FORM: &[u8; 19] = b"dddd-dd-ddTdd:dd:dd";
    let (date_time, rest) = text.as_bytes().split_at_checked(FORM.len())?;
    let fits = |(byte, form): (&u8, &u8)| match form {
        b'd' => byte.is_ascii_digit(),
        form => byte.to_ascii_uppercase() == *form,
    };
    let fraction_end = match rest.strip_prefix(b".") {
        Some(digits) => 1 + digits.iter().take_while(|byte| byte.is_ascii_digit()).count(),
        None => 0,
    };
    let offset_fits = match &rest[fraction_end..] {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => [h1, h2, m1, m2].iter().all(|byte| byte.is_ascii_digit()),
        _ => false,
    };
    (date_time.iter().zip(FORM).all(fits) && fraction_end != 1 && offset_fits).then(|| text.parse().ok())?
}

impl Text for IpNet {
    const NAME: &'static str = "Network";
    const PATTERN: &'static str = "^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$";

    fn from_text(text: &str) -> Result<Self, String> {
        const REMEDY: &str = "write it like 10.0.0.0/8, 192.0.2.1 or 2001:db8::/32";
        let network = match text.parse::<std::net::IpAddr>() {
            Ok(address) => Self::from(address),
            Err(_) => {
                text.parse::<Self>().map_err(|_| format!("this is no network and no address; {REMEDY}"))?
            }
        };
        if network.addr() == network.network() {
            Ok(network)
        } else {
            Err(format!("this network has bits set after its prefix; write {}", network.trunc()))
        }
    }
}

/// The JSON Schema of a key file.
pub fn json_schema() -> Schema {
    schemars::schema_for!(RawKeyFile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_those_of_rfc_3339() {
        for good in [
            "2026-11-21T10:00:00Z",
            "2026-11-21t10:00:00z",
            "2026-11-21T10:00:00.123456789Z",
            "2026-11-21T10:00:00+05:30",
            "2026-11-21T23:59:60Z",
        ] {
            assert!(instant(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "never",
            "2026-11-21",
            "2026-11-21 10:00:00Z",
            "2026-11-21T10:00:00",
            "2026-11-21T10:00:00.Z",
            "2026-11-21T10:00Z",
            "2026-02-30T10:00:00Z",
            "2026-11-21T10:00:00+0530",
            "2026-11-21T10:00:00Z[UTC]",
            "2026-11-21T10:00:0é",
        ] {
            assert!(instant(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_schema_knows_every_field_and_no_other() {
        let schema = serde_json::to_value(json_schema()).unwrap();
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["properties"]["version"]["const"], 1, "{schema:#}");
        let key = &schema["$defs"]["Key"];
        assert_eq!(key["required"], serde_json::json!(["id", "hash", "scopes", "projects", "expires_at"]));
        assert_eq!(key["additionalProperties"], false);
        assert_eq!(key["properties"].as_object().unwrap().len(), 19);
    }
}
