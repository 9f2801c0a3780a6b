//! Addresses of pages: ids as segments of paths, and queries.

use std::fmt::Write as _;

/// The page of a person.
pub fn person(id: &str) -> String {
    format!("/people/{}", segment(id))
}

/// The page of a key.
pub fn key(id: &str) -> String {
    format!("/keys/{}", segment(id))
}

/// `text` as one segment of a path: what is not unreserved is percent-encoded (RFC 3986 §2.3).
pub fn segment(text: &str) -> String {
    text.bytes().fold(String::new(), |mut segment, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            // A String takes everything.
            let _ = write!(segment, "%{byte:02X}");
        }
        segment
    })
}

/// `path` with those of `fields` that say something.
pub fn with_query<'v>(
    path: &str,
    fields: impl IntoIterator<Item = (&'static str, Option<&'v str>)>,
) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            query.append_pair(name, value);
        }
    }
    match query.finish() {
        query if query.is_empty() => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stay_within_their_segment_or_value() {
        assert_eq!(person("idp|a+b@example.com"), "/people/idp%7Ca%2Bb%40example.com");
        assert_eq!(segment("../x y"), "..%2Fx%20y");
        assert_eq!(with_query("/people", [("q", Some("a+b&c")), ("after", None)]), "/people?q=a%2Bb%26c");
        assert_eq!(with_query("/people", [("q", Some(""))]), "/people");
    }
}
