//! Projects: the unit a key can be restricted to, and where a request names one.

use std::fmt;

use memchr::memchr;

use super::{fold::folds_to, path::decode_to_fixpoint};
use crate::message::Fields;

/// Which projects someone was granted: all, or a list (possibly empty: none).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ProjectSet {
    /// Every project.
    All,
    /// These only, sorted and without repetition; compared byte for byte.
    Only(Box<[Box<str>]>),
}

impl ProjectSet {
    /// The set of `ids`, in any order, with or without repetition.
    pub fn only<I: IntoIterator<Item = S>, S: Into<Box<str>>>(ids: I) -> Self {
        let mut ids: Vec<Box<str>> = ids.into_iter().map(Into::into).collect();
        ids.sort_unstable();
        ids.dedup();
        Self::Only(ids.into_boxed_slice())
    }

    /// Whether `id` is in the set. Cost: a binary search, no allocation.
    pub fn contains(&self, id: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(ids) => ids.binary_search_by(|known| known.as_ref().cmp(id)).is_ok(),
        }
    }

    /// Whether the set is [`ProjectSet::All`].
    pub fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }
}

/// The effective projects of a principal: key ∩ owner ∩ declared by the organization (product rule: a key is never
/// more than its owner). Evaluated lazily: nothing is copied.
#[derive(Debug, Clone, Copy)]
pub struct VisibleProjects<'s> {
    /// What the key was granted.
    pub key: &'s ProjectSet,
    /// What the owner may see; [`ProjectSet::All`] for a key without owner.
    pub owner: &'s ProjectSet,
    /// What the organization declares; [`ProjectSet::All`] if it declares none.
    pub organization: &'s ProjectSet,
    /// Whether there is no other organization, so that every project of this one is every project.
    pub is_sole_organization: bool,
}

impl<'s> VisibleProjects<'s> {
    fn sets(&self) -> [&'s ProjectSet; 3] {
        [self.key, self.owner, self.organization]
    }

    /// Whether the principal may see the project `id`.
    pub fn contains(&self, id: &str) -> bool {
        self.sets().iter().all(|set| set.contains(id))
    }

    /// Whether the principal may see every project of its organization: neither key nor owner restricts it.
    pub fn is_unrestricted(&self) -> bool {
        self.key.is_all() && self.owner.is_all()
    }

    /// The visible projects by name, or `None` where neither key, owner nor another organization restricts them.
    pub fn listed(&self) -> Option<impl Iterator<Item = &'s str>> {
        if self.is_sole_organization && self.is_unrestricted() {
            return None;
        }
        let sets = self.sets();
        let shortest = sets
            .iter()
            .filter_map(|set| match set {
                ProjectSet::All => None,
                ProjectSet::Only(ids) => Some(ids),
            })
            .min_by_key(|ids| ids.len())?;
        Some(shortest.iter().map(AsRef::as_ref).filter(move |id| sets.iter().all(|set| set.contains(id))))
    }
}

/// Where a route's requests name their project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProjectSource {
    /// The `{name}` segment of this number in the route's path, counted from 0.
    Path(usize),
    /// The query parameter of this name, lower case.
    Query(Box<str>),
    /// The header field of this name, lower case.
    Header(Box<str>),
    /// The label of this number in the host, counted from 0 at the left.
    HostLabel(usize),
}

/// What a project id looks like.
#[derive(Debug, Clone, Default)]
pub enum ProjectPattern {
    /// `[A-Za-z0-9][A-Za-z0-9_.~-]{0,127}`.
    #[default]
    Default,
    /// What the whole id must match; never `/`, `%` or a control byte, and at most 128 bytes.
    Custom(regex_lite::Regex),
}

impl ProjectPattern {
    /// A pattern that widens the default grammar; it is anchored at both ends.
    ///
    /// # Errors
    /// Why `pattern` is no regular expression.
    pub fn custom(pattern: &str) -> Result<Self, String> {
        regex_lite::Regex::new(&format!("^(?:{pattern})$"))
            .map(Self::Custom)
            .map_err(|error| error.to_string())
    }

    /// Whether `id` may be a project id.
    pub fn admits(&self, id: &str) -> bool {
        if id.is_empty() || id.len() > 128 {
            return false;
        }
        match self {
            Self::Default => {
                id.as_bytes()[0].is_ascii_alphanumeric()
                    && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.~-".contains(&byte))
            }
            Self::Custom(pattern) => {
                !id.bytes().any(|byte| byte <= 0x20 || byte >= 0x7f || b"/\\%".contains(&byte))
                    && pattern.is_match(id)
            }
        }
    }
}

/// What a request says about its project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named<'b> {
    /// It names none.
    Nothing,
    /// It names this one.
    Project(&'b str),
    /// It names something that is no project id.
    OutsideGrammar,
}

/// A request names its project more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeveralProjects;

impl fmt::Display for SeveralProjects {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the request names its project more than once")
    }
}

/// The value of the query parameter `name` (lower case) in `query`. Names are read as the laxest back end might:
/// split at `&` and `;`, decoded to a fixpoint, cut at `[`, white space trimmed, without case. The value is as sent.
///
/// # Errors
/// [`SeveralProjects`] where more than one remains.
pub fn from_query<'b>(query: &'b [u8], name: &str) -> Result<Option<&'b [u8]>, SeveralProjects> {
    let mut found = None;
    for pair in query.split(|byte| matches!(byte, b'&' | b';')) {
        let equals = memchr(b'=', pair);
        if !is_parameter(&pair[..equals.unwrap_or(pair.len())], name) {
            continue;
        }
        if found.is_some() {
            return Err(SeveralProjects);
        }
        found = Some(equals.map_or(&b""[..], |at| &pair[at + 1..]));
    }
    Ok(found)
}

fn is_parameter(raw: &[u8], name: &str) -> bool {
    let decoded = decode_to_fixpoint(raw);
    let end = decoded.iter().position(|byte| matches!(byte, b'[' | b'\0')).unwrap_or(decoded.len());
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'+';
    let mut cut = &decoded[..end];
    while let [first, rest @ ..] = cut
        && is_space(first)
    {
        cut = rest;
    }
    while let [rest @ .., last] = cut
        && is_space(last)
    {
        cut = rest;
    }
    cut.eq_ignore_ascii_case(name.as_bytes())
}

/// The value of the header field `name` (lower case), whatever the spelling of the name that a back end might take
/// for it.
///
/// # Errors
/// [`SeveralProjects`] where more than one line carries it.
pub fn from_header<'b>(fields: &Fields<'b>, name: &str) -> Result<Option<&'b [u8]>, SeveralProjects> {
    let mut lines = fields.iter().filter(|field| folds_to(field.name, name));
    match (lines.next(), lines.next()) {
        (first, None) => Ok(first.map(|field| field.value)),
        (_, Some(_)) => Err(SeveralProjects),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_names_are_read_laxly_and_must_be_alone() {
        let one = |query: &'static str| {
            from_query(query.as_bytes(), "project").map(|v| v.map(|v| std::str::from_utf8(v).unwrap()))
        };
        for (query, expected) in [
            ("", Ok(None)),
            ("a=1&b=2", Ok(None)),
            ("project=alpha", Ok(Some("alpha"))),
            ("a=1&project=alpha&b", Ok(Some("alpha"))),
            ("PROJECT=alpha", Ok(Some("alpha"))),
            ("project", Ok(Some(""))),
            ("projects=alpha", Ok(None)),
            ("%70roject=alpha", Ok(Some("alpha"))),
            ("project=alpha&project=beta", Err(SeveralProjects)),
            ("project=alpha&%2570roject=beta", Err(SeveralProjects)),
            ("project=alpha&project[]=beta", Err(SeveralProjects)),
            ("project=alpha&project%5B0%5D=beta", Err(SeveralProjects)),
            ("project=alpha&+project=beta", Err(SeveralProjects)),
            ("project=alpha&project%00x=beta", Err(SeveralProjects)),
            ("project=alpha;project=beta", Err(SeveralProjects)),
            ("project=alpha&Project=alpha", Err(SeveralProjects)),
        ] {
            assert_eq!(one(query), expected, "{query}");
        }
    }

    #[test]
    fn grammar_of_ids() {
        let long = "a".repeat(128);
        for id in ["a", "A1_.~-", "9", long.as_str()] {
            assert!(ProjectPattern::Default.admits(id), "{id}");
        }
        for id in ["", "-a", ".a", "a b", "a/b", "a%20b", "é", "a,b", "a\n", &"a".repeat(129)] {
            assert!(!ProjectPattern::Default.admits(id), "{id}");
        }
        let wide = ProjectPattern::custom("[a-z@/%\n]+").unwrap();
        assert!(wide.admits("a@b"));
        for id in ["a/b", "a%b", "a\nb", "A", ""] {
            assert!(!wide.admits(id), "{id}");
        }
        assert!(ProjectPattern::custom("[").is_err());
    }

    #[test]
    fn visible_is_the_intersection() {
        let (key, owner) = (ProjectSet::only(["b", "a", "a"]), ProjectSet::only(["b", "c"]));
        let visible = VisibleProjects {
            key: &key,
            owner: &owner,
            organization: &ProjectSet::All,
            is_sole_organization: true,
        };
        assert!(visible.contains("b"));
        assert!(!visible.contains("a") && !visible.contains("c"));
        assert_eq!(visible.listed().unwrap().collect::<Vec<_>>(), ["b"]);
        assert!(!visible.is_unrestricted());
    }

    #[test]
    fn empty_list_sees_nothing() {
        let none = ProjectSet::only::<[&str; 0], _>([]);
        let visible = VisibleProjects {
            key: &none,
            owner: &ProjectSet::All,
            organization: &ProjectSet::All,
            is_sole_organization: true,
        };
        assert!(!visible.contains("a"));
        assert_eq!(visible.listed().unwrap().count(), 0);
    }

    #[test]
    fn declared_projects_bound_an_unrestricted_key() {
        let declared = ProjectSet::only(["alpha"]);
        let visible = VisibleProjects {
            key: &ProjectSet::All,
            owner: &ProjectSet::All,
            organization: &declared,
            is_sole_organization: true,
        };
        assert!(visible.is_unrestricted() && visible.contains("alpha") && !visible.contains("beta"));
        assert!(visible.listed().is_none(), "all of the only organization is all");
        let among_others = VisibleProjects { is_sole_organization: false, ..visible };
        assert_eq!(among_others.listed().unwrap().collect::<Vec<_>>(), ["alpha"]);
    }
}
