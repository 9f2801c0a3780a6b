//! Pages are sent as gzip to browsers that take it.

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, VARY},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::assets::gzip;

/// Pages that are smaller gain nothing.
const BYTES_MIN: usize = 1000;

/// No page comes near.
const BYTES_MAX: usize = 16 << 20;

/// A mark of answers that hold a secret, as an extension: how long such an answer is when compressed could tell of it.
#[derive(Debug, Clone, Copy)]
pub struct Secret;

/// Answers with gzip (RFC 1952) where it is accepted.
pub async fn compress(request: Request, next: Next) -> Response {
    let accepts = accepts_gzip(request.headers());
    let answer = next.run(request).await;
    let is_page =
        answer.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if !accepts || !is_page || answer.extensions().get::<Secret>().is_some() {
        return answer;
    }
    let (mut head, body) = answer.into_parts();
    let Ok(plain) = to_bytes(body, BYTES_MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    if plain.len() < BYTES_MIN {
        return Response::from_parts(head, Body::from(plain));
    }
    head.headers.remove(CONTENT_LENGTH);
    head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    head.headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    Response::from_parts(head, Body::from(gzip(&plain)))
}

/// Whether the client takes gzip (RFC 9110 §12.5.3).
pub(super) fn accepts_gzip(asked: &HeaderMap) -> bool {
    let listed = asked.get_all(ACCEPT_ENCODING).iter().filter_map(|field| field.to_str().ok());
    listed.flat_map(|field| field.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let is_refused = weight.trim().strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()) == Some(0.0);
        name.trim().eq_ignore_ascii_case("gzip") && !is_refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_whoever_takes_it() {
        for (field, accepts) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000", false),
            ("br", false),
            ("", false),
        ] {
            let headers = [(ACCEPT_ENCODING, HeaderValue::from_static(field))].into_iter().collect();
            assert_eq!(accepts_gzip(&headers), accepts, "{field}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
