//! `why`: it says what then happens, and changes nothing.

use api_key_lb_mock::{Fault, Mock};
use serde_json::{Value, json};

use crate::support::{
    CHAT, Captured, Home, MODELS, Output, Proxy, RESPONSES, captured, chat, config, free_port,
    keys, mock, pair, pair_with,
};

const KEYS: usize = 4;

/// What `why` says of the request in `input`, asked about through the standard input.
#[track_caller]
pub fn said(proxy: &Proxy, args: &[&str], input: &[u8]) -> Output {
    proxy.announced();
    let port = proxy.port.to_string();
    let args: Vec<&str> = ["why", "-r", "-", "--port", &port]
        .into_iter()
        .chain(args.iter().copied())
        .collect();
    let output = proxy.home.run_with(&args, &[], input);
    output.is(0);
    output
}

/// The same for programs.
#[track_caller]
fn explained(proxy: &Proxy, input: &[u8]) -> Value {
    let output = said(proxy, &["--json"], input);
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn raw(headers: &str, body: &Value) -> Vec<u8> {
    format!("POST {CHAT} HTTP/1.1\n{headers}\n\n{body}").into_bytes()
}

/// Asks why, sends the request, and compares.
#[track_caller]
fn agrees(proxy: &Proxy, captured: &Captured) -> Value {
    let name = captured.file.display();
    let before = proxy.health();
    let why = explained(proxy, &std::fs::read(&captured.file).unwrap());
    let after = proxy.health();
    assert_eq!(
        (&after["sessions"], &after["keys"]),
        (&before["sessions"], &before["keys"])
    );
    assert_eq!(why["proxy"]["code"], "running");
    let reply = captured.send(proxy);
    reply.is(200);
    assert_eq!(
        reply.header("x-lb-key"),
        why["key"]["label"].as_str(),
        "{name}: {why:#}"
    );
    assert_eq!(
        reply.header("x-lb-affinity"),
        why["key"]["affinity"].as_str(),
        "{name}: {why:#}"
    );
    let line = proxy.last_logged();
    let told = format!(
        "session {} ({}",
        why["session"]["id"].as_str().unwrap(),
        why["rule"]["name"].as_str().unwrap()
    );
    assert!(line.contains(&told), "{name}: {told} is not in {line}");
    why
}

#[test]
fn it_says_which_key_and_session_captured_requests_then_get() {
    let (_mock, proxy) = pair(KEYS);
    for name in [
        "claude/sub-01",
        "claude/sub-03",
        "claude/sub-04",
        "codex/sub3-01",
        "codex/sub3-03",
        "codex/nows426chatgpttool-05",
        "opencode/zenid-tool-01",
        "opencode/resp-tool-02",
        "openclaw/chat-tool-01",
        "openclaw/chat-tool-02",
        "gemini/tool-02",
        "gemini/tool-03",
        "aider/chat-01",
        "aider/chat-02",
        "qwen/sub-01",
        "cline/tool-01",
        "cline/tool-03",
    ] {
        agrees(&proxy, &captured(name));
    }
    let why = agrees(&proxy, &captured("claude/sub-03"));
    assert_eq!(why["session"]["state"], "known");
    assert_eq!(why["key"]["affinity"], "home");
    assert_eq!(why["rule"]["number"], 1);
}

#[test]
fn of_a_websocket_it_says_what_becomes_of_the_request_over_http() {
    let (_mock, proxy) = pair(KEYS);
    agrees(&proxy, &captured("codex/wstool-01"));
    // Refused, so there is no frame: the head alone names the session of what follows.
    let refused = captured("codex/nows426tool-01");
    let why = explained(&proxy, &std::fs::read(&refused.file).unwrap());
    let next = agrees(&proxy, &captured("codex/nows426tool-02"));
    assert_eq!(why["session"]["id"], next["session"]["id"]);
    assert_eq!(why["key"]["label"], next["key"]["label"]);
}

#[test]
fn one_request_in_any_form_is_one_session() {
    let (_mock, proxy) = pair(KEYS);
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "it's \"quoted\""}]});
    let quoted = body.to_string().replace('\'', "'\\''");
    let forms = [
        raw("a: b", &body),
        raw("a: b", &body).replace_line_ends(),
        format!("curl https://api.example{CHAT} \\\n -H 'a: b' -d '{quoted}'").into_bytes(),
        json!({"method": "POST", "path": CHAT, "headers": {"a": "b"}, "body": body.to_string()})
            .to_string()
            .into_bytes(),
        body.to_string().into_bytes(),
    ];
    proxy.post(CHAT, &body).is(200);
    let line = proxy.last_logged();
    for form in &forms {
        let why = explained(&proxy, form);
        let session = why["session"]["id"].as_str().unwrap();
        assert!(
            line.contains(&format!("session {session} ")),
            "{line}: {why:#}"
        );
        assert_eq!(why["session"]["state"], "known");
    }
    let file = proxy
        .home
        .write("cwd/request.txt", &String::from_utf8_lossy(&forms[0]));
    let port = proxy.port.to_string();
    let args = ["why", "--request", file.to_str().unwrap(), "-p", &port];
    proxy
        .home
        .run(&args, &[])
        .is(0)
        .says(&["continue a conversation", "home"]);
}

trait ReplaceLineEnds {
    fn replace_line_ends(self) -> Self;
}

impl ReplaceLineEnds for Vec<u8> {
    fn replace_line_ends(self) -> Self {
        let text = String::from_utf8(self).unwrap();
        text.replace('\n', "\r\n").into_bytes()
    }
}

#[test]
fn its_words_name_rule_value_session_key_and_what_was_not_used() {
    let (_mock, proxy) = pair(KEYS);
    let request = raw(
        "x-claude-code-session-id: s-1\nx-claude-code-agent-id: a-1\nx-session-id: other-1\n\
         x-request-id: fresh-77\nx-parent-session-id: p-1",
        &json!({"model": "m", "messages": chat("hi")["messages"], "user": "me"}),
    );
    let output = said(&proxy, &[], &request);
    output.says(&[
        "POST /v1/chat/completions",
        "1, header x-claude-code-session-id = s-1",
        "Claude Code",
        "new",
        "sent by a sub-agent of the session; it goes with it, because `split_subagents` is \"never\"",
        "rule 7, header x-session-id = other-1: not used, rule 1 comes first",
        "rule 25, fingerprint: not used, rule 1 comes first",
        "begun from session ",
        "header x-request-id is never an identity: fresh for every request",
        "body user is never an identity: a user",
        "1 message",
        "key-",
        &format!("port {}", proxy.port),
    ]);
    assert!(output.stderr.is_empty(), "{output:?}");
    assert!(
        !output.stdout.contains("fresh-77"),
        "only where it stands: {output:?}"
    );
}

#[test]
fn a_long_value_is_cut() {
    let (_mock, proxy) = pair(1);
    let long = "v".repeat(100);
    let why = explained(&proxy, &raw(&format!("x-lb-session: {long}"), &chat("hi")));
    let shown = format!("{}…", "v".repeat(64));
    assert_eq!(why["rule"]["value"], shown);
    let body = json!({"session_id": "w".repeat(5000), "messages": []});
    let why = explained(&proxy, &raw("a: b", &body));
    assert!(!why.to_string().contains("www"), "{why:#}");
    assert_eq!(why["rule"]["name"], "body session_id");
}

#[test]
fn it_says_where_a_session_goes_while_keys_are_cooling() {
    let (mock, proxy) = pair(2);
    let request = raw("x-session-id: s", &chat("hi"));
    proxy.turn("s", &chat("hi")).is(200);
    let home = explained(&proxy, &request)["key"]["label"].clone();
    let throttle = |mock: &Mock| {
        let fault = Fault::on("*")
            .times(1)
            .status(429)
            .header("retry-after", "60");
        mock.fault(fault);
    };
    throttle(&mock);
    proxy.turn("s", &chat("hi")).is(200);
    let why = explained(&proxy, &request);
    assert_eq!(why["key"]["affinity"], "borrowed");
    assert_ne!(why["key"]["label"], home);
    assert_eq!(
        (&why["resting"][0]["label"], &why["resting"][0]["state"]),
        (&home, &json!("cooling"))
    );
    let words = format!("borrowed: home {} cools for ", home.as_str().unwrap());
    said(&proxy, &[], &request).says(&[&words]);

    throttle(&mock);
    proxy.turn("s", &chat("hi")).is(429);
    let why = explained(&proxy, &request);
    assert_eq!(
        (&why["key"], &why["no_key"]["code"]),
        (&Value::Null, &json!("cooling"))
    );
    said(&proxy, &[], &request).says(&["every key is cooling; the soonest is back in "]);
}

#[test]
fn it_says_what_a_request_waits_for() {
    let (mock, proxy) = pair(1);
    let throttle = Fault::on("*").times(1).status(429);
    mock.fault(throttle.header("retry-after", "20"));
    let (headers, body) = ([("x-stainless-timeout", "1")], chat("hi"));
    let text = body.to_string();
    proxy.ask("POST", CHAT, &headers, text.as_bytes()).is(429);
    let request = raw("x-session-id: s", &body);
    let why = explained(&proxy, &request);
    assert_eq!(
        (&why["key"], &why["no_key"]["code"]),
        (&Value::Null, &json!("waiting"))
    );
    said(&proxy, &[], &request).says(&["not yet: waiting for key-1, which cools for "]);
    assert_eq!(proxy.health()["waiting"], 0, "asking does not wait");
}

#[test]
fn without_a_session_it_says_why_whose_turn_it_is_and_how_to_have_one() {
    let (_mock, proxy) = pair(3);
    for (request, code) in [
        (format!("GET {MODELS} HTTP/1.1\n\n"), "no_body"),
        (format!("POST {CHAT} HTTP/1.1\n\nhello"), "not_json"),
        (
            format!("POST {CHAT} HTTP/1.1\n\n{{\"a\":1}}"),
            "no_user_message",
        ),
        (
            "POST /v1/embeddings HTTP/1.1\n\n{\"input\":\"a\"}".to_owned(),
            "no_conversation",
        ),
        (
            format!(
                "POST {RESPONSES} HTTP/1.1\n\n{{\"previous_response_id\":\"resp_1\",\"input\":[]}}"
            ),
            "unknown_answer",
        ),
    ] {
        let why = explained(&proxy, request.as_bytes());
        assert_eq!(
            (&why["session"], &why["no_session"]["code"]),
            (&Value::Null, &json!(code))
        );
        let turn = why["key"]["label"].clone();
        assert_eq!(why["key"]["affinity"], "none");
        // Asking takes nobody's turn.
        assert_eq!(explained(&proxy, request.as_bytes())["key"]["label"], turn);
        assert_eq!(json!(proxy.get(MODELS).header("x-lb-key")), turn, "{code}");
        said(&proxy, &[], request.as_bytes()).says(&[
            "x-lb-session",
            "session_rules",
            "take turns",
        ]);
    }
}

#[test]
fn a_persons_own_rules_and_pools_count() {
    let mock = mock(2);
    let proxy = Proxy::start(json!({
        "session_rules": [{"header": "x-my-chat"}],
        "pools": {"zai": {"target": mock.url(), "keys": [{"key": keys(2)[1], "account": "acme"}]}},
    }));
    let request = |path: &str| {
        let head = format!("POST {path} HTTP/1.1\nx-my-chat: 7\nx-lb-session: 8\n\n");
        [head.into_bytes(), chat("hi").to_string().into_bytes()].concat()
    };
    let why = explained(&proxy, &request("/zai/v1/chat/completions"));
    assert_eq!(
        (&why["request"]["pool"], &why["key"]["account"]),
        (&json!("zai"), &json!("acme"))
    );
    assert_eq!(
        (&why["rule"]["number"], &why["rule"]["value"]),
        (&Value::Null, &json!("7"))
    );
    assert_eq!(
        why["not_used"][0]["because"],
        "not used, your own rule comes first"
    );
    let why = explained(&proxy, &request(CHAT));
    assert_eq!(
        (&why["no_key"]["code"], &why["session"]),
        (&json!("unknown_pool"), &Value::Null)
    );
    assert!(why["no_key"]["text"].as_str().unwrap().contains("/zai/"));
}

#[test]
fn nothing_is_sent_and_nothing_is_noted() {
    let (mock, proxy) = pair(KEYS);
    proxy.turn("known", &chat("hi")).is(200);
    let before = proxy.health();
    let seen = mock.requests().len();
    proxy.last_logged();
    let mark = proxy.output().len();
    for number in 0..5 {
        explained(
            &proxy,
            &raw(&format!("x-session-id: {number}"), &chat("hi")),
        );
        explained(
            &proxy,
            chat(&format!("conversation {number}"))
                .to_string()
                .as_bytes(),
        );
    }
    let after = proxy.health();
    assert_eq!(
        (&after["sessions"], &after["keys"]),
        (&before["sessions"], &before["keys"])
    );
    assert_eq!(mock.requests().len(), seen);
    assert_eq!(&proxy.output()[mark..], "");
}

#[test]
fn without_a_running_proxy_a_freshly_started_one_is_imagined() {
    let mock = mock(KEYS);
    let home = Home::new();
    home.write_config(&config(
        &mock.url(),
        KEYS,
        json!({"split_subagents": "always"}),
    ));
    let file = captured("claude/sub-03").file;
    let port = free_port().to_string();
    let args = ["why", "-r", file.to_str().unwrap(), "--port", &port];
    let output = home.run(&args, &[]);
    output.is(0).says(&[
        "not running; this is what a freshly started one would do",
        "apart from its session",
    ]);
    let why: Value = {
        let args: Vec<&str> = args.into_iter().chain(["--json"]).collect();
        serde_json::from_str(&home.run(&args, &[]).stdout).unwrap()
    };
    assert_eq!(why["proxy"]["code"], "not_running");
    let proxy = Proxy::start_in(&home, &["start"], &[]);
    let reply = captured("claude/sub-03").send(&proxy);
    assert_eq!(reply.header("x-lb-key"), why["key"]["label"].as_str());
}

#[test]
fn without_a_configuration_rule_and_session_are_told() {
    let home = Home::new();
    let port = free_port().to_string();
    let file = captured("codex/sub3-01").file;
    let args = ["why", "-r", file.to_str().unwrap(), "--port", &port];
    let ask = |home: &Home| {
        let args: Vec<&str> = args.into_iter().chain(["--json"]).collect();
        let output = home.run(&args, &[]);
        output.is(0);
        serde_json::from_str::<Value>(&output.stdout).unwrap()
    };
    home.run(&args, &[])
        .is(0)
        .says(&["no usable configuration", "header session-id"]);
    let why = ask(&home);
    assert_eq!(
        (&why["key"], &why["no_key"]["code"]),
        (&Value::Null, &json!("not_configured"))
    );
    let (_mock, proxy) = pair(1);
    assert_eq!(
        agrees(&proxy, &captured("codex/sub3-01"))["session"]["id"],
        why["session"]["id"]
    );
    home.write_config(&json!({"keys": 7}));
    assert_eq!(ask(&home)["proxy"]["code"], "not_configured");
}

#[test]
fn a_proxy_that_cannot_be_asked_is_named_and_another_one_imagined() {
    let (mock, proxy) = pair(1);
    let stranger = Home::new();
    stranger.write_config(&config("http://127.0.0.1:9", 1, json!({})));
    let port = proxy.port.to_string();
    let args = ["why", "-r", "-", "--port", &port];
    let output = stranger.run_with(&args, &[], chat("hi").to_string().as_bytes());
    output
        .is(0)
        .says(&["started by another user", "would do", "key-1"]);
    let upstream = mock.url().rsplit(':').next().unwrap().to_owned();
    let args = ["why", "-r", "-", "--port", &upstream];
    let output = stranger.run_with(&args, &[], chat("hi").to_string().as_bytes());
    output.is(0).says(&["another program listens", "would do"]);
}

#[test]
fn a_request_that_would_be_split_or_apart_says_so() {
    let (mock, proxy) = pair_with(3, json!({"split_subagents": "auto"}));
    let first = proxy.turn("s", &chat("hi"));
    let request = raw("x-session-id: s\nx-claude-code-agent-id: a", &chat("sub"));
    let why = explained(&proxy, &request);
    assert_eq!(
        (&why["session"]["part"], &why["key"]["label"]),
        (&json!("whole"), &json!(first.header("x-lb-key")))
    );
    mock.fault(
        Fault::on("*")
            .times(1)
            .status(429)
            .header("retry-after", "60"),
    );
    proxy.turn("s", &chat("hi")).is(200);
    let why = explained(&proxy, &request);
    assert_eq!(why["session"]["part"], "sub_agent");
    assert_ne!(why["key"]["label"], json!(first.header("x-lb-key")));
    said(&proxy, &[], &request).says(&["apart from its session", "\"auto\""]);
}
