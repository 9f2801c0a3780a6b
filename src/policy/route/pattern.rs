//! Path patterns as the config writes them: literal segments, `{name}`, `{*rest}`.

use super::{super::path::RequestPath, PARAMETERS_MAX};

/// One segment of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    Literal(Vec<u8>),
    Parameter(String),
    Rest,
}

/// The names of the `{name}` segments of `pattern`, in order: what `project: path:NAME` chooses from.
///
/// # Errors
/// What is wrong with the pattern, and what would be right.
pub fn parameters(pattern: &str) -> Result<Vec<String>, (String, String)> {
    Ok(parse_pattern(pattern)?
        .into_iter()
        .filter_map(|segment| match segment {
            Segment::Parameter(name) => Some(name),
            Segment::Literal(_) | Segment::Rest => None,
        })
        .collect())
}

pub(super) fn parse_pattern(pattern: &str) -> Result<Vec<Segment>, (String, String)> {
    let wrong = |message: String, remedy: &str| Err((message, remedy.to_owned()));
    let Some(inner) = pattern.strip_prefix('/') else {
        return wrong(format!("the path {pattern:?} does not begin with \"/\""), "begin it with \"/\"");
    };
    let mut segments: Vec<Segment> = Vec::new();
    let count = inner.split('/').count();
    for (at, text) in inner.split('/').enumerate() {
        let last = at + 1 == count;
        let segment = if let Some(name) = text.strip_prefix("{*").and_then(|rest| rest.strip_suffix('}')) {
            if !last {
                return wrong(
                    format!("{text:?} stands before the end of the path {pattern:?}"),
                    "let {*…} be the last segment",
                );
            }
            check_parameter_name(name)?;
            Segment::Rest
        } else if let Some(name) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            check_parameter_name(name)?;
            if segments.contains(&Segment::Parameter(name.to_owned())) {
                return wrong(
                    format!("the name {name:?} stands twice in the path {pattern:?}"),
                    "give each {…} its own name",
                );
            }
            Segment::Parameter(name.to_owned())
        } else {
            if text.is_empty() && !last {
                return wrong(format!("\"//\" stands in the path {pattern:?}"), "write a single \"/\"");
            }
            check_literal(text)?;
            Segment::Literal(text.as_bytes().to_vec())
        };
        segments.push(segment);
    }
    if segments.iter().filter(|segment| matches!(segment, Segment::Parameter(_))).count() > PARAMETERS_MAX {
        return wrong(
            format!("the path {pattern:?} has too many {{…}} segments"),
            "use at most 16, or {*rest} for the end",
        );
    }
    Ok(segments)
}

fn check_parameter_name(name: &str) -> Result<(), (String, String)> {
    let fine = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if fine {
        Ok(())
    } else {
        Err((
            format!("{{{name}}} is no name for a segment"),
            "use letters, digits and \"_\", as in {project}".into(),
        ))
    }
}

/// A literal stands for itself in canonical spelling (RFC 3986 §6.2.2): what need not be encoded is not.
fn check_literal(text: &str) -> Result<(), (String, String)> {
    let wrong = |message: String, remedy: &str| Err((message, remedy.to_owned()));
    if text.contains(['{', '}', '*']) {
        return wrong(
            format!("the segment {text:?} mixes text with {{…}} or *"),
            "let {name} or {*rest} be a whole segment",
        );
    }
    if text.contains([';', '?', '#', '\\']) {
        return wrong(
            format!("the segment {text:?} holds one of ; ? # \\"),
            "routes match paths only, without parameters",
        );
    }
    let path = format!("/{text}");
    if let Err(error) = RequestPath::parse(path.as_bytes()) {
        return wrong(
            format!("the segment {text:?} can never match: {error}"),
            "write the segment as clients send it",
        );
    }
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let triplet = &rest[at..at + 3];
        let byte = u8::from_str_radix(&triplet[1..], 16).unwrap_or_default();
        let needless = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&byte);
        if needless || b"/\\%;?#".contains(&byte) || triplet.bytes().any(|b| b.is_ascii_lowercase()) {
            return wrong(
                format!("{triplet:?} in the segment {text:?} is not canonical"),
                "encode only what must be, with upper-case digits (RFC 3986 section 6.2.2), never a delimiter",
            );
        }
        rest = &rest[at + 3..];
    }
    Ok(())
}
