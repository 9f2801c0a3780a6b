//! The uses of a key in the last days, one bar a day, small enough to stand in a line.

use std::fmt::{Display, Write as _};

use jiff::{ToSpan as _, civil::Date, tz::TimeZone};

use super::{
    chart::{Coordinate, Measure},
    markup::Markup,
};
use crate::telemetry::usage::{HourUsage, UseCounts};

/// Days that are shown.
pub const DAYS: usize = 30;

const HEIGHT: f64 = 24.0;
const DAY_WIDTH: f64 = 4.0;
/// A day with any use is seen.
const BAR_HEIGHT_MIN: f64 = 2.0;

/// The uses of each of the [`DAYS`] that end with `last`, in UTC; oldest first.
pub fn daily(hours: impl IntoIterator<Item = HourUsage>, last: Date) -> Vec<UseCounts> {
    let mut days = vec![UseCounts::default(); DAYS];
    for hour in hours {
        let date = hour.start.to_zoned(TimeZone::UTC).date();
        let ago = last.duration_since(date).as_hours() / 24;
        if let Some(day) = usize::try_from(ago).ok().and_then(|ago| days.iter_mut().rev().nth(ago)) {
            day.add(hour.counts);
        }
    }
    days
}

/// Draws `days`, oldest first, of which the last is `last`. What was refused is drawn as an outline on top of what was
/// not (classes `used` and `refused`). The sentence that says it in words is its title.
pub fn sparkline(days: &[UseCounts], last: Date) -> Markup {
    let mut markup = Markup::default();
    let width = days.iter().fold(0.0, |width, _| width + DAY_WIDTH);
    let view_box = format!("0 0 {width} {HEIGHT}");
    let words = describe(days, last);
    let attributes: [(_, &dyn Display); 4] =
        [("class", &"sparkline"), ("role", &"img"), ("viewBox", &view_box), ("aria-label", &words)];
    markup.element("svg", &attributes, |svg| {
        svg.text_element("title", &[], &words);
        let floor = format!("M0 {}H{width}", HEIGHT - 0.5);
        svg.shape("path", &[("class", &"axis"), ("d", &floor), ("fill", &"none")]);
        let (used, refused) = bars(days);
        svg.shape("path", &[("class", &"used"), ("d", &used)]);
        svg.shape("path", &[("class", &"refused"), ("d", &refused), ("fill", &"none")]);
    });
    markup
}

/// The paths of what was used and what was refused.
#[expect(clippy::cast_precision_loss, reason = "a drawing")]
fn bars(days: &[UseCounts]) -> (String, String) {
    let most = days.iter().map(|day| used(*day).saturating_add(day.refused)).max().unwrap_or(0).max(1);
    let height = |count: u64| match count {
        0 => 0.0,
        _ => ((HEIGHT - 2.0 * BAR_HEIGHT_MIN) * (count as f64 / most as f64)).max(BAR_HEIGHT_MIN),
    };
    let (mut solid, mut outlined, mut left) = (String::new(), String::new(), 0.5);
    for day in days {
        let (used, refused) = (height(used(*day)), height(day.refused));
        push_bar(&mut solid, left, HEIGHT - used, used);
        push_bar(&mut outlined, left, HEIGHT - used - refused, refused);
        left += DAY_WIDTH;
    }
    (solid, outlined)
}

fn push_bar(path: &mut String, left: f64, top: f64, height: f64) {
    if height > 0.0 {
        let (left, top, height) = (Coordinate(left), Coordinate(top), Coordinate(height));
        let width = Coordinate(DAY_WIDTH - 1.0);
        // Writing to a String cannot fail.
        let _ = write!(path, "M{left} {top}h{width}v{height}h-{width}z");
    }
}

fn describe(days: &[UseCounts], last: Date) -> String {
    let mut all = UseCounts::default();
    for day in days {
        all.add(*day);
    }
    let until = last.strftime("%Y-%m-%d");
    let span = format!("the {} days until {until}", days.len());
    if (used(all), all.refused) == (0, 0) {
        return format!("Not used in {span}");
    }
    let busiest =
        (0_i64..).zip(days.iter().rev()).max_by_key(|(_, day)| used(**day).saturating_add(day.refused));
    let busiest = busiest.and_then(|(ago, _)| last.checked_sub(ago.days()).ok());
    let busiest = busiest.map(|date| format!("; most on {}", date.strftime("%Y-%m-%d"))).unwrap_or_default();
    let [used, refused] = [used(all), all.refused].map(|count| Measure::Count.exact(count));
    format!("{used} uses and {refused} refusals in {span}{busiest}")
}

/// What was not refused.
fn used(counts: UseCounts) -> u64 {
    [counts.ok, counts.client_error, counts.server_error, counts.aborted]
        .into_iter()
        .fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::{collection::vec, prelude::*};

    use super::{super::markup::check_well_formed, *};

    fn counts(ok: u64, refused: u64) -> UseCounts {
        UseCounts { ok, refused, ..UseCounts::default() }
    }

    #[test]
    fn hours_add_up_to_days_in_utc() {
        let hour = |start: &str, ok| HourUsage { start: start.parse().unwrap(), counts: counts(ok, 0) };
        let hours = [
            hour("2026-11-22T23:00:00Z", 1),
            hour("2026-11-22T00:00:00Z", 2),
            hour("2026-11-21T23:00:00Z", 4),
            hour("2026-10-24T00:00:00Z", 8),
            hour("2026-10-23T23:00:00Z", 16),
            hour("2026-11-23T00:00:00Z", 32),
        ];
        let days = daily(hours, date(2026, 11, 22));
        let used: Vec<_> =
            (0..).zip(&days).filter(|(_, day)| day.ok > 0).map(|(at, day)| (at, day.ok)).collect();
        assert_eq!((days.len(), used), (30, vec![(0, 8), (28, 4), (29, 3)]));
    }

    #[test]
    fn words_say_what_the_bars_show() {
        let last = date(2026, 11, 22);
        let line = sparkline(&[counts(0, 0), counts(1_200, 0), counts(3, 4)], last);
        let words = "1,203 uses and 4 refusals in the 3 days until 2026-11-22; most on 2026-11-21";
        assert!(line.as_str().contains(&format!("<title>{words}</title>")), "{line}");
        assert!(line.as_str().contains("role=\"img\""), "{line}");
        let idle = sparkline(&[UseCounts::default(); DAYS], last);
        assert!(idle.as_str().contains("Not used in the 30 days until 2026-11-22"), "{idle}");
    }

    proptest! {
        #[test]
        fn any_uses_can_be_drawn(
            days in vec((any::<u64>(), prop_oneof![Just(0), Just(u64::MAX), any::<u64>()]), 0..40),
        ) {
            let days: Vec<_> = days.into_iter().map(|(ok, refused)| counts(ok, refused)).collect();
            for last in [Date::MIN, Date::MAX, date(2026, 11, 22)] {
                let line = sparkline(&days, last);
                prop_assert_eq!(check_well_formed(line.as_str()), Ok(()));
                prop_assert!(!line.as_str().contains("NaN") && !line.as_str().contains("inf"), "{}", line);
            }
        }
    }
}
