//! Where a pool's requests go: scheme, host, port and base path, and how a request path joins it.

use std::fmt;

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};

use crate::provider::{self, Provider};
use crate::secret::Secret;

/// Why a configured target cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TargetError {
    /// Not a URL at all.
    #[error("`{0}` is not a URL; write one such as `https://api.openai.com`")]
    NotAUrl(String),
    /// Another scheme than http or https.
    #[error("`{0}` must begin with `https://` (or `http://` for a server on your own network)")]
    Scheme(String),
    /// A user name or password in the URL: keys belong in `keys`.
    #[error("`{0}` holds a user name or password; put credentials into `keys`, not into the URL")]
    Credentials(String),
    /// A query or fragment in the URL.
    #[error("`{0}` must end with its path: remove what follows `?` or `#`")]
    Query(String),
}

/// An upstream base URL, validated. Never holds a credential.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Target {
    tls: bool,
    authority: Authority,
    base: String,
    /// Who is behind it.
    provider: &'static Provider,
}

impl Target {
    /// Reads a base URL such as `https://openrouter.ai/api/v1`.
    ///
    /// # Errors
    /// [`TargetError`] says what is wrong with it, with any credentials in it masked.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let text = text.trim();
        // What is no URL may be a key in the wrong place.
        let shown = if text.contains("://") || looks_like_a_host(text) {
            mask_credentials(text)
        } else {
            Secret::new(text.to_owned()).masked()
        };
        if text.contains(['?', '#']) {
            return Err(TargetError::Query(shown));
        }
        let uri: Uri = text
            .parse()
            .map_err(|_| TargetError::NotAUrl(shown.clone()))?;
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(_) => return Err(TargetError::Scheme(shown)),
            None => return Err(TargetError::NotAUrl(shown)),
        };
        let authority = uri
            .authority()
            .cloned()
            .ok_or_else(|| TargetError::NotAUrl(shown.clone()))?;
        if authority.as_str().contains('@') {
            return Err(TargetError::Credentials(shown));
        }
        if authority.host().is_empty() || authority.as_str().ends_with(':') {
            return Err(TargetError::NotAUrl(shown));
        }
        let base = uri.path().trim_end_matches('/').to_owned();
        let provider = provider::of_host(authority.host()).unwrap_or(&provider::UNKNOWN);
        Ok(Self {
            tls,
            authority,
            base,
            provider,
        })
    }

    /// The same target, but with someone else behind it: a gateway, say.
    #[must_use]
    pub const fn with_provider(mut self, provider: &'static Provider) -> Self {
        self.provider = provider;
        self
    }

    /// Who is behind it: as was said, else as far as its host says.
    pub const fn provider(&self) -> &'static Provider {
        self.provider
    }

    /// Whether the connection is TLS.
    pub const fn tls(&self) -> bool {
        self.tls
    }

    /// Host and, if it was given, port: the value of the `Host` header.
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The host without brackets round an IPv6 address.
    pub fn host(&self) -> &str {
        let host = self.authority.host();
        host.strip_prefix('[')
            .and_then(|inner| inner.strip_suffix(']'))
            .unwrap_or(host)
    }

    /// The TCP port: the given one, else 443 or 80.
    pub fn port(&self) -> u16 {
        self.authority
            .port_u16()
            .unwrap_or(if self.tls { 443 } else { 80 })
    }

    /// The base path without a trailing slash; empty for none.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The path and query to ask the upstream for, when a client asked us for `path` and `query`.
    ///
    /// The base path comes first, but the longest part at its end that the request path already
    /// begins with is not repeated: with base `/api/v1`, each of `/api/v1/models`, `/v1/models`
    /// and `/models` becomes `/api/v1/models`. Only whole segments count. The request target
    /// chooses a path, never a host: `//evil.example/v1` stays a path.
    ///
    /// # Errors
    /// If the joined text is no valid path, which a path the HTTP parser let through is not.
    pub fn join(
        &self,
        path: &str,
        query: Option<&str>,
    ) -> Result<PathAndQuery, http::uri::InvalidUri> {
        let kept = self.base.len() - self.overlap(path);
        let mut joined =
            String::with_capacity(kept + path.len() + query.map_or(0, |q| q.len() + 1));
        joined.push_str(self.base.get(..kept).unwrap_or_default());
        joined.push_str(path);
        if let Some(query) = query {
            joined.push('?');
            joined.push_str(query);
        }
        PathAndQuery::try_from(joined)
    }

    /// How many bytes at the end of the base path the request path begins with.
    fn overlap(&self, path: &str) -> usize {
        self.base
            .match_indices('/')
            .map(|(at, _)| &self.base[at..])
            .find(|suffix| {
                path.strip_prefix(suffix)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
            .map_or(0, str::len)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.base)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

/// Whether `text` is a host name that only lacks its scheme: short labels, the last one letters.
/// No key looks so; those with a dot in them have long random parts.
fn looks_like_a_host(text: &str) -> bool {
    const LONGEST_LABEL: usize = 20;
    let host = text.split(['/', ':']).next().unwrap_or_default();
    let labels: Vec<&str> = host.split('.').collect();
    labels.len() > 1
        && labels.iter().all(|label| label.len() <= LONGEST_LABEL)
        && labels.last().is_some_and(|last| {
            last.len() > 1 && last.bytes().all(|byte| byte.is_ascii_alphabetic())
        })
}

/// The same URL with what may be a user name and password in it replaced by `***`: everything up
/// to the last `@`, since a password may hold a `/` that was not escaped.
pub fn mask_credentials(url: &str) -> String {
    let start = url.find("//").map_or(0, |at| at + 2);
    let (scheme, rest) = url.split_at(start);
    match rest.rfind('@') {
        Some(at) => format!("{scheme}***{}", &rest[at..]),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(target: &str, path: &str) -> String {
        Target::parse(target)
            .unwrap()
            .join(path, None)
            .unwrap()
            .to_string()
    }

    #[test]
    fn the_base_path_is_honoured_without_being_repeated() {
        for path in [
            "/api/v1/chat/completions",
            "/v1/chat/completions",
            "/chat/completions",
        ] {
            assert_eq!(
                joined("https://openrouter.ai/api/v1", path),
                "/api/v1/chat/completions",
                "{path}"
            );
        }
    }

    #[test]
    fn only_whole_segments_overlap() {
        assert_eq!(
            joined("https://h/api/v1", "/v1beta/models"),
            "/api/v1/v1beta/models"
        );
        assert_eq!(joined("https://h/api/v1", "/v1"), "/api/v1");
        assert_eq!(joined("https://h/v1/v1", "/v1/x"), "/v1/v1/x");
        assert_eq!(joined("https://h/a/b/a/b", "/a/b/c"), "/a/b/a/b/c");
    }

    #[test]
    fn without_a_base_path_the_request_path_is_all() {
        assert_eq!(joined("https://h", "/v1/models"), "/v1/models");
        assert_eq!(joined("https://h/", "/v1/models"), "/v1/models");
    }

    #[test]
    fn a_path_that_looks_like_a_host_stays_a_path() {
        assert_eq!(
            joined("https://h", "//evil.example/v1"),
            "//evil.example/v1"
        );
        assert_eq!(
            joined("https://h/api", "//evil.example/v1"),
            "/api//evil.example/v1"
        );
    }

    #[test]
    fn the_query_is_kept_as_it_came() {
        let target = Target::parse("https://h/v1").unwrap();
        let uri = target
            .join("/messages", Some("beta=true&x=%20a+b"))
            .unwrap();
        assert_eq!(uri.as_str(), "/v1/messages?beta=true&x=%20a+b");
    }

    #[test]
    fn ports_and_ipv6_hosts_are_read() {
        let target = Target::parse("http://[::1]:8080/v1/").unwrap();
        assert_eq!(
            (target.host(), target.port(), target.tls()),
            ("::1", 8080, false)
        );
        assert_eq!(target.base(), "/v1");
        assert_eq!(Target::parse("https://h").unwrap().port(), 443);
        assert_eq!(Target::parse("http://h").unwrap().port(), 80);
    }

    #[test]
    fn a_bad_target_is_refused_and_its_password_is_not_shown() {
        let error = Target::parse("https://me:hunter2@h/v1").unwrap_err();
        assert!(matches!(error, TargetError::Credentials(_)));
        assert!(!error.to_string().contains("hunter2"));
        assert_eq!(
            mask_credentials("https://me:hun/ter2@h/v1"),
            "https://***@h/v1"
        );
        let misplaced = Target::parse("sk-ant-api03-abcdefghijklmnop").unwrap_err();
        assert!(!misplaced.to_string().contains("api03"), "{misplaced}");
        let misplaced =
            Target::parse("0123456789abcdef0123456789abcdef.AbCdEfGhIjKlMnOp").unwrap_err();
        assert!(!misplaced.to_string().contains("AbCd"), "{misplaced}");
        let bare = Target::parse("api.z.ai/v1").unwrap_err();
        assert!(bare.to_string().contains("`api.z.ai/v1`"), "{bare}");
        assert!(matches!(
            Target::parse("api.openai.com"),
            Err(TargetError::NotAUrl(_))
        ));
        assert!(matches!(
            Target::parse("ftp://h"),
            Err(TargetError::Scheme(_))
        ));
        assert!(matches!(
            Target::parse("https://h/v1?x=1"),
            Err(TargetError::Query(_))
        ));
        assert!(matches!(Target::parse(""), Err(TargetError::NotAUrl(_))));
    }
}
