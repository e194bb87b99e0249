//! Our own paths: what they tell, who may do what there, and that looking on costs nobody anything.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use api_key_lb_mock::{ANY_KEY, Fault};
use serde_json::{Value, json};

use crate::store::{Place, written};
use crate::support::{
    CHAT, Client, DEADLINE, End, MODELS, Proxy, Reply, Upstream, chat, chat_stream, config,
    eventually, key, mock, pair, pair_with,
};

const STATE: &str = "/_lb/state";
const STREAM: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
/// Streams of events that the proxy serves at once.
const MOST_STREAMS: usize = 16;

/// The token of the instance, as its user may read it.
#[track_caller]
pub fn token_of(proxy: &Proxy) -> String {
    proxy.announced();
    let name = format!("{}.json", proxy.port);
    let files = proxy.home.state_files();
    let (_, text) = files
        .iter()
        .find(|(path, _)| path.ends_with(&name))
        .unwrap();
    let record: Value = serde_json::from_str(text).unwrap();
    record["token"].as_str().unwrap().to_owned()
}

#[track_caller]
fn state(proxy: &Proxy) -> Value {
    proxy.get(STATE).is(200).json()
}

fn order(proxy: &Proxy, path: &str, token: &str) -> Reply {
    proxy.ask("POST", path, &[("x-lb-token", token)], b"")
}

/// The action `what` on the key at this place of the configuration.
fn of_key(proxy: &Proxy, at: usize, what: &str) -> String {
    let state = state(proxy);
    let fingerprint = state["keys"][at]["fingerprint"].as_str().unwrap();
    format!("/_lb/keys/{fingerprint}/{what}")
}

/// Reads from a stream of events until one of this name comes; its data.
#[track_caller]
fn event(client: &mut Client, rest: &mut String, name: &str) -> Value {
    loop {
        while let Some((event, after)) = rest.split_once("\n\n") {
            let event = event.to_owned();
            *rest = after.to_owned();
            let mut lines = event.lines();
            if lines.next() == Some(&format!("event: {name}")) {
                let data = lines.next().unwrap().strip_prefix("data: ").unwrap();
                assert_eq!(lines.next(), None, "one line of data: {event}");
                return serde_json::from_str(data).unwrap();
            }
        }
        let chunk = client.chunk().unwrap();
        assert!(!chunk.is_empty(), "the stream ended");
        rest.push_str(&String::from_utf8(chunk).unwrap());
    }
}

#[track_caller]
fn listen(proxy: &Proxy) -> Client {
    let mut client = proxy.client();
    client.send("GET", "/_lb/events", &[], b"");
    let head = client.head();
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    assert_eq!(head.is(200).header("cache-control"), Some("no-store"));
    client
}

#[test]
fn the_state_tells_keys_sessions_and_sums() {
    let (mock, proxy) = pair(2);
    let fault = Fault::on(key(1)).times(1).status(429);
    mock.fault(fault.header("retry-after", "300"));
    for _ in 0..3 {
        let agent = [
            ("user-agent", "claude-cli/2.0.1 (external, cli)"),
            ("x-session-id", "s"),
        ];
        let body = chat("hi").to_string();
        proxy.ask("POST", CHAT, &agent, body.as_bytes()).is(200);
        proxy.get(MODELS).is(200);
    }
    let mut now = Value::Null;
    eventually("all is counted", || {
        now = state(&proxy);
        now["totals"]["requests"] == 6
    });
    assert_eq!(now["health"]["status"], "ok");
    assert_eq!(
        (&now["keys"][0]["state"], &now["keys"][1]["state"]),
        (&"cooling".into(), &"ready".into())
    );
    let until = now["keys"][0]["until_ms"].as_u64().unwrap();
    assert!(until > now["now"].as_u64().unwrap() + 200_000);
    assert!(
        now["keys"][0]["reason"]
            .as_str()
            .unwrap()
            .contains("rate limit")
    );
    assert_eq!(now["keys"][0]["throttles"], 1);
    assert_eq!(now["keys"][1]["sessions"], 1);
    let session = &now["sessions"][0];
    assert_eq!(session["client"], "claude-cli/2.0.1");
    assert_eq!(
        (&session["requests"], &session["model"]),
        (&3.into(), &"m".into())
    );
    assert_eq!(session["home"], now["keys"][1]["label"]);
    assert_eq!(session["full"].as_str().unwrap().len(), 32);
    assert_eq!(now["saved"]["throttles_hidden"], 1);
    assert_eq!(now["saved"]["requests_rescued"], 1);
    let of_session = format!(
        "/_lb/requests?limit=2&session={}",
        session["id"].as_str().unwrap()
    );
    let requests = proxy.get(&of_session).is(200).json();
    assert_eq!(requests["requests"].as_array().unwrap().len(), 2);
    for span in ["1h", "24h", "30d"] {
        let chart = proxy
            .get(&format!("/_lb/charts?span={span}"))
            .is(200)
            .json();
        let series = chart["series"].as_object().unwrap();
        let lengths: HashSet<usize> = series
            .values()
            .map(|line| line.as_array().unwrap().len())
            .collect();
        assert_eq!(lengths.len(), 1, "{chart}");
        let requests = series["requests"].as_array().unwrap();
        let sum: u64 = requests.iter().map(|count| count.as_u64().unwrap()).sum();
        assert_eq!((&chart["span"], sum), (&span.into(), 6));
    }
    proxy.get("/_lb/charts?span=2h").is_own(400, "bad_span");
}

#[test]
fn the_page_and_its_files_come_with_a_strict_policy_and_are_not_sent_twice() {
    let (_mock, proxy) = pair(1);
    let html = [("accept", "text/html,application/xhtml+xml")];
    let page = proxy.ask("GET", "/_lb/", &html, b"");
    page.is(200);
    assert!(
        page.text().starts_with("<!doctype html>"),
        "{}",
        page.text()
    );
    for (name, kind) in [
        ("app.js", "text/javascript; charset=utf-8"),
        ("app.css", "text/css; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    ] {
        let path = format!("/_lb/{name}");
        let file = proxy.get(&path);
        assert_eq!(file.is(200).header("content-type"), Some(kind));
        let policy = file.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'"));
        assert_eq!(file.header("x-frame-options"), Some("DENY"));
        let tag = [("if-none-match", file.header("etag").unwrap())];
        let again = proxy.ask("GET", &path, &tag, b"");
        assert!(again.is(304).body.is_empty());
    }
    assert_eq!(proxy.get("/_lb/").is(200).json()["name"], "api-key-lb");
}

#[test]
fn a_wrong_method_or_path_is_told_what_is_right() {
    let (_mock, proxy) = pair(1);
    for path in [
        STATE,
        "/_lb/requests",
        "/_lb/events",
        "/_lb/",
        "/_lb/app.js",
        "/_lb/metrics",
    ] {
        let reply = proxy.ask("POST", path, &[], b"");
        reply.is_own(405, "wrong_method");
        assert_eq!(reply.header("allow"), Some("GET, HEAD"), "{path}");
    }
    let wrong = proxy.get("/_lb/what");
    wrong.is_own(404, "no_such_path");
    assert!(wrong.message().contains("GET /_lb/ lists"));
    for path in ["/_lb/keys/0123456789abcdef/disable", "/_lb/why"] {
        proxy.get(path).is_own(405, "wrong_method");
    }
    let head = proxy.ask("HEAD", STATE, &[], b"");
    assert!(head.is(200).body.is_empty());
}

#[test]
fn events_tell_the_state_at_once_and_requests_as_they_end() {
    let (_mock, proxy) = pair(2);
    let mut client = listen(&proxy);
    let mut rest = String::new();
    let first = event(&mut client, &mut rest, "state");
    assert_eq!(first["totals"]["requests"], 0);
    let reply = proxy.turn("s", &chat("hi"));
    let requests = event(&mut client, &mut rest, "request");
    assert_eq!(requests.as_array().unwrap().len(), 1);
    assert_eq!(requests[0]["id"].as_str(), reply.header("x-lb-request-id"));
    let next = event(&mut client, &mut rest, "state");
    assert_eq!(next["totals"]["requests"], 1);
}

#[test]
fn who_reads_events_slowly_or_never_delays_no_token() {
    let upstream = Upstream::start(|connection| {
        while connection.request().is_some() {
            connection.write(STREAM);
            for number in 0..200 {
                connection.write_chunk(format!("data: {number}\n\n"));
            }
            connection.write("0\r\n\r\n");
        }
    });
    // One worker: it serves the streams of events as well.
    let proxy = Proxy::start(config(&upstream.url(), 2, json!({"workers": 1})));
    let idle: Vec<Client> = (0..MOST_STREAMS)
        .map(|_| {
            let mut client = proxy.client();
            client.send("GET", "/_lb/events", &[], b"");
            client
        })
        .collect();
    eventually("there is no room for another one", || {
        let mut client = proxy.client();
        client.send("GET", "/_lb/events", &[], b"");
        client.head().status == 503
    });
    // A scraper that asks for much and reads nothing.
    let mut stuck = proxy.client();
    for _ in 0..50 {
        stuck.raw("GET /_lb/metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    }
    let began = Instant::now();
    for number in 0..100 {
        let reply = proxy.turn(&format!("s{number}"), &chat_stream("hi"));
        assert_eq!(reply.is(200).events().len(), 200);
    }
    // On an idle machine this takes 0.2 s.
    assert!(
        began.elapsed() < Duration::from_secs(6),
        "{:?}",
        began.elapsed()
    );
    let added = state(&proxy)["totals"]["requests"].as_u64();
    assert!(added > Some(0));
    drop(idle);
    eventually("who has left makes room", || {
        let mut client = proxy.client();
        client.send("GET", "/_lb/events", &[], b"");
        client.head().status == 200
    });
}

#[test]
fn open_streams_of_events_do_not_hold_up_the_end() {
    let (_mock, mut proxy) = pair(1);
    let mut client = listen(&proxy);
    let mut rest = String::new();
    event(&mut client, &mut rest, "state");
    let began = Instant::now();
    order(&proxy, "/_lb/stop", &token_of(&proxy)).is(202);
    let end = loop {
        match client.chunk() {
            Ok(chunk) if chunk.is_empty() => break End::Complete,
            Ok(_) => {}
            Err(end) => break end,
        }
    };
    assert_eq!(end, End::Complete);
    eventually("it ends", || proxy.ended() == Some(Some(0)));
    assert!(began.elapsed() < DEADLINE / 2, "{:?}", began.elapsed());
}

#[test]
fn actions_need_the_token_and_no_other_site_may_ask_for_them() {
    let (_mock, proxy) = pair(2);
    let token = token_of(&proxy);
    let disable = of_key(&proxy, 0, "disable");
    let unpin = format!("/_lb/sessions/{}/unpin", "0".repeat(32));
    for path in [&disable, &unpin] {
        proxy
            .ask("POST", path, &[], b"")
            .is_own(403, "instance_token");
        let wrong = [("x-lb-token", "wrong")];
        proxy
            .ask("POST", path, &wrong, b"")
            .is_own(403, "instance_token");
    }
    let right = ("x-lb-token", token.as_str());
    for other in [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let reply = proxy.ask("POST", &disable, &[right, other], b"");
        assert_eq!(
            reply.is(403).header("x-lb-error"),
            Some("origin_not_allowed"),
            "{other:?}"
        );
    }
    let text = [right, ("content-type", "text/plain")];
    proxy
        .ask("POST", &disable, &text, b"{}")
        .is_own(415, "content_type");
    assert_eq!(
        state(&proxy)["keys"][0]["state"],
        "ready",
        "nothing has happened"
    );
    order(&proxy, &unpin, &token).is_own(404, "no_such_session");
    order(&proxy, "/_lb/keys/0000000000000000/forget", &token).is_own(404, "no_such_key");
    order(&proxy, "/_lb/keys/what/forget", &token).is_own(404, "no_such_key");
    let own = format!("http://127.0.0.1:{}", proxy.port);
    let host = format!("127.0.0.1:{}", proxy.port);
    let page = [
        right,
        ("origin", &own),
        ("host", &host),
        ("content-type", "application/json"),
    ];
    let mut client = proxy.client();
    let headers: String = page
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    client.raw(format!(
        "POST {disable} HTTP/1.1\r\n{headers}content-length: 2\r\n\r\n{{}}"
    ));
    assert_eq!(client.read().is(200).json(), json!({"done": true}));
}

#[test]
fn a_disabled_key_serves_nobody_until_it_is_enabled_whatever_restarts_meanwhile() {
    let mock = mock(2);
    let place = Place::new(&mock, 2, json!({}));
    let proxy = place.start();
    let label = |proxy: &Proxy, at: usize| state(proxy)["keys"][at]["label"].clone();
    let first = label(&proxy, 0);
    let token = token_of(&proxy);
    order(&proxy, &of_key(&proxy, 0, "disable"), &token).is(200);
    let serves = |proxy: &Proxy| -> HashSet<String> {
        let replies = (0..6).map(|_| proxy.get(MODELS));
        let keys = replies.map(|reply| reply.is(200).header("x-lb-key").unwrap().to_owned());
        keys.collect()
    };
    assert!(!serves(&proxy).contains(first.as_str().unwrap()));
    assert_eq!(state(&proxy)["keys"][0]["state"], "disabled");
    written(&proxy);
    proxy.end();
    let proxy = place.start();
    assert_eq!(state(&proxy)["keys"][0]["state"], "disabled");
    assert!(!serves(&proxy).contains(first.as_str().unwrap()));
    let token = token_of(&proxy);
    order(&proxy, &of_key(&proxy, 1, "disable"), &token).is(200);
    let none = proxy.get(MODELS);
    none.is_own(503, "no_key");
    assert!(none.message().contains("disabled"));
    let problems = state(&proxy)["problems"].to_string();
    assert!(problems.contains("no key can serve"), "{problems}");
    for at in [0, 1] {
        order(&proxy, &of_key(&proxy, at, "enable"), &token).is(200);
    }
    assert_eq!(serves(&proxy).len(), 2);
    written(&proxy);
    proxy.end();
    assert_eq!(state(&place.start())["keys"][0]["state"], "ready");
}

#[test]
fn what_is_forgotten_is_asked_again_at_once() {
    let (mock, proxy) = pair(1);
    let fault = Fault::on(key(1)).times(1).status(429);
    mock.fault(fault.header("retry-after", "300"));
    proxy.get(MODELS).is(429);
    assert_eq!(state(&proxy)["keys"][0]["state"], "cooling");
    proxy.get(MODELS).is(429);
    order(&proxy, &of_key(&proxy, 0, "forget"), &token_of(&proxy)).is(200);
    assert_eq!(state(&proxy)["keys"][0]["state"], "ready");
    proxy.get(MODELS).is(200);
}

#[test]
fn a_session_that_is_let_go_finds_a_home_anew() {
    let (mock, proxy) = pair(2);
    let home = proxy.turn("s", &chat("hi"));
    let home = home.is(200).header("x-lb-key").unwrap().to_owned();
    let mut full = String::new();
    eventually("the session is seen", || {
        let state = state(&proxy);
        full = state["sessions"][0]["full"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        state["sessions"][0]["home"] == home.as_str()
    });
    let token = token_of(&proxy);
    order(&proxy, &format!("/_lb/sessions/{full}/unpin"), &token).is(200);
    assert_eq!(state(&proxy)["sessions"][0]["home"], Value::Null);
    let again = proxy.turn("s", &chat("hi"));
    assert_eq!(again.is(200).header("x-lb-affinity"), Some("new"));
    drop(mock);
}

#[test]
fn where_clients_need_a_token_the_data_does_too_and_the_page_does_not() {
    let client_token = "client-token-0123456789-abcdefghijklmnop";
    let (_mock, proxy) = pair_with(1, json!({"client_tokens": [client_token]}));
    let instance = token_of(&proxy);
    let paths = [
        STATE,
        "/_lb/requests",
        "/_lb/charts",
        "/_lb/metrics",
        "/_lb/",
    ];
    for path in paths {
        proxy.get(path).is_own(401, "client_token");
        let bearer = format!("Bearer {client_token}");
        proxy
            .ask("GET", path, &[("authorization", &bearer)], b"")
            .is(200);
        proxy
            .ask("GET", path, &[("x-lb-token", &instance)], b"")
            .is(200);
    }
    proxy.get("/_lb/events").is_own(401, "client_token");
    proxy.get("/_lb/app.js").is(200);
    proxy
        .ask("GET", "/_lb/", &[("accept", "text/html")], b"")
        .is(200);
    // With a client's token one may look, but not act.
    let bearer = format!("Bearer {client_token}");
    let fingerprint = state_with(&proxy, &bearer)["keys"][0]["fingerprint"].clone();
    let path = format!("/_lb/keys/{}/disable", fingerprint.as_str().unwrap());
    let reply = proxy.ask("POST", &path, &[("authorization", &bearer)], b"");
    reply.is_own(403, "instance_token");
    let port = proxy.port.to_string();
    proxy
        .home
        .run(&["status", "--port", &port], &[])
        .is(0)
        .says(&["Key #0"]);
}

fn state_with(proxy: &Proxy, bearer: &str) -> Value {
    let reply = proxy.ask("GET", STATE, &[("authorization", bearer)], b"");
    reply.is(200).json()
}

#[test]
fn requests_that_fail_everywhere_are_told_with_their_error() {
    let (mock, proxy) = pair(2);
    mock.fault(
        Fault::on(ANY_KEY)
            .times(9)
            .status(429)
            .header("retry-after", "300"),
    );
    let reply = proxy.turn("s", &chat("hi"));
    let id = reply.is(429).header("x-lb-request-id").unwrap().to_owned();
    let path = format!("/_lb/requests/{id}");
    let mut told = Value::Null;
    eventually("it is remembered", || {
        let reply = proxy.get(&path);
        if reply.status == 200 {
            told = reply.json();
        }
        reply.status == 200
    });
    assert_eq!(
        (&told["status"], &told["ending"]),
        (&429.into(), &"complete".into())
    );
    assert_eq!(told["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(told["model"], Value::Null, "it was never served");
    proxy
        .get("/_lb/requests/000000000000")
        .is_own(404, "no_such_request");
}
