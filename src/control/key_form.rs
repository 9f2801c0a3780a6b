//! A key as somebody asks for it: text as it was typed, read field by field, so that everything that is wrong is told
//! where it stands.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use jiff::Timestamp;

use super::{
    administration::Refusal,
    key_admin::{KeyUpdate, NewKey},
    term,
};
use crate::{
    keys::{
        record::{ADDRESSES_MAX, Name, OrganizationId, PersonId, PlanName, TextError},
        secret::Environment,
    },
    policy::project::ProjectSet,
};

/// A key that shall be made, as it was typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyForm {
    /// What people shall call it.
    pub name: String,
    /// For machines.
    pub labels: BTreeMap<String, String>,
    /// A person; empty: whoever asks.
    pub owner: String,
    /// An organization; empty: the owner's, or the only one.
    pub organization: String,
    /// Names of scopes.
    pub scopes: Vec<String>,
    /// Projects; `None`: all.
    pub projects: Option<Vec<String>>,
    /// `live` or `test`.
    pub environment: String,
    /// An instant or a day; empty: at once.
    pub not_before: String,
    /// `never`, a duration, an instant or a day.
    pub expires: String,
    /// Networks or addresses.
    pub addresses: Vec<String>,
    /// A plan; empty: what the config says of keys without one.
    pub plan: String,
}

impl KeyForm {
    /// The key, if every field makes sense by itself. Whether the key may be made is for `key_admin::create` to say.
    ///
    /// # Errors
    /// Everything that is wrong, each with its field.
    pub fn read(&self, now: Timestamp) -> Result<NewKey, Vec<Refusal>> {
        let mut fields = Fields::default();
        let name = fields.keep("name", text(&self.name, Name::parse));
        let labels = fields.keep("labels", labels(&self.labels));
        let owner = fields.keep("owner", optional(&self.owner, PersonId::parse));
        let organization = fields.keep("organization", optional(&self.organization, OrganizationId::parse));
        let scopes = fields.keep("scopes", scopes(&self.scopes));
        let projects = fields.keep("projects", projects(self.projects.as_deref()));
        let environment = fields.keep("environment", environment(&self.environment));
        let not_before = fields.keep("not_before", not_before(&self.not_before));
        let expires_at = fields.keep("expires", term::expiry(self.expires.trim(), now));
        let addresses = fields.keep("addresses", addresses(&self.addresses));
        let plan = fields.keep("plan", optional(&self.plan, PlanName::parse));
        let new = || {
            Some(NewKey {
                name: name?,
                labels: labels?,
                owner: owner?,
                organization: organization?,
                scopes: scopes?,
                projects: projects?,
                environment: environment?,
                not_before: not_before?,
                expires_at: expires_at?,
                addresses: addresses?,
                plan: plan?,
            })
        };
        new().ok_or(fields.wrong)
    }
}

/// What of a key shall be another, as it was typed; `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyUpdateForm {
    /// The name.
    pub name: Option<String>,
    /// All labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// Names of all scopes.
    pub scopes: Option<Vec<String>>,
    /// All projects.
    pub projects: Option<Vec<String>>,
    /// A duration, an instant or a day.
    pub expires: Option<String>,
    /// All networks or addresses.
    pub addresses: Option<Vec<String>>,
    /// The plan; empty: what the config says of keys without one.
    pub plan: Option<String>,
}

impl KeyUpdateForm {
    /// What shall be another, if every field makes sense by itself.
    ///
    /// # Errors
    /// Everything that is wrong, each with its field.
    pub fn read(&self, now: Timestamp) -> Result<KeyUpdate, Vec<Refusal>> {
        let mut fields = Fields::default();
        let update = KeyUpdate {
            name: fields.given("name", self.name.as_ref(), |name| text(name, Name::parse)),
            labels: fields.given("labels", self.labels.as_ref(), labels),
            scopes: fields.given("scopes", self.scopes.as_ref(), |names| scopes(names)),
            projects: fields.given("projects", self.projects.as_ref(), |ids| projects(Some(ids))),
            expires_at: fields.given("expires", self.expires.as_ref(), |text| sooner(text, now)),
            addresses: fields.given("addresses", self.addresses.as_ref(), |listed| addresses(listed)),
            plan: fields.given("plan", self.plan.as_ref(), |plan| optional(plan, PlanName::parse)),
        };
        if fields.wrong.is_empty() { Ok(update) } else { Err(fields.wrong) }
    }
}

/// What is wrong so far.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) wrong: Vec<Refusal>,
}

impl Fields {
    pub(super) fn keep<T>(&mut self, field: &'static str, read: Result<T, String>) -> Option<T> {
        read.map_err(|reason| self.wrong.push(Refusal::of(field, reason))).ok()
    }

    pub(super) fn given<'t, T, U>(
        &mut self,
        field: &'static str,
        typed: Option<&'t T>,
        read: impl FnOnce(&'t T) -> Result<U, String>,
    ) -> Option<U> {
        self.keep(field, read(typed?))
    }
}

pub(super) fn text<T>(typed: &str, parse: impl FnOnce(&str) -> Result<T, TextError>) -> Result<T, String> {
    parse(typed.trim()).map_err(|error| error.to_string())
}

pub(super) fn optional<T>(
    typed: &str,
    parse: impl FnOnce(&str) -> Result<T, TextError>,
) -> Result<Option<T>, String> {
    if typed.trim().is_empty() { Ok(None) } else { text(typed, parse).map(Some) }
}

fn labels(typed: &BTreeMap<String, String>) -> Result<BTreeMap<Name, Name>, String> {
    typed.iter().map(|(name, value)| Ok((text(name, Name::parse)?, text(value, Name::parse)?))).collect()
}

fn scopes(typed: &[String]) -> Result<Vec<String>, String> {
    if typed.is_empty() {
        return Err("choose at least one scope; a key without any is refused everywhere".to_owned());
    }
    Ok(typed.to_vec())
}

pub(super) fn projects(typed: Option<&[String]>) -> Result<ProjectSet, String> {
    match typed {
        None => Ok(ProjectSet::All),
        Some([]) => Err("choose at least one project, or all".to_owned()),
        Some(ids) => Ok(ProjectSet::only(ids.iter().map(|id| id.trim()))),
    }
}

fn environment(typed: &str) -> Result<Environment, String> {
    match typed {
        "" => Ok(Environment::default()),
        name => Environment::from_name(name).ok_or_else(|| "must be live or test".to_owned()),
    }
}

fn not_before(typed: &str) -> Result<Option<Timestamp>, String> {
    if typed.trim().is_empty() { Ok(None) } else { term::instant(typed.trim()).map(Some) }
}

fn sooner(typed: &str, now: Timestamp) -> Result<Timestamp, String> {
    term::expiry(typed.trim(), now)?.ok_or_else(|| "a key can only get less: give a time".to_owned())
}

fn addresses(typed: &[String]) -> Result<Vec<IpNet>, String> {
    if typed.len() > ADDRESSES_MAX {
        return Err(format!("at most {ADDRESSES_MAX} networks"));
    }
    typed.iter().map(|network| address(network.trim())).collect()
}

fn address(typed: &str) -> Result<IpNet, String> {
    let network = typed.parse().or_else(|_| typed.parse::<IpAddr>().map(IpNet::from));
    let network: IpNet = network
        .map_err(|_| "this is no network; write it like 192.0.2.0/24, or a single address".to_owned())?;
    if network.addr() == network.network() {
        return Ok(network);
    }
    Err(format!("this has bits set after its prefix; write {}", network.trunc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> KeyForm {
        KeyForm {
            name: " GitHub Actions ".into(),
            scopes: vec!["read".into()],
            expires: "30d".into(),
            ..KeyForm::default()
        }
    }

    fn wrong_fields(form: &KeyForm) -> Vec<&'static str> {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        form.read(now).err().unwrap_or_default().iter().filter_map(|refusal| refusal.field).collect()
    }

    #[test]
    fn everything_wrong_is_told_with_its_field() {
        let list = |text: &str| vec![text.to_owned()];
        for (form, wrong) in [
            (form(), &[][..]),
            (KeyForm { name: String::new(), expires: "yesterday".into(), ..form() }, &["name", "expires"]),
            (KeyForm { owner: "a,b".into(), scopes: Vec::new(), ..form() }, &["owner", "scopes"]),
            (
                KeyForm { projects: Some(Vec::new()), environment: "prod".into(), ..form() },
                &["projects", "environment"],
            ),
            (
                KeyForm { not_before: "soon".into(), expires: "2020-01-01".into(), ..form() },
                &["expires", "not_before"],
            ),
            (KeyForm { addresses: list("10.0.0.1/8"), ..form() }, &["addresses"]),
            (KeyForm { addresses: list("10.0.0.1"), expires: "never".into(), ..form() }, &[]),
            (KeyForm { plan: "gold!".into(), ..form() }, &["plan"]),
            (KeyForm { labels: [(String::new(), "x".to_owned())].into(), ..form() }, &["labels"]),
        ] {
            let mut found = wrong_fields(&form);
            found.sort_unstable();
            let mut wrong = wrong.to_vec();
            wrong.sort_unstable();
            assert_eq!(found, wrong, "{form:?}");
        }
    }

    #[test]
    fn an_update_says_only_what_shall_be_another() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        assert_eq!(KeyUpdateForm::default().read(now).unwrap(), KeyUpdate::default());
        let never = KeyUpdateForm { expires: Some("never".into()), ..KeyUpdateForm::default() };
        assert_eq!(never.read(now).unwrap_err()[0].field, Some("expires"));
    }
}
