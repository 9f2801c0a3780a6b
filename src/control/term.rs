//! Times as operators write them: durations, dates, `never`.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};

use crate::{config::raw::text::Written as _, store};

/// The instant that `text` names: RFC 3339, or a day, which stands for its first instant in UTC.
///
/// # Errors
/// What is wrong and what would be right.
pub fn instant(text: &str) -> Result<Timestamp, String> {
    store::instant(text).or_else(|| day(text)).ok_or_else(|| {
        "this is no date; write it like 2026-11-21 (its first instant in UTC) or 2026-11-21T10:00:00Z"
            .to_owned()
    })
}

/// When a key that is made at `now` expires: `never` (`None`), after a duration, or at a date to come.
///
/// # Errors
/// What is wrong and what would be right.
pub fn expiry(text: &str, now: Timestamp) -> Result<Option<Timestamp>, String> {
    if text == "never" {
        return Ok(None);
    }
    let at = match duration(text) {
        Ok(duration) => after(now, duration)?,
        Err(_) => instant(text).map_err(|_| {
            format!(
                "this is no expiry; write never, a duration such as 30d, or a date such as {}",
                to_come(now)
            )
        })?,
    };
    if at <= now {
        return Err(format!("this expiry is in the past; choose a later one, such as {}", to_come(now)));
    }
    Ok(Some(at))
}

/// A day to come, as an example.
fn to_come(now: Timestamp) -> Date {
    let later = now.checked_add(SignedDuration::from_hours(90 * 24)).unwrap_or(Timestamp::MAX);
    later.to_zoned(TimeZone::UTC).date()
}

/// A duration such as `0`, `1h` or `7d`.
///
/// # Errors
/// What is wrong and what would be right.
pub fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" { Ok(Duration::ZERO) } else { Duration::read(text) }
}

/// `now` and `duration`, in whole seconds.
///
/// # Errors
/// Where no calendar goes that far.
pub fn after(now: Timestamp, duration: Duration) -> Result<Timestamp, String> {
    let later = SignedDuration::try_from(duration).ok().and_then(|duration| now.checked_add(duration).ok());
    later.map(whole_seconds).ok_or_else(|| "this is too far away; choose a shorter duration".to_owned())
}

/// A duration for people, in its largest unit that is at least one: `41 ms`, `12 s`, `3 min`, `2 h`, `5 d`.
pub fn shown(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{} ms", duration.as_millis()),
        seconds @ 1..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// `at` without its fraction of a second.
pub fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn day(text: &str) -> Option<Timestamp> {
    if text.len() != "2026-11-21".len() {
        return None;
    }
    Some(text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiries_are_never_a_duration_or_a_date_to_come() {
        let now: Timestamp = "2026-11-21T10:00:00.5Z".parse().unwrap();
        let at = |text: &str| expiry(text, now).map(|at| at.map(|at| at.to_string()));
        assert_eq!(at("never"), Ok(None));
        for (text, expected) in [
            ("30d", "2026-12-21T10:00:00Z"),
            ("1h30m", "2026-11-21T11:30:00Z"),
            ("2027-01-01", "2027-01-01T00:00:00Z"),
            ("2027-01-01T02:00:00+02:00", "2027-01-01T00:00:00Z"),
        ] {
            assert_eq!(at(text), Ok(Some(expected.to_owned())), "{text}");
        }
        for wrong in ["", "0", "-1d", "30", "2026-11-21", "2025-01-01", "2026-13-01", "tomorrow", "99999999d"]
        {
            assert!(at(wrong).is_err(), "{wrong}");
        }
        for wrong in ["tomorrow", "2026-11-21"] {
            let problem = at(wrong).unwrap_err();
            let offered = problem.rsplit(' ').next().unwrap();
            assert!(at(offered).is_ok(), "{problem}");
        }
    }
}
