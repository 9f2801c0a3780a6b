//! From what is written to what is meant: checks what no single value can tell, and fills in the defaults.

mod admin;
mod answer;
mod assertion;
mod doubt;
mod header;
mod limits;
mod listen;
mod possession;
mod range;
mod route;
mod scope;
mod upstream;

use std::{num::NonZeroUsize, path::Path, sync::Arc, time::Duration};

use self::possession::{Keeps, possession};
pub use self::upstream::is_link_local;
use super::{
    address::ListenAddress,
    load::{Folder, WORKERS_MAX},
    model::{Config, DatabaseSource, KeyCreation, KeySource, Shutdown, Staleness, Streams},
    problem::Findings,
    raw::{
        self, File,
        answer::IncomingTrace,
        http::HeaderName,
        text::{Text, quoted},
    },
};
use crate::{
    gate::Policy,
    keys::{
        credential::{CredentialSources, CredentialSourcesError},
        secret::Brand,
    },
    policy::fold::ManagedNames,
    store::{
        contract::WhenStale,
        database_url::{DatabaseUrl, PostgresUrl},
    },
    yaml::{Field, OneOrMany, StringOr},
};

/// The configuration that `raw` means; relative paths start at `folder`. `None` if anything in `findings` is wrong.
pub(super) fn resolve(raw: &File, folder: &Folder<'_>, findings: &mut Findings<'_>) -> Option<Config> {
    let listeners = listen::listeners(&raw.listen, raw.doors.as_ref(), folder, findings);
    let health = listen::health(&raw.health, &listeners, findings);
    let admin = admin::admin(&raw.admin, &listeners, health, folder, findings);

    let keys = keys(&raw.keys, folder, findings);
    let possession = {
        let health = health.map(ListenAddress::Tcp);
        let addresses = listeners.iter().map(|listener| &listener.address);
        let taken = addresses.chain(&health).chain(admin.as_ref().map(|admin| &admin.address));
        let keeps = Keeps::of(raw.state.is_some(), keys.as_ref());
        possession(raw.revocation_by_possession.as_ref(), taken, keeps, folder, findings)
    };

    let credentials = credentials(raw.credential.as_ref(), findings);
    let identity = answer::identity_headers(raw.identity_headers.as_ref(), &credentials, findings);
    let assertion_header = raw
        .assertion
        .as_deref()
        .map(|raw| assertion::header(raw.header.as_ref(), &identity, &credentials, findings));
    let identity_names = header::managed_names(identity.names().chain(assertion_header.as_deref()));
    credentials_are_not_identity(raw.credential.as_ref(), findings);
    let upstreams = upstream::upstreams(&raw.upstreams, folder, &identity_names, findings);

    let is_published = health.is_some() || admin.is_some();
    let assertions = assertion::assertions(raw, assertion_header, is_published, folder, findings);
    let scopes = scope::scopes(raw.scopes.as_ref(), findings);
    let scopes_place = raw.scopes.as_ref().map(Field::place).unwrap_or_default();
    let role_caps = scopes
        .as_ref()
        .map(|scopes| scope::role_caps(raw.role_caps.as_ref(), scopes, scopes_place, findings));

    let plans = limits::plans(raw.limits.as_deref(), findings);
    let failed_attempts = limits::failed_attempts(raw.limits.as_deref(), findings);

    let cors = raw.cors.as_ref().map(|cors| answer::cors(cors, findings));
    let known = route::Surroundings { scopes: scopes.as_ref(), upstreams: &upstreams, cors: cors.as_ref() };
    let routes = route::routes(&raw.routes, known, findings);
    if let Some((table, forwardings)) = &routes {
        doubt::routes(&raw.routes, table.routes(), findings);
        doubt::unused_upstreams(&raw.upstreams, &upstreams, forwardings, findings);
    }

    let brand = brand(raw);
    let error_templates = answer::error_templates(raw.errors.as_ref(), findings);
    let access_log = answer::access_log(raw.access_log.as_deref(), folder, findings);
    let shutdown = shutdown(raw.shutdown.as_deref(), findings);
    let streams = streams(raw.streams.as_ref(), findings);
    let poll_range = Duration::from_secs(1)..=Duration::from_hours(1);
    let poll = range::duration(raw.poll.as_ref(), Duration::from_secs(10), poll_range, findings);
    let staleness = staleness(raw.staleness.as_deref(), findings);
    let workers = workers(raw.workers.as_ref(), folder, findings);
    let forwarded_headers = forwarded_headers(&raw.forward_headers, &identity_names, findings);

    let (routes, mut forwardings) = routes?;
    let mut cors = cors;
    if !plans.is_empty() {
        let own = forwardings.iter_mut().filter_map(|forwarding| forwarding.cors.as_mut());
        own.chain(cors.as_mut()).for_each(answer::expose_limits);
    }
    let config = Config {
        listeners: listeners.into_iter().map(Arc::new).collect(),
        health,
        admin,
        possession,
        upstreams,
        keys: keys?,
        state: raw.state.as_ref().map(|path| folder.path(path.value())),
        brand: brand.clone(),
        role_caps: role_caps?,
        policy: Policy {
            routes,
            scopes: scopes?,
            plans,
            credentials,
            identity_names,
            brand,
            hide_insufficient_scope: raw.insufficient_scope.as_deref()
                == Some(&raw::InsufficientScope::NotFound),
            via: folder.surroundings.via.into(),
        },
        forwardings,
        failed_attempts,
        identity,
        assertions,
        forwarded_headers,
        error_templates,
        cors,
        access_log,
        continue_traces: raw
            .tracing
            .as_ref()
            .and_then(|tracing| tracing.incoming.as_deref().copied())
            .unwrap_or_default()
            == IncomingTrace::Continue,
        shutdown,
        streams,
        staleness,
        key_creation: match raw.key_creation.as_deref() {
            None | Some(raw::KeyCreation::Admins) => KeyCreation::Admins,
            Some(raw::KeyCreation::Everyone) => KeyCreation::Everyone,
        },
        poll,
        strict_permissions: raw.strict_permissions.as_deref().copied().unwrap_or(false),
        workers,
    };
    (!findings.any_wrong()).then_some(config)
}

/// `text`, which is in `field`, as a message may show it: not if it may be a secret.
fn shown<T>(field: &Field<T>, text: &str) -> String {
    if field.is_interpolated() { "(interpolated)".into() } else { quoted(text) }
}

fn credentials(raw: Option<&Field<raw::CredentialFields>>, findings: &mut Findings<'_>) -> CredentialSources {
    let Some(raw) = raw else { return CredentialSources::default() };
    let names: Vec<&str> = raw.headers.iter().map(|name| &*name.0.0).collect();
    CredentialSources::new(&names).unwrap_or_else(|error| {
        let place_of = |wanted: &str| {
            let mut places =
                raw.headers.iter().filter(|name| name.0.0.eq_ignore_ascii_case(wanted)).map(Field::place);
            places.next_back()
        };
        let (place, remedy) = match &error {
            CredentialSourcesError::Count(_) => (None, "write headers: [authorization]"),
            CredentialSourcesError::BadName(name) => (place_of(name), "choose a name such as x-api-key"),
            CredentialSourcesError::Duplicate(name) => (place_of(name), "remove one of them"),
        };
        let interpolated = raw.headers.iter().any(Field::is_interpolated);
        let message = if interpolated {
            "the interpolated headers cannot carry a credential".to_owned()
        } else {
            error.to_string()
        };
        findings.wrong(place.unwrap_or_else(|| raw.headers.place()), message, remedy);
        CredentialSources::default()
    })
}

/// Every client copy of an identity header is removed, so none can bring a key.
fn credentials_are_not_identity(raw: Option<&Field<raw::CredentialFields>>, findings: &mut Findings<'_>) {
    // Those that were chosen in this file are told at their own place.
    let identity = header::managed_names(std::iter::empty());
    for name in raw.iter().flat_map(|raw| raw.headers.iter()) {
        if header::is_set_by_gateway(&name.0.0, &identity) {
            findings.wrong(
                name.place(),
                format!("{} is the gateway's to set and never taken from a client", shown(name, &name.0.0)),
                "choose a name such as x-api-key",
            );
        }
    }
}

fn forwarded_headers(
    raw: &OneOrMany<Text<HeaderName>>,
    identity: &ManagedNames,
    findings: &mut Findings<'_>,
) -> Vec<Box<str>> {
    for field in raw {
        let name = &*field.0.0;
        let named = shown(field, name);
        if !name.contains(['_', '.']) {
            findings.wrong(
                field.place(),
                format!("{named} is forwarded anyway"),
                "list only names with \"_\" or \".\"",
            );
        } else if header::is_set_by_gateway(name, identity) {
            findings.wrong(
                field.place(),
                format!("a back end may read {named} as a header that only the gateway sets"),
                "remove it, and let clients use another name",
            );
        }
    }
    raw.iter().map(|name| name.0.0.to_ascii_lowercase().into()).collect()
}

fn brand(raw: &File) -> Brand {
    let brand = raw.key_format.as_ref().and_then(|format| format.brand.as_ref());
    brand.map_or_else(Brand::default, |brand| brand.0.clone())
}

fn keys(raw: &Field<raw::Keys>, folder: &Folder<'_>, findings: &mut Findings<'_>) -> Option<KeySource> {
    let listen_url = listen_url(raw, findings);
    match (&raw.file, &raw.directory, &raw.database) {
        (Some(file), None, None) => Some(KeySource::File(folder.path(file.value()))),
        (None, Some(directory), None) => Some(KeySource::Directory(folder.path(directory.value()))),
        (None, None, Some(url)) => Some(KeySource::Database(DatabaseSource {
            url: url.0.clone().within(&folder.path(Path::new(""))),
            listen_url,
        })),
        (Some(_), Some(second), _) => {
            findings.wrong(
                second.place(),
                "keys come from a file and from a directory",
                "remove one of them",
            );
            None
        }
        (Some(_), None, Some(second)) => {
            findings.wrong(second.place(), "keys come from a file and from a database", "remove one of them");
            None
        }
        (None, Some(_), Some(second)) => {
            let problem = "keys come from a directory and from a database";
            findings.wrong(second.place(), problem, "remove one of them");
            None
        }
        (None, None, None) => {
            findings.wrong(raw.place(), "keys come from nowhere", "write keys: {file: keys.yaml}");
            None
        }
    }
}

fn listen_url(raw: &raw::Keys, findings: &mut Findings<'_>) -> Option<PostgresUrl> {
    let url = raw.listen_url.as_ref()?;
    match (&url.0, raw.database.as_deref().map(|database| &database.0)) {
        (DatabaseUrl::Postgres(url), Some(DatabaseUrl::Postgres(_))) => Some(url.clone()),
        (DatabaseUrl::Postgres(_) | DatabaseUrl::Sqlite(_), _) => {
            findings.wrong(
                url.place(),
                "listen_url is where a PostgreSQL database is reached directly",
                "give it beside database: postgres://… only, as postgres://… too",
            );
            None
        }
    }
}

fn staleness(raw: Option<&raw::Staleness>, findings: &mut Findings<'_>) -> Staleness {
    let range = Duration::from_secs(5)..=Duration::from_hours(24 * 30);
    Staleness {
        max: range::duration(raw.and_then(|raw| raw.max.as_ref()), Duration::from_mins(15), range, findings),
        then: match raw.and_then(|raw| raw.then.as_deref()) {
            None | Some(raw::WhenStale::Serve) => WhenStale::Serve,
            Some(raw::WhenStale::Reject) => WhenStale::Reject,
        },
    }
}

fn shutdown(raw: Option<&raw::Shutdown>, findings: &mut Findings<'_>) -> Shutdown {
    let [delay, deadline] =
        [raw.and_then(|raw| raw.delay.as_ref()), raw.and_then(|raw| raw.deadline.as_ref())];
    let range = Duration::ZERO..=Duration::from_hours(24);
    Shutdown {
        delay: range::duration(delay, Duration::ZERO, range.clone(), findings),
        deadline: range::duration(deadline, Duration::from_secs(30), range, findings),
    }
}

fn streams(raw: Option<&Field<StringOr<raw::Drain>>>, findings: &mut Findings<'_>) -> Streams {
    let Some(raw) = raw else { return Streams::Cut };
    match &**raw {
        StringOr::String(word) if word == "cut" => Streams::Cut,
        StringOr::String(word) if word == "keep" => Streams::Keep,
        StringOr::String(word) => {
            let message = format!("{} says nothing about streams", shown(raw, word));
            findings.wrong(
                raw.place(),
                message,
                "write streams: cut, streams: keep or streams: {drain: 30s}",
            );
            Streams::Cut
        }
        StringOr::Other(raw::Drain { drain }) => {
            let range = Duration::from_secs(1)..=Duration::from_hours(24);
            Streams::Drain(range::duration(Some(drain), Duration::ZERO, range, findings))
        }
    }
}

/// `KEYGATE_WORKERS`, else `workers`, else one per core.
fn workers(raw: Option<&Field<u64>>, folder: &Folder<'_>, findings: &mut Findings<'_>) -> NonZeroUsize {
    let cores = folder.surroundings.cores;
    let configured = range::count(raw, cores.get(), 1..=WORKERS_MAX as u64, findings);
    folder.workers.or(NonZeroUsize::new(configured)).unwrap_or(cores)
}
