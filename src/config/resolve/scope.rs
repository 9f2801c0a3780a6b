//! Scopes and what each role caps.

use super::shown;
use crate::{
    config::{problem::Findings, raw},
    keys::caps::RoleCaps,
    policy::{
        principal::Role,
        scope::{ScopeDefinition, ScopeSet, Scopes, ScopesError, is_reserved},
    },
    yaml::{Field, Map, Place, StringOr},
};

/// The scopes of the file; `None` if they are wrong, so that nothing that names one is wrong too.
pub(super) fn scopes(
    raw: Option<&Field<Map<Option<Field<raw::Scope>>>>>,
    findings: &mut Findings<'_>,
) -> Option<Scopes> {
    let Some(raw) = raw else { return Some(Scopes::default()) };
    if raw.entries.is_empty() {
        findings.wrong(
            raw.place(),
            "no scope is defined",
            "remove scopes: for read, write and admin, or define one",
        );
        return None;
    }
    let definitions: Vec<ScopeDefinition> =
        raw.iter().map(|(name, scope)| definition(name, scope.as_deref())).collect();
    if let Some((name, _)) = raw.iter().find(|(name, _)| name.as_str() == "all") {
        findings.wrong(
            name.place(),
            "\"all\" means every scope where roles are capped",
            "give the scope another name",
        );
    }
    match Scopes::build(&definitions) {
        Ok(scopes) => Some(scopes),
        Err(error) => {
            let remedy = match &error {
                ScopesError::TooMany(_) => "define fewer, and tell the rest apart by project".to_owned(),
                ScopesError::BadName(_) => {
                    "begin with a lower-case letter, then letters, digits, : . _ -".to_owned()
                }
                ScopesError::Reserved(_) => "give it another name".to_owned(),
                ScopesError::ReservedImplied { .. } => {
                    "remove it; a key gets keygate:manage by name, or not at all".to_owned()
                }
                ScopesError::Duplicate(_) => "remove one of them".to_owned(),
                ScopesError::UnknownImplied { implied, .. } => {
                    suggestion(implied, definitions.iter().map(|definition| definition.name.as_str()))
                }
                ScopesError::Cycle(_) => "let a scope imply only lesser ones".to_owned(),
            };
            let interpolated = raw.iter().filter_map(|(_, scope)| scope.as_ref());
            let interpolated =
                interpolated.flat_map(|scope| scope.implies.iter()).any(Field::is_interpolated);
            let message = if interpolated {
                "the scopes, some of them interpolated, cannot stand".into()
            } else {
                error.to_string()
            };
            findings.wrong(place_of(&error, raw), message, remedy);
            None
        }
    }
}

fn definition(name: &Field<String>, scope: Option<&raw::Scope>) -> ScopeDefinition {
    let implies = scope.iter().flat_map(|scope| scope.implies.iter()).map(|implied| implied.value().clone());
    ScopeDefinition { name: name.value().clone(), implies: implies.collect() }
}

fn place_of(error: &ScopesError, raw: &Field<Map<Option<Field<raw::Scope>>>>) -> Place {
    let entry = |wanted: &str| raw.iter().find(|(name, _)| name.as_str() == wanted);
    let name = |wanted: &str| entry(wanted).map(|(name, _)| name.place());
    match error {
        ScopesError::TooMany(_) => None,
        ScopesError::BadName(wanted)
        | ScopesError::Reserved(wanted)
        | ScopesError::Duplicate(wanted)
        | ScopesError::Cycle(wanted) => name(wanted),
        ScopesError::UnknownImplied { scope, implied } | ScopesError::ReservedImplied { scope, implied } => {
            entry(scope)
                .and_then(|(_, scope)| scope.as_ref())
                .and_then(|scope| scope.implies.iter().find(|name| name.value() == implied))
                .map(Field::place)
        }
    }
    .unwrap_or_else(|| raw.place())
}

/// The closure of the scope in `name`; one that is not defined is a problem, and gives nothing.
pub(super) fn scope(name: &Field<String>, scopes: &Scopes, findings: &mut Findings<'_>) -> ScopeSet {
    scopes.get(name).unwrap_or_else(|| {
        if is_reserved(name) {
            findings.wrong(
                name.place(),
                format!("the scope {} is Keygate's own", shown(name, name)),
                "name a scope of the API; keygate:manage opens the admin API, and nothing else",
            );
            return ScopeSet::EMPTY;
        }
        findings.wrong(
            name.place(),
            format!("the scope {} is not defined", shown(name, name)),
            suggestion(name, scopes.names(scopes.all())),
        );
        ScopeSet::EMPTY
    })
}

/// What each role caps.
pub(super) fn role_caps(
    raw: Option<&Field<raw::RoleCaps>>,
    scopes: &Scopes,
    scopes_place: Place,
    findings: &mut Findings<'_>,
) -> RoleCaps {
    let defaults = RoleCaps::defaults(scopes);
    let Some(raw) = raw else {
        return defaults.unwrap_or_else(|| {
            findings.wrong(
                scopes_place,
                "without the scopes read, write and admin nobody can guess what a role may do",
                "add role_caps: {owner: all, admin: all, member: [SCOPE], viewer: [SCOPE]}",
            );
            RoleCaps::new(|_| ScopeSet::EMPTY)
        });
    };
    let given = [
        (Role::Owner, &raw.owner),
        (Role::Admin, &raw.admin),
        (Role::Member, &raw.member),
        (Role::Viewer, &raw.viewer),
    ];
    let caps = given.map(|(role, given)| {
        let cap = match (given, &defaults) {
            (Some(given), _) => cap(given, scopes, findings),
            (None, Some(defaults)) => defaults.get(role),
            (None, None) => {
                findings.wrong(
                    raw.place(),
                    format!("the cap of the role {} is missing", role.as_str()),
                    format!("add {}: all, or a list of scopes", role.as_str()),
                );
                ScopeSet::EMPTY
            }
        };
        (role, cap)
    });
    RoleCaps::new(|role| {
        caps.iter().find(|(known, _)| *known == role).map_or(ScopeSet::EMPTY, |(_, cap)| *cap)
    })
}

fn cap(
    given: &Field<StringOr<Vec<Field<String>>>>,
    scopes: &Scopes,
    findings: &mut Findings<'_>,
) -> ScopeSet {
    match given.value() {
        StringOr::String(text) if text == "all" => scopes.all(),
        StringOr::String(name) => scopes.get(name).unwrap_or_else(|| {
            findings.wrong(
                given.place(),
                "the cap of a role is neither all nor a scope",
                "write all, or a list of scopes such as [read]",
            );
            ScopeSet::EMPTY
        }),
        StringOr::Other(names) => {
            names.iter().fold(ScopeSet::EMPTY, |cap, name| cap.union(scope(name, scopes, findings)))
        }
    }
}

/// "did you mean …?" if one of `known` is near `name`, else all of them.
pub(super) fn suggestion<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> String {
    const LISTED_MAX: usize = 12;
    let known: Vec<&str> = known.collect();
    let near = known
        .iter()
        .filter(|_| name.len() <= 64)
        .map(|candidate| {
            (strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase()), candidate)
        })
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(name.len()) / 4)
        .min_by_key(|(distance, _)| *distance);
    match near {
        Some((_, candidate)) if !name.is_empty() => format!("did you mean {candidate}?"),
        _ if known.is_empty() => "none is defined".into(),
        _ => {
            let more = if known.len() > LISTED_MAX { ", …" } else { "" };
            format!("known: {}{more}", known[..known.len().min(LISTED_MAX)].join(", "))
        }
    }
}
