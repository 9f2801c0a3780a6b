//! `POST /routes/explain`: what the gateway decides about a request, and which row of the decision table decided.

use std::net::{IpAddr, Ipv4Addr};

use askama::Template;
use axum::{http::StatusCode, response::Response};

use super::{METHODS, RoutesPage, methods, rows, table::RouteRow};
use crate::{
    console::{
        answer::{Failure, html, html_as},
        form::{Form, Typed},
        overseer::Overseer,
        page::Page,
        parts::{Badge, Choice},
    },
    control::{
        administration::Refusal,
        explain::{self, Asker, DECISION_TABLE, Decision, Question, TableRow, Undecided, Unexplained, Unfit},
        route_list::RouteList,
    },
    keys::secret::KeySecret,
};

/// The most header lines.
const HEADERS_MAX: usize = 100;

/// The most characters of a request that a title shows.
const TITLE_CHARS_MAX: usize = 200;

#[derive(Template)]
#[template(path = "explain.html")]
struct ExplainPage {
    page: Page,
    form: Form,
    methods: Vec<Choice>,
    explained: Explained,
    routes: Vec<RouteRow>,
}

/// A decision in words.
struct Explained {
    request: String,
    verdict: Badge,
    outcome: String,
    row: String,
    why: String,
    facts: Vec<Fact>,
    table: Vec<DecisionRow>,
}

struct Fact {
    name: &'static str,
    value: String,
}

struct DecisionRow {
    number: String,
    case: &'static str,
    answer: &'static str,
    decided: bool,
    /// What became of it: `passed`, `not reached`, or nothing for those that stand outside the order.
    state: &'static str,
}

/// Why there is no page with an explanation.
enum Unanswered {
    Wrong(Vec<Refusal>),
    /// A secret stands where it would be shown again.
    Secret,
    Failed(Failure),
}

impl From<Unexplained> for Unanswered {
    fn from(unexplained: Unexplained) -> Self {
        let wrong_id = |reason: &str| Self::Wrong(vec![Refusal::of("key_id", reason)]);
        match unexplained {
            Unexplained::UnknownKey => wrong_id("No key has this id."),
            Unexplained::Undecided(Undecided::NoSuchKey(_)) => {
                wrong_id("The gateway has no key with this id in force yet.")
            }
            Unexplained::Undecided(Undecided::Unfit(Unfit::Secret)) => Self::Secret,
            Unexplained::Undecided(Undecided::Unfit(unfit @ Unfit::LineBreak)) => {
                Self::Wrong(vec![Refusal::from(unfit.to_string())])
            }
            Unexplained::Failed(error) => Self::Failed(error.into()),
        }
    }
}

/// Decides as the gateway would now; nothing is sent.
pub(super) async fn explain(overseer: Overseer, typed: Typed) -> Result<Response, Failure> {
    match decide(&overseer, &typed).await {
        Ok((request, decision)) => Ok(explained(&overseer, &typed, request, &decision)),
        Err(Unanswered::Wrong(wrong)) => Ok(again(&overseer, typed.again(wrong))),
        Err(Unanswered::Secret) => {
            let reason = "A key stands where it would be shown and remembered, so nothing of this form was kept. Give it in \
                          the field “Or the key itself”; and if it is in use, rotate it.";
            let form = Form::new([("method", "GET")]).with(vec![Refusal::from(reason.to_owned())]);
            Ok(again(&overseer, form))
        }
        Err(Unanswered::Failed(failure)) => Err(failure),
    }
}

async fn decide(overseer: &Overseer, typed: &Typed) -> Result<(String, Decision), Unanswered> {
    let shown = ["target", "host", "headers", "address", "key_id"];
    if shown.iter().any(|name| overseer.holds_secret(typed.get(name))) {
        return Err(Unanswered::Secret);
    }
    let question = question(overseer, typed).map_err(Unanswered::Wrong)?;
    let asker = asker(typed).map_err(Unanswered::Wrong)?;
    let administration = overseer.administration();
    let decision = explain::explain(&administration, &question, &asker, &overseer.state.live).await?;
    let by = match (&decision.key, &asker) {
        (Some(key), _) if key.name.is_empty() => format!(" as {}", key.id),
        (Some(key), _) => format!(" as {}", key.name),
        (None, Asker::Anonymous) => " without a key".to_owned(),
        (None, Asker::Key(_) | Asker::Secret(_)) => " with a key".to_owned(),
    };
    let target: String = question.target.chars().take(TITLE_CHARS_MAX).collect();
    Ok((format!("{} {target}{by}", question.method), decision))
}

fn question(overseer: &Overseer, typed: &Typed) -> Result<Question, Vec<Refusal>> {
    let mut wrong = Vec::new();
    let method = typed.get("method");
    if !METHODS.contains(&method) {
        wrong.push(Refusal::of("method", "Choose one of these methods."));
    }
    if typed.get("target").is_empty() {
        wrong.push(Refusal::of("target", "Give a path such as /v1/items?page=2."));
    }
    let client = match typed.get("address").trim() {
        "" => overseer.caller.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        text => text.parse().unwrap_or_else(|_| {
            wrong.push(Refusal::of("address", "This is no address; give one such as 192.0.2.7."));
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        }),
    };
    let lines = typed.get("headers").lines().filter(|line| !line.trim().is_empty());
    let fields: Option<Vec<_>> = lines.map(header).collect();
    if fields.as_ref().is_none_or(|fields| fields.len() > HEADERS_MAX) {
        wrong.push(Refusal::of("headers", "Give one header a line, as in Accept: text/html; at most 100."));
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let host = typed.get("host").trim();
    Ok(Question {
        method: method.to_owned(),
        target: typed.get("target").to_owned(),
        version: "HTTP/1.1".to_owned(),
        host: Some(if host.is_empty() { "localhost" } else { host }.to_owned()),
        fields: fields.unwrap_or_default(),
        client,
        now: overseer.now,
    })
}

fn header(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    Some((name.trim().to_owned(), value.trim().to_owned()))
}

fn asker(typed: &Typed) -> Result<Asker, Vec<Refusal>> {
    let wrong = |field, reason: &str| vec![Refusal::of(field, reason)];
    let (id, secret) = (typed.get("key_id").trim(), typed.get("key").trim());
    match (id, secret) {
        ("", "") => Ok(Asker::Anonymous),
        ("", secret) => {
            let secret = KeySecret::import(secret.to_owned().into());
            secret
                .map(Asker::Secret)
                .ok_or_else(|| wrong("key", "This cannot be a key: no header can carry it."))
        }
        (id, "") => Ok(Asker::Key(id.to_owned())),
        (_, _) => Err(wrong("key", "Give the id or the key itself, not both.")),
    }
}

/// The form, with what is wrong with it.
fn again(overseer: &Overseer, form: Form) -> Response {
    let list = RouteList::of(&overseer.published());
    let page = RoutesPage {
        page: overseer.page("Routes", "routes"),
        form,
        methods: methods(),
        revision: list.revision,
        routes: rows(list.routes, overseer.now),
    };
    html_as(StatusCode::UNPROCESSABLE_ENTITY, &page)
}

fn explained(overseer: &Overseer, typed: &Typed, request: String, decision: &Decision) -> Response {
    let index = decision.route.as_ref().map(|route| route.index);
    let mut listed = RouteList::of(&overseer.published()).routes;
    listed.retain(|route| Some(route.index) == index);
    let page = ExplainPage {
        page: overseer.page("Explain", "routes"),
        form: typed.again(Vec::new()),
        methods: methods(),
        explained: Explained::new(request, decision),
        routes: rows(listed, overseer.now),
    };
    html(&page)
}

impl Explained {
    fn new(request: String, decision: &Decision) -> Self {
        let passes = matches!(decision.code, "forwarded" | "preflight" | "server_options");
        let verdict = match &decision.observed {
            Some(_) => Badge::new("warn", "let through while the route observes"),
            None if passes => Badge::new("ok", "let through"),
            None => Badge::new("bad", "refused"),
        };
        let outcome = match (&decision.forwarded, decision.status) {
            (Some(forwarded), _) if decision.observed.is_some() => {
                format!("forwarded to {} as nobody's", forwarded.upstream)
            }
            (Some(forwarded), _) => format!("forwarded to {}", forwarded.upstream),
            (None, Some(status)) => format!("{status} {}", decision.code),
            (None, None) => decision.code.to_owned(),
        };
        let row = decision.table_row();
        Self {
            request,
            verdict,
            outcome,
            row: match row.and_then(|row| row.number) {
                Some(number) => format!("Row {number} decided"),
                None => "Decided before the numbered rows".to_owned(),
            },
            why: sentence(&decision.because),
            facts: facts(decision),
            table: DECISION_TABLE.iter().map(|of_table| DecisionRow::new(of_table, row)).collect(),
        }
    }
}

impl DecisionRow {
    fn new(row: &TableRow, decided: Option<&TableRow>) -> Self {
        let is_it = decided == Some(row);
        let state = match (row.number, decided.and_then(|decided| decided.number)) {
            _ if is_it => "decided",
            (Some(number), Some(decided)) if number < decided => "passed",
            (Some(_), Some(_)) => "not reached",
            (None, _) | (_, None) => "",
        };
        Self {
            number: row.number.map(|number| number.to_string()).unwrap_or_default(),
            case: row.case,
            answer: row.answer,
            decided: is_it,
            state,
        }
    }
}

/// What led to the decision.
fn facts(decision: &Decision) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut tell = |name, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            facts.push(Fact { name, value });
        }
    };
    tell("The client is told", decision.detail.clone());
    tell("Allow", decision.allow.clone());
    if let Some(observed) = &decision.observed {
        tell("It would be answered", Some(format!("{} {}", observed.status, observed.code)));
        tell("and is from", observed.until.map(|until| until.to_string()));
    }
    if let Some(path) = &decision.path {
        tell("Path", Some(path.as_sent.clone()));
        tell("A lax back end may read", path.folded.clone());
        tell("which leads to", path.folded_route.clone());
    }
    if let Some(route) = &decision.route {
        tell("Route", Some(route.pattern.clone()));
        let needs = route.needs.clone().unwrap_or_else(|| "nothing: it is not mapped".to_owned());
        tell("The method needs", Some(needs));
    }
    if let Some(key) = &decision.key {
        let name = if key.name.is_empty() { key.id.clone() } else { format!("{} ({})", key.name, key.id) };
        tell("Key", Some(name));
        tell("Secret", key.is_previous_secret.then(|| "the one from before the last rotation".to_owned()));
        tell("Granted scopes", Some(key.granted.join(" ")));
        tell("Effective scopes", key.effective.as_ref().map(|scopes| scopes.join(" ")));
        tell("Projects of the key", key.projects.as_ref().map(|projects| projects.join(" ")));
        tell(
            "How much it may ask for",
            key.plan.as_ref().map(|plan| format!("{}: {}", plan.name, plan.allows)),
        );
        tell(
            "Owner",
            key.owner
                .as_ref()
                .map(|owner| format!("{}, {}: at most {}", owner.id, owner.role, owner.cap.join(" "))),
        );
    }
    if let Some(project) = &decision.project {
        tell(
            "Project",
            Some(format!("{}: {}", project.id, project.because)).filter(|_| !project.id.is_empty()),
        );
        tell("Project", Some(project.because.clone()).filter(|_| project.id.is_empty()));
    }
    if let Some(forwarded) = &decision.forwarded {
        tell("Upstream", Some(format!("{}, {}", forwarded.upstream, forwarded.address)));
        let identity = forwarded.identity.iter().map(|(name, value)| format!("{name}: {value}"));
        tell("Identity headers", Some(identity.collect::<Vec<_>>().join("; ")));
        tell("Set headers", Some(forwarded.set_headers.join(", ")));
        let removed = if forwarded.credential_removed { "removed" } else { "there is none of ours" };
        tell("The credential is", Some(removed.to_owned()));
    }
    facts
}

/// `text` with a capital and a stop.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let text = format!("{first}{}", characters.as_str());
    if text.ends_with('.') { text } else { format!("{text}.") }
}
