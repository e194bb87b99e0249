//! WebSockets that are better served by another key than their handshake could tell.

use std::sync::Mutex;

use api_key_lb_mock::Fault;
use serde_json::json;

use crate::outgoing::tunnelling;
use crate::support::websocket::{ACCEPT, WebSocket, shake};
use crate::support::{
    Proxy, RESPONSES, Upstream, config, eventually, key, last_key, pair, pair_with,
};
use crate::websocket::{DONE, accepting, create};

const LIVE: &str = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";

#[test]
fn a_conversation_that_only_its_first_message_names_is_served_at_home() {
    let (mock, proxy) = pair(4);
    let named = |text: &str| {
        json!({"type": "response.create", "model": "m", "input": text, "prompt_cache_key": "c-7"})
            .to_string()
    };
    let mut home = None;
    for number in 0..8 {
        let mut socket = WebSocket::open(proxy.port, RESPONSES, &[]);
        let text = named(&format!("{number} {}", "x".repeat(200_000)));
        socket.send(&text);
        let done = socket.until(DONE);
        assert_eq!(done.last().unwrap().kind(), "response.completed");
        let served = last_key(&mock);
        assert_eq!(*home.get_or_insert(served.clone()), served, "{number}");
        let requests = mock.requests();
        let asked = requests.iter().filter(|seen| seen.body == text.as_bytes());
        assert_eq!(asked.count(), 1, "nobody else was asked");
    }
}

#[test]
fn a_response_that_a_first_message_continues_is_asked_of_whoever_gave_it() {
    let (mock, proxy) = pair(4);
    let mut socket = WebSocket::open(proxy.port, RESPONSES, &[]);
    socket.send(create("one"));
    let done = socket.until(DONE).last().unwrap().json();
    let owner = last_key(&mock);
    for number in 0..6 {
        let mut socket = WebSocket::open(proxy.port, RESPONSES, &[]);
        let message = json!({"type": "response.create", "model": "m", "input": number,
            "previous_response_id": done["response"]["id"]});
        socket.send(message.to_string());
        socket.until(DONE);
        assert_eq!(last_key(&mock), owner, "{number}");
    }
}

#[test]
fn a_model_that_gemini_s_setup_names_is_asked_of_an_account_that_has_it() {
    let (mock, proxy) = pair_with(2, json!({"max_wait_ms": 0}));
    let generate = "/v1beta/models/gemini-live:generateContent";
    mock.fault(
        Fault::on(key(1))
            .times(1)
            .status(429)
            .header("retry-after", "60"),
    );
    let is_asked = |number: usize| {
        let requests = mock.requests();
        let mut requests = requests.iter();
        requests.any(|seen| seen.key.as_deref() == Some(&*key(number)))
    };
    for number in 0..100 {
        // Conversations of their own, or all would go where the first one went.
        let text = format!("{number} says hi");
        let body = json!({"contents": [{"role": "user", "parts": [{"text": text}]}]});
        proxy.post(generate, &body).is(200);
        if is_asked(1) {
            break;
        }
    }
    assert!(is_asked(1), "nothing is throttled");
    let before = mock.requests().len();
    for _ in 0..6 {
        let mut socket = WebSocket::open(proxy.port, LIVE, &[]);
        socket
            .send(r#"{"setup":{"generationConfig":{"model":"no"},"model":"models/gemini-live"}}"#);
        assert_eq!(socket.message().payload, br#"{"setupComplete":{}}"#);
        socket.send(r#"{"clientContent":{"turns":[],"turnComplete":true}}"#);
        socket.message();
        assert_eq!(last_key(&mock), key(2));
    }
    let requests = mock.requests();
    let moved = requests[before..]
        .iter()
        .filter(|seen| seen.key.as_deref() == Some(&*key(1)));
    assert!(moved.count() > 0, "each began there by chance");
}

#[test]
fn a_call_is_watched_by_the_account_that_takes_it() {
    let upstream = Upstream::start(|connection| {
        while let Some(request) = connection.request() {
            if request.line().starts_with("POST") {
                connection.write(
                    "HTTP/1.1 201 Created\r\nLocation: /v1/realtime/calls/rtc_u1_9xk\r\n\
                     Content-Length: 0\r\n\r\n",
                );
            } else {
                connection.write(format!(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                     Connection: Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
                ));
                while connection.take(1).is_some() {}
            }
        }
    });
    let proxy = Proxy::start(config(&upstream.url(), 4, json!({})));
    let sdp = [("Content-Type", "application/sdp")];
    proxy
        .ask("POST", "/v1/realtime/calls", &sdp, b"v=0")
        .is(201);
    let credential = |at: usize| {
        let seen = &upstream.requests()[at];
        seen.header("authorization").unwrap().to_owned()
    };
    for number in 1..7 {
        let _ = WebSocket::open(proxy.port, "/v1/realtime?call_id=rtc_u1_9xk", &[]);
        assert_eq!(credential(number), credential(0));
    }
}

#[test]
fn the_state_of_a_turn_does_not_follow_to_another_account() {
    let refusing: Mutex<Option<String>> = Mutex::default();
    let refusing = std::sync::Arc::new(refusing);
    let refused = refusing.clone();
    let upstream = Upstream::start(move |connection| {
        let Some(request) = connection.request() else {
            return;
        };
        if request.header("authorization") == refused.lock().unwrap().as_deref() {
            connection
                .write("HTTP/1.1 429 Too Many\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n");
            return;
        }
        connection.write(format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {ACCEPT}\r\nx-codex-turn-state: gAAAstate\r\n\r\n"
        ));
        while connection.take(1).is_some() {}
    });
    let proxy = Proxy::start(config(&upstream.url(), 2, json!({"max_wait_ms": 0})));
    let session = ("session-id", "0199aaaa-0000-7000-8000-000000000004");
    let socket = WebSocket::open(proxy.port, RESPONSES, &[session]);
    assert_eq!(socket.reply.header("x-codex-turn-state"), Some("gAAAstate"));
    let state = ("x-codex-turn-state", "gAAAstate");
    let _ = WebSocket::open(proxy.port, RESPONSES, &[session, state]);
    let requests = upstream.requests();
    assert_eq!(requests[1].header(state.0), Some(state.1));
    let owner = requests[0].header("authorization").unwrap().to_owned();
    *refusing.lock().unwrap() = Some(owner.clone());
    let _ = WebSocket::open(proxy.port, RESPONSES, &[session, state]);
    let last = upstream.requests().pop().unwrap();
    assert_ne!(last.header("authorization").unwrap(), owner);
    assert_eq!(last.header(state.0), None);
}

#[test]
fn an_outgoing_proxy_leads_a_tunnel_even_without_tls() {
    let upstream = accepting("", crate::websocket::echo);
    let outgoing = tunnelling(([127, 0, 0, 1], upstream.port()).into());
    let settings = config("http://provider.test", 1, json!({}));
    let url = outgoing.url().replace("http://", "http://me:pass@");
    let proxy = Proxy::start_with(settings, &[("http_proxy", &url)]);
    let mut socket = WebSocket::open(proxy.port, "/v1/realtime", &[]);
    socket.send("x");
    assert_eq!(socket.take(7).unwrap().len(), 7);
    let asked = outgoing.requests()[0].clone();
    assert_eq!(asked.line(), "CONNECT provider.test:80 HTTP/1.1");
    assert!(asked.header("proxy-authorization").is_some());
    assert_eq!(asked.header("authorization"), None);
    let seen = upstream.requests()[0].clone();
    assert_eq!(seen.line(), "GET /v1/realtime HTTP/1.1");
    assert_eq!(seen.header("proxy-authorization"), None);
    assert_eq!(seen.header("host"), Some("provider.test"));
}

#[test]
fn what_an_outgoing_proxy_has_led_a_tunnel_for_is_not_used_for_requests() {
    let refusing = Upstream::start(|connection| {
        while connection.request().is_some() {
            connection.write("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let outgoing = tunnelling(([127, 0, 0, 1], refusing.port()).into());
    let settings = config("http://provider.test", 1, json!({}));
    let proxy = Proxy::start_with(
        settings,
        &[("http_proxy", &*outgoing.url()), ("AKLB_WORKERS", "1")],
    );
    let shaking = crate::support::websocket::HANDSHAKE;
    proxy
        .ask("GET", RESPONSES, &shaking, b"")
        .is_own(426, "websocket");
    let mut client = proxy.client();
    client.send("GET", "/v1/models", &[], b"");
    eventually("it is asked of the outgoing proxy itself", || {
        let last = outgoing.requests().pop().unwrap();
        last.line() == "GET http://provider.test/v1/models HTTP/1.1"
    });
}

#[test]
fn a_credential_that_a_provider_issued_through_us_goes_on_to_whoever_issued_it() {
    let secret = r#"{"value":"ek_68af296e8e408191a1120ab6383263c2","expires_at":1756310470}"#;
    let token = r#"{"name":"auth_tokens/5fc0a9b2c1"}"#;
    let upstream = Upstream::start(move |connection| {
        while let Some(request) = connection.request() {
            if request.line().starts_with("POST") {
                let is_token = request.line().contains("auth_tokens");
                let body = if is_token { token } else { secret };
                connection.write(format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                     Content-Length: {}\r\n\r\n{body}",
                    body.len()
                ));
            } else {
                connection.write(format!(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                     Connection: Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
                ));
                while connection.take(1).is_some() {}
            }
        }
    });
    // Who has one needs no client token.
    let settings = json!({"client_tokens": ["client-token-0123456789"]});
    let proxy = Proxy::start(config(&upstream.url(), 4, settings));
    let own = [
        ("x-api-key", "client-token-0123456789"),
        ("Content-Type", "application/json"),
    ];
    let ask = |path| proxy.ask("POST", path, &own, b"{}").is(200).text();
    assert_eq!(ask("/v1/realtime/client_secrets"), secret);
    assert_eq!(ask("/v1alpha/auth_tokens"), token);
    let last = || upstream.requests().pop().unwrap();
    let ek = "ek_68af296e8e408191a1120ab6383263c2";
    let realtime = "/v1/realtime?model=m";
    let bearer = format!("Bearer {ek}");
    let _ = WebSocket::open(proxy.port, realtime, &[("Authorization", &bearer)]);
    assert_eq!(last().header("authorization"), Some(&*bearer));
    let protocols = format!("realtime, openai-insecure-api-key.{ek}");
    let _ = WebSocket::open(
        proxy.port,
        realtime,
        &[("Sec-WebSocket-Protocol", &*protocols), ("Cookie", "no")],
    );
    assert_eq!(last().header("sec-websocket-protocol"), Some(&*protocols));
    assert_eq!(last().header("authorization"), None);
    assert_eq!(last().header("cookie"), None);
    let live = LIVE.replace("BidiGenerateContent", "BidiGenerateContentConstrained");
    let live = live.replace("v1beta", "v1alpha");
    let target = format!("{live}?access_token=auth_tokens/5fc0a9b2c1");
    let _ = WebSocket::open(proxy.port, &target, &[]);
    assert_eq!(last().line(), format!("GET {target} HTTP/1.1"));
    assert!(!last().head.contains("sk-mock"), "{}", last().head);
    let header = [("Authorization", "Token auth_tokens/5fc0a9b2c1")];
    let _ = WebSocket::open(proxy.port, &live, &header);
    assert_eq!(last().header("authorization"), Some(header[0].1));
    // One that nobody has issued is no credential of ours.
    let (_, head) = shake(
        proxy.port,
        realtime,
        &[("Authorization", "Bearer ek_other")],
    );
    assert_eq!(head.status, 401);
}
