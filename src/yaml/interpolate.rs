//! `${…}` in values, after parsing: what comes in can change a value, never the structure.

use super::document::{Content, Document, Node};
use super::problem::{Problem, Problems, shown};

/// The most bytes that all interpolated values together may have.
const INTERPOLATED_MAX: usize = 16 << 20;

/// What a `${…}` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interpolation<'a> {
    /// `${NAME}`: an environment variable.
    Variable(&'a str),
    /// `${file:PATH}`: the content of a file.
    File(&'a str),
}

impl Document<'_> {
    /// Replaces `${NAME}`, `${NAME:-default}` and `${file:PATH}` in all values (not keys) by what `resolve` gives for
    /// them, and `$$` by `$`; any other `$` stays. What comes in is not looked at again. The meaning of a plain scalar
    /// is then inferred anew, so that `${PORT}` can be a number.
    ///
    /// `resolve` gives `None` for what is not set (then the default counts, as it does for an empty text), and an error
    /// in words that may be shown.
    ///
    /// Cost: linear in the values that hold a `$`.
    ///
    /// # Errors
    /// A problem at its value for everything malformed or not set; at least one. No value that came in stands in them.
    pub fn interpolate(
        &mut self,
        resolve: &dyn Fn(Interpolation<'_>) -> Result<Option<String>, String>,
    ) -> Result<(), Vec<Problem>> {
        let mut problems = Problems::default();
        let mut budget = INTERPOLATED_MAX;
        for id in self.values() {
            let node = Node { document: self, id };
            let Some(text) = node.text().filter(|text| text.contains('$')) else { continue };
            match expand(text, resolve, &mut budget) {
                Ok(Expanded { text, resolved }) => {
                    self.owned.push(text.into_boxed_str());
                    let index = u32::try_from(self.owned.len() - 1).unwrap_or(u32::MAX);
                    let content = if resolved { Content::Interpolated(index) } else { Content::Owned(index) };
                    self.nodes[id as usize].content = content;
                }
                Err((message, remedy)) => problems.push(Problem::new(node.place(), message, remedy)),
            }
        }
        problems.unless(())
    }

    /// The scalars that are no keys.
    fn values(&self) -> Vec<u32> {
        let mut found = Vec::new();
        collect(self.root(), &mut found);
        found
    }
}

/// The scalars from `node` down that are no keys. As deep as [`super::Limits::depth`] allows.
fn collect(node: Node<'_>, found: &mut Vec<u32>) {
    if node.text().is_some() {
        found.push(node.id);
    }
    for item in node.items() {
        collect(item, found);
    }
    for (_, value) in node.entries() {
        collect(value, found);
    }
}

struct Expanded {
    text: String,
    resolved: bool,
}

type Refusal = (String, String);

fn expand(
    text: &str,
    resolve: &dyn Fn(Interpolation<'_>) -> Result<Option<String>, String>,
    budget: &mut usize,
) -> Result<Expanded, Refusal> {
    let mut expanded = Expanded { text: String::with_capacity(text.len()), resolved: false };
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.text.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(inner) = after.strip_prefix('{') {
            let (inner, tail) = inner.split_once('}').ok_or_else(|| {
                ("`${` is not closed".to_owned(), "add the `}`, or write `$${` for the text `${`".to_owned())
            })?;
            let value = value_of(inner, resolve)?;
            *budget = budget.checked_sub(value.len()).ok_or_else(|| {
                (
                    "the interpolated values are too large".to_owned(),
                    format!("keep them below {} MiB in all", INTERPOLATED_MAX >> 20),
                )
            })?;
            expanded.text.push_str(&value);
            expanded.resolved = true;
            rest = tail;
        } else {
            expanded.text.push('$');
            rest = after.strip_prefix('$').unwrap_or(after);
        }
    }
    expanded.text.push_str(rest);
    Ok(expanded)
}

/// What stands for `inner`, the part between `${` and `}`.
fn value_of(
    inner: &str,
    resolve: &dyn Fn(Interpolation<'_>) -> Result<Option<String>, String>,
) -> Result<String, Refusal> {
    let refused = |reason: String| {
        (format!("{} cannot be interpolated: {reason}", shown(inner)), "mend the source".to_owned())
    };
    if let Some(path) = inner.strip_prefix("file:") {
        if path.is_empty() {
            return Err(("`${file:}` names no file".into(), "write `${file:/path}`".into()));
        }
        let text = resolve(Interpolation::File(path)).map_err(refused)?.ok_or_else(|| {
            (format!("the file {} is not there", shown(path)), "create it, or correct the path".to_owned())
        })?;
        // As while it is being written; an empty secret is never meant.
        if text.trim().is_empty() {
            return Err((format!("the file {} is empty", shown(path)), "write the value into it".into()));
        }
        return Ok(text);
    }
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    if !is_name(name) {
        return Err((
            format!("{} is no interpolation", shown(&format!("${{{inner}}}"))),
            "write `${NAME}`, `${NAME:-default}` or `${file:/path}`; for the text itself, double the `$`"
                .into(),
        ));
    }
    let value = resolve(Interpolation::Variable(name)).map_err(refused)?;
    match (value, default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err((
            format!("the environment variable `{name}` is not set"),
            format!("set it, or give a default: `${{{name}:-default}}`"),
        )),
    }
}

/// `[A-Za-z_][A-Za-z0-9_]*`
fn is_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
