//! A deployment of many keys, for counting what one decision costs; shared with the benches.
#![allow(dead_code, reason = "shared by a test and two benches, each of which uses some of it")]

use std::{num::NonZeroUsize, path::Path};

use jiff::Timestamp;
use keygate::{
    config::{self, Surroundings, model::Config},
    keys::{
        digest::KeyDigest,
        record::{Email, KeyId, KeyRecord, Name, Organization, Person, PersonId},
        snapshot::KeySnapshot,
    },
    policy::{principal::Role, project::ProjectSet},
};

const PEOPLE: usize = 100;
const PROJECTS: usize = 50;

/// The routes of the reference, with one upstream.
const CONFIG: &str = "
version: 1
listen: {address: 127.0.0.1:8080}
upstreams: {api: {url: http://127.0.0.1:9000}}
keys: {file: keys.yaml}
routes:
  - {path: /healthz, access: public}
  - {path: /api/v1/projects, methods: {GET: read, POST: admin}, restricted_keys: [GET]}
  - {path: '/api/v1/projects/{project}', project: 'path:project', methods: {GET: read, PATCH: write, DELETE: admin}}
  - {path: '/api/v1/projects/{project}/{*rest}', project: 'path:project', methods: {GET: read, '*': write}}
";

/// The config that [`snapshot`] is built for.
pub(crate) fn config() -> Config {
    config_with("")
}

/// As [`config`], where every key has a limit that is never reached.
pub(crate) fn config_with_limits() -> Config {
    config_with("limits: {plans: {pro: {rate: 1000000/s, concurrent: 1000000}}, default: pro}\n")
}

fn config_with(more: &str) -> Config {
    let surroundings = Surroundings {
        variable: &|_| None,
        read: &|_, _| Err(std::io::ErrorKind::NotFound.into()),
        exposure: &|_| None,
        via: "keygate-test",
        cores: NonZeroUsize::MIN,
    };
    let text = format!("{CONFIG}{more}");
    good(config::parse(Path::new("keygate.yaml"), text.as_bytes(), &surroundings).result)
}

/// The secret of the key `number`: 48 bytes, as long as one of ours.
pub(crate) fn secret(number: usize) -> String {
    format!("kg_live_{number:040}")
}

/// The project that the key `number` may see.
pub(crate) fn project(number: usize) -> String {
    format!("project{}", number % PROJECTS)
}

/// `count` keys of 100 people, each for one project, with names of 24 bytes.
pub(crate) fn snapshot(config: &Config, count: usize) -> KeySnapshot {
    let people: Vec<_> = (0..PEOPLE).map(person).collect();
    let records: Vec<_> = (0..count).map(record).collect();
    good(KeySnapshot::build(&records, &people, &[] as &[Organization], &config.key_policy()))
}

fn person(number: usize) -> Person {
    Person {
        id: good(PersonId::parse(&format!("person{number}"))),
        email: good(Email::parse(&format!("person{number}@example.com"))),
        name: None,
        organization: None,
        role: Role::Member,
        projects: ProjectSet::All,
        disabled: false,
    }
}

fn record(number: usize) -> KeyRecord {
    KeyRecord {
        name: Some(good(Name::parse(&format!("deploy bot number {number:06}")[..24]))),
        owner: Some(good(PersonId::parse(&format!("person{}", number % PEOPLE)))),
        scopes: vec!["write".to_owned()],
        projects: ProjectSet::only([project(number)]),
        expires_at: Timestamp::from_second(4_102_444_800).ok(),
        ..KeyRecord::new(
            good(KeyId::generate(Timestamp::UNIX_EPOCH)),
            KeyDigest::of(secret(number).as_bytes()),
        )
    }
}

fn good<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| unreachable!("the deployment of the tests is right: {error:?}"))
}
