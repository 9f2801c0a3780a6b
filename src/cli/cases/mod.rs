//! Cases: requests with the decisions that are expected of them, as a file that `keygate test` and the tests of this
//! repository read. See `raw` for its format.

mod raw;

use std::{net::IpAddr, path::Path};

use jiff::Timestamp;

pub use self::raw::schema;
use self::raw::{File, RawCase, RawExpectation, RawRequest};
use super::secret_input::looks_secret;
use crate::{
    config::{
        model::Config,
        raw::text::{Switch, Text},
    },
    control::explain::{Asker, Decision, NoSuchKey, Question, decide},
    keys::{secret::KeySecret, snapshot::KeySnapshot},
    yaml::{self, Field, Limits, Place, Problem, StringOr},
};

/// How much a file of cases may hold.
const LIMITS: Limits = Limits { bytes: 16 << 20, depth: 16, nodes: 1_000_000 };

/// What stands for a key where there is none.
const ANONYMOUS: &str = "anonymous";

/// One case.
#[derive(Debug)]
pub struct Case {
    /// Where it begins in its file.
    pub place: Place,
    /// What it is about; where the file says nothing, the request line.
    pub name: String,
    /// The request.
    pub question: Question,
    /// Who sends it.
    pub asker: Asker,
    /// What is expected.
    pub expected: Expected,
}

/// What is expected of a decision; what is not said may be anything.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// The status of the answer.
    pub status: Option<u16>,
    /// The code of the refusal, or `forwarded`, `observed`, `preflight`, `server_options`.
    pub code: Option<String>,
    /// The row of the decision table.
    pub row: Option<u8>,
    /// The pattern of the route; `Off` is no route.
    pub route: Switch<String>,
    /// The project that the request names; `Off` is none.
    pub project: Switch<String>,
    /// What the method needs: a scope, or `public`; `Off` where it is not mapped.
    pub scope: Switch<String>,
    /// The id of the key; `Off` is none.
    pub key: Switch<String>,
    /// `Allow` of the answer.
    pub allow: Option<String>,
    /// A part of what the client is told.
    pub detail: Option<String>,
    /// The code that a route which observes would refuse with.
    pub would_be: Option<String>,
}

/// One thing that was decided otherwise than expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What of the decision.
    pub what: &'static str,
    /// As expected.
    pub expected: String,
    /// As decided.
    pub got: String,
}

/// The cases that `text` holds; where a case does not say when, it is asked at `now`.
///
/// # Errors
/// Everything that is wrong with the file.
pub fn parse(text: &[u8], now: Timestamp) -> Result<Vec<Case>, Vec<Problem>> {
    let document = yaml::parse(text, &LIMITS)?;
    let file: File = yaml::decode(&document)?;
    let defaults = Defaults {
        now: file.now.as_ref().map_or(now, |now| now.0),
        client: file.client.as_ref().map_or(IpAddr::from([127, 0, 0, 1]), |client| client.0),
        host: file.host.as_ref().map_or("localhost", |host| host.value()),
    };
    let (mut cases, mut problems) = (Vec::new(), Vec::new());
    for raw in file.cases.value() {
        match defaults.case(raw) {
            Ok(case) => cases.push(case),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(cases) } else { Err(problems) }
}

/// The cases in the file at `path`.
///
/// # Errors
/// As [`parse`]; what the system says of a file that cannot be read is a problem without place.
pub fn read(path: &Path, now: Timestamp) -> Result<Vec<Case>, Vec<Problem>> {
    let text = std::fs::read(path).map_err(|error| {
        let remedy = "give the path of a file of cases";
        vec![Problem::new(Place::default(), format!("the file cannot be read: {error}"), remedy)]
    })?;
    parse(&text, now)
}

impl Case {
    /// What `config` and `keys` decide about it.
    ///
    /// # Errors
    /// [`NoSuchKey`].
    pub fn decide(&self, config: &Config, keys: &KeySnapshot) -> Result<Decision, NoSuchKey> {
        decide(&self.question, &self.asker, config, Some(keys))
    }
}

impl Expected {
    /// What `decision` says otherwise.
    pub fn differences(&self, decision: &Decision) -> Vec<Difference> {
        let route = decision.route.as_ref();
        let project =
            decision.project.as_ref().map(|project| project.id.as_str()).filter(|id| !id.is_empty());
        let detail = decision.detail.as_deref().unwrap_or_default();
        let mut differences = Differences::default();
        let status = decision.status.map_or("the upstream's".to_owned(), |status| status.to_string());
        let text = |number: Option<u16>| number.map(|number| number.to_string());
        differences.compare("row", text(self.row.map(u16::from)).as_deref(), &decision.row.to_string());
        differences.compare("code", self.code.as_deref(), decision.code);
        differences.compare("status", text(self.status).as_deref(), &status);
        differences.compare_optional("route", &self.route, route.map(|route| route.pattern.as_str()));
        differences.compare_optional("project", &self.project, project);
        differences.compare_optional("scope", &self.scope, route.and_then(|route| route.needs.as_deref()));
        differences.compare_optional("key", &self.key, decision.key.as_ref().map(|key| key.id.as_str()));
        differences.compare("allow", self.allow.as_deref(), decision.allow.as_deref().unwrap_or("none"));
        let would_be = decision.observed.as_ref().map_or("none", |observed| observed.code);
        differences.compare("would_be", self.would_be.as_deref(), would_be);
        if let Some(part) = self.detail.as_deref().filter(|part| !detail.contains(part)) {
            differences.add("detail", part, detail);
        }
        differences.0
    }
}

#[derive(Debug, Default)]
struct Differences(Vec<Difference>);

impl Differences {
    fn compare(&mut self, what: &'static str, expected: Option<&str>, got: &str) {
        if let Some(expected) = expected.filter(|expected| *expected != got) {
            self.add(what, expected, got);
        }
    }

    fn compare_optional(&mut self, what: &'static str, expected: &Switch<String>, got: Option<&str>) {
        const NONE: &str = "none";
        match expected {
            Switch::Unsaid => {}
            Switch::Off => self.compare(what, Some(NONE), got.unwrap_or(NONE)),
            Switch::On(expected) => self.compare(what, Some(expected), got.unwrap_or(NONE)),
        }
    }

    fn add(&mut self, what: &'static str, expected: &str, got: &str) {
        self.0.push(Difference { what, expected: expected.to_owned(), got: got.to_owned() });
    }
}

/// What holds for cases that do not say otherwise.
struct Defaults<'f> {
    now: Timestamp,
    client: IpAddr,
    host: &'f str,
}

impl Defaults<'_> {
    fn case(&self, raw: &Field<RawCase>) -> Result<Case, Problem> {
        let (line, place) = match raw.request.value() {
            StringOr::String(line) => (Some(line), raw.request.place()),
            StringOr::Other(_) => (None, raw.request.place()),
        };
        let mut question = Question {
            method: "GET".to_owned(),
            target: String::new(),
            version: "HTTP/1.1".to_owned(),
            host: Some(self.host.to_owned()),
            fields: Vec::new(),
            client: self.client,
            now: raw.now.as_ref().map_or(self.now, |now| now.0),
        };
        match (line, raw.request.value()) {
            (Some(line), _) => {
                let (method, target) = line.split_once(' ').ok_or_else(|| {
                    Problem::new(
                        place,
                        "the request has no target",
                        "write it as GET /path, or as {method: …, target: …}",
                    )
                })?;
                (question.method, question.target) = (method.to_owned(), target.to_owned());
            }
            (None, StringOr::Other(request)) => fill(&mut question, request),
            (None, StringOr::String(_)) => {}
        }
        let name = raw
            .name
            .as_ref()
            .map_or_else(|| format!("{} {}", question.method, question.target), |name| name.value().clone());
        Ok(Case { place: raw.place(), name, question, asker: asker(raw)?, expected: expected(&raw.expect) })
    }
}

fn fill(question: &mut Question, raw: &RawRequest) {
    if let Some(method) = &raw.method {
        question.method.clone_from(method);
    }
    question.target.clone_from(&raw.target);
    if let Some(version) = &raw.version {
        question.version.clone_from(version);
    }
    match &raw.host {
        Switch::Unsaid => {}
        Switch::Off => question.host = None,
        Switch::On(host) => question.host = Some(host.value().clone()),
    }
    let lines = raw.headers.iter().flat_map(|headers| headers.iter());
    question.fields = lines
        .flat_map(|(name, values)| {
            values.iter().map(move |value| (name.value().clone(), value.value().clone()))
        })
        .collect();
    if let Some(Text(client)) = raw.client.as_deref() {
        question.client = *client;
    }
}

fn asker(raw: &RawCase) -> Result<Asker, Problem> {
    match (&raw.key, &raw.secret) {
        (Some(key), Some(_)) => {
            Err(Problem::new(key.place(), "a case has a key and a secret", "remove one of them"))
        }
        (None, None) => Ok(Asker::Anonymous),
        (Some(key), None) if key.value() == ANONYMOUS => Ok(Asker::Anonymous),
        (Some(key), None) if looks_secret(key) => Err(Problem::new(
            key.place(),
            "this is a secret, not the id of a key",
            "write its id, and replace the key",
        )),
        (Some(key), None) => Ok(Asker::Key(key.value().clone())),
        (None, Some(secret)) => {
            KeySecret::import(secret.value().clone().into()).map(Asker::Secret).ok_or_else(|| {
                let remedy = "write 1 to 512 visible ASCII characters without spaces and commas";
                Problem::new(secret.place(), "this can be no secret", remedy)
            })
        }
    }
}

fn expected(raw: &Field<StringOr<RawExpectation>>) -> Expected {
    let raw = match raw.value() {
        StringOr::String(code) => return Expected { code: Some(code.clone()), ..Expected::default() },
        StringOr::Other(raw) => raw,
    };
    let text = |field: &Option<Field<String>>| field.as_ref().map(|field| field.value().clone());
    let switch = |field: &Switch<Field<String>>| match field {
        Switch::Unsaid => Switch::Unsaid,
        Switch::Off => Switch::Off,
        Switch::On(field) => Switch::On(field.value().clone()),
    };
    Expected {
        status: raw.status.as_deref().copied(),
        code: text(&raw.code),
        row: raw.row.as_deref().copied(),
        route: switch(&raw.route),
        project: switch(&raw.project),
        scope: switch(&raw.scope),
        key: switch(&raw.key),
        allow: text(&raw.allow),
        detail: text(&raw.detail),
        would_be: text(&raw.would_be),
    }
}
