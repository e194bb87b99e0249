//! What a provider keeps for one account is asked of that account, and of no other.

use std::time::{Duration, Instant};

use api_key_lb_mock::{ANY_KEY, Fault, Mock};
use serde_json::{Value, json};

use crate::support::{
    MESSAGES, Proxy, RESPONSES, Reply, config, eventually, key, keys, last_key, mock_builder,
};

const FILES: &str = "/v1/files";
const BATCHES: &str = "/v1/batches";
const ACCOUNTS: usize = 3;
/// A cooldown that no request here waits for, in seconds.
const LONG: &str = "3600";

/// A provider with three accounts that keeps objects, and a proxy that has never seen any.
fn pair() -> (Mock, Proxy) {
    pair_with(json!({}))
}

fn pair_with(settings: Value) -> (Mock, Proxy) {
    let mock = mock_builder(ACCOUNTS).keeps_objects().start().unwrap();
    let proxy = proxy_of(&mock, settings);
    (mock, proxy)
}

fn proxy_of(mock: &Mock, settings: Value) -> Proxy {
    Proxy::start(config(&mock.url(), ACCOUNTS, settings))
}

fn id(reply: &Reply) -> String {
    reply.is(200).json()["id"].as_str().unwrap().to_owned()
}

/// Uploads a file; its id and the key it went to.
fn upload(mock: &Mock, proxy: &Proxy) -> (String, String) {
    let headers = [("content-type", "multipart/form-data; boundary=b")];
    let file = id(&proxy.ask("POST", FILES, &headers, b"--b\r\n\r\nwords\r\n--b--\r\n"));
    (file, last_key(mock))
}

fn response(input: &Value) -> Value {
    json!({"model": "m", "input": input})
}

fn with_file(file: &str) -> Value {
    response(&json!([{"role": "user", "content": [{"type": "input_file", "file_id": file}]}]))
}

/// One key refuses everything for an hour.
fn throttle(mock: &Mock, proxy: &Proxy, which: &str) {
    let fault = Fault::on(which).times(1).status(429);
    let fault = mock.fault(fault.header("retry-after", LONG));
    // Embeddings take turns.
    let body = json!({"model": "m", "input": "x"});
    eventually("the key has its turn and cools", || {
        proxy.post("/v1/embeddings", &body).is(200);
        let faults = mock.faults();
        faults
            .iter()
            .any(|active| active.id == fault && active.struck > 0)
    });
}

/// Which keys were asked, from the first request with this target on.
fn asked(mock: &Mock, target: &str) -> Vec<String> {
    let requests = mock.requests();
    let about = requests.iter().filter(|seen| seen.target == target);
    about.filter_map(|seen| seen.key.clone()).collect()
}

#[test]
fn a_response_is_continued_looked_up_and_deleted_where_it_is() {
    let (mock, proxy) = pair();
    for stream in [false, true] {
        for turn in 0..6 {
            let mut body = response(&json!(format!("question {turn} {stream}")));
            body["stream"] = stream.into();
            let reply = proxy.post(RESPONSES, &body);
            reply.is(200);
            let owner = last_key(&mock);
            let first: Value = if stream {
                let event: Value = serde_json::from_str(&reply.events()[0]).unwrap();
                event["response"]["id"].clone()
            } else {
                reply.json()["id"].clone()
            };
            let first = first.as_str().unwrap();
            let mut next = response(&json!("and then?"));
            next["previous_response_id"] = first.into();
            proxy.post(RESPONSES, &next).is(200);
            assert_eq!(last_key(&mock), owner);
            let target = format!("{RESPONSES}/{first}");
            proxy.get(&target).is(200);
            proxy
                .ask("POST", &format!("{target}/cancel"), &[], b"")
                .is(200);
            proxy.ask("DELETE", &target, &[], b"").is(200);
            let keys = asked(&mock, &target);
            assert_eq!(keys, [owner.clone(), owner]);
        }
    }
}

#[test]
fn a_file_is_used_wherever_it_is_named() {
    let (mock, proxy) = pair();
    for _ in 0..ACCOUNTS {
        let (file, owner) = upload(&mock, &proxy);
        for body in [
            with_file(&file),
            json!({"model": "m", "input": "x", "tools": [{"type": "code_interpreter", "container": {"type": "auto", "file_ids": [file]}}]}),
        ] {
            proxy.post(RESPONSES, &body).is(200);
            assert_eq!(last_key(&mock), owner, "{body}");
        }
        let document = json!({"type": "document", "source": {"type": "file", "file_id": file}});
        let messages = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [document]}]});
        proxy.post(MESSAGES, &messages).is(200);
        assert_eq!(last_key(&mock), owner);
        let batch = id(&proxy.post(BATCHES, &json!({"input_file_id": file})));
        assert_eq!(last_key(&mock), owner);
        proxy.get(&format!("{BATCHES}/{batch}")).is(200);
        assert_eq!(last_key(&mock), owner);
        let content = format!("{FILES}/{file}/content");
        proxy.get(&content).is(200);
        assert_eq!(asked(&mock, &content), [owner]);
    }
}

#[test]
fn names_of_google_are_known_in_paths_and_as_addresses() {
    let (mock, proxy) = pair();
    let google = [("x-goog-api-key", "client")];
    let generate = "/v1beta/models/m:generateContent";
    for _ in 0..ACCOUNTS {
        let made = proxy.ask("POST", "/upload/v1beta/files", &google, b"{}");
        let name = made.is(200).json()["file"]["name"]
            .as_str()
            .unwrap()
            .to_owned();
        let owner = last_key(&mock);
        let uri = format!("https://generativelanguage.googleapis.com/v1beta/{name}");
        let part = json!({"fileData": {"fileUri": uri}});
        let body = json!({"contents": [{"role": "user", "parts": [part]}]}).to_string();
        proxy
            .ask("POST", generate, &google, body.as_bytes())
            .is(200);
        assert_eq!(last_key(&mock), owner);
        let target = format!("/v1beta/{name}");
        proxy.ask("GET", &target, &google, b"").is(200);
        assert_eq!(asked(&mock, &target), std::slice::from_ref(&owner));
        let made = proxy.ask("POST", "/v1beta/cachedContents", &google, b"{}");
        let cache = made.is(200).json()["name"].as_str().unwrap().to_owned();
        let owner = last_key(&mock);
        let body =
            json!({"contents": [{"parts": [{"text": "x"}]}], "cachedContent": cache}).to_string();
        proxy
            .ask("POST", generate, &google, body.as_bytes())
            .is(200);
        assert_eq!(last_key(&mock), owner);
    }
}

#[test]
fn an_object_that_nobody_has_heard_of_is_asked_for_in_turn_and_then_known() {
    let (mock, proxy) = pair();
    let (file, owner) = upload(&mock, &proxy);
    drop(proxy);
    let proxy = proxy_of(&mock, json!({}));
    let target = format!("{FILES}/{file}");
    // Twice the turn of another one first.
    for number in 1..=2 {
        if key(number) != owner {
            proxy.get("/v1/models").is(200);
        }
    }
    let before = mock.requests().len();
    proxy.get(&target).is(200);
    assert_eq!(last_key(&mock), owner);
    let tries = mock.requests().len() - before;
    assert!((1..=ACCOUNTS).contains(&tries), "{tries}");
    // From now on it is known, also in what is not asked twice.
    for _ in 0..ACCOUNTS {
        proxy.get(&target).is(200);
        assert_eq!(last_key(&mock), owner);
        proxy.post(RESPONSES, &with_file(&file)).is(200);
        assert_eq!(last_key(&mock), owner);
    }
    assert_eq!(mock.requests().len() - before, tries + 2 * ACCOUNTS);
}

#[test]
fn what_no_account_has_is_answered_as_its_provider_answers() {
    let (mock, proxy) = pair();
    let target = format!("{FILES}/file-0123456789");
    let reply = proxy.get(&target);
    reply.is(404);
    assert!(reply.message().contains("No such"), "{}", reply.text());
    let mut asked = asked(&mock, &target);
    asked.sort();
    assert_eq!(asked, keys(ACCOUNTS), "each account once");
}

#[test]
fn one_account_out_of_reach_is_not_taken_for_not_having_it() {
    let (mock, proxy) = pair();
    let fault = Fault::on(key(2)).path(FILES).status(429);
    mock.fault(fault.header("retry-after", LONG));
    let target = format!("{FILES}/file-0123456789");
    for own in [false, true] {
        let reply = proxy.get(&target);
        // First in its provider's words; then it is not asked any more.
        if own {
            reply.is_own(429, "owner_cooling");
        } else {
            assert_eq!(reply.is(429).header("x-lb-error"), None);
        }
        assert!(reply.number("retry-after") > 0);
    }
    assert_eq!(asked(&mock, &target).len(), ACCOUNTS + ACCOUNTS - 1);
}

#[test]
fn an_unknown_object_in_a_request_that_does_something_goes_home_and_is_answered_there() {
    let (mock, proxy) = pair();
    let headers = [("x-session-id", "s")];
    let hello = response(&json!("hello")).to_string();
    proxy
        .ask("POST", RESPONSES, &headers, hello.as_bytes())
        .is(200);
    let home = last_key(&mock);
    let before = mock.requests().len();
    let mut body = response(&json!("more"));
    body["previous_response_id"] = "resp_unknown1".into();
    let reply = proxy.ask("POST", RESPONSES, &headers, body.to_string().as_bytes());
    assert_eq!(
        reply.is(400).json()["error"]["code"],
        "previous_response_not_found"
    );
    assert_eq!(last_key(&mock), home);
    let target = format!("{FILES}/file-0123456789");
    proxy.ask("DELETE", &target, &[], b"").is(404);
    assert_eq!(mock.requests().len() - before, 2);
}

#[test]
fn what_is_deleted_is_forgotten() {
    let (mock, proxy) = pair();
    let (file, _) = upload(&mock, &proxy);
    let target = format!("{FILES}/{file}");
    proxy.ask("DELETE", &target, &[], b"").is(200);
    let before = mock.requests().len();
    proxy.get(&target).is(404);
    assert_eq!(mock.requests().len() - before, ACCOUNTS, "all are asked");
}

#[test]
fn lists_are_always_those_of_one_account() {
    for (settings, number) in [(json!({}), 1), (json!({"list_account": "key-2"}), 2)] {
        let (mock, proxy) = pair_with(settings);
        for _ in 0..2 * ACCOUNTS {
            upload(&mock, &proxy);
        }
        for target in [
            "/v1/files",
            "/v1/files?limit=2",
            BATCHES,
            "/v1/vector_stores",
        ] {
            for _ in 0..2 {
                proxy.get(target).is(200);
                assert_eq!(last_key(&mock), key(number), "{target}");
            }
        }
        assert_eq!(proxy.get(FILES).json()["data"].as_array().unwrap().len(), 2);
    }
}

#[test]
fn while_its_owner_cools_a_request_waits_and_goes_nowhere_else() {
    let (mock, proxy) = pair();
    let (file, owner) = upload(&mock, &proxy);
    mock.fault(
        Fault::on(&owner)
            .times(1)
            .status(429)
            .header("retry-after-ms", "700"),
    );
    let began = Instant::now();
    let reply = proxy.post(RESPONSES, &with_file(&file));
    reply.is(200);
    assert!(began.elapsed() >= Duration::from_millis(600));
    assert_eq!(asked(&mock, RESPONSES), [owner.clone(), owner]);
    assert!(reply.number("x-lb-waited-ms") > 0);
}

#[test]
fn while_its_owner_cools_for_long_a_request_is_told_when_it_is_back() {
    let (mock, proxy) = pair();
    let (file, owner) = upload(&mock, &proxy);
    throttle(&mock, &proxy, &owner);
    let before = mock.requests().len();
    let reply = proxy.post(RESPONSES, &with_file(&file));
    reply.is_own(429, "owner_cooling");
    assert!(reply.number("retry-after") > 0);
    assert!(reply.message().contains("names"), "{}", reply.message());
    assert_eq!(mock.requests().len(), before, "nobody was asked");
    // Others are served meanwhile.
    proxy.post(RESPONSES, &response(&json!("hello"))).is(200);
}

/// A conversation whose answers bring sealed reasoning along; the sealed item of the last one.
fn sealed_turn(proxy: &Proxy, headers: &[(&str, &str)], thought: Option<&Value>) -> Reply {
    let mut input = vec![json!({"role": "user", "content": "think"})];
    input.extend(thought.cloned());
    let body = json!({"model": "m", "store": false, "stream": true, "input": input,
        "include": ["reasoning.encrypted_content"]});
    proxy.ask("POST", RESPONSES, headers, body.to_string().as_bytes())
}

fn thought(reply: &Reply) -> Value {
    let last = reply.is(200).events().pop().unwrap();
    let last: Value = serde_json::from_str(&last).unwrap();
    last["response"]["output"][0].clone()
}

#[test]
fn sealed_content_stays_with_the_account_that_sealed_it() {
    let (mock, proxy) = pair();
    let session = [("session-id", "0199aaaa-0000-7000-8000-000000000001")];
    let first = thought(&sealed_turn(&proxy, &session, None));
    assert!(first["encrypted_content"].is_string(), "{first}");
    let owner = last_key(&mock);
    // Whoever sends it, and however often: with the session's id, another's, or none.
    let other = [("session-id", "0199aaaa-0000-7000-8000-000000000002")];
    for headers in [&session[..], &other, &[], &[]] {
        sealed_turn(&proxy, headers, Some(&first)).is(200);
        assert_eq!(last_key(&mock), owner);
    }
    throttle(&mock, &proxy, &owner);
    let before = asked(&mock, RESPONSES).len();
    sealed_turn(&proxy, &session, Some(&first)).is_own(429, "owner_cooling");
    assert_eq!(
        asked(&mock, RESPONSES).len(),
        before,
        "no other account is asked"
    );
}

#[test]
fn sealed_content_of_an_account_that_is_gone_goes_on_as_with_one_key() {
    let (mock, proxy) = pair();
    let first = thought(&sealed_turn(&proxy, &[], None));
    let owner = last_key(&mock);
    drop(proxy);
    let left: Vec<String> = keys(ACCOUNTS)
        .into_iter()
        .filter(|key| *key != owner)
        .collect();
    let proxy = Proxy::start(json!({"target": mock.url(), "keys": left}));
    let reply = sealed_turn(&proxy, &[], Some(&first));
    assert_eq!(
        reply.is(400).json()["error"]["code"],
        "invalid_encrypted_content"
    );
}

#[test]
fn the_state_of_a_turn_is_sent_only_to_the_account_that_gave_it_out() {
    let (mock, proxy) = pair();
    let headers = [("session-id", "0199aaaa-0000-7000-8000-000000000003")];
    let body = response(&json!("hello")).to_string();
    let fault = Fault::on(ANY_KEY).times(1).status(200);
    mock.fault(
        fault
            .header("x-codex-turn-state", "gAAAturn")
            .body("{\"id\":\"resp_turn1\"}"),
    );
    let reply = proxy.ask("POST", RESPONSES, &headers, body.as_bytes());
    assert_eq!(reply.is(200).header("x-codex-turn-state"), Some("gAAAturn"));
    let owner = last_key(&mock);
    let with_state = [headers[0], ("x-codex-turn-state", "gAAAturn")];
    let state_sent = || {
        let requests = mock.requests();
        let last = requests.last().unwrap();
        let state = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("x-codex-turn-state");
        last.headers
            .iter()
            .find(state)
            .map(|(_, value)| value.clone())
    };
    proxy
        .ask("POST", RESPONSES, &with_state, body.as_bytes())
        .is(200);
    assert_eq!(
        (last_key(&mock), state_sent().as_deref()),
        (owner.clone(), Some("gAAAturn"))
    );
    throttle(&mock, &proxy, &owner);
    proxy
        .ask("POST", RESPONSES, &with_state, body.as_bytes())
        .is(200);
    assert_ne!(last_key(&mock), owner);
    assert_eq!(state_sent(), None);
    // A state of which nobody knows whose it is passes.
    let strange = [("x-codex-turn-state", "elsewhere")];
    proxy
        .ask("POST", RESPONSES, &strange, body.as_bytes())
        .is(200);
    assert_eq!(state_sent().as_deref(), Some("elsewhere"));
}
