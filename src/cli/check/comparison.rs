//! What two configs decide differently: a request is made up for every route of either, and both are asked what it needs.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::{
    cli::{deployment::Deployment, finding::Finding},
    policy::{
        path::RequestPath,
        route::{Access, Found, Route},
    },
};

/// Stands where a route has `{name}` or `{*rest}`, and for a label of `*.example.com`: no literal segment is so called.
const SAMPLE: &str = "keygate-sample";

/// Stands for every method that no route names.
const OTHER_METHODS: &str = "*";

const USUAL_METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// A request that a route would serve, but for its method.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Sample {
    /// As the route writes it.
    pattern: String,
    host: Option<String>,
    path: String,
}

/// Warnings of what `after` permits to more, to fewer, or not any more.
pub(super) fn routes(before: &Deployment, after: &Deployment) -> Vec<Finding> {
    let samples: BTreeSet<Sample> = [before, after]
        .into_iter()
        .flat_map(|side| side.config.policy.routes.routes())
        .flat_map(samples_of)
        .collect();
    samples
        .iter()
        .filter_map(|sample| change(sample, before, after))
        .map(|message| Finding::of_file(&after.path, &message))
        .collect()
}

fn samples_of(route: &Route) -> Vec<Sample> {
    let is_named = |segment: &str| segment.starts_with('{');
    let path: Vec<&str> =
        route.pattern.split('/').map(|segment| if is_named(segment) { SAMPLE } else { segment }).collect();
    let path = path.join("/");
    let sample = |host: Option<String>| Sample { pattern: route.pattern.clone(), host, path: path.clone() };
    if route.hosts.is_empty() {
        return vec![sample(None)];
    }
    route.hosts.iter().map(|host| sample(Some(host.replacen('*', SAMPLE, 1)))).collect()
}

/// What is different for `sample`, in words.
fn change(sample: &Sample, before: &Deployment, after: &Deployment) -> Option<String> {
    let path = RequestPath::parse(sample.path.as_bytes()).ok()?;
    let find = |side: &'_ Deployment| -> Option<Needs> {
        let found = side.config.policy.routes.find(sample.host.as_deref(), &path)?;
        Some(Needs::of(&found, side))
    };
    let on = sample.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
    let subject = format!("the route {}{on}", sample.pattern);
    match (find(before), find(after)) {
        (None, None) => None,
        (Some(_), None) => Some(format!("{subject} is gone: its requests are answered 404")),
        (None, Some(_)) => Some(format!("{subject} is new: its requests were answered 404")),
        (Some(old), Some(new)) => old.differences(&new).map(|differences| format!("{subject} {differences}")),
    }
}

/// What the requests of one path need.
#[derive(Debug)]
struct Needs {
    /// Each method that either side may name, with what it needs.
    methods: Vec<(String, Need)>,
    pattern: String,
    /// Whether its requests are limited to the projects of the key.
    has_project: bool,
    restricted_keys: BTreeSet<String>,
    others: Need,
    /// Until when any of it is forwarded that would be refused.
    observed_until: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Need {
    NotMapped,
    Public,
    Scopes(BTreeSet<String>),
}

impl Needs {
    fn of(found: &Found<'_>, side: &Deployment) -> Self {
        let need = |method: &str| match found.route_for(method).map(|(_, access)| access) {
            None => Need::NotMapped,
            Some(Access::Public) => Need::Public,
            Some(Access::Scopes(set)) => {
                Need::Scopes(side.config.policy.scopes.names(set).map(str::to_owned).collect())
            }
        };
        let named = found.routes().flat_map(|route| route.methods.iter().map(|(name, _)| &**name));
        let methods: BTreeSet<&str> = named.chain(USUAL_METHODS).collect();
        let restricted =
            found.routes().flat_map(|route| route.restricted_keys.iter().map(ToString::to_string));
        Self {
            methods: methods.into_iter().map(|method| (method.to_owned(), need(method))).collect(),
            pattern: found.routes().next().map(|route| route.pattern.clone()).unwrap_or_default(),
            has_project: found.routes().all(|route| route.project.is_some()),
            restricted_keys: restricted.collect(),
            others: need(OTHER_METHODS),
            observed_until: found.routes().filter_map(|route| route.observed_until).max(),
        }
    }

    fn need(&self, method: &str) -> &Need {
        self.methods.iter().find(|(name, _)| name == method).map_or(&self.others, |(_, need)| need)
    }

    fn differences(&self, new: &Self) -> Option<String> {
        let mut told = Vec::new();
        if self.pattern != new.pattern {
            told.push(format!("is served by {} instead of {}", new.pattern, self.pattern));
        }
        let named = self.methods.iter().chain(&new.methods).map(|(name, _)| name.as_str());
        let methods: BTreeSet<&str> = named.collect();
        let mut changed: Vec<(Vec<&str>, &Need, &Need)> = Vec::new();
        for method in methods.into_iter().chain([OTHER_METHODS]) {
            let (old, now) = (self.need(method), new.need(method));
            if old == now {
                continue;
            }
            match changed.iter_mut().find(|(_, before, after)| (*before, *after) == (old, now)) {
                Some((methods, ..)) => methods.push(method),
                None => changed.push((vec![method], old, now)),
            }
        }
        for (methods, old, now) in changed {
            let methods = methods.join(", ").replace(OTHER_METHODS, "every other method");
            told.push(format!(
                "is {} for {methods}: {} before, {} now",
                old.compared(now),
                old.words(),
                now.words()
            ));
        }
        match (self.has_project, new.has_project) {
            (true, false) => told.push("is looser: it names no project any more".to_owned()),
            (false, true) => told.push("is stricter: it names a project now".to_owned()),
            (true, true) | (false, false) => {}
        }
        match (self.observed_until, new.observed_until) {
            (before, Some(now)) if before.is_none_or(|before| before < now) => {
                told.push(format!("is looser: until {now} it forwards what it would refuse"));
            }
            (Some(_), None) => told.push("is stricter: it observes no longer".to_owned()),
            (Some(before), Some(now)) if now < before => {
                told.push(format!("is stricter: it observes until {now} only"));
            }
            (None | Some(_), None | Some(_)) => {}
        }
        let added: Vec<_> =
            new.restricted_keys.difference(&self.restricted_keys).map(String::as_str).collect();
        let removed: Vec<_> =
            self.restricted_keys.difference(&new.restricted_keys).map(String::as_str).collect();
        if !added.is_empty() {
            told.push(format!("is looser: keys restricted to projects may {}", added.join(", ")));
        }
        if !removed.is_empty() {
            told.push(format!(
                "is stricter: keys restricted to projects may not {} any more",
                removed.join(", ")
            ));
        }
        (!told.is_empty()).then(|| told.join(", and "))
    }
}

impl Need {
    /// How `now` compares with `self`.
    fn compared(&self, now: &Self) -> &'static str {
        match (self, now) {
            (Self::Scopes(old), Self::Scopes(now)) if now.is_subset(old) => "looser",
            (Self::Scopes(old), Self::Scopes(now)) if old.is_subset(now) => "stricter",
            (Self::Scopes(_), Self::Scopes(_)) => "different",
            (Self::NotMapped, _) | (_, Self::Public) => "looser",
            (_, Self::NotMapped) | (Self::Public, Self::Scopes(_)) => "stricter",
        }
    }

    fn words(&self) -> String {
        match self {
            Self::NotMapped => "405".to_owned(),
            Self::Public => "no key".to_owned(),
            // Closed sets: the last one of the config's order is not known here, so all are named.
            Self::Scopes(names) => names.iter().map(String::as_str).collect::<Vec<_>>().join("+"),
        }
    }
}
