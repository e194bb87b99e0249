//! Who may talk to us: the Host check, the browser guard and the client token, on headers alone.

use std::net::IpAddr;

use http::header::{HOST, HeaderMap, ORIGIN};
use http::uri::{Authority, Uri};

use super::credential;
use super::reply::Refusal;
use crate::plan::Guard;

const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Checks a request before its body is read.
///
/// Any web page can send requests to a loopback port: with a name of its own that resolves to
/// 127.0.0.1 (caught by the Host check) or with a "simple" cross-site POST (caught by `Origin` and
/// `Sec-Fetch-Site`). It could not read the answer, but it would spend the user's keys.
///
/// # Errors
/// [`Refusal`] that names the setting which would allow it.
pub fn admit(guard: &Guard, headers: &HeaderMap, uri: &Uri) -> Result<(), Refusal> {
    let host = single_host(headers)?;
    if !host_allowed(guard, &host) {
        return Err(Refusal::HostNotAllowed(host.to_string()));
    }
    // A request target may name an authority of its own; nothing is ever sent there, but a client
    // that thinks it talks to another host is misdirected.
    if let Some(authority) = uri.authority()
        && !host_allowed(guard, authority)
    {
        return Err(Refusal::HostNotAllowed(authority.to_string()));
    }
    check_origin(guard, headers, &host)?;
    let tokens = &guard.client_tokens;
    if !tokens.is_empty()
        && !credential::offered(headers, uri.query())
            .any(|offered| tokens.iter().any(|token| token.matches(offered)))
    {
        return Err(Refusal::ClientToken);
    }
    Ok(())
}

/// The origin to name in `Access-Control-Allow-Origin`: one that the configuration allows.
pub fn allowed_origin<'h>(guard: &Guard, headers: &'h HeaderMap) -> Option<&'h http::HeaderValue> {
    if guard.allowed_origins.is_empty() {
        return None;
    }
    headers
        .get(ORIGIN)
        .filter(|origin| is_listed(guard, origin.as_bytes()))
}

fn single_host(headers: &HeaderMap) -> Result<Authority, Refusal> {
    let mut hosts = headers.get_all(HOST).into_iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => {
            let host = Authority::try_from(host.as_bytes()).map_err(|_| Refusal::BadHost)?;
            if host.as_str().contains('@') {
                return Err(Refusal::BadHost);
            }
            Ok(host)
        }
        _ => Err(Refusal::BadHost),
    }
}

/// Any port will do: it differs behind a forwarded port, and a page cannot rebind a name to
/// another port of its own choice without being another name.
fn host_allowed(guard: &Guard, authority: &Authority) -> bool {
    let host = authority.host();
    let bare = host
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        .unwrap_or(host);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        // DNS rebinding needs a name, so beyond loopback any address may be ours.
        return ip.is_loopback() || guard.beyond_loopback || listed_host(guard, bare);
    }
    host.eq_ignore_ascii_case("localhost") || listed_host(guard, host)
}

fn listed_host(guard: &Guard, host: &str) -> bool {
    guard
        .allowed_hosts
        .iter()
        .any(|allowed| allowed.eq_ignore_ascii_case(host))
}

fn is_listed(guard: &Guard, origin: &[u8]) -> bool {
    guard
        .allowed_origins
        .iter()
        .any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(origin))
}

fn check_origin(guard: &Guard, headers: &HeaderMap, host: &Authority) -> Result<(), Refusal> {
    for origin in headers.get_all(ORIGIN) {
        let ours = origin
            .as_bytes()
            .strip_prefix(b"http://")
            .is_some_and(|rest| rest.eq_ignore_ascii_case(host.as_str().as_bytes()));
        if !ours && !is_listed(guard, origin.as_bytes()) {
            let shown = String::from_utf8_lossy(origin.as_bytes()).into_owned();
            return Err(Refusal::OriginNotAllowed(shown));
        }
    }
    // Without an Origin (a "no-cors" GET, an image) the browser still says where it came from.
    let cross_site = headers
        .get_all(SEC_FETCH_SITE)
        .into_iter()
        .any(|site| matches!(site.as_bytes(), b"cross-site" | b"same-site"));
    if cross_site && allowed_origin(guard, headers).is_none() {
        return Err(Refusal::OriginNotAllowed("another site".into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn request(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    fn admitted(guard: &Guard, pairs: &[(&'static str, &str)]) -> Result<(), Refusal> {
        admit(guard, &request(pairs), &Uri::from_static("/v1/models"))
    }

    #[test]
    fn loopback_hosts_are_admitted_on_any_port() {
        let guard = Guard::default();
        for host in [
            "127.0.0.1:4577",
            "localhost",
            "LOCALHOST:80",
            "[::1]:4577",
            "127.9.9.9",
        ] {
            assert_eq!(admitted(&guard, &[("host", host)]), Ok(()), "{host}");
        }
    }

    #[test]
    fn foreign_missing_and_repeated_hosts_are_refused() {
        let guard = Guard::default();
        for host in [
            "evil.example",
            "localhost.evil.example",
            "10.0.0.1",
            "127.0.0.1.nip.io",
        ] {
            assert!(
                matches!(
                    admitted(&guard, &[("host", host)]),
                    Err(Refusal::HostNotAllowed(_))
                ),
                "{host}"
            );
        }
        assert_eq!(admitted(&guard, &[]), Err(Refusal::BadHost));
        assert_eq!(
            admitted(&guard, &[("host", "localhost"), ("host", "localhost")]),
            Err(Refusal::BadHost)
        );
        assert_eq!(admitted(&guard, &[("host", "a b")]), Err(Refusal::BadHost));
        assert_eq!(
            admitted(&guard, &[("host", "me@localhost")]),
            Err(Refusal::BadHost)
        );
    }

    #[test]
    fn an_absolute_request_target_is_checked_like_a_host() {
        let headers = request(&[("host", "localhost")]);
        let admit = |uri: &'static str| admit(&Guard::default(), &headers, &Uri::from_static(uri));
        assert!(matches!(
            admit("http://evil.example/v1"),
            Err(Refusal::HostNotAllowed(_))
        ));
        assert_eq!(admit("http://localhost:4577/v1"), Ok(()));
        assert_eq!(
            admit("//evil.example/v1"),
            Ok(()),
            "a path, and it stays one"
        );
    }

    #[test]
    fn configured_hosts_are_admitted() {
        let guard = Guard {
            allowed_hosts: vec!["host.docker.internal".into()],
            ..Guard::default()
        };
        assert_eq!(
            admitted(&guard, &[("host", "Host.Docker.Internal:4577")]),
            Ok(())
        );
        let beyond = Guard {
            beyond_loopback: true,
            ..Guard::default()
        };
        assert_eq!(admitted(&beyond, &[("host", "192.168.1.5:4577")]), Ok(()));
        assert!(admitted(&beyond, &[("host", "evil.example")]).is_err());
    }

    #[test]
    fn pages_of_other_sites_are_refused_and_own_and_listed_ones_are_not() {
        let guard = Guard::default();
        let host = ("host", "127.0.0.1:4577");
        for bad in [
            ("origin", "http://evil.example"),
            ("origin", "null"),
            ("origin", "http://127.0.0.1:3000"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert!(
                matches!(
                    admitted(&guard, &[host, bad]),
                    Err(Refusal::OriginNotAllowed(_))
                ),
                "{bad:?}"
            );
        }
        for good in [
            ("origin", "http://127.0.0.1:4577"),
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-site", "none"),
        ] {
            assert_eq!(admitted(&guard, &[host, good]), Ok(()), "{good:?}");
        }
        let listed = Guard {
            allowed_origins: vec!["http://localhost:3000".into()],
            ..Guard::default()
        };
        let page = [
            host,
            ("origin", "http://localhost:3000"),
            ("sec-fetch-site", "cross-site"),
        ];
        assert_eq!(admitted(&listed, &page), Ok(()));
    }

    #[test]
    fn a_client_token_is_wanted_once_one_is_configured() {
        let guard = Guard {
            client_tokens: vec![Secret::new("one".into()), Secret::new("two".into())],
            ..Guard::default()
        };
        let host = ("host", "localhost");
        assert_eq!(admitted(&guard, &[host]), Err(Refusal::ClientToken));
        assert_eq!(
            admitted(&guard, &[host, ("x-api-key", "three")]),
            Err(Refusal::ClientToken)
        );
        assert_eq!(
            admitted(&guard, &[host, ("authorization", "Bearer two")]),
            Ok(())
        );
        assert_eq!(admitted(&guard, &[host, ("api-key", "one")]), Ok(()));
    }
}
