//! Requests as people have them at hand (raw HTTP, a curl command line, JSON), understood by their
//! content.

mod curl;
mod endpoint;
mod json;
mod raw;

use api_key_lb_core::wire::decoding::{Decoder, Decoding};
use api_key_lb_core::wire::headers::is_websocket;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::local_client::unchunk;

/// Longest input that is read, and longest body that a compressed one may become, in bytes: what a
/// running proxy takes.
pub(crate) const MOST_BYTES: usize = 32 << 20;

/// A request, ready to be asked about.
pub(crate) struct Pasted {
    /// Its method.
    pub(crate) method: Method,
    /// Its path and query.
    pub(crate) target: String,
    /// Its headers, with the length that the body has here.
    pub(crate) headers: HeaderMap,
    /// Its body, decoded.
    pub(crate) body: Vec<u8>,
    /// What was not given and had to be assumed.
    pub(crate) notes: Vec<String>,
}

/// Why something is not a request. Never says what was given: there are credentials in it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotARequest {
    /// None of the forms.
    #[error("this is not a request: it begins like none of these forms\n{FORMS}")]
    Unknown,
    /// Nothing at all.
    #[error("there is nothing in it; a request has one of these forms\n{FORMS}")]
    Empty,
    /// JSON that cannot be read.
    #[error(
        "this begins like JSON, but cannot be read from line {line}, column {column} on; \
         correct it there, or copy the request again as a whole"
    )]
    Json {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// A field of a JSON object that is not what it must be.
    #[error("`{field}` must be {wanted}; the other forms of a request are\n{FORMS}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What it must be.
        wanted: &'static str,
    },
    /// A line of a head.
    #[error(
        "line {0} is no header (`name: value`); a blank line must stand between the headers and the body"
    )]
    Line(usize),
    /// A header that cannot be one.
    #[error(
        "header number {0} has a name or a value that HTTP does not allow; correct it or leave it out"
    )]
    Header(usize),
    /// A method or a target that cannot be one.
    #[error(
        "its method or its path is not one of HTTP; a request begins like `POST /v1/messages HTTP/1.1`"
    )]
    Target,
    /// A curl command line that cannot be used.
    #[error("the curl command {0}")]
    Curl(String),
}

/// The forms, for those who gave another one.
const FORMS: &str = "\
- raw HTTP: `POST /v1/messages HTTP/1.1` (may be missing), header lines, a blank line, the body
- a command line: `curl https://… -H '…' -d '…'`, as browsers and agents copy it
- a JSON object with `headers` and `body`, perhaps `method` and `path`; or with `frames` of a WebSocket
- the JSON body alone";

/// What one of the forms says, before what is missing is assumed.
#[derive(Default)]
struct Draft {
    method: Option<String>,
    /// A path with query, or a whole URL.
    target: Option<String>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    notes: Vec<String>,
}

/// Understands `input`. `read` reads the file that a curl command names.
///
/// # Errors
/// [`NotARequest`] says what is wrong, and where.
pub(crate) fn parse(
    input: &[u8],
    read: &dyn Fn(&str) -> std::io::Result<Vec<u8>>,
) -> Result<Pasted, NotARequest> {
    let input = input.strip_prefix(b"\xef\xbb\xbf").unwrap_or(input);
    let input = input.trim_ascii_start();
    let draft = match input.first() {
        None => return Err(NotARequest::Empty),
        Some(b'{') => json::draft(input)?,
        Some(_) if curl::is_curl(input) => {
            curl::draft(&String::from_utf8_lossy(input), read).map_err(NotARequest::Curl)?
        }
        Some(_) if raw::is_head(input) => raw::draft(input)?,
        Some(_) => return Err(NotARequest::Unknown),
    };
    complete(draft)
}

/// Assumes what is missing and makes what is there fit together.
fn complete(mut draft: Draft) -> Result<Pasted, NotARequest> {
    let mut headers = HeaderMap::new();
    for (number, (name, value)) in (1..).zip(&draft.headers) {
        let wrong = || NotARequest::Header(number);
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| wrong())?;
        let value = HeaderValue::from_str(value.trim()).map_err(|_| wrong())?;
        headers.try_append(name, value).map_err(|_| wrong())?;
    }
    if headers.contains_key(TRANSFER_ENCODING)
        && !is_json(&draft.body)
        && let Some(body) = unchunk(&draft.body)
    {
        draft.body = body;
    }
    let as_sent = draft.body.len();
    decode(&headers, &mut draft);

    let mut method = draft.method.take().unwrap_or_else(|| "POST".to_owned());
    let target = match draft.target.take() {
        Some(target) => target,
        None => {
            let target = endpoint::guess(&draft.body, &headers);
            draft.notes.push(format!(
                "no path was given: taken for {method} {target}, as the body looks"
            ));
            target
        }
    };
    if is_websocket(&headers) {
        draft.notes.push(
            "a WebSocket: this is about its first message, as if it came over HTTP".to_owned(),
        );
        "POST".clone_into(&mut method);
    }
    // Captured bodies may have been edited, so the old length says nothing; that of a compressed
    // one cannot be known better.
    let is_decoded = headers.contains_key(CONTENT_ENCODING) && headers.contains_key(CONTENT_LENGTH);
    if !is_decoded && !headers.contains_key(TRANSFER_ENCODING) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(as_sent));
    }
    Ok(Pasted {
        method: Method::from_bytes(method.as_bytes()).map_err(|_| NotARequest::Target)?,
        target: path_of(&target).ok_or(NotARequest::Target)?,
        headers,
        body: draft.body,
        notes: draft.notes,
    })
}

/// Decodes a body that still is what `Content-Encoding` says. One that cannot be decoded stays,
/// and says as little here as in a proxy.
fn decode(headers: &HeaderMap, draft: &mut Draft) {
    if !headers.contains_key(CONTENT_ENCODING) || draft.body.is_empty() || is_json(&draft.body) {
        return;
    }
    let decoded = Decoder::new(headers, MOST_BYTES as u64).and_then(|mut decoder| {
        let mut bytes = Vec::new();
        let going = decoder.feed(&draft.body, &mut |piece| bytes.extend_from_slice(piece));
        (going == Decoding::Going && decoder.finish() == Decoding::Complete).then_some(bytes)
    });
    match decoded {
        Some(body) => draft.body = body,
        None => draft.notes.push(
            "the body cannot be decoded as `content-encoding` says, so nothing of it is known"
                .to_owned(),
        ),
    }
}

/// Path and query of a target or a URL, whose host does not matter.
fn path_of(target: &str) -> Option<String> {
    let target = target.split('#').next().unwrap_or_default();
    let path = match target.split_once("://") {
        Some((_, rest)) if !target.starts_with('/') => {
            rest.find(['/', '?']).map_or("/", |at| &rest[at..])
        }
        _ => target,
    };
    let path = if path.starts_with('?') {
        format!("/{path}")
    } else {
        path.to_owned()
    };
    let fits = path.starts_with('/') && path.parse::<http::uri::PathAndQuery>().is_ok();
    fits.then_some(path)
}

fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok()
}

#[cfg(test)]
mod tests;
