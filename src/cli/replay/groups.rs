//! What became of the requests of a log, in groups of which there are never more than so many, however long the log.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use serde::Serialize;

use super::{
    log_line::{LogLine, Recorded, Sent},
    shape::shape,
};
use crate::{
    gate::Denial,
    policy::{
        decide::Permit,
        scope::{ScopeSet, Scopes},
    },
};

/// Groups of each kind.
const GROUPS_MAX: usize = 1_000;
/// Clients of each group; more are only told to be more.
const GROUP_CLIENTS_MAX: usize = 50;
/// Clients that are told one by one.
const CLIENTS_MAX: usize = 10_000;
/// More of a method, or of the name of a client or key, is not kept.
const NAME_BYTES_MAX: usize = 64;

/// Where a line stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The number of the log among those that were given.
    pub(super) log: usize,
    /// From 1.
    pub(super) line: u64,
}

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    requests: u64,
    without_host: u64,
    unreadable: u64,
    first_unreadable: Option<Place>,
    keyless: u64,
    refused: Bounded<RefusedKey, Group>,
    needed: Bounded<NeededKey, Group>,
    observed: Bounded<ObservedKey, Group>,
    clients: Bounded<String, ClientNeeds>,
}

/// A map that takes so many keys and counts what comes after.
#[derive(Debug)]
struct Bounded<K, V> {
    entries: BTreeMap<K, V>,
    dropped: u64,
}

impl<K, V> Default for Bounded<K, V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), dropped: 0 }
    }
}

impl<K: Ord, V> Bounded<K, V> {
    fn change(&mut self, key: K, most: usize, new: impl FnOnce() -> V, change: impl FnOnce(&mut V)) {
        if let Some(known) = self.entries.get_mut(&key) {
            change(known);
        } else if self.entries.len() < most {
            change(self.entries.entry(key).or_insert_with(new));
        } else {
            self.dropped += 1;
        }
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct RefusedKey {
    status: u16,
    code: &'static str,
    method: String,
    path: String,
    because: String,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct NeededKey {
    route: String,
    method: String,
    scopes: Vec<String>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ObservedKey {
    code: &'static str,
    status: u16,
    method: String,
    route: String,
}

#[derive(Debug)]
struct Group {
    requests: u64,
    answered: u64,
    clients: BTreeSet<String>,
    more_clients: bool,
    key_ids: BTreeSet<String>,
    first: Place,
}

#[derive(Debug, Default)]
struct ClientNeeds {
    requests: u64,
    scopes: ScopeSet,
}

impl Group {
    fn new(first: Place) -> Self {
        Self {
            requests: 0,
            answered: 0,
            clients: BTreeSet::new(),
            more_clients: false,
            key_ids: BTreeSet::new(),
            first,
        }
    }

    fn add(&mut self, line: &LogLine<'_>) {
        self.requests += 1;
        self.answered += u64::from(is_answered(line));
        if let Some(client) = &line.client {
            self.more_clients |= !keep(&mut self.clients, client);
        }
    }
}

/// Whether `name` is in `names`, now.
fn keep(names: &mut BTreeSet<String>, name: &str) -> bool {
    let name = bounded(name);
    names.contains(&name) || (names.len() < GROUP_CLIENTS_MAX && names.insert(name))
}

/// Whether the API did what was asked; what it has refused itself is no loss.
fn is_answered(line: &LogLine<'_>) -> bool {
    line.status.is_none_or(|status| status < 400)
}

fn bounded(name: &str) -> String {
    name[..name.floor_char_boundary(NAME_BYTES_MAX)].to_owned()
}

fn names(scopes: &Scopes, set: ScopeSet) -> Vec<String> {
    scopes.least_names(set).map(str::to_owned).collect()
}

/// The method where it looks like one.
fn method_of(line: &LogLine<'_>) -> String {
    match &line.sent {
        Sent::Request { method, .. } if method.len() <= 16 && method.iter().all(u8::is_ascii_alphabetic) => {
            String::from_utf8_lossy(method).into_owned()
        }
        Sent::Request { .. } | Sent::Nothing => "-".to_owned(),
    }
}

impl Replayed {
    /// A line that is none of an access log.
    pub(super) fn unreadable(&mut self, place: Place) {
        self.unreadable += 1;
        self.first_unreadable.get_or_insert(place);
    }

    /// A line of an access log.
    pub(super) fn count(&mut self, line: &LogLine<'_>, has_default_host: bool) {
        self.requests += 1;
        self.without_host += u64::from(line.host.is_none() && !has_default_host);
    }

    /// A request that every key would be refused.
    pub(super) fn refused(
        &mut self,
        denial: &Denial<'_>,
        because: &str,
        pattern: Option<&str>,
        line: &LogLine<'_>,
        place: Place,
    ) {
        // Of what has no one reading, the path says nothing that the reason does not.
        let path = match (&line.sent, pattern) {
            (_, Some(pattern)) => pattern.to_owned(),
            (Sent::Request { target, .. }, None) if denial.row > 2 => shape(target),
            (Sent::Request { .. } | Sent::Nothing, None) => "-".to_owned(),
        };
        let key = RefusedKey {
            status: denial.reason.status(),
            code: denial.reason.code(),
            method: method_of(line),
            path,
            because: because.to_owned(),
        };
        self.refused.change(key, GROUPS_MAX, || Group::new(place), |group| group.add(line));
    }

    /// A request that some key is permitted; `None`: it is answered by the gateway itself.
    pub(super) fn permitted(
        &mut self,
        permit: Option<&Permit<'_, '_>>,
        scopes: &Scopes,
        line: &LogLine<'_>,
        place: Place,
    ) {
        let Some(permit) = permit.filter(|permit| permit.principal().is_some()) else {
            self.keyless += 1;
            return;
        };
        let needed = permit.needs().scopes;
        let key = NeededKey {
            route: permit.route().pattern.clone(),
            method: method_of(line),
            scopes: names(scopes, needed),
        };
        self.needed.change(key, GROUPS_MAX, || Group::new(place), |group| group.add(line));
        if let Some(client) = line.client.as_deref().filter(|_| is_answered(line)) {
            self.clients.change(bounded(client), CLIENTS_MAX, ClientNeeds::default, |needs| {
                needs.requests += 1;
                needs.scopes = needs.scopes.union(needed);
            });
        }
    }

    /// A request that a gateway has let through although it would have refused it.
    pub(super) fn recorded(&mut self, recorded: &Recorded<'_>, line: &LogLine<'_>, place: Place) {
        let key = ObservedKey {
            code: recorded.reason.code(),
            status: recorded.reason.status(),
            method: method_of(line),
            route: recorded.route[..recorded.route.floor_char_boundary(256)].to_owned(),
        };
        self.observed.change(
            key,
            GROUPS_MAX,
            || Group::new(place),
            |group| {
                group.add(line);
                if let Some(key_id) = &recorded.key_id {
                    keep(&mut group.key_ids, key_id);
                }
            },
        );
    }

    /// All of it, the largest groups first.
    pub(super) fn report(self, logs: &[PathBuf], scopes: &Scopes) -> Report {
        let shown = |place: Place| {
            let log = logs.get(place.log).map(|log| log.display().to_string()).unwrap_or_default();
            format!("{log}:{}", place.line)
        };
        let tally = |group: &Group| Tally {
            requests: group.requests,
            answered: group.answered,
            clients: group.clients.iter().cloned().collect(),
            more_clients: group.more_clients,
            first: shown(group.first),
        };
        let mut refused: Vec<_> = (self.refused.entries.into_iter())
            .map(|(key, group)| RefusedGroup {
                status: key.status,
                code: key.code,
                method: key.method,
                path: key.path,
                because: key.because,
                answered: group.answered,
                tally: tally(&group),
            })
            .collect();
        refused.sort_by_key(|group| std::cmp::Reverse((group.answered, group.tally.requests)));
        let mut needed: Vec<_> = (self.needed.entries.into_iter())
            .map(|(key, group)| NeededGroup {
                route: key.route,
                method: key.method,
                scopes: key.scopes,
                tally: tally(&group),
            })
            .collect();
        needed.sort_by_key(|group| std::cmp::Reverse(group.tally.requests));
        let mut observed: Vec<_> = (self.observed.entries.into_iter())
            .map(|(key, group)| ObservedGroup {
                status: key.status,
                code: key.code,
                method: key.method,
                route: key.route,
                key_ids: group.key_ids.iter().cloned().collect(),
                tally: tally(&group),
            })
            .collect();
        observed.sort_by_key(|group| std::cmp::Reverse(group.tally.requests));
        let mut clients: Vec<_> = (self.clients.entries.into_iter())
            .map(|(client, needs)| ClientRow {
                client,
                requests: needs.requests,
                scopes: names(scopes, needs.scopes),
            })
            .collect();
        clients.sort_by_key(|client| std::cmp::Reverse(client.requests));
        Report {
            requests: self.requests,
            keyless: self.keyless,
            without_host: self.without_host,
            unreadable_lines: self.unreadable,
            first_unreadable: self.first_unreadable.map(shown),
            refused,
            needed,
            observed,
            clients,
            not_grouped: NotGrouped {
                refused: self.refused.dropped,
                needed: self.needed.dropped,
                observed: self.observed.dropped,
                clients: self.clients.dropped,
            },
        }
    }
}

/// The answer for programs.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Lines that are requests.
    pub(super) requests: u64,
    /// Of these, what needs no key.
    pub(super) keyless: u64,
    /// Requests whose line names no host.
    pub(super) without_host: u64,
    /// Lines that are none of an access log.
    pub(super) unreadable_lines: u64,
    pub(super) first_unreadable: Option<String>,
    /// What every key would be refused.
    pub(super) refused: Vec<RefusedGroup>,
    /// What a key is needed for.
    pub(super) needed: Vec<NeededGroup>,
    /// What routes that observe have recorded.
    pub(super) observed: Vec<ObservedGroup>,
    /// What each client has needed and got.
    pub(super) clients: Vec<ClientRow>,
    /// Requests beyond the groups that are kept.
    pub(super) not_grouped: NotGrouped,
}

/// How many requests a group has, and whose.
#[derive(Debug, Serialize)]
pub(super) struct Tally {
    pub(super) requests: u64,
    /// Those that the API has answered with a status below 400, or with one that the line does not tell.
    pub(super) answered: u64,
    pub(super) clients: Vec<String>,
    /// Whether there are clients that are not told.
    pub(super) more_clients: bool,
    /// Where the first one stands.
    pub(super) first: String,
}

#[derive(Debug, Serialize)]
pub(super) struct RefusedGroup {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) method: String,
    /// The pattern of the route, or the shape of the path where there is none.
    pub(super) path: String,
    pub(super) because: String,
    #[serde(skip)]
    pub(super) answered: u64,
    #[serde(flatten)]
    pub(super) tally: Tally,
}

#[derive(Debug, Serialize)]
pub(super) struct NeededGroup {
    pub(super) route: String,
    pub(super) method: String,
    pub(super) scopes: Vec<String>,
    #[serde(flatten)]
    pub(super) tally: Tally,
}

#[derive(Debug, Serialize)]
pub(super) struct ObservedGroup {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) method: String,
    pub(super) route: String,
    pub(super) key_ids: Vec<String>,
    #[serde(flatten)]
    pub(super) tally: Tally,
}

#[derive(Debug, Serialize)]
pub(super) struct ClientRow {
    pub(super) client: String,
    pub(super) requests: u64,
    pub(super) scopes: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct NotGrouped {
    pub(super) refused: u64,
    pub(super) needed: u64,
    pub(super) observed: u64,
    pub(super) clients: u64,
}

#[cfg(test)]
mod tests {
    use super::{super::Format, *};

    #[test]
    fn groups_and_clients_are_bounded_and_the_rest_is_counted() {
        let mut replayed = Replayed::default();
        let denial = Denial::outside_table(crate::policy::reason::Reason::NotFound, "no");
        let denial = Denial { row: 9, ..denial };
        for number in 0..3_000u32 {
            let (high, low) = (number / 250, number % 250);
            let word = letters(number);
            let line = format!("10.0.{high}.{low} - - [t] \"GET /word{word} HTTP/1.1\" 200 0");
            let line = LogLine::parse(line.as_bytes(), Format::Auto).unwrap();
            replayed.count(&line, false);
            replayed.refused(&denial, "no", None, &line, Place { log: 0, line: u64::from(number) + 1 });
        }
        for number in 0..100u32 {
            let line = format!("10.1.0.{number} - - [t] \"GET /same HTTP/1.1\" 404 0");
            let line = LogLine::parse(line.as_bytes(), Format::Auto).unwrap();
            replayed.refused(&denial, "no", Some("/same"), &line, Place { log: 0, line: 1 });
        }
        let report = replayed.report(&["a.log".into()], &Scopes::default());
        assert_eq!(report.refused.len(), GROUPS_MAX);
        assert_eq!(report.not_grouped.refused, 2_100);
        assert!(report.refused.iter().all(|group| group.tally.clients.len() <= GROUP_CLIENTS_MAX));
        assert_eq!(report.refused[0].tally.first, "a.log:1");
    }

    fn letters(number: u32) -> String {
        number.to_string().bytes().map(|digit| (digit - b'0' + b'a') as char).collect()
    }
}
