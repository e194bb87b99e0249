//! Outgoing proxies of the environment: HTTPS_PROXY, http_proxy, NO_PROXY.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};

use serde_json::json;

use crate::support::{Connection, Proxy, Upstream, chat, config, mock};
use crate::tls::Authority;

/// A host that exists only behind the outgoing proxy.
const HOST: &str = "provider.test";

/// An outgoing proxy that leads every tunnel to `to`, whoever was asked for.
pub fn tunnelling(to: SocketAddr) -> Upstream {
    Upstream::start(move |connection: &mut Connection| {
        if connection.request().is_none() {
            return;
        }
        connection.write("HTTP/1.1 200 Connection established\r\nX-Via: 1\r\n\r\n");
        let upstream = TcpStream::connect(to).unwrap();
        let (mut from, mut back) = (
            connection.stream().try_clone().unwrap(),
            upstream.try_clone().unwrap(),
        );
        let (mut to, mut client) = (upstream, connection.stream().try_clone().unwrap());
        let up = std::thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
        let _ = io::copy(&mut back, &mut client);
        let _ = client.shutdown(Shutdown::Both);
        let _ = up.join();
    })
}

/// A proxy whose target is `https://provider.test`, behind `outgoing`.
fn behind(authority: &Authority, variable: &str, outgoing: &str, more: &[(&str, &str)]) -> Proxy {
    let (home, ca) = authority.home();
    let settings = json!({"ca_file": ca, "connect_timeout_ms": 1000});
    home.write_config(&config(&format!("https://{HOST}"), 1, settings));
    let mut env = vec![(variable, outgoing)];
    env.extend_from_slice(more);
    Proxy::start_in(&home, &["start"], &env)
}

#[test]
fn an_https_target_is_reached_through_https_proxy() {
    let authority = Authority::for_names(&[HOST]);
    let mock = authority.mock(1);
    let outgoing = tunnelling(mock.addr());
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        let proxy = behind(&authority, variable, &outgoing.url(), &[]);
        proxy.turn("s", &chat("hi")).is(200);
        let asked = outgoing.requests().pop().unwrap();
        assert_eq!(asked.line(), "CONNECT provider.test:443 HTTP/1.1");
        assert_eq!(asked.header("host"), Some("provider.test:443"));
        assert_eq!(
            asked.header("authorization"),
            None,
            "no key is shown to the outgoing proxy"
        );
        assert_eq!(mock.requests().pop().unwrap().header("host"), Some(HOST));
    }
}

#[test]
fn a_tunnel_is_kept_and_used_again() {
    let authority = Authority::for_names(&[HOST]);
    let mock = authority.mock(1);
    let outgoing = tunnelling(mock.addr());
    let url = outgoing.url();
    let proxy = behind(&authority, "HTTPS_PROXY", &url, &[("AKLB_WORKERS", "1")]);
    for _ in 0..4 {
        proxy.turn("s", &chat("hi")).is(200);
    }
    assert_eq!(outgoing.connections(), 1);
}

#[test]
fn name_and_password_of_the_outgoing_proxy_are_sent_to_it_alone() {
    let authority = Authority::for_names(&[HOST]);
    let mock = authority.mock(1);
    let outgoing = tunnelling(mock.addr());
    let url = outgoing.url().replace("http://", "http://me:pa%20ss@");
    let proxy = behind(&authority, "HTTPS_PROXY", &url, &[]);
    proxy.turn("s", &chat("hi")).is(200);
    let asked = outgoing.requests().pop().unwrap();
    // base64 of `me:pa ss`
    assert_eq!(
        asked.header("proxy-authorization"),
        Some("Basic bWU6cGEgc3M=")
    );
    assert_eq!(
        mock.requests().pop().unwrap().header("proxy-authorization"),
        None
    );
}

#[test]
fn no_proxy_leads_past_the_outgoing_proxy() {
    let authority = Authority::for_names(&[HOST]);
    let mock = authority.mock(1);
    let outgoing = tunnelling(mock.addr());
    for exempt in [HOST, "other.example,.test", "*"] {
        let proxy = behind(
            &authority,
            "HTTPS_PROXY",
            &outgoing.url(),
            &[("NO_PROXY", exempt)],
        );
        // There is no such host: that it is looked for at all is what this is about.
        assert_eq!(proxy.turn("s", &chat("hi")).status, 502, "{exempt}");
    }
    assert_eq!(outgoing.connections(), 0);
}

#[test]
fn a_target_on_this_machine_is_never_asked_for_elsewhere() {
    let mock = mock(1);
    let outgoing = tunnelling(mock.addr());
    let url = outgoing.url();
    let env = [
        ("HTTPS_PROXY", url.as_str()),
        ("http_proxy", &url),
        ("ALL_PROXY", &url),
    ];
    let proxy = Proxy::start_with(config(&mock.url(), 1, json!({})), &env);
    proxy.turn("s", &chat("hi")).is(200);
    assert_eq!(outgoing.connections(), 0);
}

#[test]
fn a_plain_target_is_named_whole_to_http_proxy() {
    let outgoing = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let url = outgoing.url();
    let settings = config("http://provider.test:8080/api", 1, json!({}));
    let proxy = Proxy::start_with(settings, &[("http_proxy", &url)]);
    proxy.turn("s", &chat("hi")).is(200);
    let asked = outgoing.requests().pop().unwrap();
    assert_eq!(
        asked.line(),
        "POST http://provider.test:8080/api/v1/chat/completions HTTP/1.1"
    );
    assert_eq!(asked.header("host"), Some("provider.test:8080"));
}

#[test]
fn an_outgoing_proxy_that_refuses_is_502_and_said() {
    let authority = Authority::for_names(&[HOST]);
    let outgoing = Upstream::answering(
        "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
    );
    let proxy = behind(&authority, "HTTPS_PROXY", &outgoing.url(), &[]);
    let reply = proxy.turn("s", &chat("hi"));
    reply.is_own(502, "upstream_unreachable");
    assert!(reply.message().contains("407"), "{}", reply.text());
}

#[test]
fn a_proxy_variable_that_is_no_url_is_refused_without_its_password() {
    let home = crate::support::Home::new();
    home.write_config(&config("https://provider.test", 1, json!({"port": 0})));
    let output = home.run(
        &["start"],
        &[("HTTPS_PROXY", "socks9://me:hunter2-secret@proxy:1")],
    );
    output.is(1).says(&["HTTPS_PROXY", "NO_PROXY"]);
    assert!(!output.all().contains("hunter2-secret"), "{output:?}");
}
