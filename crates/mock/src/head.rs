//! The head of a request: parsed, with its wire order and case kept.

use bytes::Bytes;

use crate::websocket::KEY_PROTOCOL;

/// Most header lines a request may have.
const MAX_HEADERS: usize = 256;

/// How the body of a request is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
}

/// A parsed request head.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Minor version of HTTP/1.
    pub(crate) minor: u8,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) framing: Framing,
    /// The exact bytes, with the blank line.
    pub(crate) raw: Bytes,
}

/// A key in a request, and where it was.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Credential {
    /// The header name in lower case, or `?key` for the query.
    pub source: String,
    /// The key, without `Bearer`.
    pub key: String,
}

/// What became of an attempt to parse a head.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// The head, and how many bytes of the input it took.
    Head(Box<Head>, usize),
    Partial,
    /// Not HTTP/1, or framing that two readers could read differently.
    Bad(&'static str),
}

impl Head {
    pub(crate) fn parse(input: &[u8]) -> Parsed {
        let mut lines = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut lines);
        let length = match request.parse(input) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Parsed::Partial,
            Err(_) => return Parsed::Bad("malformed request head"),
        };
        let headers: Vec<(String, String)> = request
            .headers
            .iter()
            .map(|line| (line.name.to_owned(), text(line.value)))
            .collect();
        let framing = match framing(&headers) {
            Ok(framing) => framing,
            Err(reason) => return Parsed::Bad(reason),
        };
        let head = Self {
            method: request.method.unwrap_or_default().to_owned(),
            target: request.path.unwrap_or_default().to_owned(),
            minor: request.version.unwrap_or(1),
            headers,
            framing,
            raw: Bytes::copy_from_slice(&input[..length]),
        };
        Parsed::Head(Box::new(head), length)
    }

    /// The target without its query.
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The query; empty if there is none.
    pub(crate) fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The first value of a query parameter, still percent-encoded.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query()
            .split('&')
            .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))
            .map(|(_, value)| value)
    }

    /// The first value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    fn says(&self, header: &str, token: &str) -> bool {
        self.headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(header))
            .flat_map(|(_, value)| value.split(','))
            .any(|word| word.trim().eq_ignore_ascii_case(token))
    }

    pub(crate) fn keeps_alive(&self) -> bool {
        if self.minor == 0 {
            self.says("connection", "keep-alive")
        } else {
            !self.says("connection", "close")
        }
    }

    pub(crate) fn expects_continue(&self) -> bool {
        self.says("expect", "100-continue")
    }

    /// Every credential in the request: headers in wire order, then the query.
    pub(crate) fn credentials(&self) -> Vec<Credential> {
        let mut found = Vec::new();
        for (name, value) in &self.headers {
            let source = name.to_ascii_lowercase();
            let key = match source.as_str() {
                "authorization" => match value.split_once(' ') {
                    Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => key.trim(),
                    _ => continue,
                },
                "x-api-key" | "x-goog-api-key" | "api-key" => value.as_str(),
                _ => continue,
            };
            found.push(Credential {
                source,
                key: key.to_owned(),
            });
        }
        for (name, value) in &self.headers {
            if !name.eq_ignore_ascii_case("sec-websocket-protocol") {
                continue;
            }
            for offer in value.split(',') {
                if let Some(key) = offer.trim().strip_prefix(KEY_PROTOCOL) {
                    found.push(Credential {
                        source: "sec-websocket-protocol".to_owned(),
                        key: key.to_owned(),
                    });
                }
            }
        }
        for pair in self.query().split('&') {
            if let Some(key) = pair.strip_prefix("key=") {
                found.push(Credential {
                    source: "?key".to_owned(),
                    key: percent_decoded(key),
                });
            }
        }
        found
    }
}

/// UTF-8 if it is, else Latin-1, which HTTP/1 values historically are.
pub(crate) fn text(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => value.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// Stricter than a lenient server on purpose: a proxy that forwards ambiguous framing must fail
/// its tests here rather than smuggle a request elsewhere.
fn framing(headers: &[(String, String)]) -> Result<Framing, &'static str> {
    let mut length = None;
    let mut chunked = false;
    for (name, value) in headers {
        if name.eq_ignore_ascii_case("content-length") {
            let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            let parsed = value.parse::<u64>().ok().filter(|_| digits);
            let parsed = parsed.ok_or("content-length is not a number")?;
            if length.replace(parsed).is_some() {
                return Err("content-length is repeated");
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            if chunked || !value.eq_ignore_ascii_case("chunked") {
                return Err("transfer-encoding is not chunked");
            }
            chunked = true;
        }
    }
    match (length, chunked) {
        (Some(_), true) => Err("both content-length and transfer-encoding"),
        (None, true) => Ok(Framing::Chunked),
        (length, false) => Ok(Framing::Length(length.unwrap_or(0))),
    }
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escape = (*byte == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(decoded) => {
                out.push(decoded);
                at += 3;
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(input: &str) -> Head {
        match Head::parse(input.as_bytes()) {
            Parsed::Head(head, _) => *head,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_credential_is_found_in_wire_order() {
        let head = head(
            "GET /x?a=b&key=q%2Fk HTTP/1.1\r\nX-Api-Key: two\r\nauthorization: bearer one\r\n\
             Authorization: Basic zzz\r\n\r\n",
        );
        let keys: Vec<_> = head
            .credentials()
            .into_iter()
            .map(|found| found.key)
            .collect();
        assert_eq!(keys, ["two", "one", "q/k"]);
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        for lines in [
            "content-length: 1\r\ntransfer-encoding: chunked",
            "content-length: 1\r\ncontent-length: 1",
            "content-length: +1",
            "transfer-encoding: gzip, chunked",
        ] {
            let input = format!("POST / HTTP/1.1\r\n{lines}\r\n\r\n");
            assert!(
                matches!(Head::parse(input.as_bytes()), Parsed::Bad(_)),
                "{lines}"
            );
        }
    }

    #[test]
    fn keep_alive_follows_the_version_and_the_connection_header() {
        assert!(head("GET / HTTP/1.1\r\n\r\n").keeps_alive());
        assert!(!head("GET / HTTP/1.1\r\nConnection: x, Close\r\n\r\n").keeps_alive());
        assert!(!head("GET / HTTP/1.0\r\n\r\n").keeps_alive());
        assert!(head("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").keeps_alive());
    }
}
