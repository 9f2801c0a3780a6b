//! Addresses of pages: ids as segments of paths, and queries.

pub use crate::admin::path_segment::path_segment;

/// The page of a person.
pub fn person(id: &str) -> String {
    format!("/people/{}", path_segment(id))
}

/// The page of a key.
pub fn key(id: &str) -> String {
    format!("/keys/{}", path_segment(id))
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
        assert_eq!(with_query("/people", [("q", Some("a+b&c")), ("after", None)]), "/people?q=a%2Bb%26c");
        assert_eq!(with_query("/people", [("q", Some(""))]), "/people");
    }
}
