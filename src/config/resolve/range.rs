//! Numbers, sizes and durations within bounds that make sense.

use std::{ops::RangeInclusive, time::Duration};

use crate::{
    config::{
        problem::Findings,
        raw::{scalar::ByteSize, text::Text},
    },
    yaml::Field,
};

/// The number in `field`, or `default`; out of `range` it is a problem.
pub(super) fn count(
    field: Option<&Field<u64>>,
    default: usize,
    range: RangeInclusive<u64>,
    findings: &mut Findings<'_>,
) -> usize {
    let Some(field) = field else { return default };
    within(field, &**field, &range, ToString::to_string, findings);
    usize::try_from(**field).unwrap_or(default)
}

/// The size in `field` in bytes, or `default`; out of `range` it is a problem.
pub(super) fn size(
    field: Option<&Field<Text<ByteSize>>>,
    default: u64,
    range: RangeInclusive<u64>,
    findings: &mut Findings<'_>,
) -> u64 {
    let Some(field) = field else { return default };
    within(field, &field.0.0, &range, |bytes| format!("{bytes} bytes"), findings);
    field.0.0
}

/// The duration in `field`, or `default`; out of `range` it is a problem.
pub(super) fn duration(
    field: Option<&Field<Text<Duration>>>,
    default: Duration,
    range: RangeInclusive<Duration>,
    findings: &mut Findings<'_>,
) -> Duration {
    let Some(field) = field else { return default };
    within(field, &field.0, &range, |duration| written(*duration), findings);
    field.0
}

fn within<T: PartialOrd, F>(
    field: &Field<F>,
    value: &T,
    range: &RangeInclusive<T>,
    written: impl Fn(&T) -> String,
    findings: &mut Findings<'_>,
) {
    if range.contains(value) {
        return;
    }
    let what = if field.is_interpolated() { "the interpolated value".to_owned() } else { written(value) };
    let (low, high) = (written(range.start()), written(range.end()));
    let problem = if *value < *range.start() { "too small" } else { "too large" };
    findings.wrong(field.place(), format!("{what} is {problem}"), format!("give {low} to {high}"));
}

/// `duration` as the file would have it.
fn written(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let fitting = units.iter().find(|(unit, _)| milliseconds >= *unit && milliseconds.is_multiple_of(*unit));
    match fitting {
        Some((unit, name)) => format!("{}{name}", milliseconds / unit),
        None => format!("{milliseconds}ms"),
    }
}
