//! What became of the requests of a log, in words and tables.

use std::fmt::Write as _;

use super::groups::{Report, Tally};
use crate::cli::{
    output::counted,
    table::{columns, or_dash},
};

/// Groups of a kind, and clients, that are shown; `--output json` has all.
const SHOWN_MAX: usize = 30;

/// The report for people.
pub(super) fn report(report: &Report) -> String {
    let mut text = summary(report);
    refused(report, &mut text);
    needed(report, &mut text);
    observed(report, &mut text);
    clients(report, &mut text);
    text
}

fn summary(report: &Report) -> String {
    let refused: u64 =
        report.refused.iter().map(|group| group.tally.requests).sum::<u64>() + report.not_grouped.refused;
    let needed: u64 =
        report.needed.iter().map(|group| group.tally.requests).sum::<u64>() + report.not_grouped.needed;
    let mut text = format!(
        "{}: {} without a key, {needed} with one, {refused} refused to every key",
        count(report.requests, "request", "requests"),
        report.keyless
    );
    if let Some(first) = &report.first_unreadable {
        let lines = count(report.unreadable_lines, "line is no request", "lines are no requests");
        // Writing to a string cannot fail.
        let _ = write!(text, "; {lines}, the first at {first}");
    }
    text
}

fn refused(report: &Report, text: &mut String) {
    let names = ["REQUESTS", "ANSWERED", "WOULD BE", "METHOD", "PATH", "BECAUSE", "CLIENTS", "FIRST"];
    let rows = report.refused.iter().take(SHOWN_MAX).map(|group| {
        [
            group.tally.requests.to_string(),
            group.tally.answered.to_string(),
            format!("{} {}", group.status, group.code),
            group.method.clone(),
            group.path.clone(),
            group.because.clone(),
            clients_of(&group.tally),
            group.tally.first.clone(),
        ]
    });
    let rest = Rest { groups: report.refused.len(), requests: report.not_grouped.refused };
    part(text, "Refused to every key:", &rest, || columns(names, rows));
}

fn needed(report: &Report, text: &mut String) {
    let names = ["REQUESTS", "SCOPE", "METHOD", "ROUTE", "CLIENTS", "FIRST"];
    let rows = report.needed.iter().take(SHOWN_MAX).map(|group| {
        [
            group.tally.requests.to_string(),
            group.scopes.join(" "),
            group.method.clone(),
            group.route.clone(),
            clients_of(&group.tally),
            group.tally.first.clone(),
        ]
    });
    let rest = Rest { groups: report.needed.len(), requests: report.not_grouped.needed };
    part(text, "A key is needed for:", &rest, || columns(names, rows));
}

fn observed(report: &Report, text: &mut String) {
    let names = ["REQUESTS", "WOULD BE", "METHOD", "ROUTE", "CLIENTS", "KEYS", "FIRST"];
    let rows = report.observed.iter().take(SHOWN_MAX).map(|group| {
        [
            group.tally.requests.to_string(),
            format!("{} {}", group.status, group.code),
            group.method.clone(),
            group.route.clone(),
            clients_of(&group.tally),
            or_dash(Some(group.key_ids.join(" ")).filter(|ids| !ids.is_empty())),
            group.tally.first.clone(),
        ]
    });
    let rest = Rest { groups: report.observed.len(), requests: report.not_grouped.observed };
    part(text, "Recorded by routes that observe:", &rest, || columns(names, rows));
}

fn clients(report: &Report, text: &mut String) {
    let rows = report
        .clients
        .iter()
        .take(SHOWN_MAX)
        .map(|client| [client.client.clone(), client.requests.to_string(), client.scopes.join(" ")]);
    let rest = Rest { groups: report.clients.len(), requests: report.not_grouped.clients };
    part(text, "What each client needs:", &rest, || columns(["CLIENT", "REQUESTS", "SCOPES"], rows));
}

/// What is not shown of a part.
struct Rest {
    groups: usize,
    requests: u64,
}

fn part(text: &mut String, title: &str, rest: &Rest, table: impl FnOnce() -> String) {
    if rest.groups == 0 {
        return;
    }
    let _ = write!(text, "\n\n{title}\n{}", table());
    if let Some(more @ 1..) = rest.groups.checked_sub(SHOWN_MAX) {
        let _ = write!(text, "\n{} (--output json has them)", counted(more, "more row", "more rows"));
    }
    if rest.requests > 0 {
        let _ = write!(
            text,
            "\n{} in none of these: there is a limit of rows",
            count(rest.requests, "request", "requests")
        );
    }
}

/// The first of them, and how many more.
fn clients_of(tally: &Tally) -> String {
    let Some(first) = tally.clients.first() else { return "-".to_owned() };
    match (tally.clients.len() - 1, tally.more_clients) {
        (0, false) => first.clone(),
        (more, false) => format!("{first} +{more}"),
        (more, true) => format!("{first} +{more} or more"),
    }
}

fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
