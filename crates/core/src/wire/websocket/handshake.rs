//! The handshake: what makes a request one, the credentials that stand among its subprotocols, and
//! the terms that both ends then keep to.

use http::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::{Method, Version};

use crate::wire::headers;

/// How the subprotocol begins in which browsers send an API key, since they cannot set headers.
/// Source: openai-node realtime/websocket.ts.
const KEY: &str = "openai-insecure-api-key.";
/// What else names a client's own account: the first two mean 401 with another key, the last is a
/// credential that ends with its session.
const OWN: &[&str] = &[
    "openai-organization.",
    "openai-project.",
    "xai-client-secret.",
];
/// The one extension there is.
const DEFLATE: &str = "permessage-deflate";

/// Whether a request is a handshake. What asks for it in any other way is an ordinary request, whose
/// `Upgrade` may be ignored.
pub fn is_handshake(method: &Method, version: Version, headers: &HeaderMap) -> bool {
    *method == Method::GET
        && version == Version::HTTP_11
        && headers::is_websocket(headers)
        && lists(headers, &CONNECTION, "upgrade")
}

/// Whether an answer with status 101 is one to a handshake.
pub fn is_accepted(headers: &HeaderMap) -> bool {
    headers::is_websocket(headers) && headers.contains_key(SEC_WEBSOCKET_ACCEPT)
}

/// Has a request of which the connection's own headers were removed ask for a WebSocket again.
pub fn prepare(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// The same for an answer that accepts it.
pub fn prepare_answer(headers: &mut HeaderMap, offer: &Offer) {
    prepare(headers);
    // What names no subprotocol stays as it is.
    if let Some(chosen) = headers.get(SEC_WEBSOCKET_PROTOCOL)
        && is_credential(chosen.as_bytes())
    {
        match &offer.key {
            Some(own) => headers.insert(SEC_WEBSOCKET_PROTOCOL, own.clone()),
            None => headers.remove(SEC_WEBSOCKET_PROTOCOL),
        };
    }
}

/// Whether two answers that accept the same handshake agree on everything that both ends keep to, so
/// that a client which has seen one can be served by the sender of the other.
pub fn same_terms(one: &HeaderMap, other: &HeaderMap) -> bool {
    [SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_EXTENSIONS]
        .iter()
        .all(|name| {
            let one = one.get_all(name).iter().map(without_secret);
            one.eq(other.get_all(name).iter().map(without_secret))
        })
}

/// Two keys differ, and stand in the same place.
fn without_secret(value: &HeaderValue) -> &[u8] {
    if value.as_bytes().starts_with(KEY.as_bytes()) {
        KEY.as_bytes()
    } else {
        value.as_bytes()
    }
}

fn lists(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    let values = headers.get_all(name).into_iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|word| word.trim().eq_ignore_ascii_case(wanted))
}

fn is_credential(entry: &[u8]) -> bool {
    let begins = |prefix: &&str| entry.starts_with(prefix.as_bytes());
    begins(&KEY) || OWN.iter().any(begins)
}

fn entries(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value
        .as_bytes()
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|entry| !entry.is_empty())
}

/// The credentials among a client's subprotocols, for checking client tokens.
pub fn offered_tokens(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter();
    values
        .flat_map(entries)
        .filter_map(|entry| entry.strip_prefix(KEY.as_bytes()))
}

/// The subprotocols that a client offers, if a credential stands among them.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// The others, in order, and how many of them stand before the key.
    others: Vec<Vec<u8>>,
    before: usize,
    /// The client's own key, which it recognises as its own if a server chooses it.
    key: Option<HeaderValue>,
}

impl Offer {
    /// Takes every credential out of the subprotocols; what has none is not touched.
    pub fn take(headers: &mut HeaderMap) -> Self {
        let mut offer = Self::default();
        let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter();
        let all: Vec<&[u8]> = values.flat_map(entries).collect();
        if !all.iter().any(|entry| is_credential(entry)) {
            return offer;
        }
        for entry in all {
            if entry.starts_with(KEY.as_bytes()) {
                offer.before = offer.others.len();
                offer.key = HeaderValue::from_bytes(entry).ok().map(|mut key| {
                    key.set_sensitive(true);
                    key
                });
            } else if !is_credential(entry) {
                offer.others.push(entry.to_vec());
            }
        }
        offer.write(headers, None);
        offer
    }

    /// Puts `secret` where the client's own key stood. Whether it stands there now: not if the client
    /// used another place, or if the secret cannot be a subprotocol.
    pub fn put(&self, headers: &mut HeaderMap, secret: &str) -> bool {
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if self.key.is_none() || secret.is_empty() || !secret.bytes().all(is_token) {
            return false;
        }
        self.write(headers, Some(secret));
        true
    }

    fn write(&self, headers: &mut HeaderMap, secret: Option<&str>) {
        let mut text = zeroize::Zeroizing::new(Vec::new());
        let mut add = |parts: [&[u8]; 2]| {
            if !text.is_empty() {
                text.extend_from_slice(b", ");
            }
            parts.iter().for_each(|part| text.extend_from_slice(part));
        };
        for at in 0..=self.others.len() {
            if let Some(secret) = secret.filter(|_| at == self.before) {
                add([KEY.as_bytes(), secret.as_bytes()]);
            }
            if let Some(other) = self.others.get(at) {
                add([other, b""]);
            }
        }
        let value = HeaderValue::from_bytes(&text).ok();
        match value.filter(|value| !value.is_empty()) {
            Some(mut value) => {
                value.set_sensitive(secret.is_some());
                headers.insert(SEC_WEBSOCKET_PROTOCOL, value);
            }
            None => {
                headers.remove(SEC_WEBSOCKET_PROTOCOL);
            }
        }
    }
}

/// How messages are coded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coding {
    /// As they are.
    #[default]
    Plain,
    /// Compressed one by one (RFC 7692); whether each begins anew, for the client's and the server's.
    Deflate {
        /// The client's.
        client_anew: bool,
        /// The server's.
        server_anew: bool,
    },
    /// In a way that is not known here.
    Unknown,
}

impl Coding {
    /// What the answer to a handshake has fixed.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).into_iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return if headers.contains_key(SEC_WEBSOCKET_EXTENSIONS) {
                Self::Unknown
            } else {
                Self::Plain
            };
        };
        let Ok(value) = value.to_str() else {
            return Self::Unknown;
        };
        let mut words = value.split(';').map(str::trim);
        if value.contains(',') || words.next() != Some(DEFLATE) {
            return Self::Unknown;
        }
        let (mut client_anew, mut server_anew) = (false, false);
        for word in words {
            match word.split('=').next().unwrap_or_default().trim() {
                "client_no_context_takeover" => client_anew = true,
                "server_no_context_takeover" => server_anew = true,
                // A smaller window is read with the largest one.
                "client_max_window_bits" | "server_max_window_bits" => {}
                _ => return Self::Unknown,
            }
        }
        Self::Deflate {
            client_anew,
            server_anew,
        }
    }
}
