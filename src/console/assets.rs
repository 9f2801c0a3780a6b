//! Styles, scripts and pictures: files of this binary, so that nothing is loaded from elsewhere.

use std::{io::Write as _, sync::LazyLock};

use axum::{
    Router,
    body::Bytes,
    extract::Path,
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest as _, Sha256};

use super::{answer::Failure, compression::accepts_gzip};

macro_rules! assets {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_bytes!(concat!("assets/", $name)).as_slice())),*]
    };
}

/// Every file, by name.
const FILES: [(&str, &[u8]); 15] = assets![
    "console.css",
    "console.js",
    "copy.js",
    "favicon.svg",
    "filter.js",
    "forms.js",
    "icons.svg",
    "poll.js",
    "reveal.js",
    "say.js",
    "summary.js",
    "theme.js",
    "theme_button.js",
    "times.js",
    "try.js",
];

/// A file as it is sent.
struct Asset {
    name: &'static str,
    media_type: &'static str,
    /// The hash of the content, in quotes: a strong entity tag (RFC 9110 §8.8.3). That of what is compressed is another.
    tag: String,
    plain: &'static [u8],
    gzip: Bytes,
}

static ASSETS: LazyLock<Vec<Asset>> =
    LazyLock::new(|| FILES.iter().map(|(name, content)| Asset::new(name, content)).collect());

impl Asset {
    fn new(name: &'static str, plain: &'static [u8]) -> Self {
        let media_type = match name.rsplit_once('.').map(|(_, kind)| kind) {
            Some("css") => "text/css; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("svg") => "image/svg+xml",
            Some(_) | None => "application/octet-stream",
        };
        let tag = URL_SAFE_NO_PAD.encode(&Sha256::digest(plain)[..12]);
        Self { name, media_type, tag, plain, gzip: gzip(plain).into() }
    }

    fn answer(&self, asked: &HeaderMap) -> Response {
        let is_gzip = accepts_gzip(asked);
        let tag = if is_gzip { format!("\"{}-gz\"", self.tag) } else { format!("\"{}\"", self.tag) };
        let about = [
            // Asked again on every page, and answered in few bytes: a new version is seen at once.
            (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (ETAG, HeaderValue::try_from(&tag).unwrap_or(HeaderValue::from_static("\"\""))),
            (VARY, HeaderValue::from_static("accept-encoding")),
        ];
        if is_known(asked, &tag) {
            return (StatusCode::NOT_MODIFIED, about).into_response();
        }
        let media_type = [(CONTENT_TYPE, self.media_type)];
        if is_gzip {
            let encoding: [(HeaderName, &str); 1] = [(CONTENT_ENCODING, "gzip")];
            return (about, media_type, encoding, self.gzip.clone()).into_response();
        }
        (about, media_type, Bytes::from_static(self.plain)).into_response()
    }
}

/// The files, under `/assets/`.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/assets/{name}", get(asset))
}

async fn asset(Path(name): Path<String>, asked: HeaderMap) -> Response {
    match ASSETS.iter().find(|asset| asset.name == name) {
        Some(asset) => asset.answer(&asked),
        None => Failure::no_page().into_response(),
    }
}

/// Whether the browser has this state of it (RFC 9110 §13.1.2).
fn is_known(asked: &HeaderMap, tag: &str) -> bool {
    let listed = asked.get_all(IF_NONE_MATCH).iter().filter_map(|field| field.to_str().ok());
    listed.flat_map(|field| field.split(',')).any(|known| known.trim().trim_start_matches("W/") == tag)
}

/// `content` as gzip (RFC 1952).
pub(super) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(content.len() / 3), Compression::default());
    // Writing to memory cannot fail.
    let _ = encoder.write_all(content);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use axum::http::header::ACCEPT_ENCODING;

    use super::*;

    #[test]
    fn what_a_browser_has_is_not_sent_again() {
        let asset = Asset::new("console.css", b"body {}");
        let asked = |fields: &[(HeaderName, &str)]| {
            let fields =
                fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()));
            asset.answer(&fields.collect())
        };
        let first = asked(&[]);
        let tag = first.headers()[ETAG].to_str().unwrap().to_owned();
        assert_eq!((first.status(), first.headers().get(CONTENT_ENCODING)), (StatusCode::OK, None));
        assert_eq!(asked(&[(IF_NONE_MATCH, &tag)]).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(asked(&[(IF_NONE_MATCH, "\"other\"")]).status(), StatusCode::OK);
        let packed = asked(&[(ACCEPT_ENCODING, "br, gzip"), (IF_NONE_MATCH, &tag)]);
        assert_eq!(
            (packed.status(), &packed.headers()[CONTENT_ENCODING]),
            (StatusCode::OK, &HeaderValue::from_static("gzip"))
        );
    }

    #[test]
    fn everything_together_fits_the_budget_of_a_page() {
        let sum: usize = ASSETS.iter().map(|asset| asset.gzip.len()).sum();
        assert!(sum < 25_000, "{sum} bytes: with the page itself at most 50,000");
    }
}
