//! How much keys and strangers may ask for, as it is written.

use schemars::{JsonSchema, Schema, json_schema};
use serde::Deserialize;

use super::text::{Switch, Text, Written, quoted};
use crate::{
    policy::plan::{Period, Rate},
    yaml::{Field, Map},
};

/// How much keys and strangers may ask for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyLimits {
    /// Plans by name, at most 64; a key names one with `plan`. Default: none, and then keys ask as much as they like.
    #[serde(default)]
    pub plans: Option<Field<Map<Field<Plan>>>>,
    /// The plan of keys that name none. Default: none, and such keys ask as much as they like.
    #[serde(default)]
    pub default: Option<Field<String>>,
    /// Requests of one address with a key that is not known or malformed. What exceeds this is answered 429 instead of 401;
    /// a good key passes. Default: {rate: 1/s, burst: 100}; null turns it off.
    #[serde(default)]
    pub failed_attempts: Switch<Field<FailedAttempts>>,
}

/// How much a key may ask for: `rate`, `concurrent` or both.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Requests: `10/s`, `600/m`, `10000/h` or `100000/d`. Default: any number.
    #[serde(default)]
    pub rate: Option<Field<Text<Rate>>>,
    /// How many of them may come at once after a pause. Default: as many as the rate has in its period.
    #[serde(default)]
    pub burst: Option<Field<u64>>,
    /// Requests under way at once, event streams and upgraded connections among them. Default: any number.
    #[serde(default)]
    pub concurrent: Option<Field<u64>>,
}

/// Failed attempts of one address.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FailedAttempts {
    /// How many are answered 401. Default: 1/s.
    #[serde(default)]
    pub rate: Option<Field<Text<Rate>>>,
    /// How many of them may come at once after a pause. Default: 100.
    #[serde(default)]
    pub burst: Option<Field<u64>>,
}

impl Written for Rate {
    const EXPECTED: &'static str = "a rate such as 10/s, 600/m, 10000/h or 100000/d";

    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text).ok_or_else(|| {
            format!(
                "{} is no rate from 1/d to 1000000/s; write it as 10/s, 600/m, 10000/h or 100000/d",
                quoted(text)
            )
        })
    }

    fn schema() -> Schema {
        let letters: String = Period::ALL.into_iter().map(Period::letter).collect();
        json_schema!({ "type": "string", "pattern": format!("^[0-9]+/[{letters}]$") })
    }
}
