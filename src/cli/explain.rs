//! `keygate explain`: what the gateway would decide about a request, and why.

use std::{fmt::Write as _, net::IpAddr, path::PathBuf};

use clap::Args;

use super::{
    Exit,
    deployment::Deployment,
    output::{Output, answer, answer_json, tell},
    secret_input::{self, looks_secret},
};
use crate::{
    clock::{Clock as _, SystemClock},
    control::explain::{
        Asker, Decision, Forwarded, KeySeen, NoSuchKey, PathSeen, ProjectSeen, Question, RouteSeen, Unfit,
        decide,
    },
};

/// Explain what the gateway would decide about a request: the row of the decision table, and why.
///
/// Nothing is sent. Exit code 0 whatever the decision; 2 where the config, the keys or the question are wrong.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: keygate explain --config keygate.yaml --key-id ci GET /api/v1/projects/alpha"
)]
pub(super) struct Explain {
    /// The configuration file.
    #[arg(long, short, value_name = "FILE", default_value = "keygate.yaml")]
    config: PathBuf,
    #[command(flatten)]
    who: Who,
    /// The method.
    method: String,
    /// The target: a path with its query, or `*`.
    target: String,
    /// A header line, as 'Name: value'; may be given several times.
    #[arg(long = "header", short = 'H', value_name = "LINE")]
    headers: Vec<String>,
    /// The Host.
    #[arg(long, default_value = "localhost")]
    host: String,
    /// The address that the request comes from.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    client: IpAddr,
    /// How to answer.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Who {
    /// Ask with the key whose secret comes by standard input or in `KEYGATE_KEY`.
    #[arg(long)]
    key_stdin: bool,
    /// Ask with the key of this id.
    #[arg(long, value_name = "ID")]
    key_id: Option<String>,
    /// Ask without a key.
    #[arg(long)]
    anonymous: bool,
}

impl Explain {
    pub(super) fn run(self) -> Exit {
        let deployment = match Deployment::read(&self.config) {
            Ok(deployment) => deployment,
            Err(exit) => return exit,
        };
        let both = self.question(&deployment).and_then(|question| Ok((question, self.asker()?)));
        let (question, asker) = match both {
            Ok(both) => both,
            Err(message) => {
                tell(&message);
                return Exit::WrongInput;
            }
        };
        match decide(&question, &asker, &deployment.config, Some(&deployment.keys)) {
            Ok(decision) => {
                match self.output {
                    Output::Json => answer_json(&decision),
                    Output::Table => answer(&told(&decision, &deployment)),
                }
                Exit::Done
            }
            Err(NoSuchKey(id)) => {
                tell(&format!("no key has the id {id:?}; `keygate keys list` shows them"));
                Exit::WrongInput
            }
        }
    }

    fn asker(&self) -> Result<Asker, String> {
        match &self.who.key_id {
            Some(id) if looks_secret(id) => Err(secret_input::POLITE_REFUSAL.to_owned()),
            Some(id) => Ok(Asker::Key(id.clone())),
            None if self.who.key_stdin => secret_input::read().map(Asker::Secret),
            None => Ok(Asker::Anonymous),
        }
    }

    fn question(&self, deployment: &Deployment) -> Result<Question, String> {
        let fields = self.headers.iter().map(|line| field(line)).collect::<Result<_, _>>()?;
        let question = Question {
            method: self.method.clone(),
            target: self.target.clone(),
            version: "HTTP/1.1".to_owned(),
            host: Some(self.host.clone()),
            fields,
            client: self.client,
            now: SystemClock.now(),
        };
        question.check(&deployment.config).map_err(|unfit| match unfit {
            Unfit::Secret => secret_input::POLITE_REFUSAL.to_owned(),
            Unfit::LineBreak => {
                "an argument holds a line break; give each header line with a --header of its own".to_owned()
            }
        })?;
        Ok(question)
    }
}

fn field(line: &str) -> Result<(String, String), String> {
    let (name, value) =
        line.split_once(':').ok_or("a --header is written 'Name: value'; there is no colon in one")?;
    Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}

/// The decision in words.
fn told(decision: &Decision, deployment: &Deployment) -> String {
    let mut lines = Lines::default();
    let row =
        if decision.row == 0 { "outside the table".to_owned() } else { format!("row {}", decision.row) };
    let verdict = match (&decision.forwarded, decision.status) {
        (Some(forwarded), _) if decision.observed.is_some() => {
            format!("forward to the upstream {} as nobody's, and record", forwarded.upstream)
        }
        (Some(forwarded), _) => format!("forward to the upstream {}", forwarded.upstream),
        (None, Some(status)) => format!("answer {status} {}", decision.code),
        (None, None) => decision.code.to_owned(),
    };
    lines.put("decision", &format!("{verdict} ({row})"));
    lines.put("because", &decision.because);
    if let Some(observed) = &decision.observed {
        let until = observed.until.map(|until| format!(" from {until} on")).unwrap_or_default();
        lines.put("it would answer", &format!("{} {}{until}", observed.status, observed.code));
    }
    if let Some(detail) = decision.detail.as_ref().filter(|detail| **detail != decision.because) {
        lines.put("the client reads", detail);
    }
    if let Some(allow) = &decision.allow {
        lines.put("Allow", allow);
    }
    if let Some(path) = &decision.path {
        lines.path(path);
    }
    match (&decision.route, &decision.path) {
        (Some(route), _) => lines.route(route, deployment),
        (None, Some(_)) => lines.put("route", "none"),
        (None, None) => {}
    }
    if let Some(key) = &decision.key {
        lines.key(key);
    }
    if let Some(project) = &decision.project {
        lines.project(project);
    }
    if let Some(forwarded) = &decision.forwarded {
        lines.forwarded(forwarded);
    }
    lines.0.trim_end().to_owned()
}

#[derive(Debug, Default)]
struct Lines(String);

impl Lines {
    fn put(&mut self, name: &str, value: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{name:<20}{value}");
    }

    fn path(&mut self, path: &PathSeen) {
        self.put("path", &path.as_sent);
        let Some(folded) = &path.folded else { return };
        let leads = path.folded_route.as_deref().unwrap_or("no route");
        let agree = if path.agree { "the same route and project" } else { "not the same route and project" };
        self.put("  read laxly", &format!("{folded} → {leads}, {agree}"));
    }

    fn route(&mut self, route: &RouteSeen, deployment: &Deployment) {
        let line = deployment.route_place(route.index).map(|place| place.line);
        let place = line.map(|line| format!(" ({}:{line})", deployment.path.display())).unwrap_or_default();
        self.put("route", &format!("{}{place}", route.pattern));
        let needs = match route.needs.as_deref() {
            Some("public") => "no key: it is public".to_owned(),
            Some(scope) => format!("the scope {scope}"),
            None => "nothing: it is not mapped".to_owned(),
        };
        self.put(&format!("  {} needs", route.method), &needs);
    }

    fn key(&mut self, key: &KeySeen) {
        let name = if key.name.is_empty() { String::new() } else { format!(" {:?}", key.name) };
        let secret = if key.is_previous_secret { ", by the secret from before its rotation" } else { "" };
        self.put("key", &format!("{}{name}{secret}", key.id));
        self.put("  granted scopes", &listed(&key.granted));
        if let Some(owner) = &key.owner {
            let cap = listed(&owner.cap);
            self.put("  owner", &format!("{}, whose role {} caps scopes at: {cap}", owner.id, owner.role));
        }
        if let Some(effective) = &key.effective {
            self.put("  effective scopes", &listed(effective));
        }
        if let Some(projects) = &key.projects {
            let all = projects.iter().any(|id| id == "*");
            self.put("  sees projects", &if all { "all".to_owned() } else { listed(projects) });
        }
        if let Some(plan) = &key.plan {
            self.put("  plan", &format!("{}: {} ({})", plan.name, plan.allows, plan.because));
        }
    }

    fn project(&mut self, project: &ProjectSeen) {
        let visible = match project.visible {
            Some(true) => " is visible: ",
            Some(false) => " is not visible: ",
            None if project.id.is_empty() => "",
            None => ": ",
        };
        self.put("project", &format!("{}{visible}{}", project.id, project.because));
    }

    fn forwarded(&mut self, forwarded: &Forwarded) {
        self.put("upstream", &format!("{} at {}", forwarded.upstream, forwarded.address));
        for (name, value) in &forwarded.identity {
            self.put("  receives", &format!("{name}: {value}"));
        }
        for name in &forwarded.set_headers {
            self.put("  receives", &format!("{name}: (as set_headers says)"));
        }
        let credential =
            if forwarded.credential_removed { "removed" } else { "passed on, since it is no key of ours" };
        self.put("  credential", credential);
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(" ") }
}
