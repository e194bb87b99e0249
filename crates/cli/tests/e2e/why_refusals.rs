//! What `why` keeps to itself and what it refuses: credentials, mistakes, those without the token.

use serde_json::{Value, json};

use crate::support::{CHAT, Home, Proxy, chat, eventually, mock, pair};
use crate::why::said;

const KEY: &str = "sk-proj-Qw8zR2mXv5Lk9TfB3nYd7HsJ1cGp4Ea6Uo0Iq";
const TOKEN: &str = "lb-token-9Vx2Bq7Nw4Kz1Ry6Tm3Pd8Hs5Jc0Lf";
const THEIRS: &str = "sk-theirs-4Gt7Yh2Uj9Ik5Ol1Pz8Xc3Vb6Nm0Qa";

#[test]
fn no_credential_of_the_configuration_or_the_request_is_shown() {
    let mock = mock(1);
    let proxy = Proxy::start(json!({
        "target": mock.url(), "keys": [KEY], "client_tokens": [TOKEN],
        "session_rules": [{"header": "x-chat"}],
    }));
    let body = json!({"messages": chat("hi")["messages"], "session_id": THEIRS, "user": THEIRS});
    let head = |session: &str| {
        format!(
            "POST {CHAT}?key={THEIRS} HTTP/1.1\nauthorization: Bearer {TOKEN}\nx-api-key: {THEIRS}\n\
             cookie: {THEIRS}\nx-chat: {session}\nx-session-id: chat-{KEY}-1\nx-task-id: {}\n\n{body}",
            &TOKEN[5..]
        )
    };
    let mut shown = String::new();
    for input in [
        head("7"),
        head(KEY),
        head(TOKEN),
        format!("curl '{CHAT}' -u me:{THEIRS} -H 'x-api-key: {THEIRS}' -d '{body}'"),
        json!({"path": CHAT, "headers": {"authorization": format!("Bearer {THEIRS}")}, "body": body})
            .to_string(),
    ] {
        shown.push_str(&said(&proxy, &[], input.as_bytes()).all());
        shown.push_str(&said(&proxy, &["--json"], input.as_bytes()).all());
    }
    assert!(shown.contains("(a credential, not shown)"), "{shown}");
    let home = &proxy.home;
    for broken in [
        format!("authorization: Bearer {THEIRS}\n{THEIRS}\n\n{{}}"),
        format!("{{\"headers\": {{\"authorization\": \"{THEIRS}\"}}, \"body\": {THEIRS}}}"),
        format!("{{\"headers\": \"{THEIRS}\"}}"),
        format!("curl -H 'authorization: {THEIRS}"),
        format!("curl -H 'authorization: {THEIRS}'"),
        format!("curl http://h/x -d @{THEIRS}"),
        THEIRS.to_owned(),
    ] {
        let output = home.run_with(&["why", "-r", "-"], &[], broken.as_bytes());
        shown.push_str(&output.is(1).all());
        let output = home.run(&["why", "-r", &format!("curl {broken}")], &[]);
        shown.push_str(&output.is(1).all());
    }
    shown.push_str(&proxy.output());
    for secret in [KEY, TOKEN, THEIRS] {
        let third = secret.len() / 3 + 1;
        for start in 0..=secret.len() - third {
            let part = &secret[start..start + third];
            assert!(!shown.contains(part), "{part} in {shown}");
        }
    }
}

#[test]
fn what_is_no_request_is_a_failure_that_names_the_forms_and_a_missing_flag_is_wrong_usage() {
    let home = Home::new();
    let fails = |input: &str, says: &str| {
        let output = home.run_with(&["why", "--request", "-"], &[], input.as_bytes());
        output.is(1).says(&[says]);
        assert!(output.stdout.is_empty(), "{output:?}");
    };
    for form in [
        "raw HTTP",
        "curl",
        "`headers` and `body`",
        "JSON body alone",
    ] {
        fails("hello", form);
    }
    fails("{\"a\": }", "line 1, column 7");
    fails("POST /v1 HTTP/1.1\nnonsense\n\n", "line 2");
    fails("curl 'http://h", "not closed");
    home.run(&["why", "-r", "-"], &[])
        .is(1)
        .says(&["nothing in it"]);
    home.run(&["why", "-r", "gone.json"], &[])
        .is(1)
        .says(&["cannot read `gone.json`"]);
    home.run(&["why"], &[]).is(2).says(&["--request <FILE>"]);
    home.run(&["why", "-r"], &[]).is(2);
    home.run(&["why", "--help"], &[])
        .is(0)
        .says(&["Examples", "curl", "--json"]);
}

#[test]
fn only_who_has_the_token_is_answered_and_what_is_too_large_is_refused() {
    let (_mock, proxy) = pair(1);
    proxy.announced();
    let question = json!({"method": "POST", "path": CHAT, "headers": [], "body": ""}).to_string();
    let ask = |headers: &[(&str, &str)], body: &[u8]| proxy.ask("POST", "/_lb/why", headers, body);
    ask(&[], question.as_bytes()).is_own(403, "instance_token");
    ask(&[("x-lb-token", "wrong")], question.as_bytes()).is_own(403, "instance_token");
    let files = proxy.home.state_files();
    let record: Value = files
        .iter()
        .find_map(|(_, text)| serde_json::from_str(text).ok())
        .unwrap();
    let token = [("x-lb-token", record["token"].as_str().unwrap())];
    assert_eq!(
        ask(&token, question.as_bytes()).is(200).json()["key"]["label"],
        "key-1"
    );
    for nonsense in [
        "",
        "{}",
        "[]",
        r#"{"method":"G T","path":"/"}"#,
        r#"{"method":"GET","path":"x"}"#,
    ] {
        ask(&token, nonsense.as_bytes()).is_own(400, "bad_question");
    }
    ask(&token, &vec![b' '; (32 << 20) + 1]).is_own(413, "body_too_large");
    proxy.get("/_lb/why").is_own(405, "wrong_method");
    // A body that nobody reads does not keep a GET waiting.
    let mut client = proxy.client();
    client.raw("GET /_lb/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\n");
    client.read().is(200);
    eventually("it still serves", || proxy.health()["status"] == "ok");
}
