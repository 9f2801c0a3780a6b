//! Charts: what a reader sees and hears of them, and that any numbers can be drawn.

use proptest::{collection::vec, prelude::*};

use super::{super::markup::check_well_formed, *};

fn minute(at: i64) -> Timestamp {
    "2026-11-22T10:00:00Z".parse::<Timestamp>().unwrap() + Duration::from_mins(at.unsigned_abs())
}

fn chart(form: Form, series: &[(&str, &[Option<u64>])]) -> Chart {
    let length = series.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
    Chart {
        name: "sample",
        title: "Requests <of> today".to_owned(),
        form,
        measure: Measure::Count,
        step: Duration::from_mins(1),
        times: (0..).take(length).map(minute).collect(),
        series: series
            .iter()
            .map(|(name, values)| Line { name: (*name).to_owned(), values: values.to_vec() })
            .collect(),
    }
}

fn shapes<'m>(svg: &'m Markup, class: &str) -> Vec<&'m str> {
    let of_class = format!("<path class=\"{class}\" d=\"");
    svg.as_str().split(&of_class).skip(1).map(|rest| &rest[..rest.find('"').unwrap()]).collect()
}

#[test]
fn a_chart_says_what_it_shows_in_words_and_numbers() {
    let chart =
        chart(Form::StackedBars, &[("ok", &[Some(1_000), Some(234)]), ("refused & gone", &[None, Some(6)])]);
    let figure = chart.figure();
    let figure = figure.as_str();
    for part in [
        "<figure class=\"chart chart-sample\"><figcaption>Requests &lt;of&gt; today</figcaption>",
        "role=\"img\"",
        "aria-labelledby=\"chart-sample-title chart-sample-desc\"",
        "<title id=\"chart-sample-title\">Requests &lt;of&gt; today</title>",
        "From 2026-11-22 10:00 to 2026-11-22 10:02 UTC in steps of 60 s. 1,240 in all; ok: 1,234, refused &amp; gone: 6.",
        ">500</text>",
        ">10:01",
        "refused &amp; gone</li>",
        "<th scope=\"col\">refused &amp; gone</th>",
        "<time datetime=\"2026-11-22T10:00:00Z\">2026-11-22 10:00:00</time></th><td>1,000</td><td>–</td>",
    ] {
        assert!(figure.contains(part), "{part}\n{figure}");
    }
    assert!(!figure.contains("style"), "the content security policy forbids it");
    assert_eq!(check_well_formed(figure), Ok(()));
}

#[test]
fn bars_stand_on_each_other_and_nothing_small_is_lost() {
    let svg = chart(Form::StackedBars, &[("ok", &[Some(999_999)]), ("refused", &[Some(1)])]).svg();
    assert_eq!(shapes(&svg, "series-1"), ["M92.6 12.0h586.8v182.0h-586.8z"]);
    assert_eq!(shapes(&svg, "series-2"), ["M92.6 11.0h586.8v1.0h-586.8z"]);
    assert!(svg.as_str().contains("fill=\"url(#chart-sample-hatch-1)\""), "told apart without colour: {svg}");
}

#[test]
fn lines_have_gaps_where_there_is_no_value() {
    let values = [Some(0), Some(10), None, Some(5)];
    let svg = chart(Form::Lines, &[("p50", &values), ("p99", &[Some(10); 4])]).svg();
    let lines = shapes(&svg, "series-1");
    assert_eq!(lines.len(), 1);
    assert_eq!((lines[0].matches('M').count(), lines[0].matches('L').count()), (2, 1), "{lines:?}");
    assert!(svg.as_str().contains("stroke-dasharray=\"7 3\""), "told apart without colour");
    let words = chart(Form::Lines, &[("p50", &values), ("p99", &[None])]).description();
    assert!(words.ends_with("p50: between 0 and 10, last 5; p99: none."), "{words}");
}

#[test]
fn a_chart_of_nothing_says_so() {
    let svg = chart(Form::Lines, &[("p50", &[])]).svg();
    assert_eq!(svg.as_str().matches("Nothing was recorded yet.").count(), 2, "drawn and described: {svg}");
}

fn any_value() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![Just(None), Just(Some(0)), Just(Some(1)), Just(Some(u64::MAX)), any::<u64>().prop_map(Some)]
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    let seconds = Timestamp::MIN.as_second()..=Timestamp::MAX.as_second();
    prop_oneof![
        Just(Timestamp::MIN),
        Just(Timestamp::MAX),
        (0_i64..60).prop_map(minute),
        seconds.prop_map(|second| Timestamp::from_second(second).unwrap())
    ]
}

proptest! {
    #[test]
    fn any_numbers_can_be_drawn(
        // No letters, so that "inf" and "NaN" can only be numbers.
        name in "[<>&\"' \u{0}-\u{1f}é]{0,8}",
        is_stacked: bool,
        is_count: bool,
        step in prop_oneof![Just(Duration::ZERO), Just(Duration::MAX), (1_u64..100_000).prop_map(Duration::from_secs)],
        times in vec(any_time(), 0..12),
        series in vec(vec(any_value(), 0..12), 0..9),
    ) {
        let chart = Chart {
            name: "sample",
            title: name.clone(),
            form: if is_stacked { Form::StackedBars } else { Form::Lines },
            measure: if is_count { Measure::Count } else { Measure::Microseconds },
            step,
            times,
            series: series.into_iter().map(|values| Line { name: name.clone(), values }).collect(),
        };
        let figure = chart.figure();
        prop_assert_eq!(check_well_formed(figure.as_str()), Ok(()));
        prop_assert!(!figure.as_str().contains("NaN") && !figure.as_str().contains("inf"), "{}", figure);
    }
}
