//! Signed identity: which keys sign, for whom, under which header.

use std::{path::PathBuf, time::Duration};

use zeroize::Zeroizing;

use super::{answer::check_identity_name, header::is_field_value, range::duration, shown};
use crate::{
    assertion::{
        Assertions, HEADER,
        key::{KEYS_MAX, KeyProblem, SigningKey, SigningKeys},
    },
    config::{
        load::{Exposure, Folder, unreadable},
        model::IdentityHeaders,
        problem::Findings,
        raw::{
            File,
            http::HeaderName,
            text::{Switch, Text},
            upstream::Upstream,
        },
    },
    keys::credential::CredentialSources,
    yaml::{Field, OneOrMany},
};

/// The longest issuer or audience, in bytes: far more than a URL of a service has.
const NAME_BYTES_MAX: usize = 256;

/// The name of the header.
pub(super) fn header(
    raw: Option<&Field<Text<HeaderName>>>,
    identity: &IdentityHeaders,
    credentials: &CredentialSources,
    findings: &mut Findings<'_>,
) -> Box<str> {
    let Some(field) = raw else { return HEADER.into() };
    check_identity_name(field, credentials, findings);
    let name = &*field.0.0;
    if identity.names().any(|known| known.eq_ignore_ascii_case(name)) {
        let message = format!("an identity header has the name {} too", shown(field, name));
        findings.wrong(field.place(), message, "give each its own name");
    }
    name.into()
}

/// What is asserted, under `header`; `None` where nothing is, or something is wrong with it. `is_published`: whether any
/// listener tells the public keys.
pub(super) fn assertions(
    raw: &File,
    header: Option<Box<str>>,
    is_published: bool,
    folder: &Folder<'_>,
    findings: &mut Findings<'_>,
) -> Option<Assertions> {
    let audiences = raw.upstreams.iter().map(|(name, upstream)| audience(name, upstream, findings)).collect();
    let Some(assertion) = raw.assertion.as_deref() else {
        nothing_to_sign(raw, findings);
        return None;
    };
    check_name(&assertion.issuer, "issuer", findings);
    if !is_published {
        findings.warn(
            assertion.keys.place(),
            "the public keys are published nowhere: health and admin are null",
            "turn one of them on, or give the upstreams the keys in another way",
        );
    }
    let range = Duration::from_secs(10)..=Duration::from_mins(15);
    let lifetime = duration(assertion.lifetime.as_ref(), Duration::from_mins(1), range, findings);
    let is_strict = raw.strict_permissions.as_deref() == Some(&true);
    Some(Assertions {
        header: header?,
        issuer: assertion.issuer.as_str().into(),
        audiences,
        lifetime_seconds: u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX),
        keys: keys(&assertion.keys, is_strict, folder, findings)?,
    })
}

fn nothing_to_sign(raw: &File, findings: &mut Findings<'_>) {
    for (_, upstream) in raw.upstreams.iter() {
        if let Switch::On(assertion) = &upstream.assertion {
            findings.wrong(
                assertion.audience.place(),
                "the upstream has an audience, but nothing signs",
                "add assertion: {issuer: https://…, keys: assertion.pem} beside upstreams",
            );
        }
    }
}

/// Whom assertions to the upstream `name` are for.
fn audience(
    name: &Field<String>,
    upstream: &Field<Upstream>,
    findings: &mut Findings<'_>,
) -> Option<Box<str>> {
    match &upstream.assertion {
        Switch::Off => None,
        Switch::Unsaid => Some(name.as_str().into()),
        Switch::On(assertion) => {
            check_name(&assertion.audience, "audience", findings);
            Some(assertion.audience.as_str().into())
        }
    }
}

fn check_name(name: &Field<String>, what: &str, findings: &mut Findings<'_>) {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !is_field_value(name) {
        findings.wrong(
            name.place(),
            format!("the {what} is empty, longer than {NAME_BYTES_MAX} bytes, or holds control characters"),
            "write a URL such as https://keys.example.com, or a name",
        );
    }
}

/// The keys in the files, of which the first signs.
fn keys(
    raw: &Field<OneOrMany<Text<PathBuf>>>,
    is_strict: bool,
    folder: &Folder<'_>,
    findings: &mut Findings<'_>,
) -> Option<SigningKeys> {
    if raw.items.is_empty() || raw.items.len() > KEYS_MAX {
        let message = format!("the list must name 1 to {KEYS_MAX} keys");
        findings.wrong(raw.place(), message, KeyProblem::REMEDY);
        return None;
    }
    let mut keys: Vec<SigningKey> = Vec::new();
    for file in raw.iter() {
        let Some(key) = key(file, is_strict, folder, findings) else { continue };
        if keys.iter().any(|known| known.id() == key.id()) {
            findings.wrong(file.place(), "this key is listed twice", "remove one of them");
        }
        keys.push(key);
    }
    let others = keys.split_off(keys.len().min(1));
    keys.pop().map(|first| SigningKeys::new(first, &others))
}

fn key(
    file: &Field<Text<PathBuf>>,
    is_strict: bool,
    folder: &Folder<'_>,
    findings: &mut Findings<'_>,
) -> Option<SigningKey> {
    const PEM_BYTES_MAX: u64 = 64 << 10;
    let pem = match folder.read(&file.0, PEM_BYTES_MAX) {
        Ok(pem) => Zeroizing::new(pem),
        Err(error) => {
            let (message, remedy) = unreadable(&error);
            findings.wrong(file.place(), message, remedy);
            return None;
        }
    };
    judge_exposure((folder.surroundings.exposure)(&folder.path(&file.0)), file, is_strict, findings);
    SigningKey::from_pem(&pem)
        .map_err(|problem| findings.wrong(file.place(), problem.to_string(), KeyProblem::REMEDY))
        .ok()
}

fn judge_exposure(
    exposure: Option<Exposure>,
    file: &Field<Text<PathBuf>>,
    is_strict: bool,
    findings: &mut Findings<'_>,
) {
    let place = file.place();
    match exposure {
        None => {}
        Some(Exposure::Readable) => {
            findings.warn(place, "everybody on this machine may read this private key", "chmod o-r");
        }
        Some(Exposure::GroupWritable) if !is_strict => {
            findings.warn(place, "its group may write this private key", "chmod g-w");
        }
        Some(Exposure::GroupWritable) => {
            let remedy = "chmod g-w, or unset strict_permissions";
            findings.wrong(place, "its group may write this private key", remedy);
        }
        Some(Exposure::Replaceable) => findings.wrong(
            place,
            "others may put their own key in the place of this one",
            "chown it to root or to the user that keygate runs as, and chmod o-w",
        ),
    }
}
