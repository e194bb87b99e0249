//! What leads back to an account besides ids in bodies: credentials that it has issued for one client,
//! the address at which an upload goes on, stored chats.

use api_key_lb_mock::Mock;
use serde_json::{Value, json};

use crate::support::{CHAT, Proxy, config, last_key, mock_builder};

const ACCOUNTS: usize = 3;
const SECRETS: &str = "/v1/realtime/client_secrets";
const CALLS: &str = "/v1/realtime/calls";
const GOOGLE: (&str, &str) = ("x-goog-api-key", "client");

fn pair(settings: Value) -> (Mock, Proxy) {
    let mock = mock_builder(ACCOUNTS).keeps_objects().start().unwrap();
    let proxy = Proxy::start(config(&mock.url(), ACCOUNTS, settings));
    (mock, proxy)
}

#[test]
fn a_client_secret_goes_on_as_it_is_to_the_account_that_issued_it() {
    let (mock, proxy) = pair(json!({}));
    for _ in 0..2 * ACCOUNTS {
        let made = proxy.post(SECRETS, &json!({"session": {"type": "realtime"}}));
        let secret = made.is(200).json()["value"].as_str().unwrap().to_owned();
        let owner = last_key(&mock);
        let bearer = format!("Bearer {secret}");
        let called = proxy.ask("POST", CALLS, &[("authorization", &bearer)], b"{}");
        assert_eq!(last_key(&mock), secret);
        // The call is its account's.
        let location = called.is(200).header("location").unwrap().to_owned();
        proxy
            .ask("POST", &format!("{location}/hangup"), &[], b"")
            .is(200);
        assert_eq!(last_key(&mock), owner);
    }
    // One that nobody knows is replaced, as any other.
    let strange = [("authorization", "Bearer ek_strange")];
    proxy.ask("POST", CALLS, &strange, b"{}").is(200);
    assert!(last_key(&mock).starts_with("sk-mock"));
}

#[test]
fn a_client_secret_opens_the_door_for_itself_and_its_refusal_costs_no_key_anything() {
    let token = "a-long-random-text";
    let (mock, proxy) = pair(json!({"client_tokens": [token]}));
    let bearer = format!("Bearer {token}");
    let made = proxy.ask("POST", SECRETS, &[("authorization", &bearer)], b"{}");
    let secret = made.is(200).json()["value"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {secret}");
    let own = [("authorization", bearer.as_str())];
    proxy.ask("POST", CALLS, &own, b"{}").is(200);
    assert_eq!(last_key(&mock), secret);
    for (target, bearer) in [
        ("/_lb/reload", bearer.as_str()),
        (CALLS, "Bearer ek_strange"),
    ] {
        let reply = proxy.ask("POST", target, &[("authorization", bearer)], b"{}");
        reply.is_own(401, "client_token");
    }
    mock.fault(api_key_lb_mock::Fault::on(&secret).status(401));
    let before = mock.requests().len();
    proxy.ask("POST", CALLS, &own, b"{}").is(401);
    assert_eq!(mock.requests().len() - before, 1, "no other key is shown");
}

#[test]
fn an_upload_goes_on_through_us_where_it_began() {
    let (mock, proxy) = pair(json!({}));
    for _ in 0..2 * ACCOUNTS {
        let start = [
            GOOGLE,
            ("x-goog-upload-protocol", "resumable"),
            ("x-goog-upload-command", "start"),
        ];
        let begun = proxy.ask("POST", "/upload/v1beta/files", &start, b"{}");
        let owner = last_key(&mock);
        let address = begun
            .is(200)
            .header("x-goog-upload-url")
            .unwrap()
            .to_owned();
        // The test's client names no port.
        let us = "http://127.0.0.1";
        let target = address
            .strip_prefix(us)
            .unwrap_or_else(|| panic!("{address}"));
        // The Python client sends no key there.
        let finish = [("x-goog-upload-command", "upload, finalize"), GOOGLE];
        let made = proxy.ask("POST", target, &finish, b"words");
        assert_eq!(last_key(&mock), owner);
        let name = made.is(200).json()["file"]["name"]
            .as_str()
            .unwrap()
            .to_owned();
        proxy
            .ask("GET", &format!("/v1beta/{name}"), &[GOOGLE], b"")
            .is(200);
        assert_eq!(last_key(&mock), owner);
    }
}

#[test]
fn an_upload_to_a_named_pool_goes_on_there() {
    let mock = mock_builder(2).keeps_objects().start().unwrap();
    let pool = json!({"target": mock.url(), "keys": crate::support::keys(2)});
    let proxy =
        Proxy::start(json!({"target": mock.url(), "keys": ["sk-none"], "pools": {"g": pool}}));
    let start = [
        GOOGLE,
        ("x-goog-upload-protocol", "resumable"),
        ("x-goog-upload-command", "start"),
    ];
    let begun = proxy.ask("POST", "/g/upload/v1beta/files", &start, b"{}");
    let address = begun
        .is(200)
        .header("x-goog-upload-url")
        .unwrap()
        .to_owned();
    let us = "http://127.0.0.1/g/upload/v1beta/files?";
    assert!(address.starts_with(us), "{address}");
}

#[test]
fn a_stored_chat_is_changed_and_deleted_where_it_is() {
    let (mock, proxy) = pair(json!({"provider": "openai"}));
    for stream in [false, true] {
        for turn in 0..ACCOUNTS {
            let text = format!("question {turn} {stream}");
            let body = json!({"model": "m", "stream": stream, "store": true,
                "messages": [{"role": "user", "content": text}]});
            let reply = proxy.post(CHAT, &body);
            let owner = last_key(&mock);
            let said: Value = if stream {
                serde_json::from_str(&reply.is(200).events()[0]).unwrap()
            } else {
                reply.is(200).json()
            };
            let target = format!("{CHAT}/{}", said["id"].as_str().unwrap());
            for method in ["POST", "GET", "DELETE"] {
                proxy.ask(method, &target, &[], b"{}").is(200);
                assert_eq!(last_key(&mock), owner, "{method}");
            }
        }
    }
}
