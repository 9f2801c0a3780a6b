//! Projects: the unit a key can be restricted to, and where a request names one.

use std::{fmt, sync::Arc};

use memchr::memchr;

use super::{fold::same_fold, path::decode_to_fixpoint};
use crate::message::Fields;

/// Which projects someone was granted: all, or a list (possibly empty: none). Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ProjectSet {
    /// Every project.
    All,
    /// These only, sorted and without repetition; compared byte for byte.
    Only(Arc<[Box<str>]>),
}

impl ProjectSet {
    /// The set of `ids`, in any order, with or without repetition.
    pub fn only<I: IntoIterator<Item = S>, S: Into<Box<str>>>(ids: I) -> Self {
        let mut ids: Vec<Box<str>> = ids.into_iter().map(Into::into).collect();
        ids.sort_unstable();
        ids.dedup();
        Self::Only(ids.into())
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

    /// The projects that are in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::All, set) | (set, Self::All) => set.clone(),
            (Self::Only(ids), other @ Self::Only(_)) => {
                Self::only(ids.iter().filter(|id| other.contains(id)).cloned())
            }
        }
    }

    /// Whether every project of `other` is in this set.
    pub fn includes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::Only(_), Self::All) => false,
            (Self::Only(_), Self::Only(ids)) => ids.iter().all(|id| self.contains(id)),
        }
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
        let listed = sets.into_iter().filter_map(|set| match set {
            ProjectSet::All => None,
            ProjectSet::Only(ids) => Some((set, ids)),
        });
        let (shortest, ids) = listed.min_by_key(|(_, ids)| ids.len())?;
        let others = sets.map(|set| (!std::ptr::eq(set, shortest)).then_some(set));
        let in_all = move |id: &&str| others.iter().flatten().all(|set| set.contains(id));
        Some(ids.iter().map(AsRef::as_ref).filter(in_all))
    }
}

/// Where a route's requests name their project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProjectSource {
    /// The `{name}` segment of this number in the route's path, counted from 0.
    Path(usize),
    /// The query parameter of this name.
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

/// A request names its project more than once, or so that only some back ends would find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProjectInDoubt;

impl fmt::Display for ProjectInDoubt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the request names its project more than once, or in a spelling of its own")
    }
}

/// The value, as sent, of the query parameter `name` in `query`.
///
/// The query is read twice. The lax reading, of the laxest back end, splits at `&` and `;` and knows every spelling
/// of the name (see `may_name`): it can only find more, and so refuse. What it finds must be the one pair that the
/// strict reading finds too, which splits at `&` alone and takes the name byte for byte.
///
/// # Errors
/// [`ProjectInDoubt`] where the readings differ, or more than one pair remains.
pub fn from_query<'b>(query: &'b [u8], name: &str) -> Result<Option<&'b [u8]>, ProjectInDoubt> {
    let mut lax = query
        .split(|byte| matches!(byte, b'&' | b';'))
        .filter(|pair| may_name(&pair[..memchr(b'=', pair).unwrap_or(pair.len())], name));
    let Some(found) = lax.next() else { return Ok(None) };
    if lax.next().is_some() {
        return Err(ProjectInDoubt);
    }
    let strict = query.split(|byte| *byte == b'&').find(|pair| *pair == found).ok_or(ProjectInDoubt)?;
    match strict.strip_prefix(name.as_bytes()) {
        Some([]) => Ok(Some(b"")),
        Some([b'=', value @ ..]) => Ok(Some(value)),
        Some(_) | None => Err(ProjectInDoubt),
    }
}

/// Whether some back end might take the parameter name `raw` for `name`: decoded to a fixpoint, cut at a NUL and at
/// `[` (a list), blanks around it trimmed, without case, and `.`, a blank, `+` and an unclosed `[` read as `_` (PHP).
fn may_name(raw: &[u8], name: &str) -> bool {
    let decoded = decode_to_fixpoint(raw);
    let whole = decoded.split(|byte| *byte == 0).next().unwrap_or_default();
    let is_name = |text: &[u8]| {
        text.len() == name.len()
            && text.iter().zip(name.as_bytes()).all(|(byte, known)| fold_name(*byte) == fold_name(*known))
    };
    let unlisted = memchr(b'[', whole).map_or(whole, |at| &whole[..at]);
    [whole, unlisted].into_iter().any(|text| {
        let blanks = text.iter().take_while(|byte| is_blank(**byte)).count();
        let begun = &text[blanks..];
        let ended = begun.iter().rposition(|byte| !is_blank(*byte)).map_or(0, |last| last + 1);
        is_name(begun) || is_name(&begun[..ended])
    })
}

fn is_blank(byte: u8) -> bool {
    byte <= b' ' || byte == b'+'
}

fn fold_name(byte: u8) -> u8 {
    match byte {
        b'.' | b'[' => b'_',
        _ if is_blank(byte) => b'_',
        _ => byte.to_ascii_lowercase(),
    }
}

/// The value of the header field `name`, which only its own spelling names, case aside (RFC 9110 §5.1).
///
/// # Errors
/// [`ProjectInDoubt`] where more than one line carries it, or one in a spelling that some back ends take for it.
pub fn from_header<'b>(fields: &Fields<'b>, name: &str) -> Result<Option<&'b [u8]>, ProjectInDoubt> {
    let mut lines = fields.iter().filter(|field| same_fold(field.name, name.as_bytes()));
    match (lines.next(), lines.next()) {
        (None, _) => Ok(None),
        (Some(only), None) if only.name.eq_ignore_ascii_case(name.as_bytes()) => Ok(Some(only.value)),
        (Some(_), _) => Err(ProjectInDoubt),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Field;

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
            ("project", Ok(Some(""))),
            ("projects=alpha", Ok(None)),
            ("project=alpha&project=beta", Err(ProjectInDoubt)),
            ("project=alpha&%2570roject=beta", Err(ProjectInDoubt)),
            ("project=alpha&project[]=beta", Err(ProjectInDoubt)),
            ("project=alpha&project%5B0%5D=beta", Err(ProjectInDoubt)),
            ("project=alpha&+project=beta", Err(ProjectInDoubt)),
            ("project=alpha&project%00x=beta", Err(ProjectInDoubt)),
            ("project=alpha;project=beta", Err(ProjectInDoubt)),
            ("project=alpha&Project=alpha", Err(ProjectInDoubt)),
            ("project=alpha&amp;project=beta", Err(ProjectInDoubt)),
            // What only the lax reading finds names nothing.
            ("PROJECT=alpha", Err(ProjectInDoubt)),
            ("%70roject=alpha", Err(ProjectInDoubt)),
            ("%2570roject=alpha", Err(ProjectInDoubt)),
            ("project[]=alpha", Err(ProjectInDoubt)),
            ("project%00x=alpha", Err(ProjectInDoubt)),
            ("+project=alpha", Err(ProjectInDoubt)),
            ("project+=alpha", Err(ProjectInDoubt)),
            ("x=1;project=alpha", Err(ProjectInDoubt)),
            ("project=alpha;x=1", Err(ProjectInDoubt)),
        ] {
            assert_eq!(one(query), expected, "{query}");
        }
    }

    #[test]
    fn names_that_php_makes_one_are_one() {
        assert_eq!(from_query(b"project_id=alpha&project-id=beta", "project_id"), Ok(Some(&b"alpha"[..])));
        for other in ["project.id", "project%20id", "project+id", "project[id", "project%5Bid", "Project.ID"]
        {
            let query = format!("project_id=alpha&{other}=beta");
            assert_eq!(from_query(query.as_bytes(), "project_id"), Err(ProjectInDoubt), "{query}");
        }
        for name in ["project.id", "projectId"] {
            let query = format!("{name}=alpha");
            assert_eq!(
                from_query(query.as_bytes(), name),
                Ok(Some(&b"alpha"[..])),
                "a name is as configured"
            );
        }
        assert_eq!(from_query(b"project.id=alpha&project_id=beta", "project.id"), Err(ProjectInDoubt));
    }

    #[test]
    fn a_header_is_named_by_its_own_spelling_alone() {
        let one = |names: &[&'static str], wanted: &str| {
            let line = |name: &&'static str| Field { name: name.as_bytes(), value: b"alpha" };
            let fields: Fields<'_> = names.iter().map(line).collect();
            from_header(&fields, wanted).map(|value| value.map(<[u8]>::to_vec))
        };
        let alpha = Ok(Some(b"alpha".to_vec()));
        assert_eq!(one(&["accept"], "x-project"), Ok(None));
        assert_eq!(one(&["x-project"], "x-project"), alpha);
        assert_eq!(one(&["X-PROJECT"], "x-project"), alpha);
        assert_eq!(one(&["x_project"], "x_project"), alpha);
        for names in
            [&["X_Project"][..], &["X.Project"], &["x-project", "x-project"], &["x-project", "x_project"]]
        {
            assert_eq!(one(names, "x-project"), Err(ProjectInDoubt), "{names:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_granted_the_strict_reading_finds_alone(
            query in "((project|Project|%70roject|pro.ject|x)(\\[\\]|\\+|%00|;|=|=alpha|=beta|&)){0,6}",
        ) {
            if let Ok(Some(value)) = from_query(query.as_bytes(), "project") {
                let strict: Vec<&str> = query
                    .split('&')
                    .filter(|pair| pair.split('=').next() == Some("project"))
                    .map(|pair| pair.split_once('=').map_or("", |(_, value)| value))
                    .collect();
                proptest::prop_assert_eq!(strict, [std::str::from_utf8(value).unwrap()]);
            }
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
