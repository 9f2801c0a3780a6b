//! One row as a key.

use std::{collections::BTreeMap, str::FromStr};

use ipnet::IpNet;
use jiff::Timestamp;
use zeroize::Zeroizing;

use super::{
    ImportDefaults,
    rows::{Cell, Row},
};
use crate::{
    control::term,
    keys::{
        digest::KeyDigest,
        record::{KeyId, KeyRecord, Name, OrganizationId, PersonId, PlanName},
        secret::{ENTROPY_BITS_WANTED, KeySecret, SecretForm},
    },
    policy::project::ProjectSet,
};

/// Reads one row, and keeps everything that is wrong with it.
pub(super) struct RowReader<'r> {
    row: &'r Row,
    defaults: &'r ImportDefaults,
    now: Timestamp,
    reasons: Vec<String>,
}

impl<'r> RowReader<'r> {
    pub(super) fn new(row: &'r Row, defaults: &'r ImportDefaults, now: Timestamp) -> Self {
        Self { row, defaults, now, reasons: row.problems.clone() }
    }

    /// The key.
    ///
    /// # Errors
    /// Everything that is wrong with the row; never with a value of it.
    pub(super) fn key(mut self, warnings: &mut Vec<String>) -> Result<KeyRecord, Vec<String>> {
        if !self.reasons.is_empty() {
            return Err(self.reasons);
        }
        self.look_for_secrets();
        if self.row.cells.contains_key("revoked_at") {
            self.reasons.push(
                "the key is revoked; leave it out, so that it stays unknown, or import the whole key file, with `version`"
                    .to_owned(),
            );
        }
        let id = match self.parsed("id", |text| KeyId::parse(text).map_err(|error| error.to_string())) {
            Some(id) => Ok(id),
            None => KeyId::generate(self.now),
        };
        let (digest, prefix) = self.secret(warnings);
        let key = id.ok().zip(digest).map(|(id, digest)| KeyRecord {
            id,
            name: self.parsed("name", name),
            labels: self.labels(),
            organization: self.parsed("organization", |text| {
                OrganizationId::parse(text).map_err(|error| error.to_string())
            }),
            owner: self
                .parsed("owner", |text| PersonId::parse(text).map_err(|error| error.to_string()))
                .or_else(|| self.defaults.owner.clone()),
            digest,
            previous: None,
            prefix: self.parsed("prefix", name).or(prefix),
            scopes: self.scopes(),
            projects: self.projects(),
            created_at: self.parsed("created_at", term::instant),
            not_before: self.parsed("not_before", term::instant),
            expires_at: self.expires_at(),
            addresses: self.addresses(),
            plan: self.parsed("plan", |text| PlanName::parse(text).map_err(|error| error.to_string())),
            revoked: None,
        });
        match key {
            Some(key) if self.reasons.is_empty() => Ok(key),
            Some(_) | None => Err(self.reasons),
        }
    }

    /// A secret or digest in another column would be stored and shown.
    fn look_for_secrets(&mut self) {
        let secret = self.row.cells.get("secret");
        let is_secret = |text: &str| {
            SecretForm::parse(text.as_bytes()).is_some()
                || KeyDigest::parse(text).is_ok()
                || matches!(secret, Some(Cell::Text(secret)) if text.contains(secret.as_str()))
        };
        let others =
            self.row.cells.iter().filter(|(column, _)| !["secret", "hash"].contains(&column.as_str()));
        let holding = others.filter(|(_, cell)| cell.texts().any(is_secret)).map(|(column, _)| column);
        let told = |column: &String| {
            format!("{column}: it holds a secret or digest, which goes under secret or hash")
        };
        self.reasons.extend(holding.map(told));
    }

    /// The digest, given or made, and the prefix where the secret shows one.
    fn secret(&mut self, warnings: &mut Vec<String>) -> (Option<KeyDigest>, Option<Name>) {
        match (self.text("secret").map(str::to_owned), self.text("hash").map(str::to_owned)) {
            (Some(_), Some(_)) => self.reasons.push("it has both secret and hash; give one of them".to_owned()),
            (None, None) => self.reasons.push("it has neither secret nor hash".to_owned()),
            (None, Some(hash)) => match KeyDigest::parse(&hash) {
                Ok(digest) => return (Some(digest), None),
                Err(error) => self.reasons.push(format!("hash: {error}; a plaintext goes under secret")),
            },
            (Some(secret), None) => match KeySecret::import(Zeroizing::new(secret)) {
                Some(secret) => {
                    let bits = secret.estimated_entropy_bits();
                    if bits < ENTROPY_BITS_WANTED {
                        warnings.push(format!(
                            "{}: the secret has an estimated {bits} bits of entropy; below {ENTROPY_BITS_WANTED} it can \
                             be guessed from its digest; rotate the key soon",
                            self.row.at
                        ));
                    }
                    let prefix = secret.prefix().and_then(|prefix| Name::parse(prefix).ok());
                    return (Some(KeyDigest::of(secret.expose().as_bytes())), prefix);
                }
                None => self.reasons.push(
                    "no request could present this secret: it must be 1 to 512 visible ASCII characters without comma"
                        .to_owned(),
                ),
            },
        }
        (None, None)
    }

    fn scopes(&mut self) -> Vec<String> {
        self.list("scopes").or_else(|| self.defaults.scopes.clone()).unwrap_or_else(|| {
            self.reasons.push("it has no scopes; add them, or give --scope for rows without".to_owned());
            Vec::new()
        })
    }

    fn projects(&mut self) -> ProjectSet {
        let listed = self.list("projects").map(|ids| match &ids[..] {
            [all] if all == "all" => ProjectSet::All,
            _ => ProjectSet::only(ids),
        });
        listed.or_else(|| self.defaults.projects.clone()).unwrap_or_else(|| {
            let reason = "it has no projects; add them, or give --project or --all-projects for rows without";
            self.reasons.push(reason.to_owned());
            ProjectSet::All
        })
    }

    fn expires_at(&mut self) -> Option<Timestamp> {
        let text = self.text("expires_at").map(str::to_owned).or_else(|| self.defaults.expires.clone());
        let read = match text {
            Some(text) => term::expiry(&text, self.now).map_err(|error| format!("expires_at: {error}")),
            None => Err("it has no expires_at; add it, or give --expires for rows without".to_owned()),
        };
        read.unwrap_or_else(|reason| {
            self.reasons.push(reason);
            None
        })
    }

    fn addresses(&mut self) -> Vec<IpNet> {
        let listed = self.list("addresses").unwrap_or_default();
        let read = |text: &String| {
            IpNet::from_str(text).ok().or_else(|| Some(IpNet::from(text.parse::<std::net::IpAddr>().ok()?)))
        };
        let networks: Option<Vec<_>> = listed
            .iter()
            .map(|text| read(text).filter(|network| network.addr() == network.network()))
            .collect();
        networks.unwrap_or_else(|| {
            self.reasons
                .push("addresses: one is no network; write it like 10.0.0.0/8 or 192.0.2.1".to_owned());
            Vec::new()
        })
    }

    fn labels(&mut self) -> BTreeMap<Name, Name> {
        let pairs: Option<Vec<(String, String)>> = match self.row.cells.get("labels") {
            None => Some(Vec::new()),
            Some(Cell::Map(pairs)) => Some(pairs.clone()),
            Some(Cell::List(items)) => items.iter().map(|item| pair(item)).collect(),
            Some(Cell::Text(text)) => text.split(';').map(pair).collect(),
        };
        let labels = pairs.and_then(|pairs| {
            let label =
                |(name, value): (String, String)| Some((Name::parse(&name).ok()?, Name::parse(&value).ok()?));
            pairs.into_iter().map(label).collect()
        });
        labels.unwrap_or_else(|| {
            self.reasons.push("labels: write them as team=platform;stage=ci".to_owned());
            BTreeMap::new()
        })
    }

    /// The text under `column`; a list or mapping there is told.
    fn text(&mut self, column: &str) -> Option<&'r str> {
        match self.row.cells.get(column)? {
            Cell::Text(text) => Some(text),
            Cell::List(_) | Cell::Map(_) => {
                self.reasons.push(format!("{column}: this must be a text"));
                None
            }
        }
    }

    fn parsed<T>(&mut self, column: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(column)?;
        parse(text).map_err(|error| self.reasons.push(format!("{column}: {error}"))).ok()
    }

    /// A list, or a text that separates items by spaces, commas or semicolons.
    fn list(&mut self, column: &str) -> Option<Vec<String>> {
        if let Some(Cell::List(items)) = self.row.cells.get(column) {
            return Some(items.clone());
        }
        let items = self.text(column)?.split([' ', ',', ';']).filter(|item| !item.is_empty());
        Some(items.map(str::to_owned).collect())
    }
}

fn name(text: &str) -> Result<Name, String> {
    Name::parse(text).map_err(|error| error.to_string())
}

fn pair(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    Some((name.trim().to_owned(), value.trim().to_owned()))
}
