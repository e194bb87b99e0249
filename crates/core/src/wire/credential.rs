//! Credentials on the wire: which carriers a client used, how all of them are removed, how one is set.

use http::header::{
    AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION,
};

use super::dialect::Dialect;
use super::websocket::{self, Offer};

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const X_GOOG_API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");
const API_KEY: HeaderName = HeaderName::from_static("api-key");
/// Name the organisation and project of the *client's* key; with another key they mean 401.
const OPENAI_ORGANIZATION: HeaderName = HeaderName::from_static("openai-organization");
const OPENAI_PROJECT: HeaderName = HeaderName::from_static("openai-project");
/// The query parameter that carries a key (Gemini).
const QUERY_KEY: &str = "key";
/// The one that carries a token of OAuth, or an ephemeral one (Gemini Live).
const QUERY_TOKEN: &str = "access_token";

/// How a credential travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CredentialKind {
    /// `Authorization: Bearer …`
    Bearer,
    /// `x-api-key: …`
    XApiKey,
    /// `x-goog-api-key: …`
    XGoogApiKey,
    /// `api-key: …`
    ApiKey,
    /// `?key=…`
    Query,
}

impl CredentialKind {
    /// What a client of this dialect uses when nothing else is known.
    pub const fn of_dialect(dialect: Dialect) -> Self {
        match dialect {
            Dialect::OpenAi | Dialect::Responses => Self::Bearer,
            Dialect::Anthropic => Self::XApiKey,
            Dialect::Gemini => Self::XGoogApiKey,
        }
    }

    /// Which carrier goes upstream: the provider's if it is known, else the one the client
    /// brought (the dialect's own if it brought several), else the dialect's.
    pub fn choose(provider: Option<Self>, brought: Brought, dialect: Dialect) -> Self {
        let usual = Self::of_dialect(dialect);
        provider.unwrap_or_else(|| {
            if brought.has(usual) {
                usual
            } else {
                brought.first().unwrap_or(usual)
            }
        })
    }

    /// Writes `secret` into a request that has been [stripped](strip). A query credential is
    /// returned to be appended to the query instead.
    ///
    /// # Errors
    /// If the secret cannot stand in a header; a validated configuration has none such.
    pub fn set(
        self,
        headers: &mut HeaderMap,
        secret: &str,
    ) -> Result<(), http::header::InvalidHeaderValue> {
        let (name, value) = match self {
            Self::Bearer => {
                let mut text = zeroize::Zeroizing::new(String::with_capacity(7 + secret.len()));
                text.push_str("Bearer ");
                text.push_str(secret);
                (AUTHORIZATION, HeaderValue::from_str(&text)?)
            }
            Self::XApiKey => (X_API_KEY, HeaderValue::from_str(secret)?),
            Self::XGoogApiKey => (X_GOOG_API_KEY, HeaderValue::from_str(secret)?),
            Self::ApiKey => (API_KEY, HeaderValue::from_str(secret)?),
            Self::Query => return Ok(()),
        };
        let mut value = value;
        value.set_sensitive(true);
        headers.insert(name, value);
        Ok(())
    }
}

/// Every carrier a credential can come in, in the order they are looked for.
const KINDS: [CredentialKind; 5] = [
    CredentialKind::Bearer,
    CredentialKind::XApiKey,
    CredentialKind::XGoogApiKey,
    CredentialKind::ApiKey,
    CredentialKind::Query,
];

/// Which carriers a client used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Brought(u8);

impl Brought {
    fn add(&mut self, kind: CredentialKind) {
        self.0 |= 1 << kind as u8;
    }

    /// Whether the client used this carrier.
    pub const fn has(self, kind: CredentialKind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    fn first(self) -> Option<CredentialKind> {
        KINDS.into_iter().find(|kind| self.has(*kind))
    }
}

/// All credential values in a request, for checking client tokens. A `Bearer ` (or `Basic `, …)
/// scheme is removed.
pub fn offered<'r>(
    headers: &'r HeaderMap,
    query: Option<&'r str>,
) -> impl Iterator<Item = &'r [u8]> {
    let bearer = headers.get_all(AUTHORIZATION).into_iter().map(|value| {
        let bytes = value.as_bytes();
        match bytes.iter().position(|byte| *byte == b' ') {
            Some(space) => bytes[space + 1..].trim_ascii(),
            None => bytes,
        }
    });
    let plain = [X_API_KEY, X_GOOG_API_KEY, API_KEY]
        .into_iter()
        .flat_map(move |name| headers.get_all(name).into_iter().map(HeaderValue::as_bytes));
    let in_query = query
        .into_iter()
        .flat_map(|query| query.split('&'))
        .filter_map(|pair| {
            let value = pair.strip_prefix("key=");
            value.or_else(|| pair.strip_prefix("access_token="))
        })
        .map(str::as_bytes);
    let in_protocols = websocket::offered_tokens(headers);
    bearer.chain(plain).chain(in_query).chain(in_protocols)
}

/// Deletes every credential the client brought from the headers and says which carriers it used.
/// What it put into the query is reported here and removed by [`upstream_query`].
pub fn strip(headers: &mut HeaderMap, query: Option<&str>) -> Brought {
    let mut brought = Brought::default();
    for (name, kind) in [
        (AUTHORIZATION, CredentialKind::Bearer),
        (X_API_KEY, CredentialKind::XApiKey),
        (X_GOOG_API_KEY, CredentialKind::XGoogApiKey),
        (API_KEY, CredentialKind::ApiKey),
    ] {
        if headers.remove(name).is_some() {
            brought.add(kind);
        }
    }
    for name in [
        COOKIE,
        PROXY_AUTHORIZATION,
        OPENAI_ORGANIZATION,
        OPENAI_PROJECT,
    ] {
        headers.remove(name);
    }
    Offer::take(headers);
    let is_key = |pair| is_pair(pair, QUERY_KEY);
    if query.is_some_and(|query| query.split('&').any(is_key)) {
        brought.add(CredentialKind::Query);
    }
    brought
}

/// The query to send upstream: the client's without its `key` and `access_token`, every other byte as it came, plus
/// ours if the credential travels there. `None` if nothing is left.
pub fn upstream_query(query: Option<&str>, kind: CredentialKind, secret: &str) -> Option<String> {
    let brings_key = query.is_some_and(|query| query.split('&').any(is_credential));
    if !brings_key && kind != CredentialKind::Query {
        return query.map(str::to_owned);
    }
    let mut kept = query
        .into_iter()
        .flat_map(|query| query.split('&'))
        .filter(|pair| !is_credential(pair))
        .collect::<Vec<_>>()
        .join("&");
    if kind == CredentialKind::Query {
        if !kept.is_empty() {
            kept.push('&');
        }
        kept.push_str(QUERY_KEY);
        kept.push('=');
        percent_encode(secret, &mut kept);
    }
    (!kept.is_empty()).then_some(kept)
}

/// A query without any credential in it; `None` if nothing is left.
pub(super) fn without_credential(query: &str) -> Option<String> {
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| !is_credential(pair))
        .collect();
    (!kept.is_empty()).then(|| kept.join("&"))
}

fn is_credential(pair: &str) -> bool {
    is_pair(pair, QUERY_KEY) || is_pair(pair, QUERY_TOKEN)
}

fn is_pair(pair: &str, name: &str) -> bool {
    pair.split_once('=').map_or(pair, |(before, _)| before) == name
}

/// Appends `text` with everything but unreserved characters percent-encoded.
fn percent_encode(text: &str, to: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            to.push(char::from(byte));
        } else {
            to.push('%');
            to.push(char::from(HEX[usize::from(byte >> 4)]));
            to.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        map
    }

    #[test]
    fn every_carrier_a_client_can_bring_is_removed() {
        let mut map = headers(&[
            ("authorization", "Bearer a"),
            ("authorization", "Basic b"),
            ("x-api-key", "c"),
            ("x-goog-api-key", "d"),
            ("api-key", "e"),
            ("cookie", "session=f"),
            ("proxy-authorization", "Basic g"),
            ("openai-organization", "org-h"),
            ("openai-project", "proj-i"),
            ("user-agent", "agent/1"),
        ]);
        let brought = strip(&mut map, Some("a=1&key=j"));
        assert_eq!(map.len(), 1, "{map:?}");
        assert!(KINDS.into_iter().all(|kind| brought.has(kind)));
    }

    #[test]
    fn the_query_loses_its_key_and_nothing_else() {
        let query = |text| upstream_query(Some(text), CredentialKind::Bearer, "s");
        assert_eq!(
            query("alt=sse&key=abc&x=%20a+b"),
            Some("alt=sse&x=%20a+b".into())
        );
        assert_eq!(query("monkey=1&keys=2"), Some("monkey=1&keys=2".into()));
        assert_eq!(query("key=abc"), None);
        assert_eq!(query("key"), None);
        assert_eq!(query("a=1&&b"), Some("a=1&&b".into()));
        assert_eq!(query(""), Some(String::new()), "a bare `?` stays");
        assert_eq!(
            upstream_query(Some("alt=sse&key=abc"), CredentialKind::Query, "s/1"),
            Some("alt=sse&key=s%2F1".into())
        );
    }

    #[test]
    fn the_provider_decides_the_carrier_then_the_client_then_the_dialect() {
        use CredentialKind as Kind;
        let brought = |pairs: &[(&'static str, &'static str)]| strip(&mut headers(pairs), None);
        let both = brought(&[("authorization", "Bearer a"), ("x-api-key", "b")]);
        let none = Brought::default();
        assert_eq!(
            Kind::choose(Some(Kind::ApiKey), both, Dialect::OpenAi),
            Kind::ApiKey
        );
        assert_eq!(Kind::choose(None, both, Dialect::Anthropic), Kind::XApiKey);
        assert_eq!(Kind::choose(None, both, Dialect::OpenAi), Kind::Bearer);
        let bearer = brought(&[("authorization", "Bearer a")]);
        assert_eq!(Kind::choose(None, bearer, Dialect::Anthropic), Kind::Bearer);
        assert_eq!(Kind::choose(None, none, Dialect::Anthropic), Kind::XApiKey);
        assert_eq!(Kind::choose(None, none, Dialect::Gemini), Kind::XGoogApiKey);
        assert_eq!(Kind::choose(None, none, Dialect::Responses), Kind::Bearer);
    }

    #[test]
    fn a_set_credential_is_marked_sensitive() {
        let mut map = HeaderMap::new();
        CredentialKind::Bearer.set(&mut map, "sk-1").unwrap();
        assert_eq!(map["authorization"], "Bearer sk-1");
        assert!(map["authorization"].is_sensitive());
        assert!(!format!("{map:?}").contains("sk-1"));
    }

    #[test]
    fn client_tokens_are_found_in_every_form() {
        for map in [
            headers(&[("authorization", "Bearer tok")]),
            headers(&[("authorization", "bearer  tok")]),
            headers(&[("x-api-key", "tok")]),
            headers(&[("x-goog-api-key", "tok")]),
            headers(&[("api-key", "tok")]),
        ] {
            assert!(offered(&map, None).any(|value| value == b"tok"), "{map:?}");
        }
        assert!(offered(&HeaderMap::new(), Some("a=1&key=tok")).any(|value| value == b"tok"));
    }
}
