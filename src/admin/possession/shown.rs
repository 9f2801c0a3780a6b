//! Which keys a request shows. Whoever finds a key has no time for a manual: besides the forms that hold nothing but keys, whatever
//! holds a key of our form is taken, since check characters tell where it stands. Looks at nothing but the request, so that no key is
//! told from another.

use std::borrow::Cow;

use axum::http::{
    HeaderMap,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde::{Deserialize, de::IgnoredAny};

use crate::{
    control::possession::KEYS_MAX,
    keys::{credential::is_secret, digest::KeyDigest, secret_scan::SecretScan},
};

/// Told where no key was shown.
const HOW: &str = "There can be no key in this, or there are more than 20. Send whole keys: as text, one a line; as JSON, {\"key\": …} or a list; \
     as a form, key=…; or one as the Bearer credential. Keys with check characters are found wherever they stand.";

/// The digests of what may be keys, in the credentials (RFC 6750 §2.1) and the body of a request: [`KEYS_MAX`] of each form at the
/// most. Cost: linear in the body.
///
/// # Errors
/// How to show keys, where there is none or there are too many; nothing of what was shown.
pub(super) fn shown(headers: &HeaderMap, body: &[u8]) -> Result<Vec<KeyDigest>, &'static str> {
    let mut digests = Vec::new();
    let mut show = |secret: &[u8]| {
        let digest = KeyDigest::of(secret);
        if !digests.contains(&digest) {
            digests.push(digest);
        }
    };
    credentials(headers).take(KEYS_MAX).for_each(&mut show);
    if scan(body, &mut show) > KEYS_MAX {
        return Err(HOW);
    }
    match in_json(body) {
        Some(secrets) => only_keys(&secrets).into_iter().flatten().for_each(&mut show),
        None if is_broken_json(headers, body) => {}
        None => {
            only_keys(&lines(body)).into_iter().flatten().for_each(&mut show);
            form_values(body).iter().map(AsRef::as_ref).for_each(&mut show);
        }
    }
    if digests.is_empty() { Err(HOW) } else { Ok(digests) }
}

/// Those of the scheme Bearer.
fn credentials(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let all = headers.get_all(AUTHORIZATION).into_iter();
    all.filter_map(|value| bearer(value.as_bytes())).filter(|secret| is_secret(secret))
}

fn bearer(credential: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"Bearer ";
    let (scheme, secret) = credential.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then_some(secret.trim_ascii())
}

/// Shows the keys of our form in `body`, whatever stands around them, up to one more than there may be; how many.
fn scan(body: &[u8], mut show: impl FnMut(&[u8])) -> usize {
    let mut count = 0;
    SecretScan::new(&[]).feed(body, |found| {
        count += 1;
        if count <= KEYS_MAX {
            show(found.secret);
        }
    });
    count
}

/// All of `texts`, where each can be a key and there are not too many.
fn only_keys<'t>(texts: &'t [Cow<'_, [u8]>]) -> Option<impl Iterator<Item = &'t [u8]>> {
    let is_all = texts.len() <= KEYS_MAX && texts.iter().all(|text| is_secret(text));
    is_all.then(|| texts.iter().map(AsRef::as_ref))
}

fn lines(body: &[u8]) -> Vec<Cow<'_, [u8]>> {
    let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.filter(|line| !line.is_empty()).map(Cow::Borrowed).take(KEYS_MAX + 1).collect()
}

/// The values of a form, as they stand and as they are meant (WHATWG URL §5.1); of other text, whatever stands behind `=`.
fn form_values(body: &[u8]) -> Vec<Cow<'_, [u8]>> {
    let pairs = body.trim_ascii().split(|byte| *byte == b'&').filter(|pair| pair.contains(&b'='));
    let values = pairs.flat_map(|pair| {
        let written = pair.iter().position(|byte| *byte == b'=').map(|at| Cow::Borrowed(&pair[at + 1..]));
        let meant = form_urlencoded::parse(pair).next().map(|(_, value)| match value {
            Cow::Borrowed(value) => Cow::Borrowed(value.as_bytes()),
            Cow::Owned(value) => Cow::Owned(value.into_bytes()),
        });
        [written, meant].into_iter().flatten()
    });
    values.filter(|value| is_secret(value)).take(KEYS_MAX).collect()
}

/// What the JSON of `body` shows as keys, none where it is of another form; `None`: it is no JSON that holds text.
fn in_json(body: &[u8]) -> Option<Vec<Cow<'_, [u8]>>> {
    if !begins_as_json(body) {
        return None;
    }
    if let Ok(shown) = serde_json::from_slice::<Shown<'_>>(body) {
        return Some(shown.secrets());
    }
    serde_json::from_slice::<IgnoredAny>(body).is_ok().then(Vec::new)
}

/// Whether `body` claims to be JSON, and begins like it: then it is no text that holds keys of another form.
fn is_broken_json(headers: &HeaderMap, body: &[u8]) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json") && begins_as_json(body)
}

fn begins_as_json(body: &[u8]) -> bool {
    matches!(body.trim_ascii_start().first(), Some(b'{' | b'[' | b'"'))
}

/// A body of JSON.
#[derive(Deserialize)]
#[serde(untagged)]
enum Shown<'b> {
    #[serde(borrow)]
    One(Key<'b>),
    Several(Vec<Key<'b>>),
    Listed {
        keys: Vec<Key<'b>>,
    },
}

/// A key; with what is told of it beside, which is not looked at.
#[derive(Deserialize)]
#[serde(untagged)]
enum Key<'b> {
    Alone(#[serde(borrow)] Cow<'b, str>),
    Named {
        key: Cow<'b, str>,
    },
    /// As scanning services report what they found.
    Token {
        token: Cow<'b, str>,
    },
}

impl<'b> Shown<'b> {
    fn secrets(self) -> Vec<Cow<'b, [u8]>> {
        let keys = match self {
            Self::One(key) => vec![key],
            Self::Several(keys) | Self::Listed { keys } => keys,
        };
        keys.into_iter().map(Key::secret).collect()
    }
}

impl<'b> Key<'b> {
    fn secret(self) -> Cow<'b, [u8]> {
        match self {
            Self::Alone(secret) | Self::Named { key: secret } | Self::Token { token: secret } => match secret
            {
                Cow::Borrowed(secret) => Cow::Borrowed(secret.as_bytes()),
                Cow::Owned(secret) => Cow::Owned(secret.into_bytes()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;
    use crate::keys::secret::{Brand, Environment, KeySecret};

    fn show(
        credential: Option<&'static str>,
        media_type: &'static str,
        body: &[u8],
    ) -> Option<Vec<KeyDigest>> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        headers.extend(credential.map(|value| (AUTHORIZATION, HeaderValue::from_static(value))));
        shown(&headers, body).ok()
    }

    const JSON: &str = "application/json; charset=utf-8";
    const TEXT: &str = "text/plain";
    const FORM: &str = "application/x-www-form-urlencoded";

    #[test]
    fn keys_of_any_form_are_shown_in_these_ways() {
        let many: Vec<_> = (0..21).map(|number| format!("\"x{number}\"")).collect();
        let lines =
            |count: u32| (0..count).map(|number| format!("a-key{number}")).collect::<Vec<_>>().join("\n");
        for (credential, media_type, body, expected) in [
            (None, TEXT, "a-key", Some(1)),
            (None, TEXT, "a-key\r\n\nb-key\n", Some(2)),
            (None, TEXT, "a-key\na-key", Some(1)),
            (None, FORM, "a-key", Some(1)),
            (None, JSON, "a-key", Some(1)),
            (Some("Bearer a-key"), TEXT, "", Some(1)),
            (Some("Bearer a-key"), TEXT, "two words", Some(1)),
            (Some("bearer  a-key"), TEXT, "b-key", Some(2)),
            (None, JSON, "\"a-key\"", Some(1)),
            (None, FORM, "\"a-key\"", Some(1)),
            (None, JSON, r#"{"key": "a-key", "found": "in a log"}"#, Some(1)),
            (None, FORM, r#"{"key": "a-key", "found": "in a log"}"#, Some(1)),
            (None, JSON, r#"["a-key", "b-key"]"#, Some(2)),
            (None, JSON, r#"["a\u002dkey"]"#, Some(1)),
            (None, JSON, r#"{"keys": ["a-key", {"key": "b-key"}]}"#, Some(2)),
            (None, JSON, r#"[{"token": "a-key", "type": "t", "url": "https://example.com"}]"#, Some(1)),
            (None, JSON, &format!("[{}]", many[..20].join(",")), Some(20)),
            (None, JSON, &format!("[{}]", many.join(",")), None),
            (None, TEXT, &lines(20), Some(20)),
            (None, TEXT, &lines(21), None),
            (None, TEXT, "", None),
            (None, TEXT, "two words", None),
            (None, TEXT, &"x".repeat(513), None),
            (Some("Basic a-key"), TEXT, "", None),
            (None, JSON, "", None),
            (None, JSON, "{}", None),
            (None, TEXT, "{}", None),
            (None, JSON, "[]", None),
            (None, JSON, "[", None),
            (None, JSON, "\"a-key", None),
            (None, JSON, "{\"key\": 1}", None),
            (None, TEXT, "{\"other\":\"a-key\"}", None),
        ] {
            let digests = show(credential, media_type, body.as_bytes());
            assert_eq!(digests.as_ref().map(Vec::len), expected, "{credential:?} {body}");
            let known = ["a-key", "b-key"].map(|secret| KeyDigest::of(secret.as_bytes()));
            let is_named = body.contains("a-key\"") || body.contains("a-key\r");
            assert!(!is_named || digests.is_none_or(|digests| digests[0] == known[0]), "{body}");
        }
    }

    #[test]
    fn the_values_of_a_form_are_keys() {
        for (body, value) in [
            ("key=a-key", "a-key"),
            ("key=a%2Dkey", "a-key"),
            ("key=a+key", "a+key"),
            ("where=a,b+c&key=a-key&by=me", "a-key"),
            ("key=YWJj==\n", "YWJj=="),
            ("YWJj==", "YWJj=="),
        ] {
            let digests = show(None, FORM, body.as_bytes()).unwrap();
            assert!(digests.contains(&KeyDigest::of(value.as_bytes())), "{body}");
            assert!(digests.len() <= 2 * KEYS_MAX);
        }
    }

    fn key(brand: &str) -> String {
        let brand = Brand::parse(brand).unwrap();
        KeySecret::generate(&brand, Environment::Live).unwrap().expose().to_owned()
    }

    #[test]
    fn keys_of_our_form_are_found_wherever_they_stand() {
        let (one, other) = (key("acme"), key("kg"));
        for body in [
            format!("I have found {one} in a log.\nAnd {other}, too"),
            format!("key={one}&other={other}"),
            format!("Authorization: Bearer {one}\r\nX-API-Key: {other}\r\n"),
            format!("{{\"data\": {{\"found\": [[\"{one}\"], {{\"x\": \"\\n{other}\"}}]}}}}"),
            format!("{{\"key\": \"{one}\", \"else\": \"{other}\"}}"),
            format!(
                "--x\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\n{one}\r\n{other}\r\n--x--\r\n"
            ),
            format!("https://example.com/?token={one}#{other}"),
            format!("[\"{one}\", \"{other}\""),
            format!("{}\n{one}\n{other}", "a line\n".repeat(100)),
        ] {
            for media_type in [JSON, TEXT, FORM] {
                let digests = show(None, media_type, body.as_bytes()).unwrap_or_default();
                for secret in [&one, &other] {
                    assert!(digests.contains(&KeyDigest::of(secret.as_bytes())), "{media_type} {body}");
                }
            }
        }
        let wide: Vec<u8> = format!("key {one}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(show(None, TEXT, &wide), Some(vec![KeyDigest::of(one.as_bytes())]));
        let many =
            |count: usize| (0..count).map(|_| format!("a {}", key("kg"))).collect::<Vec<_>>().join("\n");
        assert_eq!(show(None, TEXT, many(20).as_bytes()).map(|digests| digests.len()), Some(20));
        assert_eq!(show(None, TEXT, many(21).as_bytes()), None);
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_bounded(body in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let digests = show(Some("Bearer a-key"), TEXT, &body).unwrap();
            prop_assert!(digests.len() <= 3 * KEYS_MAX + 1);
        }
    }
}
