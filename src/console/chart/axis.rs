//! Where times and values stand in a drawing, and what is written beside them.

use std::{iter, time::Duration};

use jiff::Timestamp;

use super::Coordinate;

/// Labels that fit on an axis.
const TIME_TICKS_MAX: i64 = 7;
const VALUE_TICKS: f64 = 4.0;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Distances of labels in seconds that a reader counts in.
const TIME_STEPS: [i64; 13] = [
    10,
    30,
    MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    3 * HOUR,
    6 * HOUR,
    DAY,
    7 * DAY,
    30 * DAY,
];

/// What numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// How many of something.
    Count,
    /// Microseconds, shown in the unit that fits.
    Microseconds,
}

impl Measure {
    /// The number as it is read: `1,234`, or `1.5 ms`.
    pub fn exact(self, value: u64) -> String {
        match self {
            Self::Count => grouped(value),
            Self::Microseconds => duration(value),
        }
    }

    /// The number in the room that an axis has: `1.2k`, or `1.5 ms`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a label, of what is no less than 0"
    )]
    fn short(self, value: f64) -> String {
        match self {
            Self::Count => {
                let (mut value, mut unit) = (value, 0);
                while value >= 999.95 && unit + 1 < COUNT_UNITS.len() {
                    (value, unit) = (value / 1000.0, unit + 1);
                }
                format!("{}{}", tenths(value), COUNT_UNITS[unit])
            }
            Self::Microseconds => duration(value as u64),
        }
    }
}

const COUNT_UNITS: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];

/// `1,234,567`.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[expect(clippy::cast_precision_loss, reason = "shown to a tenth")]
fn duration(microseconds: u64) -> String {
    match microseconds {
        0 => "0".to_owned(),
        1..1_000 => format!("{microseconds} µs"),
        1_000..1_000_000 => format!("{} ms", tenths(microseconds as f64 / 1e3)),
        1_000_000..120_000_000 => format!("{} s", tenths(microseconds as f64 / 1e6)),
        120_000_000.. => format!("{} min", grouped(microseconds / 60_000_000)),
    }
}

fn tenths(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(ToOwned::to_owned).unwrap_or(text)
}

/// Times from left to right.
#[derive(Debug)]
pub(super) struct TimeAxis {
    first: i64,
    last: i64,
    step: i64,
    left: f64,
    right: f64,
}

impl TimeAxis {
    /// From the first of `times` to `step` after the last; `None` without times.
    pub(super) fn new(times: &[Timestamp], step: Duration, left: f64, right: f64) -> Option<Self> {
        let first = times.iter().min()?.as_millisecond();
        let step = i64::try_from(step.as_millis()).unwrap_or(i64::MAX).max(1);
        let last = times.iter().max()?.as_millisecond().saturating_add(step);
        Some(Self { first, last, step, left, right })
    }

    /// Where `time` stands.
    pub(super) fn place(&self, time: Timestamp) -> f64 {
        self.left + self.length(time.as_millisecond().saturating_sub(self.first))
    }

    /// How wide a step is.
    pub(super) fn step_width(&self) -> f64 {
        self.length(self.step)
    }

    #[expect(clippy::cast_precision_loss, reason = "a drawing")]
    fn length(&self, milliseconds: i64) -> f64 {
        let span = self.last.saturating_sub(self.first);
        (self.right - self.left) * (milliseconds as f64 / span as f64)
    }

    /// Full minutes, hours or days, with their labels.
    pub(super) fn ticks(&self) -> impl Iterator<Item = (Coordinate, String)> {
        let seconds = (self.last.saturating_sub(self.first) / 1000).max(1);
        let fits = |step: &i64| seconds / step < TIME_TICKS_MAX;
        let step = TIME_STEPS.into_iter().find(fits).unwrap_or((seconds / TIME_TICKS_MAX).max(1));
        let format = match step {
            ..MINUTE => "%H:%M:%S",
            MINUTE..DAY => "%H:%M",
            DAY.. => "%b %-d",
        };
        let begin = self.first.div_euclid(1000 * step) * step;
        (0..=TIME_TICKS_MAX)
            .map(move |at| Timestamp::from_second(begin.saturating_add(at.saturating_mul(step))))
            .filter_map(Result::ok)
            .filter(|at| (self.first..=self.last).contains(&at.as_millisecond()))
            .map(move |at| (Coordinate(self.place(at)), at.strftime(format).to_string()))
    }
}

/// Values from the bottom up, beginning with 0.
#[derive(Debug)]
pub(super) struct ValueAxis {
    greatest: f64,
    step: f64,
    measure: Measure,
    bottom: f64,
    top: f64,
}

impl ValueAxis {
    /// From 0 to the first round number that is no less than `greatest`.
    pub(super) fn new(greatest: f64, measure: Measure, bottom: f64, top: f64) -> Self {
        let step = round_step(greatest / VALUE_TICKS);
        Self { greatest: (greatest / step).ceil().max(1.0) * step, step, measure, bottom, top }
    }

    /// Where `value` stands.
    pub(super) fn place(&self, value: u64) -> f64 {
        self.bottom - self.length(value)
    }

    /// How high `value` is.
    #[expect(clippy::cast_precision_loss, reason = "a drawing")]
    pub(super) fn length(&self, value: u64) -> f64 {
        (self.bottom - self.top) * (value as f64 / self.greatest)
    }

    /// Round numbers, with their labels.
    pub(super) fn ticks(&self) -> impl Iterator<Item = (Coordinate, String)> {
        iter::successors(Some(0.0), |value| Some(value + self.step))
            .take_while(|value| *value <= self.greatest * 1.001)
            .map(|value| {
                let y = self.bottom - (self.bottom - self.top) * (value / self.greatest);
                (Coordinate(y), self.measure.short(value))
            })
    }
}

/// The first of 1, 2, 5, 10, 20, 50… that is no less than `distance`.
fn round_step(distance: f64) -> f64 {
    if distance <= 1.0 {
        return 1.0;
    }
    let magnitude = 10_f64.powf(distance.log10().floor());
    [1.0, 2.0, 5.0]
        .map(|step| step * magnitude)
        .into_iter()
        .find(|step| *step >= distance)
        .unwrap_or(10.0 * magnitude)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_to_be_read() {
        for (value, text) in [(0, "0"), (999, "999"), (1_234, "1,234"), (1_234_567, "1,234,567")] {
            assert_eq!(Measure::Count.exact(value), text);
        }
        assert_eq!(Measure::Count.exact(u64::MAX), "18,446,744,073,709,551,615");
        for (us, text) in [
            (0, "0"),
            (250, "250 µs"),
            (1_500, "1.5 ms"),
            (20_000, "20 ms"),
            (2_500_000, "2.5 s"),
            (600_000_000, "10 min"),
        ] {
            assert_eq!(Measure::Microseconds.exact(us), text);
        }
        for (value, text) in
            [(0.0, "0"), (20.0, "20"), (1_500.0, "1.5k"), (999_999.0, "1M"), (2e19, "20E"), (2e22, "20000E")]
        {
            assert_eq!(Measure::Count.short(value), text);
        }
    }

    #[test]
    fn values_have_a_few_round_labels() {
        for (greatest, labels) in [
            (0.0, vec!["0", "1"]),
            (1.0, vec!["0", "1"]),
            (3.0, vec!["0", "1", "2", "3"]),
            (40.0, vec!["0", "10", "20", "30", "40"]),
            (41.0, vec!["0", "20", "40", "60"]),
            (6_000.0, vec!["0", "2k", "4k", "6k"]),
        ] {
            let axis = ValueAxis::new(greatest, Measure::Count, 100.0, 0.0);
            assert_eq!(axis.ticks().map(|(_, label)| label).collect::<Vec<_>>(), labels, "{greatest}");
        }
        let axis = ValueAxis::new(40.0, Measure::Count, 100.0, 0.0);
        assert_eq!(
            [0, 10, 40].map(|value| Coordinate(axis.place(value)).to_string()),
            ["100.0", "75.0", "0.0"]
        );
    }

    #[test]
    fn times_have_a_few_full_labels() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        for (from, to, step, labels) in [
            (
                "2026-11-22T10:03:00Z",
                "2026-11-22T11:02:50Z",
                10,
                vec!["10:10", "10:20", "10:30", "10:40", "10:50", "11:00"],
            ),
            ("2026-11-21T10:05:00Z", "2026-11-22T10:00:00Z", 300, vec!["12:00", "18:00", "00:00", "06:00"]),
            ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z", 10, vec!["10:00:00", "10:00:10"]),
            (
                "2026-11-01T00:00:00Z",
                "2026-11-03T00:00:00Z",
                86_400,
                vec!["Nov 1", "Nov 2", "Nov 3", "Nov 4"],
            ),
        ] {
            let times = [at(from), at(to)];
            let axis = TimeAxis::new(&times, Duration::from_secs(step), 0.0, 100.0).unwrap();
            let ticks: Vec<_> = axis.ticks().map(|(_, label)| label).collect();
            assert_eq!(ticks, labels, "{from}");
            let ends = [axis.place(times[0]), axis.place(times[1]) + axis.step_width()];
            assert_eq!(ends.map(|x| Coordinate(x).to_string()), ["0.0", "100.0"]);
        }
    }
}
