//! Lists of all accounts as one: nothing missing, nothing twice, and whoever asks page by page gets on.

use std::collections::BTreeSet;

use api_key_lb_mock::{Fault, Mock};
use serde_json::{Value, json};

use crate::support::{Proxy, Reply, config, eventually, key, keys, mock_builder};

const FILES: &str = "/v1/files";
const ACCOUNTS: usize = 3;
const MERGE: (&str, &str) = ("x-lb-merge", "1");
const ANTHROPIC: (&str, &str) = ("anthropic-version", "2023-06-01");
const GOOGLE: (&str, &str) = ("x-goog-api-key", "client");

fn pair(settings: Value) -> (Mock, Proxy) {
    let mock = mock_builder(ACCOUNTS).keeps_objects().start().unwrap();
    let proxy = Proxy::start(config(&mock.url(), ACCOUNTS, settings));
    (mock, proxy)
}

/// Makes so many objects, in turn with each account; their ids.
fn make(proxy: &Proxy, path: &str, count: usize, header: (&str, &str)) -> BTreeSet<String> {
    let made = (0..count).map(|_| {
        let made = proxy.ask("POST", path, &[header], b"{}");
        let made = made.is(200).json();
        let made = made.get("file").unwrap_or(&made);
        id(made)
    });
    made.collect()
}

fn id(object: &Value) -> String {
    let id = object.get("id").or_else(|| object.get("name"));
    id.and_then(Value::as_str).unwrap().to_owned()
}

fn items(list: &Value, name: &str) -> Vec<String> {
    let items = list[name].as_array().cloned().unwrap_or_default();
    items.iter().map(id).collect()
}

fn list(proxy: &Proxy, target: &str, headers: &[(&str, &str)]) -> Reply {
    let reply = proxy.ask("GET", target, headers, b"");
    reply.is(200);
    reply
}

fn labels(reply: &Reply) -> &str {
    reply.header("x-lb-key").unwrap_or_default()
}

#[test]
fn with_the_header_or_the_setting_a_list_is_that_of_all_accounts() {
    for settings in [json!({}), json!({"list_account": "all"})] {
        let (mock, proxy) = pair(settings.clone());
        let made = make(&proxy, FILES, 7, ("x-none", "1"));
        let asks: &[&[(&str, &str)]] = if settings == json!({}) {
            &[&[MERGE]]
        } else {
            &[&[], &[MERGE]]
        };
        for headers in asks {
            let reply = list(&proxy, FILES, headers);
            let all = reply.json();
            let listed: BTreeSet<String> = items(&all, "data").into_iter().collect();
            assert_eq!(listed, made);
            assert_eq!(items(&all, "data").len(), made.len(), "none twice");
            assert_eq!(
                (&all["object"], &all["has_more"]),
                (&json!("list"), &json!(false))
            );
            assert_eq!(all["first_id"], all["data"][0]["id"]);
            assert_eq!(all["last_id"], all["data"][6]["id"]);
            assert_eq!(labels(&reply), "key-1, key-2, key-3");
            assert_eq!(reply.header("x-lb-incomplete"), None);
        }
        // What is said to us alone goes no further.
        let sent = mock.requests();
        assert!(sent.iter().all(|seen| {
            seen.headers
                .iter()
                .all(|(name, _)| !name.to_ascii_lowercase().starts_with("x-lb-"))
        }));
        let one = list(&proxy, FILES, &[("x-lb-merge", "0")]);
        assert_eq!(labels(&one), "key-1");
    }
}

#[test]
fn what_was_listed_is_known_afterwards() {
    let (mock, proxy) = pair(json!({}));
    make(&proxy, FILES, 6, ("x-none", "1"));
    drop(proxy);
    let proxy = Proxy::start(config(&mock.url(), ACCOUNTS, json!({"store": false})));
    for file in items(&list(&proxy, FILES, &[MERGE]).json(), "data") {
        let before = mock.requests().len();
        proxy.get(&format!("{FILES}/{file}")).is(200);
        assert_eq!(
            mock.requests().len() - before,
            1,
            "asked at once where it is"
        );
    }
}

#[test]
fn page_by_page_every_item_comes_once() {
    for (path, header, after) in [
        (FILES, ("x-none", "1"), "after"),
        ("/v1/messages/batches", ANTHROPIC, "after_id"),
    ] {
        let (_mock, proxy) = pair(json!({}));
        let made = make(&proxy, path, 8, header);
        for limit in [1, 2, 3, 5, 8, 100] {
            let mut seen = Vec::new();
            let mut target = format!("{path}?limit={limit}");
            loop {
                let page = list(&proxy, &target, &[MERGE, header]).json();
                let found = items(&page, "data");
                assert!(found.len() <= limit, "{target}: {page}");
                seen.extend(found);
                if page["has_more"] == json!(false) {
                    break;
                }
                let last = page["last_id"].as_str().unwrap();
                assert_eq!(Some(last), seen.last().map(String::as_str));
                target = format!("{path}?limit={limit}&{after}={last}");
                assert!(seen.len() <= made.len(), "it ends");
            }
            assert_eq!(seen.len(), made.len(), "{limit}");
            assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), made, "{limit}");
        }
    }
}

#[test]
fn lists_of_google_are_read_by_the_names_of_their_pages() {
    for (path, name) in [
        ("/v1beta/files", "files"),
        ("/v1beta/cachedContents", "cachedContents"),
    ] {
        let (_mock, proxy) = pair(json!({}));
        assert_eq!(list(&proxy, path, &[MERGE, GOOGLE]).json(), json!({}));
        let made = make(&proxy, path, 7, GOOGLE);
        for size in [1, 2, 3, 7, 100] {
            let mut seen = Vec::new();
            let mut target = format!("{path}?pageSize={size}");
            // The header is needed once: the name of the page says the rest.
            let mut headers = vec![GOOGLE, MERGE];
            loop {
                let page = list(&proxy, &target, &headers).json();
                seen.extend(items(&page, name));
                let Some(next) = page["nextPageToken"].as_str() else {
                    break;
                };
                target = format!("{path}?pageSize={size}&pageToken={next}");
                headers.truncate(1);
                assert!(seen.len() <= made.len(), "it ends");
            }
            assert_eq!(seen.len(), made.len(), "{size}");
            assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), made, "{size}");
        }
    }
}

#[test]
fn a_cursor_of_which_nobody_knows_whose_it_is_is_asked_for_in_turn() {
    let (mock, proxy) = pair(json!({}));
    let made = make(&proxy, FILES, 6, ("x-none", "1"));
    let all = items(&list(&proxy, FILES, &[MERGE]).json(), "data");
    drop(proxy);
    for at in 0..made.len() {
        let proxy = Proxy::start(config(&mock.url(), ACCOUNTS, json!({"store": false})));
        let target = format!("{FILES}?after={}", all[at]);
        let rest = list(&proxy, &target, &[MERGE]);
        assert_eq!(items(&rest.json(), "data"), all[at + 1..]);
        assert_eq!(rest.header("x-lb-incomplete"), None);
    }
    let proxy = Proxy::start(config(&mock.url(), ACCOUNTS, json!({"store": false})));
    let reply = proxy.ask("GET", "/v1/files?after=file-none1", &[MERGE], b"");
    assert!(reply.is(400).message().contains("Unknown cursor"));
}

#[test]
fn an_account_that_is_refused_for_good_is_left_out_and_named() {
    let (mock, proxy) = pair(json!({}));
    make(&proxy, FILES, 6, ("x-none", "1"));
    mock.fault(Fault::on(key(2)).status(401));
    let reply = list(&proxy, FILES, &[MERGE]);
    assert_eq!(items(&reply.json(), "data").len(), 4);
    assert_eq!(labels(&reply), "key-1, key-3");
    assert_eq!(reply.header("x-lb-incomplete"), Some("key-2"));
    for number in [1, 3] {
        mock.fault(Fault::on(key(number)).status(401));
    }
    proxy.ask("GET", FILES, &[MERGE], b"").is(401);
}

#[test]
fn an_account_that_will_be_back_ends_the_page_before_it() {
    let (mock, proxy) = pair(json!({}));
    let made = make(&proxy, FILES, 6, ("x-none", "1"));
    let fault = Fault::on(key(2))
        .times(1)
        .status(429)
        .header("retry-after", "3600");
    mock.fault(fault);
    let first = list(&proxy, FILES, &[MERGE]).json();
    assert_eq!(
        (items(&first, "data").len(), &first["has_more"]),
        (2, &json!(true))
    );
    let last = first["last_id"].as_str().unwrap();
    let reply = proxy.ask("GET", &format!("{FILES}?after={last}"), &[MERGE], b"");
    reply.is_own(429, "owner_cooling");
    assert!(reply.number("retry-after") > 0);
    assert_eq!(made.len(), 6);
}

#[test]
fn a_list_that_goes_backwards_is_that_of_the_account_of_its_cursor() {
    let (mock, proxy) = pair(json!({}));
    make(&proxy, FILES, 6, ("x-none", "1"));
    let all = items(&list(&proxy, FILES, &[MERGE]).json(), "data");
    for (at, file) in all.iter().enumerate() {
        let before = format!("{FILES}?before={file}");
        let reply = proxy.ask("GET", &before, &[MERGE], b"");
        assert_eq!(labels(reply.is(200)), format!("key-{}", at / 2 + 1));
    }
    assert_eq!(mock.requests().last().unwrap().key, Some(key(3)));
}

#[test]
fn keys_of_one_account_are_asked_once() {
    let mock = mock_builder(2).keeps_objects().start().unwrap();
    let named: Vec<Value> = keys(2)
        .iter()
        .map(|key| json!({"key": key, "account": "one"}))
        .collect();
    let proxy = Proxy::start(json!({"target": mock.url(), "keys": named, "list_account": "all"}));
    let before = mock.requests().len();
    list(&proxy, FILES, &[]);
    assert_eq!(mock.requests().len() - before, 1);
}

#[test]
fn what_is_no_list_passes_as_it_came_or_is_named_and_none_is_asked_for_compressed() {
    let (mock, proxy) = pair(json!({}));
    make(&proxy, FILES, 6, ("x-none", "1"));
    let strange = Fault::on(key(1))
        .times(1)
        .status(200)
        .body("{\"odd\": true}");
    mock.fault(strange);
    let reply = list(&proxy, FILES, &[MERGE]);
    assert_eq!(reply.text(), "{\"odd\": true}");
    mock.fault(Fault::on(key(2)).times(1).status(200).body("[}"));
    let reply = list(&proxy, FILES, &[MERGE, ("accept-encoding", "gzip, br")]);
    assert_eq!(reply.header("x-lb-incomplete"), Some("key-2"));
    assert_eq!(items(&reply.json(), "data").len(), 4);
    let last = mock.requests().pop().unwrap();
    let accepts = last
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("accept-encoding"));
    assert_eq!(
        accepts.map(|(_, value)| value.as_str()).collect::<Vec<_>>(),
        ["identity"]
    );
}

#[test]
fn a_client_that_leaves_ends_it() {
    let (mock, proxy) = pair(json!({}));
    mock.fault(Fault::on(key(2)).times(1).stall(None));
    let mut client = proxy.client();
    client.send("GET", FILES, &[MERGE], b"");
    eventually("the second account is asked", || {
        mock.requests().iter().any(|seen| seen.key == Some(key(2)))
    });
    client.leave();
    eventually("its request ends", || mock.counters().total.in_flight == 0);
    assert!(mock.requests().iter().all(|seen| seen.key != Some(key(3))));
}
