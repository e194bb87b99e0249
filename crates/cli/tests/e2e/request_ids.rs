//! Every request has an id: in its answer, in the log, and for `why`.

use std::collections::HashSet;

use api_key_lb_mock::{ANY_KEY, Fault};
use serde_json::{Value, json};

use crate::support::{
    CHAT, MODELS, Output, Proxy, Upstream, chat, config, eventually, pair, pair_with,
};

const ID: &str = "x-lb-request-id";

#[track_caller]
fn why(proxy: &Proxy, args: &[&str]) -> Output {
    let port = proxy.port.to_string();
    let args: Vec<&str> = ["why", "--port", &port]
        .iter()
        .chain(args)
        .copied()
        .collect();
    proxy.home.run(&args, &[])
}

#[test]
fn every_answer_has_an_id_of_its_own_that_ends_the_line_of_the_log() {
    let (_mock, proxy) = pair(2);
    let mut ids = HashSet::new();
    for number in 0..20 {
        let reply = match number % 4 {
            0 => proxy.get(MODELS),
            1 => proxy.turn("s", &chat("hi")),
            // Our own answers, before and after the body was read.
            2 => proxy.ask("TRACE", MODELS, &[], b""),
            _ => proxy.ask("GET", MODELS, &[("origin", "http://evil.example")], b""),
        };
        let id = reply.header(ID).unwrap().to_owned();
        assert_eq!(id.len(), 12, "{id}");
        let line = proxy.last_logged();
        assert!(line.ends_with(&format!(" id {id}")), "{line}");
        ids.insert(id);
    }
    assert_eq!(ids.len(), 20);
    assert!(
        proxy.get("/health").header(ID).is_none(),
        "of clients' requests only"
    );
}

#[test]
fn a_clients_own_id_passes_both_ways_untouched() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nx-request-id: theirs\r\nx-lb-request-id: anothers\r\ncontent-length: 2\r\n\r\n{}",
    );
    let proxy = Proxy::start(config(&upstream.url(), 1, json!({})));
    let own = [
        ("x-request-id", "mine-1"),
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
    ];
    let reply = proxy.ask("POST", CHAT, &own, chat("hi").to_string().as_bytes());
    assert_eq!(reply.is(200).header("x-request-id"), Some("theirs"));
    let ids = reply.headers.iter().filter(|(name, _)| name == ID);
    assert_eq!(ids.count(), 1, "{:?}", reply.headers);
    assert_ne!(reply.header(ID), Some("anothers"));
    let sent = &upstream.requests()[0];
    assert_eq!(sent.header("x-request-id"), Some("mine-1"));
    assert_eq!(sent.header("traceparent"), Some(own[1].1));
    assert_eq!(sent.header(ID), None, "ours goes to the client only");
}

#[test]
fn answers_say_no_id_where_they_say_nothing_of_us() {
    let (_mock, proxy) = pair_with(1, json!({"answer_headers": false}));
    assert!(proxy.get(MODELS).is(200).header(ID).is_none());
    assert!(proxy.ask("TRACE", MODELS, &[], b"").header(ID).is_none());
    assert!(
        proxy.last_logged().contains(" id "),
        "the log has it anyway"
    );
}

#[test]
fn why_tells_what_became_of_a_request_by_its_id_or_its_line() {
    let (mock, proxy) = pair(2);
    let fault = Fault::on(ANY_KEY).times(1).status(429);
    mock.fault(fault.header("retry-after", "600"));
    let agent = [("user-agent", "opencode/1.0.203"), ("x-session-id", "s")];
    let mut id = String::new();
    // Whichever key comes first is throttled.
    for session in ["a", "b", "c", "d", "e", "f"] {
        let headers = [agent[0], ("x-session-id", session)];
        let reply = proxy.ask("POST", CHAT, &headers, chat(session).to_string().as_bytes());
        if reply.is(200).header("x-lb-attempts") == Some("2") {
            reply.header(ID).unwrap().clone_into(&mut id);
            break;
        }
    }
    assert!(!id.is_empty(), "none was throttled");
    let line = proxy.last_logged();
    why(&proxy, &[&id]).is(0).says(&[
        "POST /v1/chat/completions",
        &id,
        "opencode/1.0.203",
        "header x-session-id",
        "429 after",
        "rate limit of the model",
        "200 after",
        "served",
        "generated",
        "complete after",
    ]);
    assert_eq!(
        why(&proxy, &[&line]).is(0).stdout,
        why(&proxy, &[&id]).stdout
    );
    let told = why(&proxy, &[&id, "--json"]);
    let told: Value = serde_json::from_str(&told.is(0).stdout).unwrap();
    assert_eq!(
        told,
        proxy.get(&format!("/_lb/requests/{id}")).is(200).json()
    );
}

#[test]
fn an_id_that_nobody_knows_says_how_long_requests_are_remembered() {
    let (_mock, proxy) = pair(1);
    why(&proxy, &["000000000000"]).is(1).says(&[
        "no request of this id is remembered",
        "2000",
        "id 000000000000",
    ]);
    why(&proxy, &["what"])
        .is(1)
        .says(&["x-lb-request-id", "--request FILE"]);
    why(&proxy, &[]).is(2);
    why(&proxy, &["000000000000", "-r", "file"]).is(2);
    let port = crate::support::free_port().to_string();
    proxy
        .home
        .run(&["why", "000000000000", "--port", &port], &[])
        .is(1)
        .says(&["not running", "only the proxy that served"]);
}

#[test]
fn a_request_whose_client_left_is_remembered_too() {
    let upstream = Upstream::start(|connection| {
        connection.request();
        std::thread::sleep(std::time::Duration::from_secs(30));
    });
    let proxy = Proxy::start(config(&upstream.url(), 1, json!({})));
    let mut client = proxy.client();
    client.send("POST", CHAT, &[], chat("hi").to_string().as_bytes());
    eventually("it has come", || !upstream.requests().is_empty());
    client.leave();
    let mut told = Value::Null;
    eventually("it is remembered", || {
        told = proxy.get("/_lb/requests").is(200).json()["requests"][0].clone();
        !told.is_null()
    });
    assert_eq!(
        (&told["status"], &told["ending"]),
        (&0.into(), &"client_left".into())
    );
    assert_eq!(told["attempts"][0]["status"], Value::Null);
    why(&proxy, &[told["id"].as_str().unwrap()])
        .is(0)
        .says(&["the client left after", "no answer"]);
}
