//! Addresses: where we listen, who may name us, which outgoing proxy leads to a target.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use api_key_lb_core::Secret;
use api_key_lb_core::plan::Via;
use api_key_lb_core::target::Target;
use http::Uri;
use http::uri::Authority;
use hyper_util::client::proxy::matcher::Matcher;

use super::environment::Environment;
use super::finding::{Findings, Sourced};

/// Both loopback addresses.
const LOOPBACK: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];
/// The TCP port of an outgoing proxy that names none: that of its scheme, http.
const PROXY_PORT: u16 = 80;
/// Endings of names that exist in one's own network only.
const PRIVATE_ENDINGS: &[&str] = &[".localhost", ".local", ".internal", ".lan", ".home.arpa"];

/// The addresses to listen on and whether they were given.
pub(crate) fn hosts(given: &[Sourced<String>], findings: &mut Findings) -> (Vec<IpAddr>, bool) {
    let mut hosts = Vec::new();
    for host in given {
        let bare = host.value.trim_start_matches('[').trim_end_matches(']');
        if bare.eq_ignore_ascii_case("localhost") {
            hosts.extend(LOOPBACK);
        } else if let Ok(ip) = bare.parse() {
            hosts.push(ip);
        } else {
            findings.problem(
                &host.place,
                "`host` must be an IP address of this machine; write one such as \"127.0.0.1\" \
                 (0.0.0.0 is every address), and the port into `port`",
            );
        }
    }
    let mut seen = Vec::new();
    hosts.retain(|ip| {
        !seen.contains(ip) && {
            seen.push(*ip);
            true
        }
    });
    if given.is_empty() {
        (LOOPBACK.to_vec(), false)
    } else {
        (hosts, true)
    }
}

/// A host name as the guard compares it: lower case, without port or brackets.
pub(crate) fn allowed_host(given: &Sourced<String>, findings: &mut Findings) -> Option<String> {
    let text = given.value.to_ascii_lowercase();
    let plain = !text.is_empty() && !text.contains(['/', '@', '*']);
    let host = match text.parse::<IpAddr>() {
        Ok(ip) => Some(ip.to_string()),
        Err(_) => text
            .parse::<Authority>()
            .ok()
            .filter(|_| plain)
            .map(|authority| {
                let host = authority.host();
                host.trim_start_matches('[')
                    .trim_end_matches(']')
                    .to_owned()
            }),
    };
    if host.is_none() {
        findings.problem(
            &given.place,
            "`allowed_hosts` takes host names without scheme and path; write one such as \
             \"my-machine.local\"",
        );
    }
    host
}

/// An origin as browsers send it: `scheme://host[:port]`, lower case.
pub(crate) fn allowed_origin(given: &Sourced<String>, findings: &mut Findings) -> Option<String> {
    let text = given.value.to_ascii_lowercase();
    let text = text.strip_suffix('/').unwrap_or(&text);
    let valid = text.split_once("://").is_some_and(|(scheme, host)| {
        !scheme.is_empty()
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
            && !host.contains(['/', '@', '*'])
            && host.parse::<Authority>().is_ok()
    });
    if !valid {
        findings.problem(
            &given.place,
            "`allowed_origins` takes origins, each by itself (no `*`: any web page could spend \
             your keys); write one such as \"http://localhost:3000\"",
        );
    }
    valid.then(|| text.to_owned())
}

/// Whether `host` is in one's own machine or network, as far as can be told by looking at it.
pub(crate) fn is_private(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => is_private_v4(ip),
        Ok(IpAddr::V6(ip)) => ip.to_ipv4_mapped().map_or_else(
            || {
                ip.is_loopback()
                    || ip.is_unspecified()
                    || ip.is_unique_local()
                    || ip.is_unicast_link_local()
            },
            is_private_v4,
        ),
        Err(_) => {
            let host = host.to_ascii_lowercase();
            !host.contains('.') || PRIVATE_ENDINGS.iter().any(|ending| host.ends_with(ending))
        }
    }
}

fn is_private_v4(ip: Ipv4Addr) -> bool {
    // 100.64.0.0/10: addresses of overlay networks, which encrypt by themselves.
    let [first, second, ..] = ip.octets();
    let overlay = first == 100 && (64..128).contains(&second);
    ip.is_loopback() || ip.is_unspecified() || ip.is_private() || ip.is_link_local() || overlay
}

fn is_loopback(host: &str) -> bool {
    host.parse::<IpAddr>().map_or_else(
        |_| {
            let host = host.to_ascii_lowercase();
            host == "localhost" || host.ends_with(".localhost")
        },
        |ip| ip.is_loopback(),
    )
}

/// What stands behind the last `@`. A password may hold any character, so nothing before it is shown.
fn without_user(url: &str) -> String {
    url.rsplit_once('@')
        .map_or_else(|| url.to_owned(), |(_, host)| format!("***@{host}"))
}

/// A proxy variable that is set.
struct Variable<'e> {
    name: &'static str,
    value: &'e str,
}

/// What the environment says about outgoing proxies.
pub(crate) struct Proxies<'e> {
    http: Option<Variable<'e>>,
    https: Option<Variable<'e>>,
    all: Option<Variable<'e>>,
    no: &'e str,
    /// Variables already complained about.
    refused: Vec<&'static str>,
}

impl<'e> Proxies<'e> {
    pub(crate) fn of(env: &'e Environment) -> Self {
        let first = |names: &[&'static str]| {
            names.iter().find_map(|name| {
                Some(Variable {
                    name,
                    value: env.var(name)?,
                })
            })
        };
        Self {
            // Not HTTP_PROXY: where a request can set variables (CGI) that one is a `Proxy` header.
            http: first(&["http_proxy"]),
            https: first(&["HTTPS_PROXY", "https_proxy"]),
            all: first(&["ALL_PROXY", "all_proxy"]),
            no: first(&["NO_PROXY", "no_proxy"]).map_or("", |variable| variable.value),
            refused: Vec::new(),
        }
    }

    /// The proxy on the way to `target`; a problem, once per variable, if it cannot be used.
    pub(crate) fn via(&mut self, target: &Target, findings: &mut Findings) -> Option<Arc<Via>> {
        let own = if target.tls() {
            &self.https
        } else {
            &self.http
        };
        let variable = own.as_ref().or(self.all.as_ref())?;
        if is_loopback(target.host()) {
            return None;
        }
        let destination: Uri = target.to_string().parse().ok()?;
        let matcher = |all: &str| Matcher::builder().all(all).no(self.no).build();
        // A value we cannot read must not hide that NO_PROXY exempts the target.
        matcher("http://proxy.invalid").intercept(&destination)?;
        let via = matcher(variable.value)
            .intercept(&destination)
            .filter(|proxy| proxy.uri().scheme_str() == Some("http"))
            .and_then(|proxy| {
                let host = proxy.uri().host()?;
                Some(Via {
                    host: host
                        .trim_start_matches('[')
                        .trim_end_matches(']')
                        .to_owned(),
                    port: proxy.uri().port_u16().unwrap_or(PROXY_PORT),
                    authorization: proxy
                        .basic_auth()
                        .and_then(|value| value.to_str().ok())
                        .map(|value| Secret::new(value.to_owned())),
                })
            });
        if via.is_none() && !self.refused.contains(&variable.name) {
            let name = variable.name;
            findings.problem_nowhere(format!(
                "environment variable {name}: `{}` cannot be used as the proxy on the way to {}; \
                 set {name} to a URL such as http://proxy.example:3128, or exempt the target with \
                 NO_PROXY={}",
                without_user(variable.value),
                target,
                target.host(),
            ));
            self.refused.push(name);
        }
        via.map(Arc::new)
    }
}
