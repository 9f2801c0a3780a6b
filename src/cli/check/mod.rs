//! `keygate check`: everything that is wrong or doubtful about a set-up, in one run.

mod certificates;
mod comparison;
mod management;
mod observation;
mod openapi;
mod rights;
mod undone;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use self::certificates::Certificates;
use super::{
    Exit,
    deployment::{Deployment, Reading},
    description,
    finding::{Finding, tell_all},
    output::{Output, answer, answer_json, counted},
};

/// Check the config, its key files and its certificates, and tell all that is wrong or doubtful, each with its place.
///
/// Exit code 0: it can be served; 1: it can, but not every operation of `--openapi`; 2: something is wrong. Warnings do not
/// change the exit code.
#[derive(Debug, Args)]
#[command(after_help = "Example: keygate check --config keygate.yaml --against /tmp/main/keygate.yaml")]
pub(super) struct Check {
    /// The configuration file.
    #[arg(long, short, value_name = "FILE", default_value = "keygate.yaml")]
    config: PathBuf,
    /// Warn of what is looser, stricter or gone compared with this other configuration, and of keys whose revocation it
    /// had and the new one takes back.
    #[arg(long, value_name = "OLD")]
    against: Option<PathBuf>,
    /// Tell which route each operation of this OpenAPI description leads to and what it needs there. Operations without a route or
    /// whose method is not mapped are problems (exit code 1); routes that no operation leads to are warnings.
    #[arg(long, value_name = "FILE")]
    openapi: Option<PathBuf>,
    /// The path that all paths of the description begin with, as the gateway sees it. Default: that of its first server.
    #[arg(long, value_name = "PATH", requires = "openapi", value_parser = description::base_path)]
    base_path: Option<String>,
    /// How to answer.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// The answer for programs.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(skip)]
    exit: Exit,
    ok: bool,
    problems: Vec<Finding>,
    warnings: Vec<Finding>,
    summary: Option<Summary>,
    /// The operations of `--openapi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    operations: Option<Vec<openapi::Operation>>,
}

#[derive(Debug, Serialize)]
struct Summary {
    routes: usize,
    upstreams: usize,
    listeners: usize,
    keys: usize,
    people: usize,
    key_files: usize,
}

impl Check {
    pub(super) fn run(&self) -> Exit {
        let report = self.report();
        match self.output {
            Output::Json => answer_json(&report),
            Output::Table => {
                tell_all(&report.problems, "");
                tell_all(&report.warnings, "warning: ");
                if let Some(operations) = &report.operations {
                    answer(&openapi::table(operations));
                }
                if let Some(summary) = &report.summary {
                    answer(&summary.line(report.warnings.len()));
                }
            }
        }
        report.exit
    }

    fn report(&self) -> Report {
        let Reading { deployment, mut problems, mut warnings } = Reading::of(&self.config);
        if let Some(deployment) = &deployment {
            let Certificates { problems: wrong, warnings: doubtful } = certificates::look_at(deployment);
            problems.extend(wrong);
            warnings.extend(doubtful);
            warnings.extend(undone::since_seen(deployment));
            warnings.extend(management::without_effect(deployment));
            warnings.extend(observation::of(deployment));
            warnings.extend(rights::missing(deployment));
        }
        if let Some(old) = &self.against {
            let Reading { deployment: before, problems: wrong, .. } = Reading::of(old);
            problems.extend(wrong);
            if let (Some(before), Some(after)) = (&before, &deployment) {
                warnings.extend(comparison::routes(before, after));
                warnings.extend(undone::since(before, after));
            }
        }
        let mut operations = None;
        let mut unserved = Vec::new();
        if let Some(file) = &self.openapi {
            match (description::read(file, self.base_path.as_deref()), &deployment) {
                (Ok(api), Some(deployment)) => {
                    let openapi::Comparison { operations: found, unserved: missing, warnings: doubtful } =
                        openapi::compare(&api, file, deployment);
                    operations = Some(found);
                    unserved = missing;
                    warnings.extend(doubtful);
                }
                (Ok(_), None) => {}
                (Err(wrong), _) => problems.extend(wrong),
            }
        }
        let exit = match (problems.is_empty(), unserved.is_empty()) {
            (true, true) => Exit::Done,
            (true, false) => Exit::Failed,
            (false, _) => Exit::WrongInput,
        };
        problems.extend(unserved);
        let ok = exit == Exit::Done;
        let summary = deployment.as_ref().filter(|_| ok).map(Summary::of);
        Report { exit, ok, problems, warnings, summary, operations }
    }
}

impl Summary {
    fn of(deployment: &Deployment) -> Self {
        let Deployment { config, key_files, .. } = deployment;
        Self {
            routes: config.policy.routes.routes().len(),
            upstreams: config.upstreams.len(),
            listeners: config.listeners.len(),
            keys: key_files.iter().map(|file| file.keys.len()).sum(),
            people: key_files.iter().map(|file| file.people.len()).sum(),
            key_files: key_files.len(),
        }
    }

    fn line(&self, warnings: usize) -> String {
        format!(
            "ok: {}, {}, {}, {} and {} in {}; {}",
            counted(self.routes, "route", "routes"),
            counted(self.upstreams, "upstream", "upstreams"),
            counted(self.listeners, "listener", "listeners"),
            counted(self.keys, "key", "keys"),
            counted(self.people, "person", "people"),
            counted(self.key_files, "key file", "key files"),
            counted(warnings, "warning", "warnings"),
        )
    }
}
