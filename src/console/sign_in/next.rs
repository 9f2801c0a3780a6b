//! Where to go once one is signed in: a page of the console, never another site.

use form_urlencoded::Serializer;

/// A path of the console, with its query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Onward(String);

impl Onward {
    /// `text` where it is a path of ours, else the beginning. Browsers read `//` and `/\` as another host, and drop tabs and
    /// line breaks before they look (WHATWG URL §4.4).
    pub fn parse(text: &str) -> Self {
        let is_path = text.starts_with('/') && !text.starts_with("//");
        let is_plain =
            text.len() <= 2000 && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        let path = text.split(['?', '#']).next().unwrap_or_default();
        let is_page = !["/sign-", "/api", "/assets", "/link"].iter().any(|other| path.starts_with(other));
        Self(if is_path && is_plain && is_page { text.to_owned() } else { "/".to_owned() })
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where one signs in to go there.
    pub fn sign_in(&self) -> String {
        if self.0 == "/" {
            return "/sign-in".to_owned();
        }
        let query = Serializer::new(String::new()).append_pair("next", &self.0).finish();
        format!("/sign-in?{query}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_to_another_site() {
        for (text, onward) in [
            ("/keys?status=active&q=a%20b", "/keys?status=active&q=a%20b"),
            ("/", "/"),
            ("", "/"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("\\\\evil.example", "/"),
            ("https://evil.example/", "/"),
            ("/\t/evil.example", "/"),
            ("/keys\r\nSet-Cookie: a=b", "/"),
            ("javascript:alert(1)", "/"),
            ("/sign-in?next=/", "/"),
            ("/sign-out", "/"),
            ("/api/v1/keys", "/"),
            ("/kéys", "/"),
        ] {
            assert_eq!(Onward::parse(text).as_str(), onward, "{text:?}");
        }
        assert_eq!(Onward::parse("/keys?a=b&c").sign_in(), "/sign-in?next=%2Fkeys%3Fa%3Db%26c");
    }
}
