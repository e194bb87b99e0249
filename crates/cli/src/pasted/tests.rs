//! Each form a request comes in, and what is said of one that cannot be read.

use std::io;

use super::*;

const BODY: &str = r#"{"model":"m","messages":[{"role":"user","content":"it's \"hi\"\n"}]}"#;

fn no_file(_: &str) -> io::Result<Vec<u8>> {
    Err(io::ErrorKind::NotFound.into())
}

#[track_caller]
fn parsed(input: impl AsRef<[u8]>) -> Pasted {
    match parse(input.as_ref(), &no_file) {
        Ok(pasted) => pasted,
        Err(error) => panic!("{error}"),
    }
}

#[track_caller]
fn refused(input: impl AsRef<[u8]>) -> NotARequest {
    match parse(input.as_ref(), &no_file) {
        Ok(pasted) => panic!("taken for {} {}", pasted.method, pasted.target),
        Err(error) => error,
    }
}

fn header<'p>(pasted: &'p Pasted, name: &str) -> &'p str {
    pasted.headers[name].to_str().unwrap()
}

#[test]
fn raw_http_is_read_with_either_line_end() {
    for end in ["\n", "\r\n"] {
        let lines = [
            "POST /zai/v1/messages?beta=true HTTP/1.1",
            "Host: api.example",
            "X-Session-Id:  abc ",
            "",
            BODY,
        ];
        let pasted = parsed(lines.join(end));
        assert_eq!(
            (pasted.method.as_str(), pasted.target.as_str()),
            ("POST", "/zai/v1/messages?beta=true")
        );
        assert_eq!(header(&pasted, "x-session-id"), "abc");
        assert_eq!(pasted.body, BODY.as_bytes());
        assert!(pasted.notes.is_empty());
    }
}

#[test]
fn raw_http_without_a_request_line_is_a_post_to_the_endpoint_that_the_body_is_for() {
    let pasted = parsed(format!("x-session-id: abc\n\n{BODY}"));
    assert_eq!(
        (pasted.method.as_str(), pasted.target.as_str()),
        ("POST", "/v1/chat/completions")
    );
    assert!(pasted.notes[0].contains("POST /v1/chat/completions"));
}

#[test]
fn headers_copied_from_a_browser_with_http2s_own_are_read() {
    let pasted = parsed(
        ":authority: api.example\n:method: POST\n:path: /v1/responses\n:scheme: https\nsession-id: a\n\n{}",
    );
    assert_eq!(pasted.target, "/v1/responses");
    assert_eq!(pasted.headers.len(), 2, "{:?}", pasted.headers.keys());
}

#[test]
fn a_url_as_target_loses_its_host() {
    for (target, path) in [
        (
            "https://api.example/v1/chat/completions?a=1",
            "/v1/chat/completions?a=1",
        ),
        ("https://api.example", "/"),
        ("https://api.example?a=/b", "/?a=/b"),
        ("/v1/x#fragment", "/v1/x"),
        (
            "/v1/proxy/https://other.example",
            "/v1/proxy/https://other.example",
        ),
    ] {
        assert_eq!(path_of(target).as_deref(), Some(path), "{target}");
    }
    assert_eq!(path_of("v1/chat"), None);
}

#[test]
fn the_declared_length_is_that_of_the_body_that_is_there() {
    let pasted = parsed(format!(
        "POST /v1/x HTTP/1.1\nContent-Length: 99999\n\n{BODY}"
    ));
    assert_eq!(header(&pasted, "content-length"), BODY.len().to_string());
}

#[test]
fn a_chunked_body_is_put_together() {
    let pasted = parsed(
        "POST /v1/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n",
    );
    assert_eq!(pasted.body, br#"{"a":1}"#);
    assert!(!pasted.headers.contains_key(CONTENT_LENGTH));
}

#[test]
fn a_body_that_still_is_compressed_is_decoded_and_one_that_is_not_stays() {
    // `{}` as a stored block.
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x01\x02\0\xfd\xff{}\x43\xbf\xa6\xa3\x02\0\0\0";
    let head = b"POST /v1/x HTTP/1.1\ncontent-encoding: gzip\n\n";
    let pasted = parsed([&head[..], gzip].concat());
    assert_eq!(pasted.body, b"{}");
    assert!(pasted.notes.is_empty(), "{:?}", pasted.notes);
    assert_eq!(
        parsed([head, BODY.as_bytes()].concat()).body,
        BODY.as_bytes()
    );
    let broken = parsed([&head[..], &gzip[..20]].concat());
    assert!(broken.notes[0].contains("cannot be decoded"));
}

#[test]
fn a_curl_command_is_read_as_browsers_and_agents_copy_it() {
    let command = format!(
        "$ curl 'https://api.example/v1/messages' \\\n  -X POST \\\n  -H 'x-api-key: sk' \\\n  \
         --header \"X-Session-Id: a\\\"b\" \\\n  --compressed -sS \\\n  --data-raw $'{}'",
        BODY.replace('\\', "\\\\").replace('\'', "\\'")
    );
    for command in [command.clone(), command.replace('\n', "\r\n")] {
        let pasted = parsed(&command);
        assert_eq!(
            (pasted.method.as_str(), pasted.target.as_str()),
            ("POST", "/v1/messages")
        );
        assert_eq!(header(&pasted, "x-session-id"), "a\"b");
        assert_eq!(pasted.body, BODY.as_bytes());
    }
}

#[test]
fn the_options_of_curl_mean_what_they_mean_to_curl() {
    let pasted = parsed("curl -XPUT -d a=1 -d b=2 -o out localhost:4577/v1/x");
    assert_eq!(
        (pasted.method.as_str(), pasted.body.as_slice()),
        ("PUT", &b"a=1&b=2"[..])
    );
    assert_eq!(pasted.target, "/v1/x");

    let pasted = parsed(r#"curl --json '{"a"' --json ':1}' --url http://h/v1/x -A codex_exec/1"#);
    assert_eq!(
        (pasted.method.as_str(), pasted.body.as_slice()),
        ("POST", &br#"{"a":1}"#[..])
    );
    assert_eq!(header(&pasted, "content-type"), "application/json");
    assert_eq!(header(&pasted, "user-agent"), "codex_exec/1");

    let pasted = parsed("curl -sSLH 'a: b' -m 10 --retry 3 http://h/health | jq . > out");
    assert_eq!(
        (pasted.method.as_str(), pasted.target.as_str()),
        ("GET", "/health")
    );
    assert_eq!(header(&pasted, "a"), "b");

    let pasted = parsed("curl -G -d q=1 http://h/x -H 'empty;' -H 'gone:'");
    assert_eq!((pasted.method.as_str(), pasted.body.len()), ("GET", 0));
    assert!(pasted.headers.contains_key("empty") && !pasted.headers.contains_key("gone"));
    assert_eq!(parsed("curl -I http://h/x").method, Method::HEAD);
}

#[test]
fn quotes_of_bash_are_understood() {
    let body = |quoted: &str| {
        let pasted = parsed(format!("curl http://h/x --data-raw {quoted}"));
        String::from_utf8(pasted.body).unwrap()
    };
    assert_eq!(body(r"$'a\'b\n\t\\\x41\u00e9\101\u0021'"), "a'b\n\t\\AéA!");
    assert_eq!(body(r"$'\xc3\xa9'"), "é");
    assert_eq!(body(r#"'a'"b"$'c'd"#), "abcd");
    assert_eq!(body(r#""costs $'5'""#), "costs $'5'");
    assert_eq!(body(r"'$'\''x'"), "$'x");
    assert_eq!(body("$''"), "");
}

#[test]
fn data_of_curl_may_be_in_a_file() {
    let read = |file: &str| {
        assert_eq!(file, "body.json");
        Ok(b"{\n}".to_vec())
    };
    for (command, body) in [
        ("curl http://h/x -d @body.json", &b"{}"[..]),
        ("curl http://h/x --data-binary @body.json", b"{\n}"),
        ("curl http://h/x --data-raw @body.json", b"@body.json"),
    ] {
        let pasted = parse(command.as_bytes(), &read).ok();
        assert_eq!(pasted.unwrap().body, body, "{command}");
    }
}

#[test]
fn a_curl_command_that_cannot_be_used_says_what_to_do() {
    for (command, hint) in [
        ("curl 'http://h/x", "not closed"),
        ("curl $'http://h/x", "not closed"),
        ("curl -H a:b", "no URL"),
        ("curl http://h/x -H", "ends after `--header`"),
        ("curl http://h/x -H @headers", "write them into the command"),
        ("curl http://h/x -d @-", "standard input"),
        ("curl http://h/x -d @gone.json", "cannot be read"),
        ("curl \"http://h/x\" ^\n  -d 1", "copy it as cURL (bash)"),
    ] {
        let said = refused(command).to_string();
        assert!(said.contains(hint), "{command}: {said}");
    }
}

#[test]
fn a_captured_request_is_read_with_headers_as_pairs_or_as_an_object() {
    for headers in [
        r#"[["Session-Id","abc"]]"#,
        r#"{"Session-Id":"abc"}"#,
        r#"{"Session-Id":["abc"]}"#,
        r#"[{"name":"Session-Id","value":"abc"}]"#,
    ] {
        let pasted = parsed(format!(
            r#"{{"method":"POST","path":"/v1/responses","headers":{headers},"body":{BODY},"more":1}}"#
        ));
        assert_eq!(pasted.target, "/v1/responses");
        assert_eq!(header(&pasted, "session-id"), "abc");
        assert_eq!(pasted.body, BODY.as_bytes(), "as it is written");
    }
}

#[test]
fn a_captured_body_may_be_a_text_and_the_path_a_url() {
    let body = serde_json::to_string(BODY).unwrap();
    let pasted = parsed(format!(
        r#"{{"url":"https://h/v1/messages","body":{body}}}"#
    ));
    assert_eq!(
        (pasted.target.as_str(), pasted.body.as_slice()),
        ("/v1/messages", BODY.as_bytes())
    );
    let pasted = parsed(r#"{"method":null,"path":"/v1/models","headers":{},"body":null}"#);
    assert_eq!((pasted.method.as_str(), pasted.body.len()), ("GET", 0));
}

#[test]
fn of_a_websocket_the_first_frame_is_the_request() {
    for frames in [
        format!(r#""frames":[{BODY},{{"type":"other"}}]"#),
        format!(r#""frames_from_client":[{{"at":1,"frame":{BODY}}},{{"frame":{{}}}}]"#),
    ] {
        let pasted = parsed(format!(
            r#"{{"method":"GET","path":"/v1/responses","headers":[["Upgrade","websocket"]],{frames}}}"#
        ));
        assert_eq!(
            (pasted.method.as_str(), pasted.body.as_slice()),
            ("POST", BODY.as_bytes())
        );
        assert!(
            pasted
                .notes
                .iter()
                .any(|note| note.contains("first of 2 frames"))
        );
        assert!(pasted.notes.iter().any(|note| note.contains("WebSocket")));
    }
    let none = r#"{"path":"/v1/responses","headers":{"upgrade":"websocket"},"frames":[]}"#;
    assert!(parsed(none).body.is_empty());
}

#[test]
fn a_body_alone_is_a_post_to_the_endpoint_that_it_is_for() {
    for (body, target) in [
        (BODY, "/v1/chat/completions"),
        (r#"{"messages":[],"system":"s"}"#, "/v1/messages"),
        (r#"{"input":"hi"}"#, "/v1/responses"),
        (r#"{"input":[{"role":"user"}]}"#, "/v1/responses"),
        (r#"{"input":["a","b"]}"#, "/v1/embeddings"),
        (
            r#"{"input":"a","model":"text-embedding-3"}"#,
            "/v1/embeddings",
        ),
        (r#"{"prompt":"a"}"#, "/v1/completions"),
        (
            r#"{"contents":[],"model":"models/gemini-3"}"#,
            "/v1beta/models/gemini-3:generateContent",
        ),
        (
            r#"{"contents":[],"model":"a b"}"#,
            "/v1beta/models/model:generateContent",
        ),
        (r#"{"body":1}"#, "/v1/chat/completions"),
    ] {
        let pasted = parsed(format!("\u{feff}\n {body}"));
        assert_eq!(
            (pasted.method.as_str(), pasted.target.as_str()),
            ("POST", target)
        );
        assert_eq!(pasted.body, body.as_bytes());
    }
}

#[test]
fn what_is_no_request_is_told_every_form_and_never_repeated() {
    for input in [
        "sk-secret-0123456789",
        "HTTP/1.1 200 OK\n\n",
        "[1, 2]",
        "hello world\nx: y",
        "  ",
    ] {
        let said = refused(input).to_string();
        for form in ["raw HTTP", "curl", "`headers`", "body alone"] {
            assert!(said.contains(form), "{said}");
        }
        assert!(!said.contains("sk-secret"), "{said}");
    }
}

#[test]
fn a_mistake_is_located() {
    assert_eq!(
        refused("{\"a\": 1,\n  x}"),
        NotARequest::Json { line: 2, column: 3 }
    );
    assert_eq!(
        refused("POST /v1/x\na: b\nsk-secret\n\n{}"),
        NotARequest::Line(3)
    );
    assert_eq!(
        refused(r#"{"headers":[["a","b"],["c","\u0001sk-secret"]]}"#),
        NotARequest::Header(2)
    );
    assert!(matches!(
        refused(r#"{"headers":"sk-secret","body":{}}"#),
        NotARequest::Field {
            field: "headers",
            ..
        }
    ));
    assert!(matches!(
        refused(r#"{"headers":{},"frames":{"a":"sk-secret"}}"#),
        NotARequest::Field {
            field: "frames",
            ..
        }
    ));
    assert_eq!(
        refused(r#"{"headers":{},"path":"v1"}"#),
        NotARequest::Target
    );
    assert_eq!(
        refused(r#"{"headers":{},"path":"/v1","method":"GE T"}"#),
        NotARequest::Target
    );
}
