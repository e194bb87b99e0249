//! Which URLs lead to the provider of a pool, and what they become so that they lead to the proxy.

/// A pool, as agents see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The provider's base URL: `https://api.z.ai`, `https://openrouter.ai/api/v1`.
    pub target: String,
    /// The proxy's base URL for this pool, without a slash at its end: `http://127.0.0.1:4577`, or with
    /// the pool's name behind it.
    pub base: String,
}

/// Where URLs shall lead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aim {
    /// The pools; the one without a name first.
    pub pools: Vec<Pool>,
    /// Base URLs under which the proxy was known before (another port), each with the place of its pool in
    /// `pools`.
    pub former: Vec<(String, usize)>,
}

/// What becomes of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lead {
    /// It leads to a pool's provider and shall be this instead.
    To(String),
    /// It leads to the proxy.
    Already,
    /// It leads somewhere else, or cannot be changed safely (credentials or a query in it).
    Elsewhere,
}

impl Aim {
    /// What becomes of `url`. Only the origin is replaced; the path stays, a slash at its end included.
    ///
    /// A URL leads to a pool's provider if scheme, host and port are those of its target (`http` and `https`
    /// with their usual ports, letter case aside), whatever the path: agents name a provider's other
    /// dialects by other paths (`/api/anthropic`, `/api/coding/paas/v4`), and the proxy forwards every path.
    /// If the target has a path, the URL's must begin with it, because the proxy adds it to every other.
    pub fn lead(&self, url: &str) -> Lead {
        let Some(given) = Origin::of(url) else {
            return Lead::Elsewhere;
        };
        if self
            .pools
            .iter()
            .any(|pool| under(url, &pool.base).is_some() || same_proxy(&given, url, &pool.base))
        {
            return Lead::Already;
        }
        for (former, index) in &self.former {
            if let (Some(rest), Some(pool)) = (under(url, former), self.pools.get(*index)) {
                return Lead::To(format!("{}{rest}", pool.base));
            }
        }
        let pool = self
            .pools
            .iter()
            .find(|pool| Origin::of(&pool.target).is_some_and(|target| target.covers(&given)));
        match pool {
            Some(pool) => Lead::To(format!("{}{}", pool.base, given.rest)),
            None => Lead::Elsewhere,
        }
    }

    /// What a URL that an agent uses unless told otherwise must be replaced by; `None` if it leads elsewhere.
    pub fn instead_of(&self, default: &str) -> Option<String> {
        match self.lead(default) {
            Lead::To(url) => Some(url),
            Lead::Already | Lead::Elsewhere => None,
        }
    }
}

/// The part of an `http` or `https` URL that says to whom it leads, and what is behind it.
struct Origin<'u> {
    tls: bool,
    host: &'u str,
    port: u16,
    /// The path as written, or nothing.
    rest: &'u str,
}

impl<'u> Origin<'u> {
    /// `None` for what is no such URL, and for one with credentials, a query or a fragment.
    fn of(url: &'u str) -> Option<Self> {
        let (scheme, behind) = url.split_once("://")?;
        let tls = if scheme.eq_ignore_ascii_case("https") {
            true
        } else if scheme.eq_ignore_ascii_case("http") {
            false
        } else {
            return None;
        };
        let (authority, rest) = behind.split_at(behind.find('/').unwrap_or(behind.len()));
        if url.contains(['?', '#', '@', '\\']) || url.contains(char::is_whitespace) {
            return None;
        }
        let usual = if tls { 443 } else { 80 };
        let (host, port) = match authority.rsplit_once(':') {
            // The colon is one of an IPv6 address.
            Some((_, port)) if port.contains(']') => (authority, usual),
            Some((host, port)) => (host, port.parse().ok()?),
            None => (authority, usual),
        };
        (!host.is_empty()).then_some(Self {
            tls,
            host,
            port,
            rest,
        })
    }

    /// Whether `other` leads to the same server, below this path.
    fn covers(&self, other: &Self) -> bool {
        let path = self.rest.trim_end_matches('/');
        self.is(other) && under(other.rest, path).is_some()
    }

    fn is(&self, other: &Self) -> bool {
        self.tls == other.tls
            && self.port == other.port
            && self
                .host
                .trim_end_matches('.')
                .eq_ignore_ascii_case(other.host.trim_end_matches('.'))
    }
}

/// What of `url` stands behind `base`; `None` if it does not begin with it.
fn under<'u>(url: &'u str, base: &str) -> Option<&'u str> {
    let rest = url.strip_prefix(base)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// Whether the URL leads to the proxy by another of its names (`localhost`, `[::1]`).
fn same_proxy(given: &Origin<'_>, url: &str, base: &str) -> bool {
    const LOOPBACK: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];
    let Some(base) = Origin::of(base) else {
        return false;
    };
    let is_loopback = |host: &str| LOOPBACK.iter().any(|name| host.eq_ignore_ascii_case(name));
    !url.is_empty()
        && !given.tls
        && given.port == base.port
        && is_loopback(given.host)
        && is_loopback(base.host)
        && (given.rest == base.rest
            || given
                .rest
                .strip_prefix(base.rest)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aim() -> Aim {
        let pool = |target: &str, base: &str| Pool {
            target: target.to_owned(),
            base: base.to_owned(),
        };
        Aim {
            pools: vec![
                pool("https://api.z.ai", "http://127.0.0.1:4600"),
                pool(
                    "https://openrouter.ai/api/v1",
                    "http://127.0.0.1:4600/router",
                ),
            ],
            former: vec![("http://127.0.0.1:4577".to_owned(), 0)],
        }
    }

    fn to(url: &str) -> Lead {
        Lead::To(url.to_owned())
    }

    #[test]
    fn only_the_origin_is_replaced_and_the_path_stays_as_written() {
        let aim = aim();
        assert_eq!(
            aim.lead("https://api.z.ai/api/coding/paas/v4"),
            to("http://127.0.0.1:4600/api/coding/paas/v4")
        );
        assert_eq!(
            aim.lead("HTTPS://API.Z.AI:443/api/anthropic/"),
            to("http://127.0.0.1:4600/api/anthropic/")
        );
        assert_eq!(aim.lead("https://api.z.ai"), to("http://127.0.0.1:4600"));
    }

    #[test]
    fn a_named_pool_stands_before_the_path() {
        assert_eq!(
            aim().lead("https://openrouter.ai/api/v1"),
            to("http://127.0.0.1:4600/router/api/v1")
        );
    }

    #[test]
    fn what_the_targets_path_does_not_cover_is_left_alone() {
        for url in ["https://openrouter.ai/api/v10", "https://openrouter.ai"] {
            assert_eq!(aim().lead(url), Lead::Elsewhere, "{url}");
        }
    }

    #[test]
    fn other_hosts_ports_and_schemes_are_left_alone() {
        for url in [
            "https://api.z.ai.example.com/v1",
            "https://api.z.ai:8443/v1",
            "http://api.z.ai/v1",
            "https://example.com/api.z.ai",
            "api.z.ai/v1",
            "",
            "https://",
        ] {
            assert_eq!(aim().lead(url), Lead::Elsewhere, "{url}");
        }
    }

    #[test]
    fn a_url_with_credentials_or_a_query_is_not_taken_apart() {
        for url in [
            "https://me:secret@api.z.ai/v1",
            "https://api.z.ai/v1?key=secret",
        ] {
            assert_eq!(aim().lead(url), Lead::Elsewhere);
        }
    }

    #[test]
    fn what_leads_to_the_proxy_already_is_known_by_any_of_its_names() {
        for url in [
            "http://127.0.0.1:4600/v1",
            "http://localhost:4600/v1",
            "http://[::1]:4600",
            "http://127.0.0.1:4600/router/api/v1",
        ] {
            assert_eq!(aim().lead(url), Lead::Already, "{url}");
        }
    }

    #[test]
    fn what_led_to_the_proxy_at_its_former_port_follows_it() {
        assert_eq!(
            aim().lead("http://127.0.0.1:4577/v1"),
            to("http://127.0.0.1:4600/v1")
        );
    }
}
