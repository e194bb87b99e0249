//! TLS to the upstream, with a certificate authority of one's own.

use std::path::PathBuf;

use api_key_lb_mock::Mock;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;

use crate::support::{Home, Proxy, chat, chat_stream, config, keys, mock_builder};

/// A certificate authority and a certificate it has issued.
pub struct Authority {
    pub ca_pem: String,
    cert_pem: String,
    key_pem: String,
}

impl Authority {
    /// For a server of these names or addresses.
    pub fn for_names(names: &[&str]) -> Self {
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let ca_cert = ca.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(ca, ca_key);
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap();
        Self {
            ca_pem: ca_cert.pem(),
            cert_pem: cert.pem(),
            key_pem: key.serialize_pem(),
        }
    }

    /// A mock that shows the certificate.
    pub fn mock(&self, count: usize) -> Mock {
        mock_builder(count)
            .tls(self.cert_pem.as_bytes(), self.key_pem.as_bytes())
            .start()
            .unwrap()
    }

    /// A home with the authority's certificate in a file.
    pub fn home(&self) -> (Home, PathBuf) {
        let home = Home::new();
        let path = home.write("home/ca.pem", &self.ca_pem);
        (home, path)
    }
}

#[test]
fn an_https_target_with_a_certificate_of_ca_file_is_trusted() {
    let authority = Authority::for_names(&["127.0.0.1"]);
    let mock = authority.mock(2);
    let (home, ca) = authority.home();
    home.write_config(&config(&mock.url(), 2, json!({"ca_file": ca})));
    let proxy = Proxy::start_in(&home, &["start"], &[]);
    for _ in 0..3 {
        proxy.turn("s", &chat("hi")).is(200);
    }
    let reply = proxy.turn("s", &chat_stream("hi"));
    reply.is(200);
    assert_eq!(reply.events().last().map(String::as_str), Some("[DONE]"));
    let host = mock.url().trim_start_matches("https://").to_owned();
    assert_eq!(mock.requests()[0].header("host"), Some(host.as_str()));
}

#[test]
fn the_environment_names_the_ca_file_too() {
    let authority = Authority::for_names(&["localhost"]);
    let mock = authority.mock(1);
    let (home, ca) = authority.home();
    let target = format!("https://localhost:{}", mock.addr().port());
    home.write_config(&config(&target, 1, json!({})));
    let proxy = Proxy::start_in(&home, &["start"], &[("AKLB_CA_FILE", ca.to_str().unwrap())]);
    proxy.turn("s", &chat("hi")).is(200);
}

#[test]
fn a_certificate_nobody_vouches_for_is_502_and_said() {
    let authority = Authority::for_names(&["127.0.0.1"]);
    let mock = authority.mock(2);
    let proxy = Proxy::start(config(&mock.url(), 2, json!({})));
    let reply = proxy.turn("s", &chat("hi"));
    reply.is_own(502, "upstream_unreachable");
    let message = reply.message().to_lowercase();
    assert!(message.contains("certificate"), "{message}");
    assert_eq!(mock.counters().total.requests, 0, "no key was shown to it");
}

#[test]
fn a_certificate_of_another_name_is_502_and_said() {
    let authority = Authority::for_names(&["other.example"]);
    let mock = authority.mock(1);
    let (home, ca) = authority.home();
    home.write_config(&config(&mock.url(), 1, json!({"ca_file": ca})));
    let proxy = Proxy::start_in(&home, &["start"], &[]);
    let reply = proxy.turn("s", &chat("hi"));
    reply.is_own(502, "upstream_unreachable");
    assert!(
        reply.message().to_lowercase().contains("certificate"),
        "{}",
        reply.text()
    );
    assert_eq!(mock.counters().total.requests, 0);
}

#[test]
fn a_tls_stream_that_is_cut_is_passed_on_as_a_cut() {
    let authority = Authority::for_names(&["127.0.0.1"]);
    let mock = authority.mock(1);
    let (home, ca) = authority.home();
    home.write_config(&config(&mock.url(), 1, json!({"ca_file": ca})));
    let proxy = Proxy::start_in(&home, &["start"], &[]);
    mock.fault(api_key_lb_mock::Fault::on("*").times(1).cut_events(2));
    let reply = proxy.turn("s", &chat_stream("hi"));
    assert_eq!((reply.status, reply.end), (200, crate::support::End::Cut));
    assert_eq!(reply.events().len(), 2);
}

#[test]
fn a_ca_file_that_is_not_there_or_holds_no_certificate_is_refused_at_the_start() {
    let home = Home::new();
    home.write_config(&config(
        "https://127.0.0.1:9",
        1,
        json!({"ca_file": "missing.pem", "port": 0}),
    ));
    home.run(&["start"], &[])
        .is(1)
        .says(&["ca_file", "missing.pem"]);
    let empty = home.write("home/empty.pem", "nothing\n");
    home.write_config(&config(
        "https://127.0.0.1:9",
        1,
        json!({"ca_file": empty, "port": 0}),
    ));
    home.run(&["start"], &[]).is(1).says(&["empty.pem"]);
}

#[test]
fn plain_http_to_a_tls_port_and_tls_to_a_plain_port_are_502() {
    let authority = Authority::for_names(&["127.0.0.1"]);
    let tls = authority.mock(1);
    let plain = crate::support::mock(1);
    for target in [
        tls.url().replace("https://", "http://"),
        plain.url().replace("http://", "https://"),
    ] {
        let proxy = Proxy::start(json!({"target": target, "keys": keys(1)}));
        let reply = proxy.turn("s", &chat("hi"));
        assert_eq!(reply.status, 502, "{target}: {reply:?}");
    }
}
