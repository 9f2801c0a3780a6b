//! What clients, upstreams and operators get to see: CORS, bodies of refusals, identity headers, the access log.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use super::{
    header::{is_field_value, is_reserved},
    range::{count, duration},
    shown,
};
use crate::{
    assertion,
    config::{
        load::Folder,
        model::{
            AccessLog, AccessLogMode, AccessLogPath, Cors, ErrorTemplate, IdentityHeaders, TemplatePart,
        },
        problem::Findings,
        raw::{
            answer::{self, CorsRules, ErrorBody, IdentityNames, Preset},
            http::{ErrorStatus, HeaderName},
            scalar::LogDestination,
            text::{Switch, Text, Written, quoted},
        },
    },
    keys::credential::CredentialSources,
    policy::reason::Reason,
    yaml::{Field, Map, OneOrMany, StringOr},
};

/// Lets scripts read what tells them of the limits of their key (Fetch, "CORS-exposed header-name list").
pub(super) fn expose_limits(cors: &mut Cors) {
    for name in ["RateLimit", "RateLimit-Policy", "Retry-After"] {
        if !cors.expose.iter().any(|exposed| exposed.eq_ignore_ascii_case(name) || **exposed == *"*") {
            cors.expose.push(name.into());
        }
    }
}

/// The CORS rules in `raw`.
pub(super) fn cors(raw: &Field<CorsRules>, findings: &mut Findings<'_>) -> Cors {
    let credentials = raw.credentials.as_deref().copied().unwrap_or(false);
    let any_origin = raw.origins.iter().find(|origin| &*origin.0.0 == "*");
    if raw.origins.items.is_empty() {
        findings.wrong(raw.origins.place(), "no origin is given", "list origins, or remove cors");
    }
    if let (true, Some(origin)) = (credentials, any_origin) {
        findings.wrong(
            origin.place(),
            "origins '*' and credentials: true let every page act for whoever is signed in",
            "list the origins, or remove credentials",
        );
    }
    let names = |names: &OneOrMany<Text<HeaderName>>| names.iter().map(|name| name.0.0.clone()).collect();
    let max_age = duration(
        raw.max_age.as_ref(),
        Duration::from_mins(10),
        Duration::ZERO..=Duration::from_hours(24 * 365),
        findings,
    );
    Cors {
        origins: raw.origins.iter().map(|origin| origin.0.0.clone()).collect(),
        methods: raw.methods.iter().map(|method| method.0.0.clone()).collect(),
        headers: names(&raw.headers),
        expose: names(&raw.expose),
        credentials,
        max_age_seconds: u32::try_from(max_age.as_secs()).unwrap_or(u32::MAX),
    }
}

/// The templates of `errors`, by status.
pub(super) fn error_templates(
    raw: Option<&Field<Map<Field<StringOr<ErrorBody>>>>>,
    findings: &mut Findings<'_>,
) -> BTreeMap<Option<u16>, ErrorTemplate> {
    let mut templates = BTreeMap::new();
    for (name, body) in raw.iter().flat_map(|errors| errors.iter()) {
        let Some(status) = error_status(name, findings) else { continue };
        let template = template(body, findings);
        let status = match status {
            ErrorStatus::Default => None,
            ErrorStatus::Status(status) => Some(status),
        };
        let tells =
            template.parts.iter().any(|part| matches!(part, TemplatePart::Code | TemplatePart::Message));
        if status == Some(404) && tells {
            findings.wrong(
                body.place(),
                "the body of a 404 tells more than that nothing is there",
                "use {request_id} only, and write the rest out: all 404 are the same",
            );
        }
        templates.insert(status, template);
    }
    templates
}

/// What the entry `name` is for.
fn error_status(name: &Field<String>, findings: &mut Findings<'_>) -> Option<ErrorStatus> {
    let status = match ErrorStatus::read(name) {
        Ok(ErrorStatus::Default) => return Some(ErrorStatus::Default),
        Ok(ErrorStatus::Status(status)) => status,
        Err(_) => {
            findings.wrong(
                name.place(),
                format!("{} is no status of a refusal", quoted(name)),
                "write default, or a number such as 404",
            );
            return None;
        }
    };
    if Reason::ALL.iter().any(|reason| reason.status() == status) {
        return Some(ErrorStatus::Status(status));
    }
    let mut known: Vec<u16> = Reason::ALL.iter().map(|reason| reason.status()).collect();
    known.sort_unstable();
    known.dedup();
    let known = known.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    findings.wrong(name.place(), format!("no refusal has the status {status}"), format!("known: {known}"));
    None
}

fn template(raw: &Field<StringOr<ErrorBody>>, findings: &mut Findings<'_>) -> ErrorTemplate {
    const BODY_MAX: usize = 64 * 1024;
    let (body, place, content_type) = match raw.value() {
        StringOr::String(body) => (body, raw.place(), None),
        StringOr::Other(body) => (body.body.value(), body.body.place(), body.content_type.as_ref()),
    };
    if body.len() > BODY_MAX {
        findings.wrong(place, "the body is too large", "keep it below 64 KiB");
    }
    if let Some(content_type) = content_type
        && !(is_field_value(content_type) && content_type.contains('/'))
    {
        findings.wrong(content_type.place(), "this is no media type", "write one such as application/json");
    }
    ErrorTemplate {
        parts: template_parts(body),
        content_type: content_type.map_or("application/json", |text| text.as_str()).into(),
    }
}

/// `body` in pieces. Braces around anything else stand for themselves, for the body is often JSON.
fn template_parts(body: &str) -> Vec<TemplatePart> {
    const PLACES: [(&str, TemplatePart); 3] = [
        ("{code}", TemplatePart::Code),
        ("{message}", TemplatePart::Message),
        ("{request_id}", TemplatePart::RequestId),
    ];
    let mut parts = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let next = PLACES
            .iter()
            .filter_map(|(name, part)| Some((rest.find(name)?, name, part)))
            .min_by_key(|(at, ..)| *at);
        let Some((at, name, part)) = next else {
            parts.push(TemplatePart::Text(rest.into()));
            break;
        };
        if at > 0 {
            parts.push(TemplatePart::Text(rest[..at].into()));
        }
        parts.push(part.clone());
        rest = &rest[at + name.len()..];
    }
    parts
}

/// The names of the identity headers.
pub(super) fn identity_headers(
    raw: Option<&Field<answer::IdentityHeaders>>,
    credentials: &CredentialSources,
    findings: &mut Findings<'_>,
) -> IdentityHeaders {
    let preset = raw.and_then(|raw| raw.preset.as_deref()).copied().unwrap_or_default();
    let mut names = preset_names(preset);
    let nothing = IdentityNames::default();
    let given = raw.and_then(|raw| raw.names.as_deref()).unwrap_or(&nothing);
    let slots = [
        (&mut names.key_id, &given.key_id),
        (&mut names.key_name, &given.key_name),
        (&mut names.user, &given.user),
        (&mut names.email, &given.email),
        (&mut names.role, &given.role),
        (&mut names.organization, &given.organization),
        (&mut names.scopes, &given.scopes),
        (&mut names.projects, &given.projects),
        (&mut names.project, &given.project),
    ];
    let mut chosen: Vec<&Field<Text<HeaderName>>> = Vec::new();
    for (name, given) in slots {
        match given {
            Switch::Unsaid => {}
            Switch::Off => *name = None,
            Switch::On(field) => {
                check_identity_name(field, credentials, findings);
                if field.0.0.eq_ignore_ascii_case(assertion::HEADER) {
                    let message = format!("{} is for signed identity", shown(field, &field.0.0));
                    findings.wrong(field.place(), message, "choose another name, such as X-Api-User");
                }
                chosen.push(field);
                *name = Some(field.0.0.clone());
            }
        }
    }
    for field in chosen {
        let name = &*field.0.0;
        if names.names().filter(|known| known.eq_ignore_ascii_case(name)).count() > 1 {
            let message = format!("two identity headers have the name {}", shown(field, name));
            findings.wrong(field.place(), message, "give each its own name");
        }
    }
    names
}

/// Letters, digits and `-` only: what back ends read as the same must not be two names (`X_Auth_User`).
pub(super) fn check_identity_name(
    field: &Field<Text<HeaderName>>,
    credentials: &CredentialSources,
    findings: &mut Findings<'_>,
) {
    /// The last three are what doors and the proxies that ask there say to each other.
    const MEANS_SOMETHING_ELSE: [&str; 4] = ["content-", "x-keygate-", "x-original-", "x-envoy-"];
    let name = &*field.0.0;
    let named = shown(field, name);
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let standard =
        ["authorization", "proxy-authorization", "cookie", "accept", "user-agent", "date", "origin", "range"];
    let lower = name.to_ascii_lowercase();
    if !plain {
        findings.wrong(
            field.place(),
            format!("{named} cannot name an identity header"),
            "use letters, digits and \"-\" only, since back ends read \"_\" and \".\" as \"-\"",
        );
    } else if is_reserved(name)
        || standard.contains(&&*lower)
        || MEANS_SOMETHING_ELSE.iter().any(|prefix| lower.starts_with(prefix))
    {
        findings.wrong(
            field.place(),
            format!("{named} means something else than identity"),
            "choose a name of your own, such as X-Api-User",
        );
    } else if credentials.names().any(|source| source == lower) {
        findings.wrong(
            field.place(),
            format!("{named} carries the credential"),
            "choose another name, or remove it from credential.headers",
        );
    }
}

fn preset_names(preset: Preset) -> IdentityHeaders {
    let name = |name: &str| Some(name.into());
    let default = IdentityHeaders::default();
    match preset {
        Preset::Default => default,
        Preset::Kong => IdentityHeaders {
            key_id: name("X-Credential-Identifier"),
            user: name("X-Consumer-ID"),
            email: name("X-Consumer-Username"),
            scopes: name("X-Authenticated-Scope"),
            ..default
        },
        Preset::RemoteUser => IdentityHeaders {
            key_name: name("Remote-Name"),
            user: name("Remote-User"),
            email: name("Remote-Email"),
            role: name("Remote-Groups"),
            ..default
        },
    }
}

/// The access log.
pub(super) fn access_log(
    raw: Option<&answer::AccessLog>,
    folder: &Folder<'_>,
    findings: &mut Findings<'_>,
) -> AccessLog {
    let nothing = answer::AccessLog::default();
    let raw = raw.unwrap_or(&nothing);
    let mode = raw.mode.as_deref().copied().unwrap_or_default();
    let sample = count(raw.sample.as_ref(), 100, 1..=u64::from(u32::MAX), findings);
    if let (Some(sample), answer::AccessLogMode::Off | answer::AccessLogMode::All) = (&raw.sample, mode) {
        findings.wrong(
            sample.place(),
            "sample stands beside a mode that does not sample",
            "write mode: sampled, or remove sample",
        );
    }
    AccessLog {
        mode: match mode {
            answer::AccessLogMode::Off => AccessLogMode::Off,
            answer::AccessLogMode::All => AccessLogMode::All,
            answer::AccessLogMode::Sampled => {
                let one_in = u32::try_from(sample).ok().and_then(NonZeroU32::new);
                AccessLogMode::Sampled(one_in.unwrap_or(NonZeroU32::MIN))
            }
        },
        path: match raw.path.as_ref().map(|path| &path.0) {
            None | Some(LogDestination::Stdout) => AccessLogPath::Stdout,
            Some(LogDestination::Stderr) => AccessLogPath::Stderr,
            Some(LogDestination::File(path)) => AccessLogPath::File(folder.path(path)),
        },
    }
}
