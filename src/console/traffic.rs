//! The charts of what this process has served lately.

use std::time::Duration;

use super::chart::{Chart, Form, LOOKS, Line, Measure};
use crate::{
    policy::reason::Reason,
    telemetry::{
        history::{Point, Series},
        usage::UseCounts,
    },
};

/// Requests by how they ended.
pub fn requests(traffic: &Series) -> Chart {
    let line = |name: &str, count: fn(UseCounts) -> u64| {
        line(name.to_owned(), traffic, |point| Some(count(point.outcomes())))
    };
    let series = vec![
        line("answered, below 400", |counts| counts.ok),
        line("4xx of the upstream", |counts| counts.client_error),
        line("5xx of the upstream", |counts| counts.server_error),
        line("refused", |counts| counts.refused),
        line("broken off", |counts| counts.aborted),
    ];
    chart("requests", "Requests by outcome", Form::StackedBars, Measure::Count, traffic, series)
}

/// Refusals by reason: the most frequent, and all others together.
pub fn refusals(traffic: &Series) -> Chart {
    let mut reasons = traffic.refusals();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let shown = if reasons.len() > LOOKS { LOOKS - 1 } else { LOOKS };
    let others: Vec<Reason> = reasons.iter().skip(shown).map(|(reason, _)| *reason).collect();
    let mut series: Vec<Line> = reasons
        .iter()
        .take(shown)
        .map(|(reason, _)| line(reason.code().to_owned(), traffic, |point| Some(point.refused(*reason))))
        .collect();
    if !others.is_empty() {
        let sum =
            |point: &Point| others.iter().map(|reason| point.refused(*reason)).fold(0, u64::saturating_add);
        series.push(line(format!("{} other reasons", others.len()), traffic, |point| Some(sum(point))));
    }
    chart("refusals", "Refusals by reason", Form::StackedBars, Measure::Count, traffic, series)
}

/// How long requests took, the upstream's part included.
pub fn latency(traffic: &Series) -> Chart {
    let line = |name: &str, duration: fn(&Point) -> Option<Duration>| {
        let microseconds = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        line(name.to_owned(), traffic, |point| duration(point).map(microseconds))
    };
    let series = vec![line("half of them within", Point::p50), line("99 of 100 within", Point::p99)];
    chart("latency", "Time to the end of the answer", Form::Lines, Measure::Microseconds, traffic, series)
}

fn chart(
    name: &'static str,
    title: &str,
    form: Form,
    measure: Measure,
    traffic: &Series,
    series: Vec<Line>,
) -> Chart {
    let times = traffic.points.iter().map(|point| point.at).collect();
    Chart { name, title: title.to_owned(), form, measure, step: traffic.step, times, series }
}

fn line(name: String, traffic: &Series, value: impl Fn(&Point) -> Option<u64>) -> Line {
    Line { name, values: traffic.points.iter().map(value).collect() }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use jiff::Timestamp;

    use super::{super::markup::check_well_formed, *};
    use crate::telemetry::{
        access_log::{AccessLog, AccessLogSettings, Destination, Mode},
        history::History,
        metrics::{BuildInfo, Metrics},
        worker::Telemetry,
    };

    /// One refusal for each of the reasons, two of the first, and three answers.
    fn traffic(reasons: &[Reason]) -> Series {
        let metrics =
            Metrics::new(BuildInfo { version: "0", revision: "0", target: "t" }, Timestamp::UNIX_EPOCH);
        let settings =
            AccessLogSettings { mode: Mode::Off, destination: Destination::File("/dev/null".into()) };
        let log = AccessLog::open(&settings, &metrics).unwrap();
        let history = History::new(metrics.clone(), Timestamp::UNIX_EPOCH);
        let worker = Rc::new(Telemetry::new(metrics, log).0.worker(Timestamp::UNIX_EPOCH).unwrap());
        let now = std::time::Instant::now();
        for reason in reasons.iter().chain(reasons.first()) {
            worker.begin(now).refused(*reason, reason.status());
        }
        for status in [200, 200, 503] {
            worker.begin(now).answered(status);
        }
        history.sample(Timestamp::from_second(10).unwrap());
        history.hour()
    }

    #[test]
    fn each_outcome_has_its_series() {
        let chart = requests(&traffic(&[Reason::KeyMissing]));
        let values: Vec<_> = chart.series.iter().map(|line| line.values[0]).collect();
        assert_eq!(values, [2, 0, 1, 2, 0].map(Some));
        let description = chart.description();
        assert_eq!(
            description,
            "From 1970-01-01 00:00 to 1970-01-01 00:00 UTC in steps of 10 s. 5 in all; answered, below 400: 2, \
             4xx of the upstream: 0, 5xx of the upstream: 1, refused: 2, broken off: 0."
        );
    }

    #[test]
    fn only_reasons_that_occurred_are_shown_and_rare_ones_together() {
        let names = |reasons: &[Reason]| {
            let chart = refusals(&traffic(reasons));
            assert_eq!(check_well_formed(chart.figure().as_str()), Ok(()));
            chart.series.into_iter().map(|line| (line.name, line.values[0].unwrap())).collect::<Vec<_>>()
        };
        assert_eq!(names(&[]), []);
        let two = [("key_expired".to_owned(), 2), ("key_missing".to_owned(), 1)];
        assert_eq!(names(&[Reason::KeyExpired, Reason::KeyMissing]), two);
        assert_eq!(names(&Reason::ALL[..LOOKS]).len(), LOOKS);
        let many = names(&Reason::ALL);
        let rest = Reason::ALL.len() - (LOOKS - 1);
        assert_eq!(many.len(), LOOKS);
        assert_eq!(many[LOOKS - 1], (format!("{rest} other reasons"), rest as u64));
    }

    #[test]
    fn latency_has_a_gap_where_nothing_was_served() {
        let mut series = traffic(&[Reason::KeyMissing]);
        let chart = latency(&series);
        assert!(chart.series.iter().all(|line| line.values[0].is_some()), "{chart:?}");
        series.points.clear();
        assert!(latency(&series).svg().as_str().contains("Nothing was recorded yet."));
    }
}
