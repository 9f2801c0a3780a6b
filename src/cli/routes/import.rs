//! `keygate routes import`: routes proposed by the description of an API.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::{
    cli::{
        Exit,
        description::{self, read},
        finding::{Finding, tell_all},
        output::answer,
    },
    clock::{Clock as _, SystemClock},
    config::raw::{scalar::DayOrInstant, text::Written as _},
    openapi::{FragmentOptions, ProposalOptions, propose, write_fragment},
};

/// Propose routes for an API that OpenAPI 3 describes (YAML or JSON), as a part of the configuration.
///
/// GET and HEAD need `read`, other methods `write`; `admin` is needed where tags, paths or OAuth scopes say so; `x-keygate-scope`
/// on an operation or a path names scopes itself, and `security: []` makes an operation public. Comments say why. What is
/// unclear is told on standard error, each with its place.
///
/// Exit code 0: routes were proposed; 2: something in the description is wrong.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: keygate routes import --project-parameter projectId openapi.yaml > routes.yaml"
)]
pub(super) struct Import {
    /// The description; `-` is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The parameter in path, query or header that names the project; may be given several times. Default: a path parameter
    /// that looks like it, as {project} or {projectId}.
    #[arg(long = "project-parameter", value_name = "NAME")]
    project_parameters: Vec<String>,
    /// The path that all paths begin with, as the gateway sees it. Default: that of the first server.
    #[arg(long, value_name = "PATH", value_parser = description::base_path)]
    base_path: Option<String>,
    /// The upstream of the routes, where the configuration has several.
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,
    /// Let the routes observe until this day, which is to come: what they would refuse is forwarded and recorded.
    #[arg(long, value_name = "DATE", value_parser = date)]
    observe_until: Option<String>,
}

impl Import {
    pub(super) fn run(self) -> Exit {
        let Self { file, project_parameters, base_path, upstream, observe_until } = self;
        let api = match read(&file, base_path.as_deref()) {
            Ok(api) => api,
            Err(problems) => {
                tell_all(&problems, "");
                return Exit::WrongInput;
            }
        };
        let proposal = propose(&api, &ProposalOptions { project_parameters });
        let mut notes: Vec<_> = api.doubts.iter().chain(&proposal.notes).collect();
        notes.sort_by_key(|note| note.place);
        let notes: Vec<_> = notes.into_iter().map(|note| Finding::of_text(&file, note)).collect();
        tell_all(&notes, "note: ");
        let source = file_name(&file);
        answer(
            write_fragment(
                &api,
                &proposal,
                &FragmentOptions {
                    source: &source,
                    upstream: upstream.as_deref(),
                    observe_until: observe_until.as_deref(),
                },
            )
            .trim_end(),
        );
        Exit::Done
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// A date to come that the field `until` takes.
fn date(text: &str) -> Result<String, String> {
    let DayOrInstant(until) = DayOrInstant::read(text)?;
    if until <= SystemClock.now() {
        return Err("this date is past, so that the routes would refuse at once; name one to come, or leave the option out"
            .to_owned());
    }
    Ok(text.to_owned())
}
