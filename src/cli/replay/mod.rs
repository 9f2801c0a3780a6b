//! `keygate replay`: what would become of the requests of an access log.

mod groups;
mod lines;
mod log_line;
mod shape;
mod told;

use std::{
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};

use self::{
    groups::{Place, Replayed},
    lines::{Line, Lines},
    log_line::{LogLine, Sent},
};
use super::{
    Exit,
    finding::{Finding, tell_all},
    output::{Output, answer, answer_json, tell},
};
use crate::{
    config::{self, Config, Surroundings},
    control::explain::because,
    gate::{Denial, Request, explanation::Explanation, judge_for_full_key},
    http1::parse::{HeadLimits, Parsed, parse_request},
};

/// Ask what would become of the requests in access logs, before the gateway stands in front of the API.
///
/// Every request is decided as for nobody and as for a key that may do everything: which need no key, which scope the
/// others need, by route and by client; and which would be refused to every key, since no route has their path, a route
/// does not map their method, or they have more than one reading. Routes that observe are asked as if they refused, and what they
/// have recorded in Keygate's own access log is summed up. Nothing is sent. Keys are not looked at, and no query is shown.
///
/// Exit code 0: a key with the right scopes gets everything that the API has answered; 1: something that it has answered would be
/// refused to every key; 2: a file is wrong.
#[derive(Debug, Args)]
#[command(after_help = "Example: zcat access.log.*.gz | keygate replay --config keygate.yaml -")]
pub(super) struct Replay {
    /// The configuration file; its key files are not read.
    #[arg(long, short, value_name = "FILE", default_value = "keygate.yaml")]
    config: PathBuf,
    /// The access logs; `-` is standard input.
    #[arg(required = true, value_name = "LOG")]
    logs: Vec<PathBuf>,
    /// How the lines are written.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// The Host of requests whose line names none.
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// How to answer.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// How the lines of a log are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// Each line as it looks.
    #[default]
    Auto,
    /// The common or combined format of Apache and nginx, also with the virtual host in front.
    Combined,
    /// A JSON object a line, with the names of Caddy, Traefik, Envoy, nginx or Keygate.
    Json,
}

impl Replay {
    pub(super) fn run(self) -> Exit {
        let loaded = config::load(&self.config, &Surroundings::of_process("keygate"));
        let config = match loaded.result {
            Ok(config) => config,
            Err(problems) => {
                let problems: Vec<_> = problems.into_iter().map(Finding::from).collect();
                tell_all(&problems, "");
                return Exit::WrongInput;
            }
        };
        let mut replayed = Replayed::default();
        for (at, path) in self.logs.iter().enumerate() {
            if let Err(error) = self.read(at, path, &config, &mut replayed) {
                tell(&format!("{}: the log cannot be read: {error}", path.display()));
                return Exit::WrongInput;
            }
        }
        let report = replayed.report(&self.logs, &config.policy.scopes);
        if report.requests == 0 {
            tell(&self.nothing_read(report.first_unreadable.as_deref()));
            return Exit::WrongInput;
        }
        if report.without_host > 0 && config.policy.routes.uses_hosts() {
            tell(
                "some lines name no host, and some routes are for particular hosts; --host says which one it was",
            );
        }
        match self.output {
            Output::Json => answer_json(&report),
            Output::Table => answer(&told::report(&report)),
        }
        if report.refused.iter().any(|group| group.answered > 0) { Exit::Failed } else { Exit::Done }
    }

    /// Why there is nothing to tell, where the first line that is no request is at `first`, if there is any line.
    fn nothing_read(&self, first: Option<&str>) -> String {
        let hint = match (first, self.format) {
            (None, _) => return "there is no line to read: what was given is empty".to_owned(),
            (Some(_), Format::Auto) => "; --format says how they are written",
            (Some(_), Format::Combined) => "; they are not as --format combined says",
            (Some(_), Format::Json) => "; they are not as --format json says",
        };
        format!("no line could be read as a request, the first is {}{hint}", first.unwrap_or_default())
    }

    fn read(&self, log: usize, path: &Path, config: &Config, replayed: &mut Replayed) -> io::Result<()> {
        if path == Path::new("-") {
            return self.read_lines(log, Lines::new(io::stdin().lock()), config, replayed);
        }
        self.read_lines(log, Lines::new(BufReader::new(File::open(path)?)), config, replayed)
    }

    fn read_lines<R: io::BufRead>(
        &self,
        log: usize,
        mut lines: Lines<R>,
        config: &Config,
        replayed: &mut Replayed,
    ) -> io::Result<()> {
        let mut number = 0;
        let mut head = Vec::new();
        while let Some(line) = lines.next()? {
            number += 1;
            let place = Place { log, line: number };
            let read = match line {
                Line::Blank => continue,
                Line::TooLong => None,
                Line::Text(text) => LogLine::parse(text, self.format),
            };
            let Some(line) = read else {
                replayed.unreadable(place);
                continue;
            };
            decide(&line, self.host.as_deref(), config, &mut head, place, replayed);
        }
        Ok(())
    }
}

/// Decides the request of `line` and adds it to `replayed`; `head` is room to write it down.
fn decide(
    line: &LogLine<'_>,
    default_host: Option<&str>,
    config: &Config,
    head: &mut Vec<u8>,
    place: Place,
    replayed: &mut Replayed,
) {
    let policy = &config.policy;
    replayed.count(line, default_host.is_some());
    if let Some(recorded) = &line.recorded {
        replayed.recorded(recorded, line, place);
    }
    let Sent::Request { method, target } = &line.sent else {
        let denial = Denial::bad_request("The line holds no request that could be read.");
        replayed.refused(&denial, &because(&denial), None, line, place);
        return;
    };
    let host = line.host.as_deref().or(default_host.map(str::as_bytes));
    let refuse = |denial: &Denial<'_>, pattern: Option<&str>, replayed: &mut Replayed| {
        replayed.refused(denial, &because(denial), pattern, line, place);
    };
    if !write_head(head, method, target, host) {
        return refuse(&Denial::bad_request("The request holds a line break."), None, replayed);
    }
    let parsed = match parse_request(head, &HeadLimits::default()) {
        Ok(Parsed::Complete { head, .. }) => head,
        Ok(Parsed::Partial) => {
            return refuse(&Denial::bad_request("The request does not end."), None, replayed);
        }
        Err(error) => return refuse(&Denial::malformed_head(error), None, replayed),
    };
    let request = match Request::read(&parsed, policy) {
        Ok(request) => request,
        Err(denial) => return refuse(&denial, None, replayed),
    };
    match judge_for_full_key(policy, &request) {
        Ok(permit) => replayed.permitted(permit.as_ref(), &policy.scopes, line, place),
        Err(denial) => {
            let explanation = Explanation::of(policy, &request);
            let route = explanation.and_then(|explanation| explanation.route);
            refuse(&denial, route.map(|route| route.pattern.as_str()), replayed);
        }
    }
}

/// Writes the head down as a client would send it; whether it is one request, and not several lines.
fn write_head(head: &mut Vec<u8>, method: &[u8], target: &[u8], host: Option<&[u8]>) -> bool {
    head.clear();
    // A request without Host is legal in HTTP/1.0 alone (RFC 9112 §3.2).
    let version: &[u8] = if host.is_some() { b" HTTP/1.1\r\nHost: " } else { b" HTTP/1.0" };
    let parts = [method, target, host.unwrap_or_default()];
    for part in [method, b" ", target, version, host.unwrap_or_default(), b"\r\n\r\n"] {
        head.extend_from_slice(part);
    }
    !parts.iter().any(|part| part.iter().any(|byte| matches!(byte, b'\r' | b'\n')))
}
