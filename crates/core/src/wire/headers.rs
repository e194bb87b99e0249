//! Headers that must not be forwarded: those that belong to one connection.

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, HeaderMap, HeaderName,
    PROXY_AUTHENTICATE, TE, TRANSFER_ENCODING, UPGRADE,
};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
/// How headers begin that are meant for us: `x-lb-session`, `x-lb-merge`, and ones to come.
const OWN: &str = "x-lb-";
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Removes from a request what concerns only the client's connection (RFC 9110 7.6.1), what
/// `Connection` names, framing, `Expect` (answered here), `Host` (replaced) and what is
/// said to us alone (`x-lb-…`). `TE: trailers` stays, since trailers are forwarded.
pub fn strip_request(headers: &mut HeaderMap) {
    let trailers = headers
        .get_all(TE)
        .into_iter()
        .any(|value| value.to_str().is_ok_and(wants_trailers));
    strip_connection(headers);
    for name in [EXPECT, HOST, CONTENT_LENGTH] {
        headers.remove(name);
    }
    let own = headers.keys().filter(|name| name.as_str().starts_with(OWN));
    for name in own.cloned().collect::<Vec<HeaderName>>() {
        headers.remove(name);
    }
    if trailers {
        headers.insert(TE, http::HeaderValue::from_static("trailers"));
    }
}

/// Removes from an answer what concerns only the upstream's connection. `Content-Length` stays:
/// the encoder checks it against the body, and an answer to HEAD needs it.
pub fn strip_answer(headers: &mut HeaderMap) {
    strip_connection(headers);
    headers.remove(PROXY_AUTHENTICATE);
}

fn strip_connection(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        for name in named_by_connection(headers) {
            headers.remove(name);
        }
    }
    for name in [
        CONNECTION,
        TRANSFER_ENCODING,
        UPGRADE,
        TE,
        KEEP_ALIVE,
        PROXY_CONNECTION,
    ] {
        headers.remove(name);
    }
}

/// What `Connection` lists, except headers that a message cannot do without: a `Connection` that
/// names them is an attack or a mistake.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(CONNECTION)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .filter(|name| ![HOST, CONTENT_LENGTH, AUTHORIZATION, CONTENT_TYPE].contains(name))
        .collect()
}

fn wants_trailers(value: &str) -> bool {
    value
        .split(',')
        .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

/// Bytes of a request head, near enough: what the header limit is held against.
pub fn size(headers: &HeaderMap) -> usize {
    // `: ` and the line end.
    const PER_LINE: usize = 4;
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + PER_LINE)
        .sum()
}

/// Whether a WebSocket is asked for, or accepted.
pub fn is_websocket(headers: &HeaderMap) -> bool {
    headers
        .get(UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn connection_headers_and_what_connection_names_are_removed() {
        let mut map = headers(&[
            ("connection", "keep-alive, X-Hop"),
            ("keep-alive", "timeout=5"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("te", "gzip, trailers"),
            ("expect", "100-continue"),
            ("host", "localhost"),
            ("content-length", "5"),
            ("x-lb-session", "mine"),
            ("X-LB-Merge", "1"),
            ("x-stays", "1"),
        ]);
        strip_request(&mut map);
        assert_eq!(map, headers(&[("te", "trailers"), ("x-stays", "1")]));
    }

    #[test]
    fn connection_cannot_remove_what_a_message_needs() {
        let mut map = headers(&[
            ("connection", "authorization, content-type, content-length"),
            ("authorization", "Bearer a"),
            ("content-type", "application/json"),
            ("content-length", "5"),
        ]);
        strip_answer(&mut map);
        assert_eq!(map.len(), 3);
    }
}
