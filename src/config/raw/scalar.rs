//! The scalars of the file: durations, sizes, addresses, names.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use schemars::{Schema, json_schema};

use super::text::{Written, quoted};
use crate::{
    config::{
        address::ListenAddress,
        authority::{Authority, PublicUrl},
    },
    keys::{network::canonical, secret::Brand},
    store::database_url::DatabaseUrl,
};

/// The format of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version;

impl Written for Version {
    const EXPECTED: &'static str = "the number 1";

    fn read(text: &str) -> Result<Self, String> {
        Err(format!("version {} is not known; write version: 1", quoted(text)))
    }

    fn read_number(number: u64) -> Result<Self, String> {
        if number == 1 { Ok(Self) } else { Err(format!("version {number} is not known; write version: 1")) }
    }

    fn schema() -> Schema {
        json_schema!({ "const": 1 })
    }
}

impl Written for Duration {
    const EXPECTED: &'static str = "a duration such as 10s, 5m, 1h or 30d";

    fn read(text: &str) -> Result<Self, String> {
        read_duration(text)
            .ok_or_else(|| format!("{} is no duration; write it as 500ms, 10s, 5m, 1h or 30d", quoted(text)))
    }

    fn read_number(number: u64) -> Result<Self, String> {
        match number {
            0 => Ok(Self::ZERO),
            _ => Err(format!("the duration {number} has no unit; write {number}s, {number}m or {number}h")),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "anyOf": [{ "type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$" }, { "const": 0 }] })
    }
}

/// `1h30m`: numbers with units, at most 100 years in all.
fn read_duration(text: &str) -> Option<Duration> {
    const MOST: Duration = Duration::from_hours(24 * 36_525);
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let number: u64 = number.parse().ok()?;
        let unit_length = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(unit_length);
        let milliseconds: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(number.checked_mul(milliseconds)?))?;
        rest = tail;
    }
    (!text.is_empty() && total <= MOST).then_some(total)
}

/// An instant, or a day, which stands for its first instant in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayOrInstant(pub Timestamp);

impl Written for DayOrInstant {
    const EXPECTED: &'static str = "a day such as 2026-12-31, or a time such as 2026-12-31T18:00:00Z";

    fn read(text: &str) -> Result<Self, String> {
        let day = || text.parse::<Date>().ok().filter(|_| text.len() == "2026-12-31".len());
        let first_instant = || Some(day()?.to_zoned(TimeZone::UTC).ok()?.timestamp());
        text.parse().ok().or_else(first_instant).map(Self).ok_or_else(|| {
            format!(
                "{} is no date; write 2026-12-31, which is its first instant in UTC, or 2026-12-31T18:00:00Z",
                quoted(text)
            )
        })
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ].+)?$" })
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl Written for ByteSize {
    const EXPECTED: &'static str = "a size such as 65536, 64KiB or 10MiB";

    fn read(text: &str) -> Result<Self, String> {
        read_size(text)
            .ok_or_else(|| format!("{} is no size; write bytes as 65536, 64KiB, 10MiB or 1GiB", quoted(text)))
    }

    fn read_number(number: u64) -> Result<Self, String> {
        Ok(Self(number))
    }

    fn schema() -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": 0 },
            { "type": "string", "pattern": "^[0-9]+ ?(B|[kKMGT]B|[KMGT]iB)$" },
        ] })
    }
}

fn read_size(text: &str) -> Option<ByteSize> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.strip_prefix(' ').unwrap_or(unit) {
        "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor).map(ByteSize)
}

impl Written for ListenAddress {
    const EXPECTED: &'static str = "an address such as 127.0.0.1:8080 or unix:/run/keygate.sock";

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error| format!("{} is no address to listen on; {error}", quoted(text)))
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string" })
    }
}

impl Written for Authority {
    const EXPECTED: &'static str = "a host such as keys.example.com or localhost:9090";

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| {
            format!("{} is no host; write it as keys.example.com, localhost:9090 or [::1]:9090", quoted(text))
        })
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[^/?#@]+$" })
    }
}

impl Written for PublicUrl {
    const EXPECTED: &'static str = "a URL such as https://keys.example.com";

    fn read(text: &str) -> Result<Self, String> {
        // Not shown: it may hold a password.
        text.parse().map_err(|_| {
            "the URL is not of the form https://HOST or http://HOST:PORT; write it without user, path and query".into()
        })
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^https?://[^/?#@]+/?$" })
    }
}

impl Written for SocketAddr {
    const EXPECTED: &'static str = "an IP address and a port, such as 127.0.0.1:8082";

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| {
            format!("{} is no IP address with a port; write it as 127.0.0.1:8082 or [::]:8082", quoted(text))
        })
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string" })
    }
}

impl Written for IpNet {
    const EXPECTED: &'static str = "a network such as 10.0.0.0/8";

    fn read(text: &str) -> Result<Self, String> {
        let network =
            text.parse::<Self>().ok().or_else(|| Some(Self::from(text.parse::<std::net::IpAddr>().ok()?)));
        let network = network.ok_or_else(|| {
            format!("{} is no network; write it as 10.0.0.0/8, fd00::/8 or 192.0.2.1", quoted(text))
        })?;
        if network.network() == network.addr() {
            return Ok(canonical(network));
        }
        Err(format!("{network} has bits set behind its prefix; write {}", network.trunc()))
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string" })
    }
}

impl Written for PathBuf {
    const EXPECTED: &'static str = "a path";

    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.contains('\0') {
            return Err("the path is empty or holds a NUL; write the path of a file".into());
        }
        Ok(Self::from(text))
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

impl Written for DatabaseUrl {
    const EXPECTED: &'static str = "a database such as sqlite:keygate.db or postgres://host/keygate";

    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^(sqlite:|postgres://|postgresql://)" })
    }
}

impl Written for Brand {
    const EXPECTED: &'static str = "a brand such as acme";

    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|_| {
            format!(
                "the brand {} is not of the form [a-z0-9]{{1,9}}; write something like acme",
                quoted(text)
            )
        })
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[a-z0-9]{1,9}$" })
    }
}

/// Permission bits of a Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileMode(pub u32);

impl Written for FileMode {
    const EXPECTED: &'static str = "permission bits in quotes, such as \"0660\"";

    fn read(text: &str) -> Result<Self, String> {
        let octal = text.strip_prefix("0o").unwrap_or(text);
        let mode = u32::from_str_radix(octal, 8).ok().filter(|mode| *mode <= 0o777 && !text.starts_with('+'));
        mode.map(Self).ok_or_else(|| format!("{} are no permission bits; write \"0660\"", quoted(text)))
    }

    /// YAML 1.2 reads `0660` as the decimal 660, so a bare number is never what was meant.
    fn read_number(_: u64) -> Result<Self, String> {
        Err("permission bits without quotes are read as a decimal number; write \"0660\" in quotes".into())
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^(0o?)?[0-7]{1,3}$" })
    }
}

/// Where log lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogDestination {
    /// `stdout`.
    Stdout,
    /// `stderr`.
    Stderr,
    /// The path of a file.
    File(PathBuf),
}

impl Written for LogDestination {
    const EXPECTED: &'static str = "stdout, stderr or a path";

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "stdout" => Ok(Self::Stdout),
            "stderr" => Ok(Self::Stderr),
            path => PathBuf::read(path).map(Self::File),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "anyOf": [{ "enum": ["stdout", "stderr"] }, { "type": "string", "minLength": 1 }] })
    }
}
