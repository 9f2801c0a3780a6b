//! `/keys-to-look-at/{finding}`: the keys that a card counts.

use askama::Template;
use axum::{extract::Path, response::Response};

use super::cards;
use crate::{
    console::{
        address,
        answer::{Failure, html},
        page::Page,
        parts::Link,
        surveys::Surveys,
        times::Time,
        visitor::Visitor,
    },
    control::{
        key_health::Hint,
        key_survey::{Finding, Found},
    },
};

#[derive(Template)]
#[template(path = "attention.html")]
struct AttentionPage {
    page: Page,
    title: &'static str,
    advice: &'static str,
    may_see_all: bool,
    keys: Vec<AttentionRow>,
    count: usize,
}

struct AttentionRow {
    link: Link,
    prefix: Option<String>,
    owner: Option<Link>,
    why: String,
    last_used: Option<Time>,
    expires: Option<Time>,
}

/// The keys that are worth a look for one reason.
pub(super) async fn show(
    visitor: Visitor,
    surveys: Surveys,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let finding = Finding::ALL.into_iter().find(|finding| cards::name(*finding) == name);
    let finding = finding.ok_or_else(Failure::no_page)?;
    let survey = surveys.of(&visitor).await?;
    let page = AttentionPage {
        page: visitor.page(cards::title(finding), "overview"),
        title: cards::title(finding),
        advice: cards::advice(finding),
        may_see_all: visitor.manages(),
        keys: survey.told(finding).iter().map(|found| AttentionRow::new(found, &visitor)).collect(),
        count: survey.count(finding),
    };
    Ok(html(&page))
}

impl AttentionRow {
    fn new(found: &Found, visitor: &Visitor) -> Self {
        let key = &found.listed.key;
        let name = key.name.as_ref().map_or_else(|| key.id.to_string(), ToString::to_string);
        Self {
            link: Link::new(address::key(key.id.as_str()), name),
            prefix: key.prefix.as_ref().map(ToString::to_string),
            owner: key.owner.as_ref().map(|id| Link::new(address::person(id.as_str()), id.as_str())),
            why: why(&found.hint),
            last_used: found.last_used.map(|at| visitor.time(at)),
            expires: key.expires_at.map(|at| visitor.time(at)),
        }
    }
}

fn why(hint: &Hint) -> String {
    match hint {
        Hint::NeverExpires => "it has no end".to_owned(),
        Hint::ExpiresSoon(_) => "it ends soon".to_owned(),
        Hint::Unused(None) => "never used".to_owned(),
        Hint::Unused(Some(_)) => "not used lately".to_owned(),
        Hint::Broader { unused, enough } if enough.is_empty() => {
            format!("never needed {}", unused.join(", "))
        }
        Hint::Broader { unused, enough } => {
            format!("never needed {}; {} would do", unused.join(", "), enough.join(", "))
        }
    }
}
