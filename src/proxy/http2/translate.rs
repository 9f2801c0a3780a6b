//! The head of a request in the words of HTTP/2: the one that was composed for HTTP/1.1, field for field (RFC 9113 §8.3.1).

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};

use crate::{
    http1::parse::{HeadLimits, Parsed, parse_request},
    message::Field,
};

use super::fields::is_of_one_message;

/// What was composed here has no limit but that of its making.
const NO_LIMITS: HeadLimits =
    HeadLimits { head_bytes: usize::MAX, target_bytes: usize::MAX, fields: usize::MAX };

/// The request whose head in HTTP/1.1 is `head`, with this `:scheme`; the value of a field that `is_secret`, or is of one message
/// alone, is kept out of the tables that compress headers (RFC 7541 §7.1.3). `None` where its target or host cannot be said in HTTP/2.
pub(in crate::proxy) fn request(
    head: &[u8],
    scheme: &str,
    is_secret: impl Fn(&Field<'_>) -> bool,
) -> Option<Request<()>> {
    let Ok(Parsed::Complete { head, .. }) = parse_request(head, &NO_LIMITS) else { return None };
    let mut uri = Uri::builder().scheme(scheme).path_and_query(head.target);
    let mut fields = HeaderMap::with_capacity(head.fields.len());
    for field in head.fields.iter() {
        if field.is("host") {
            uri = uri.authority(field.value);
        } else if !speaks_of_connection(field) {
            let name = HeaderName::from_bytes(field.name).ok()?;
            let mut value = HeaderValue::from_bytes(field.value).ok()?;
            value.set_sensitive(is_secret(field) || is_of_one_message(&name));
            fields.try_append(name, value).ok()?;
        }
    }
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(head.method.as_bytes()).ok()?;
    *request.uri_mut() = uri.build().ok()?;
    *request.version_mut() = http::Version::HTTP_2;
    *request.headers_mut() = fields;
    Some(request)
}

/// Fields that HTTP/2 has no use for (RFC 9113 §8.2.2); `TE: trailers` it has.
fn speaks_of_connection(field: &Field<'_>) -> bool {
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"]
        .iter()
        .any(|name| field.is(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(head: &str) -> Option<Request<()>> {
        request(head.as_bytes(), "https", |field| field.is("authorization"))
    }

    #[test]
    fn a_head_is_the_same_in_other_words() {
        let request = translated(
            "POST /a/b%2Fc?d=%7E HTTP/1.1\r\nHost: api.example:8443\r\nb: 2\r\nCookie: a=1; b=2\r\nb: 3\r\n\
             Authorization: Basic eA==\r\nTransfer-Encoding: chunked\r\nConnection: TE\r\nTE: trailers\r\n\r\n",
        )
        .unwrap();
        assert_eq!(request.uri(), "https://api.example:8443/a/b%2Fc?d=%7E");
        assert_eq!((request.method(), request.version()), (&Method::POST, http::Version::HTTP_2));
        let said: Vec<_> = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        assert_eq!(said, ["b: 2", "b: 3", "cookie: a=1; b=2", "authorization: Basic eA==", "te: trailers"]);
        assert!(
            request.headers()["authorization"].is_sensitive() && !request.headers()["cookie"].is_sensitive()
        );
    }

    #[test]
    fn what_cannot_be_said_is_refused() {
        for head in [
            "GET /a<b HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: a b\r\n\r\n",
            "GET /a HTTP/1.1\r\n",
            "GET /a HTTP/1.1\r\n\r\n",
        ] {
            assert!(translated(head).is_none(), "{head:?}");
        }
    }
}
