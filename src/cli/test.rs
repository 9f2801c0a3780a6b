//! `keygate test`: decisions asserted, as a CI job does.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{
    Exit,
    cases::{self, Case},
    deployment::Deployment,
    finding::{Finding, tell_all},
    output::{Output, answer, answer_json, counted, lossy, tell},
};
use crate::{
    clock::{Clock as _, SystemClock},
    control::explain::NoSuchKey,
};

/// Ask what the gateway would decide about each case of a file, and compare with what the file expects.
///
/// Nothing is sent. `keygate schema cases` describes the file. Exit code 0: all as expected; 1: some are not; 2: a file
/// is wrong.
#[derive(Debug, Args)]
#[command(after_help = "Example: keygate test --config keygate.yaml cases.yaml
where cases.yaml holds
  version: 1
  cases:
    - {request: GET /api/v1/projects/alpha, key: ci, expect: forwarded}
    - {request: DELETE /api/v1/projects/alpha, key: ci, expect: {status: 403, scope: admin}}")]
pub(super) struct Test {
    /// The configuration file.
    #[arg(long, short, value_name = "FILE", default_value = "keygate.yaml")]
    config: PathBuf,
    /// The files of cases.
    #[arg(required = true, value_name = "CASES")]
    cases: Vec<PathBuf>,
    /// How to answer.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// The answer for programs.
#[derive(Debug, Default, Serialize)]
struct Report {
    passed: usize,
    failed: Vec<Failure>,
}

#[derive(Debug, Serialize)]
struct Failure {
    #[serde(serialize_with = "lossy")]
    file: PathBuf,
    line: u32,
    column: u32,
    name: String,
    /// What was expected, and what was decided.
    message: String,
    /// Why it was decided so.
    because: String,
}

impl Test {
    pub(super) fn run(self) -> Exit {
        let deployment = match Deployment::read(&self.config) {
            Ok(deployment) => deployment,
            Err(exit) => return exit,
        };
        let (mut report, mut wrong) = (Report::default(), Vec::new());
        for path in &self.cases {
            match cases::read(path, SystemClock.now()) {
                Ok(cases) => cases.iter().for_each(|case| report.add(path, case, &deployment)),
                Err(problems) => wrong.extend(problems.iter().map(|problem| Finding::of_yaml(path, problem))),
            }
        }
        tell_all(&wrong, "");
        if !wrong.is_empty() {
            return Exit::WrongInput;
        }
        match self.output {
            Output::Json => answer_json(&report),
            Output::Table => report.tell(),
        }
        if report.failed.is_empty() { Exit::Done } else { Exit::Failed }
    }
}

impl Report {
    fn add(&mut self, path: &std::path::Path, case: &Case, deployment: &Deployment) {
        let (message, because) = match case.decide(&deployment.config, &deployment.keys) {
            Err(NoSuchKey(id)) => (format!("no key has the id {id:?}"), String::new()),
            Ok(decision) => {
                let differences = case.expected.differences(&decision);
                if differences.is_empty() {
                    self.passed += 1;
                    return;
                }
                let words = differences
                    .iter()
                    .map(|one| format!("expected {} {:?}, got {:?}", one.what, one.expected, one.got));
                (words.collect::<Vec<_>>().join("; "), decision.because)
            }
        };
        self.failed.push(Failure {
            file: path.to_owned(),
            line: case.place.line,
            column: case.place.column,
            name: case.name.clone(),
            message,
            because,
        });
    }

    fn tell(&self) {
        for Failure { file, line, column, name, message, because } in &self.failed {
            tell(&format!("{}:{line}:{column}: {name}: {message} ({because})", file.display()));
        }
        let passed = counted(self.passed, "case", "cases");
        match self.failed.len() {
            0 => answer(&format!("ok: {passed} decided as expected")),
            failed => answer(&format!(
                "failed: {} decided otherwise; {passed} as expected",
                counted(failed, "case", "cases")
            )),
        }
    }
}
