//! From the path of a description to the pattern of a route.

use std::fmt::Write as _;

/// A path as a route writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RoutePattern {
    /// The pattern.
    pub(super) text: String,
    /// What a lax back end would not tell apart: names, case and a `/` at the end are gone.
    pub(super) fold: String,
    /// Each parameter as it was named, with its name in the pattern and the literal segment before it.
    pub(super) parameters: Vec<PatternParameter>,
    /// Whether a segment matches more than the path says: `{id}.json` became `{id}`.
    pub(super) is_wider: bool,
}

/// One `{name}` of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PatternParameter {
    /// As the description names it.
    pub(super) described: String,
    /// As the pattern names it.
    pub(super) name: String,
    /// The segment before it, if that is a literal.
    pub(super) after: String,
}

/// The pattern for `template`, a path whose braces match.
pub(super) fn route_pattern(template: &str) -> RoutePattern {
    let mut pattern =
        RoutePattern { text: String::new(), fold: String::new(), parameters: Vec::new(), is_wider: false };
    let segments: Vec<&str> = template.strip_prefix('/').unwrap_or(template).split('/').collect();
    let mut before = "";
    for (at, segment) in segments.iter().enumerate() {
        let is_last = at + 1 == segments.len();
        pattern.text.push('/');
        match segment.find('{').zip(segment.find('}')) {
            Some((start, end)) if start < end => {
                let described = &segment[start + 1..end];
                let is_whole = start == 0 && end + 1 == segment.len();
                let is_rest = is_last && is_whole && described.ends_with(['+', '*']);
                pattern.is_wider |= !is_whole;
                pattern.parameter(described.trim_end_matches(['+', '*']), before, is_rest);
                before = "";
            }
            Some(_) | None => {
                let literal = encoded(segment);
                if !(is_last && literal.is_empty()) {
                    pattern.fold.push('/');
                    pattern.fold.push_str(&literal.to_ascii_lowercase());
                }
                pattern.text.push_str(&literal);
                before = segment;
            }
        }
    }
    pattern
}

impl RoutePattern {
    fn parameter(&mut self, described: &str, before: &str, is_rest: bool) {
        let name = self.unused_name(described);
        let (open, fold) = if is_rest { ("{*", "/{*}") } else { ("{", "/{}") };
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{open}{name}}}");
        self.fold.push_str(fold);
        if !is_rest {
            let (described, after) = (described.to_owned(), before.to_owned());
            self.parameters.push(PatternParameter { described, name, after });
        }
    }

    /// `described` as a name of letters, digits and `_` that no parameter before it has.
    fn unused_name(&self, described: &str) -> String {
        let plain = |character: char| if character.is_ascii_alphanumeric() { character } else { '_' };
        let mut name: String = described.chars().map(plain).collect();
        if !name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
            name.insert(0, '_');
        }
        let is_taken = |name: &str| self.parameters.iter().any(|known| known.name == name);
        if !is_taken(&name) {
            return name;
        }
        let numbers = 2..=self.parameters.len() + 2;
        numbers.map(|number| format!("{name}_{number}")).find(|name| !is_taken(name)).unwrap_or(name)
    }
}

/// A literal with what cannot stand in a path percent-encoded (RFC 3986 §2.1).
fn encoded(segment: &str) -> String {
    let mut out = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_graphic() {
            out.push(byte as char);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_patterns() {
        for (template, text, fold, is_wider) in [
            ("/", "/", "", false),
            ("/pets", "/pets", "/pets", false),
            ("/Pets/", "/Pets/", "/pets", false),
            ("/pets/{petId}", "/pets/{petId}", "/pets/{}", false),
            ("/pets/{pet-id}/{pet.id}", "/pets/{pet_id}/{pet_id_2}", "/pets/{}/{}", false),
            ("/files/{name}.json", "/files/{name}", "/files/{}", true),
            ("/repos/{owner}/{a}...{b}", "/repos/{owner}/{a}", "/repos/{}/{}", true),
            ("/items({id})/x", "/{id}/x", "/{}/x", true),
            ("/proxy/{path+}", "/proxy/{*path}", "/proxy/{*}", false),
            ("/a b/\u{e9}", "/a%20b/%C3%A9", "/a%20b/%c3%a9", false),
            ("/{1}", "/{_1}", "/{}", false),
        ] {
            let pattern = route_pattern(template);
            assert_eq!(
                (pattern.text.as_str(), pattern.fold.as_str(), pattern.is_wider),
                (text, fold, is_wider)
            );
        }
    }
}
