//! Requests that wait for a key rather than be told to come back, and those that do not.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use api_key_lb_mock::{Fault, Mock};
use serde_json::{Value, json};

use crate::support::{
    CHAT, Client, DEADLINE, Proxy, Reply, Upstream, chat, eventually, keys, mock, mock_builder,
    pair, pair_with,
};

const EMBEDDINGS: &str = "/v1/embeddings";
/// What is answered at once is answered well within this, however busy the machine is.
const AT_ONCE: Duration = Duration::from_secs(5);

/// All keys are throttled, once each, for so many milliseconds.
pub fn throttle_all(mock: &Mock, count: usize, millis: u64) {
    for key in keys(count) {
        let fault = Fault::on(key).times(1).status(429);
        mock.fault(fault.header("retry-after-ms", millis.to_string()));
    }
}

/// Has every key throttled, by a request that does not wait for them.
#[track_caller]
fn make_all_cool(mock: &Mock, proxy: &Proxy, count: usize, millis: u64) {
    throttle_all(mock, count, millis);
    let headers = [("x-stainless-timeout", "1")];
    let body = chat("cool down").to_string();
    proxy.ask("POST", CHAT, &headers, body.as_bytes()).is(429);
}

/// Sends a chat request and does not wait for its answer.
pub fn begin(proxy: &Proxy, headers: &[(&str, &str)], text: &str) -> Client {
    let mut client = proxy.client();
    client.send("POST", CHAT, headers, chat(text).to_string().as_bytes());
    client
}

/// Waits until so many requests wait.
#[track_caller]
pub fn waits(proxy: &Proxy, count: u64) {
    eventually(&format!("{count} requests wait"), || {
        proxy.health()["waiting"] == count
    });
}

/// How many requests the provider has got.
pub fn total(mock: &Mock) -> u64 {
    mock.counters().total.requests
}

#[test]
fn while_all_keys_cool_for_a_moment_a_request_waits_and_is_served() {
    let (mock, proxy) = pair(2);
    throttle_all(&mock, 2, 1_200);
    let began = Instant::now();
    let reply = proxy.turn("s", &chat("hi"));
    reply.is(200);
    assert!(began.elapsed() >= Duration::from_millis(990));
    assert_eq!(reply.header("x-lb-attempts"), Some("3"));
    let waited = reply.number("x-lb-waited-ms");
    assert!((1_000..1_200 + 2_000).contains(&waited), "{waited}");
    let arrived: Vec<u64> = mock.requests().iter().map(|seen| seen.arrived_ms).collect();
    assert_eq!(arrived.len(), 3);
    assert!(arrived[2] - arrived[0] >= 990, "{arrived:?}");
    let line = proxy.last_logged();
    assert!(line.contains(" waited "), "{line}");
    assert_eq!(proxy.health()["waiting"], 0);
}

#[test]
fn nothing_is_asked_of_the_provider_while_a_request_waits() {
    let (mock, proxy) = pair(2);
    make_all_cool(&mock, &proxy, 2, 2_000);
    let asked = total(&mock);
    let held = begin(&proxy, &[], "hi");
    waits(&proxy, 1);
    assert_eq!(total(&mock), asked);
    let mut held = held;
    let reply = held.read();
    reply.is(200);
    assert_eq!(reply.header("x-lb-attempts"), Some("1"));
    assert!(reply.number("x-lb-waited-ms") <= 2_000 + 2_000);
    assert_eq!(total(&mock), asked + 1);
}

#[test]
fn a_request_that_has_waited_says_what_for() {
    let (mock, proxy) = pair(1);
    proxy.turn("s", &chat("hi")).is(200);
    throttle_all(&mock, 1, 500);
    let reply = proxy.turn("s", &chat("hi"));
    assert!(reply.is(200).number("x-lb-waited-ms") > 0);
    let why = reply.header("x-lb-why").unwrap_or_default().to_owned();
    assert!(
        why.contains("wait") && why.contains("rate"),
        "x-lb-why: {why}"
    );
    let line = proxy.last_logged();
    assert!(line.contains(&format!("[{why}]")), "{line}");
}

#[test]
fn a_request_that_has_not_waited_says_nothing_about_it() {
    let (_mock, proxy) = pair(2);
    for _ in 0..2 {
        let reply = proxy.turn("s", &chat("hi"));
        assert_eq!(reply.is(200).header("x-lb-waited-ms"), None);
        assert_eq!(reply.header("x-lb-why"), None);
    }
    let line = proxy.last_logged();
    assert!(!line.contains("waited") && !line.contains('['), "{line}");
}

#[test]
fn without_answer_headers_nothing_is_said_of_the_wait() {
    let (mock, proxy) = pair_with(1, json!({"answer_headers": false}));
    throttle_all(&mock, 1, 300);
    let reply = proxy.turn("s", &chat("hi"));
    for name in ["x-lb-waited-ms", "x-lb-why"] {
        assert_eq!(reply.is(200).header(name), None, "{name}");
    }
    assert!(proxy.last_logged().contains(" waited "));
}

/// Sends a request with `headers` and says what came of it: `None` if it waits.
fn is_answered(proxy: &Proxy, headers: &[(&str, &str)]) -> Option<Reply> {
    let client = Arc::new(Mutex::new(None));
    let mut sent = begin(proxy, headers, "hi");
    let slot = client.clone();
    std::thread::spawn(move || *slot.lock().unwrap() = Some(sent.read()));
    let mut answer = None;
    eventually("it is answered, or waits", || {
        answer = client.lock().unwrap().take();
        answer.is_some() || proxy.health()["waiting"] == 1
    });
    answer
}

#[test]
fn what_its_client_would_not_wait_for_is_answered_at_once() {
    for (headers, seconds) in [
        (vec![("x-stainless-timeout", "5")], 60),
        (vec![("x-stainless-timeout", "15")], 20),
        (vec![("x-stainless-read-timeout", "10.5")], 20),
        (vec![("x-server-timeout", "10")], 20),
        (vec![("user-agent", "GeminiCLI/0.61 (linux)")], 58),
        (vec![], 60),
    ] {
        let (mock, proxy) = pair_with(2, json!({"max_wait_ms": 600_000}));
        make_all_cool(&mock, &proxy, 2, seconds * 1000);
        let asked = total(&mock);
        let began = Instant::now();
        let reply = is_answered(&proxy, &headers);
        let reply = reply.unwrap_or_else(|| panic!("{headers:?} waits"));
        assert!(began.elapsed() < AT_ONCE);
        reply.is_own(429, "all_cooling");
        let told = reply.number("retry-after");
        assert!((seconds - 5..=seconds).contains(&told), "{told}");
        assert!(reply.number("retry-after-ms") <= seconds * 1000);
        assert_eq!(reply.header("x-lb-waited-ms"), None);
        assert_eq!(total(&mock), asked);
    }
}

#[test]
fn what_its_client_waits_for_waits() {
    for (headers, seconds) in [
        (vec![("x-stainless-timeout", "60")], 30),
        (vec![("user-agent", "QwenCode/0.24.4 (linux)")], 100),
        (vec![("user-agent", "codex_exec/0.169")], 600),
        (vec![], 30),
    ] {
        let (mock, proxy) = pair_with(2, json!({"max_wait_ms": 1_000_000}));
        make_all_cool(&mock, &proxy, 2, seconds * 1000);
        let reply = is_answered(&proxy, &headers);
        assert!(reply.is_none(), "{headers:?}: {reply:?}");
    }
}

#[test]
fn nothing_waits_longer_than_max_wait_ms() {
    for (max_wait_ms, by_environment, is_held) in [
        (5_000, None, false),
        (60_000, None, true),
        (60_000, Some("5000"), false),
    ] {
        let mock = mock(1);
        let config = json!({"target": mock.url(), "keys": keys(1), "max_wait_ms": max_wait_ms});
        let env: Vec<_> = by_environment
            .map(|value| ("AKLB_MAX_WAIT_MS", value))
            .into_iter()
            .collect();
        let proxy = Proxy::start_with(config, &env);
        make_all_cool(&mock, &proxy, 1, 20_000);
        let reply = is_answered(&proxy, &[("user-agent", "codex/1")]);
        assert_eq!(reply.is_none(), is_held, "{max_wait_ms} {env:?}: {reply:?}");
    }
}

#[test]
fn without_a_setting_nothing_waits_longer_than_45_seconds() {
    for (seconds, is_held) in [(60, false), (30, true)] {
        let (mock, proxy) = pair(1);
        make_all_cool(&mock, &proxy, 1, seconds * 1000);
        let reply = is_answered(&proxy, &[("user-agent", "codex/1")]);
        assert_eq!(reply.is_none(), is_held, "{seconds} s: {reply:?}");
    }
}

#[test]
fn a_request_that_is_throttled_beyond_its_patience_gets_the_providers_answer() {
    let (mock, proxy) = pair(2);
    throttle_all(&mock, 2, 60_000);
    let began = Instant::now();
    let reply = proxy.turn("s", &chat("hi"));
    assert!(began.elapsed() < AT_ONCE);
    reply.is(429);
    assert_eq!(reply.header("x-lb-error"), None);
    assert_eq!(reply.header("x-lb-attempts"), Some("2"));
    let told = reply.number("retry-after-ms");
    assert!((55_000..=60_000).contains(&told), "{told}");
}

#[test]
fn a_request_whose_client_leaves_is_never_sent_and_frees_its_place() {
    let (mock, proxy) = pair(2);
    make_all_cool(&mock, &proxy, 2, 3_000);
    let asked = total(&mock);
    let leaving: Vec<Client> = (0..3).map(|_| begin(&proxy, &[], "left")).collect();
    waits(&proxy, 3);
    let mut stays = begin(&proxy, &[], "stays");
    waits(&proxy, 4);
    leaving.into_iter().for_each(Client::leave);
    waits(&proxy, 1);
    assert_eq!(total(&mock), asked, "all are gone before the keys are back");
    stays.read().is(200);
    proxy.post(CHAT, &chat("later")).is(200);
    let sent = mock.requests().into_iter().map(|seen| seen.json());
    let texts: Vec<Value> = sent
        .map(|body| body["messages"][0]["content"].clone())
        .collect();
    assert!(!texts.contains(&json!("left")), "{texts:?}");
    assert_eq!(total(&mock), asked + 2);
    let health = proxy.health();
    assert_eq!(health["waiting"], 0);
    for key in health["keys"].as_array().unwrap() {
        assert_eq!(key["in_flight"], 0);
    }
}

#[test]
fn who_waits_behind_one_that_leaves_takes_its_place() {
    let (mock, proxy) = pair(1);
    make_all_cool(&mock, &proxy, 1, 2_500);
    let first = begin(&proxy, &[], "left");
    waits(&proxy, 1);
    let mut second = begin(&proxy, &[], "stays");
    waits(&proxy, 2);
    first.leave();
    let reply = second.read();
    assert!(reply.is(200).number("x-lb-waited-ms") < 2_500 + 2_000);
}

/// The number of the request that is always throttled.
const COOL_DOWN: usize = 1_000;
const THROTTLED: &str = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 3\r\n\
    content-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
const SERVED: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

/// Has the only account cool, and so many requests wait for it one after the other.
fn in_line(proxy: &Proxy, count: usize) -> Vec<Client> {
    let headers = [("x-stainless-timeout", "1")];
    let text = format!("number {COOL_DOWN}");
    begin(proxy, &headers, &text).read().is(429);
    let numbers = 0..count;
    let begin_next = |number| {
        let client = begin(proxy, &[], &format!("number {number}"));
        waits(proxy, number as u64 + 1);
        client
    };
    numbers.map(begin_next).collect()
}

/// What a provider sees: a request came, or was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Came(usize),
    Answered,
}

/// The number at the end of a chat request.
fn number_in(body: &[u8]) -> usize {
    let body: Value = serde_json::from_slice(body).unwrap();
    let text = body["messages"][0]["content"].as_str().unwrap();
    text.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn those_who_wait_are_served_in_the_order_in_which_they_came_and_gently() {
    const WAITING: usize = 20;
    let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
    let noted = seen.clone();
    let upstream = Upstream::start(move |connection| {
        while let Some(request) = connection.request() {
            let number = number_in(&request.body);
            if number == COOL_DOWN {
                connection.write(THROTTLED);
                continue;
            }
            noted.lock().unwrap().push(Seen::Came(number));
            std::thread::sleep(Duration::from_millis(40));
            noted.lock().unwrap().push(Seen::Answered);
            connection.write(SERVED);
        }
    });
    let proxy = Proxy::start(json!({"target": upstream.url(), "keys": keys(1)}));
    let mut clients = in_line(&proxy, WAITING);
    assert_eq!(seen.lock().unwrap().as_slice(), &[]);
    for client in &mut clients {
        client.read().is(200);
    }
    let seen = seen.lock().unwrap().clone();
    let (mut served, mut running) = (0_u32, 0_u32);
    for event in &seen {
        match event {
            Seen::Answered => (served, running) = (served + 1, running - 1),
            Seen::Came(number) => {
                running += 1;
                let ramp = 1 << served.min(5);
                assert!(
                    running <= ramp,
                    "{running} at once after {served}: {seen:?}"
                );
                // Those that begin in one step may overtake one another on their way.
                let begun = (served + ramp) as usize;
                assert!(
                    *number < begun,
                    "{number} came after {served} answers: {seen:?}"
                );
            }
        }
    }
    assert_eq!(served as usize, WAITING);
}

#[test]
fn one_that_is_throttled_again_keeps_its_place_in_the_line() {
    const WAITING: usize = 6;
    let seen: Arc<Mutex<Vec<usize>>> = Arc::default();
    let noted = seen.clone();
    let upstream = Upstream::start(move |connection| {
        while let Some(request) = connection.request() {
            let number = number_in(&request.body);
            let mut noted = noted.lock().unwrap();
            let is_throttled = number == COOL_DOWN || noted.is_empty();
            if number != COOL_DOWN {
                noted.push(number);
            }
            drop(noted);
            std::thread::sleep(Duration::from_millis(40));
            connection.write(if is_throttled { THROTTLED } else { SERVED });
        }
    });
    let proxy = Proxy::start(json!({"target": upstream.url(), "keys": keys(1)}));
    for client in &mut in_line(&proxy, WAITING) {
        client.read().is(200);
    }
    let seen = seen.lock().unwrap().clone();
    assert_eq!(
        seen[..2],
        [0, 0],
        "who came first is asked for first: {seen:?}"
    );
    assert_eq!(seen.len(), WAITING + 1);
}

#[test]
fn a_request_that_comes_while_others_wait_does_not_overtake_them() {
    let mock = mock_builder(1)
        .head_delay(Duration::from_millis(300))
        .start()
        .unwrap();
    let proxy = Proxy::start(json!({"target": mock.url(), "keys": keys(1)}));
    make_all_cool(&mock, &proxy, 1, 2_000);
    let asked = total(&mock);
    let mut waiting: Vec<Client> = (0..4).map(|_| begin(&proxy, &[], "waits")).collect();
    waits(&proxy, 4);
    assert!(mock.wait_until(DEADLINE, |counters| counters.total.requests > asked));
    let mut late = begin(&proxy, &[], "late");
    for client in &mut waiting {
        client.read().is(200);
    }
    late.read().is(200);
    let order = mock.requests().into_iter().skip(asked as usize);
    let order: Vec<Value> = order
        .map(|seen| seen.json()["messages"][0]["content"].clone())
        .collect();
    // Of the last step, which the late one may belong to, anyone may come first.
    assert!(!order[..2].contains(&json!("late")), "{order:?}");
}

#[test]
fn a_request_without_a_session_waits_too() {
    let (mock, proxy) = pair(2);
    make_all_cool(&mock, &proxy, 2, 2_000);
    let reply = proxy.post(EMBEDDINGS, &json!({"model": "m", "input": "a"}));
    assert!(reply.is(200).number("x-lb-waited-ms") <= 2_000 + 2_000);
    assert_eq!(reply.header("x-lb-affinity"), Some("none"));
}

#[cfg(unix)]
fn terminate(proxy: &Proxy) {
    let pid = proxy.pid().to_string();
    let status = std::process::Command::new("kill")
        .args(["-s", "TERM", &pid])
        .status();
    assert!(status.unwrap().success());
}

#[cfg(unix)]
#[test]
fn what_waits_holds_up_the_end_no_longer_than_drain_timeout_ms() {
    let (mock, mut proxy) = pair_with(1, json!({"drain_timeout_ms": 300}));
    make_all_cool(&mock, &proxy, 1, 30_000);
    let asked = total(&mock);
    let clients: Vec<Client> = (0..5).map(|_| begin(&proxy, &[], "hi")).collect();
    waits(&proxy, 5);
    let began = Instant::now();
    terminate(&proxy);
    eventually("it ends", || proxy.ended() == Some(Some(0)));
    assert!(began.elapsed() < AT_ONCE);
    for mut client in clients {
        assert_ne!(client.read().status, 200);
    }
    assert_eq!(total(&mock), asked);
}

#[cfg(unix)]
#[test]
fn what_waits_for_less_than_the_drain_time_is_still_served() {
    let (mock, mut proxy) = pair_with(1, json!({"drain_timeout_ms": 20_000}));
    make_all_cool(&mock, &proxy, 1, 2_000);
    let mut clients: Vec<Client> = (0..3).map(|_| begin(&proxy, &[], "hi")).collect();
    waits(&proxy, 3);
    terminate(&proxy);
    for client in &mut clients {
        client.read().is(200);
    }
    eventually("it ends", || proxy.ended() == Some(Some(0)));
}
