//! One request and what the gate decides about it, in words: what `explain` shows, in the console too, and `test`
//! asserts. The verdict is that of [`crate::gate::judge`]; nothing here decides.

mod decision;
mod decision_table;
mod inquiry;

use std::{fmt, net::IpAddr};

use jiff::Timestamp;
use zeroize::Zeroizing;

pub use self::{
    decision::{
        Decision, Forwarded, KeySeen, Observed, OwnerSeen, PathSeen, PlanSeen, ProjectSeen, RouteSeen,
        because,
    },
    decision_table::{DECISION_TABLE, TableRow},
    inquiry::{Unexplained, explain},
};
use crate::{
    clock,
    config::model::Config,
    gate::{Denial, Request, Unlimited, explanation::Explanation, judge, judge_as},
    http1::parse::{HeadLimits, Parsed, parse_request},
    keys::{
        secret::{KeySecret, SecretForm},
        snapshot::KeySnapshot,
    },
    live::Live,
    message::RequestHead,
};

/// A request as a person writes it down.
#[derive(Debug, Clone)]
pub struct Question {
    /// The method.
    pub method: String,
    /// The target: a path with its query, an absolute URL, or `*`.
    pub target: String,
    /// `HTTP/1.1`, or what else is sent there.
    pub version: String,
    /// The Host; `None` sends none.
    pub host: Option<String>,
    /// Further header lines: names and values.
    pub fields: Vec<(String, String)>,
    /// The address it comes from.
    pub client: IpAddr,
    /// When.
    pub now: Timestamp,
}

/// Who sends a [`Question`].
#[derive(Debug)]
pub enum Asker {
    /// Nobody in particular: what credential there is, is in the header lines.
    Anonymous,
    /// The current secret of the key with this id, which nobody needs to know.
    Key(String),
    /// This secret, in the first of the credential headers.
    Secret(KeySecret),
}

/// No key has this id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoSuchKey(pub String);

/// Why what somebody wrote down is not taken as one request; never with anything of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// A line break would begin another header line.
    LineBreak,
    /// A secret stands where it is shown and remembered; [`Asker::Secret`] is its place.
    Secret,
}

impl fmt::Display for Unfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::LineBreak => "the request holds a line break; give each header line by itself",
            Self::Secret => {
                "the request holds a secret; give it as the key that asks, and replace it if it is in use"
            }
        })
    }
}

impl std::error::Error for Unfit {}

/// Why there is no decision about a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undecided {
    /// The question is none.
    Unfit(Unfit),
    /// The key that is to ask is not there.
    NoSuchKey(NoSuchKey),
}

/// What the gateway decides by what is in force now about `question`, asked by `asker`. While no keys were read, or their
/// lease has run out, that is 503 for all but public routes, whoever asks.
///
/// Whether somebody may know of the key that asks by its id is for the caller to see; [`explain()`] does. Cost: with [`Asker::Key`] a scan of
/// all keys, some milliseconds for 100,000; nothing is sent.
///
/// # Errors
/// [`Undecided`].
pub fn decide_in_force(question: &Question, asker: &Asker, live: &Live) -> Result<Decision, Undecided> {
    let published = live.current();
    question.check(&published.config).map_err(Undecided::Unfit)?;
    let trusted = live.lease().runs_at(clock::boot());
    let keys = published.keys.as_ref().filter(|_| trusted);
    let decision = decide(question, asker, &published.config, keys).map_err(Undecided::NoSuchKey)?;
    Ok(Decision { revision: Some(published.revision), ..decision })
}

/// What a gateway with `config` and `keys` (`None` while it has none) would decide about `question`, asked by `asker`.
///
/// # Errors
/// [`NoSuchKey`].
pub fn decide(
    question: &Question,
    asker: &Asker,
    config: &Config,
    keys: Option<&KeySnapshot>,
) -> Result<Decision, NoSuchKey> {
    let bytes = question.write(asker, config);
    let head = match parse_request(&bytes, &HeadLimits::default()) {
        Ok(Parsed::Complete { head, .. }) => head,
        // What is written always ends.
        Ok(Parsed::Partial) => return Ok(Decision::refused(&Denial::bad_request("The head does not end."))),
        Err(error) => return Ok(Decision::refused(&Denial::malformed_head(error))),
    };
    question.decide_head(&head, asker, config, keys)
}

impl Question {
    /// Whether it is one request without a secret in it, under `config`.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn check(&self, config: &Config) -> Result<(), Unfit> {
        let line = [Some(&self.method), Some(&self.target), Some(&self.version), self.host.as_ref()];
        let line = || line.into_iter().flatten();
        let is_credential = |name: &str| {
            config.policy.credentials.names().any(|known| known.eq_ignore_ascii_case(name.trim()))
        };
        if line().any(|text| SecretForm::parse(text.as_bytes()).is_some())
            || self.fields.iter().any(|(name, _)| is_credential(name))
        {
            return Err(Unfit::Secret);
        }
        let fields = self.fields.iter().flat_map(|(name, value)| [name, value]);
        if line().chain(fields).any(|text| text.contains(['\r', '\n'])) {
            return Err(Unfit::LineBreak);
        }
        Ok(())
    }

    /// The bytes of the head.
    fn write(&self, asker: &Asker, config: &Config) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
        let mut put = |parts: &[&str]| parts.iter().for_each(|part| bytes.extend_from_slice(part.as_bytes()));
        put(&[&self.method, " ", &self.target, " ", &self.version, "\r\n"]);
        if let Some(host) = &self.host {
            put(&["Host: ", host, "\r\n"]);
        }
        for (name, value) in &self.fields {
            put(&[name, ": ", value, "\r\n"]);
        }
        match asker {
            Asker::Anonymous | Asker::Key(_) => {}
            Asker::Secret(secret) => match config.policy.credentials.names().next() {
                Some("authorization") | None => put(&["Authorization: Bearer ", secret.expose(), "\r\n"]),
                Some(name) => put(&[name, ": ", secret.expose(), "\r\n"]),
            },
        }
        put(&["\r\n"]);
        bytes
    }

    fn decide_head(
        &self,
        head: &RequestHead<'_>,
        asker: &Asker,
        config: &Config,
        keys: Option<&KeySnapshot>,
    ) -> Result<Decision, NoSuchKey> {
        let policy = &config.policy;
        let request = match Request::read(head, policy) {
            Ok(request) => request,
            Err(denial) => return Ok(Decision::refused(&denial)),
        };
        let judgement = match (asker, keys) {
            (Asker::Key(id), Some(keys)) => judge_as(policy, keys, &request, id, self.client, self.now)
                .ok_or_else(|| NoSuchKey(id.clone()))?,
            (Asker::Anonymous | Asker::Secret(_) | Asker::Key(_), _) => {
                judge(policy, keys, &request, self.client, self.now, &mut Unlimited)
            }
        };
        let mut decision = Decision::of(&judgement, config);
        if let Some(explanation) = Explanation::of(policy, &request) {
            decision.explain(&explanation, &policy.scopes);
        }
        if let (Some(used), Some(keys)) = (&judgement.key, keys) {
            let authenticated = keys.authenticate_id(&used.id, self.now, self.client).and_then(Result::ok);
            let principal = authenticated.map(|authenticated| authenticated.principal);
            decision.key = KeySeen::of(&used.id, used.is_previous_secret, principal.as_ref(), config, keys);
            if let (Some(project), Some(principal)) = (&mut decision.project, &principal) {
                project.see(principal);
            }
        }
        Ok(decision)
    }
}
