//! What answers give out, whatever the cut.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use proptest::prelude::*;

use super::*;
use crate::wire::sample::with_duplicates;
use crate::wire::usage::AnswerReader;

const JSON: &str = "application/json";

fn stored(id: &str) -> Reference {
    Reference::new(id.as_bytes(), Keeping::Stored)
}

fn answer(id: &str) -> Reference {
    Reference::new(id.as_bytes(), Keeping::Answer)
}

fn sealed(content: &str) -> Reference {
    Reference::new(content.as_bytes(), Keeping::Sealed)
}

/// What an answer gives out, read so many bytes at a time.
fn given(kind: &'static str, body: &str, gives: Gives, size: usize) -> Vec<Reference> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    let mut reader = AnswerReader::new(&headers, gives);
    let mut all: Vec<Reference> = Vec::new();
    for piece in body.as_bytes().chunks(size) {
        reader.feed(piece);
        if let Some(given) = reader.given() {
            all.append(given);
        }
    }
    let mut seen = Vec::new();
    all.retain(|one| !seen.contains(one) && (seen.push(*one), true).1);
    all
}

#[test]
fn answers_give_out_their_objects() {
    let id = |id| vec![stored(id)];
    let cases: Vec<(&str, Gives, Vec<Reference>)> = vec![
        (
            r#"{"id":"file-1","object":"file"}"#,
            Gives::Anything,
            id("file-1"),
        ),
        (
            r#"{"id":"msgbatch_1","type":"message_batch"}"#,
            Gives::Anything,
            id("msgbatch_1"),
        ),
        (
            r#"{"data":[{"id":"file-1"},{"id":"file-2","x":{"id":"no"}}],"first_id":"file-1"}"#,
            Gives::Anything,
            vec![stored("file-1"), stored("file-2")],
        ),
        (r#"[{"id":"a1"}]"#, Gives::Anything, id("a1")),
        (
            r#"{"file":{"name":"files/abc","uri":"https://x/files/abc"}}"#,
            Gives::Anything,
            id("abc"),
        ),
        (
            r#"{"name":"models/veo/operations/abc"}"#,
            Gives::Anything,
            id("abc"),
        ),
        (
            r#"{"cachedContents":[{"name":"cachedContents/abc","model":"m"}]}"#,
            Gives::Anything,
            id("abc"),
        ),
        (r#"{"name":"a person"}"#, Gives::Anything, vec![]),
        (r#"{"output":{"task_id":"13b1"}}"#, Gives::Known, id("13b1")),
        (r#"{"task_id":"1065"}"#, Gives::Known, id("1065")),
        (
            r#"{"id":"ftjob-1","fine_tuned_model":"ft:m:o::1"}"#,
            Gives::Anything,
            vec![stored("ftjob-1"), stored("ft:m:o::1")],
        ),
        (
            r#"{"id":"resp_1","conversation":{"id":"conv_2"},"output":[{"id":"rs_3","encrypted_content":"gAAA"},{"id":"msg_4","content":[{"id":"no_5"}]}]}"#,
            Gives::Known,
            vec![
                answer("resp_1"),
                stored("conv_2"),
                answer("rs_3"),
                sealed("gAAA"),
                answer("msg_4"),
            ],
        ),
        (
            r#"{"id":"msg_1","container":{"id":"container_2"}}"#,
            Gives::Containers,
            id("container_2"),
        ),
        (r#"{"id":"chatcmpl-1"}"#, Gives::Known, vec![]),
        (r#"{"id":"chatcmpl-1"}"#, Gives::Nothing, vec![]),
    ];
    for (body, gives, wanted) in cases {
        for size in 1..=body.len() {
            assert_eq!(
                given("application/json", body, gives, size),
                wanted,
                "{size} of {body}"
            );
        }
    }
}

#[test]
fn events_give_out_their_objects_as_soon_as_they_name_them() {
    let body = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"output\":[]}}\n\n\
        data: {\"type\":\"response.output_item.done\",\"item\":{\"id\":\"rs_2\",\"encrypted_content\":\"gAAA\"}}\n\n\
        data: {\"type\":\"response.output_text.delta\",\"item_id\":\"msg_9\",\"delta\":\"{\\\"id\\\":\\\"no\\\"}\"}\n\n\
        data: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\",\"output\":[{\"id\":\"rs_2\",\"encrypted_content\":\"gAAA\"}]}}\n\n";
    let wanted = [answer("resp_1"), answer("rs_2"), sealed("gAAA")];
    for size in 1..body.len() {
        assert_eq!(
            given("text/event-stream", body, Gives::Known, size),
            wanted,
            "{size}"
        );
    }
    let begun = body.find("\n\n").unwrap();
    assert_eq!(
        given("text/event-stream", &body[..begun], Gives::Known, 7),
        [answer("resp_1")]
    );
    let messages = "data: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\"}}\n\n\
        data: {\"type\":\"message_delta\",\"delta\":{\"container\":{\"id\":\"container_1\"}}}\n\n";
    assert_eq!(
        given("text/event-stream", messages, Gives::Containers, 9),
        [stored("container_1")]
    );
}

#[test]
fn heads_give_out_addresses_and_ids() {
    let head = |name: &'static str, value: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        in_head(&headers)
    };
    assert_eq!(
        head("location", "/v1/realtime/calls/rtc_1"),
        [stored("rtc_1")]
    );
    assert_eq!(head("location", "/elsewhere"), []);
    let address = "https://generativelanguage.googleapis.com/upload/v1beta/files?upload_id=AX1&upload_protocol=resumable";
    assert_eq!(head("x-goog-upload-url", address), [stored("AX1")]);
    assert_eq!(head("x-generation-id", "gen-1"), [answer("gen-1")]);
}

#[test]
fn what_an_answer_may_give_out_is_known_from_its_request() {
    let said = |method: Method, path: &str, stores| {
        Gives::of(&method, path, Endpoint::of(&method, path, false), stores)
    };
    let gives = |method, path| said(method, path, false);
    let stored = |path| said(Method::POST, path, true);
    assert_eq!(stored("/v1/chat/completions"), Gives::Chat);
    assert_eq!(stored("/v1/responses"), Gives::Known);
    assert_eq!(gives(Method::POST, "/v1/chat/completions"), Gives::Nothing);
    assert_eq!(gives(Method::POST, "/v1/embeddings"), Gives::Nothing);
    assert_eq!(
        gives(Method::POST, "/v1beta/models/m:generateContent"),
        Gives::Nothing
    );
    assert_eq!(gives(Method::POST, "/v1/responses"), Gives::Known);
    assert_eq!(gives(Method::POST, "/v1/messages"), Gives::Containers);
    assert_eq!(gives(Method::POST, "/v1/files"), Gives::Anything);
    assert_eq!(
        gives(Method::POST, "/v1beta/models/m:predictLongRunning"),
        Gives::Anything
    );
    assert_eq!(
        gives(Method::POST, "/api/paas/v4/async/chat/completions"),
        Gives::Anything
    );
    assert_eq!(gives(Method::GET, "/v1/models"), Gives::Known);
    assert_eq!(gives(Method::DELETE, "/v1/files/file-1"), Gives::Nothing);
}

#[test]
fn what_was_made_along_is_given_out_too() {
    let batch = r#"{"id":"batch_1","input_file_id":"file-0","output_file_id":"file-1","error_file_id":null}"#;
    assert_eq!(
        given(JSON, batch, Gives::Anything, 7),
        [stored("batch_1"), stored("file-1")]
    );
    let run = r#"{"id":"run_1","thread_id":"thread_1"}"#;
    assert_eq!(
        given(JSON, run, Gives::Anything, 7),
        [stored("run_1"), stored("thread_1")]
    );
    let response = r#"{"id":"resp_1","output":[{"id":"ci_1","container_id":"cntr_1"}]}"#;
    assert_eq!(
        given(JSON, response, Gives::Known, 7),
        [answer("resp_1"), answer("ci_1"), stored("cntr_1")]
    );
}

#[test]
fn a_chat_completion_that_is_stored_gives_out_its_id_and_nothing_else() {
    let said =
        r#"{"id":"chatcmpl-1","choices":[{"message":{"id":"msg_1","audio":{"id":"file-1"}}}]}"#;
    assert_eq!(given(JSON, said, Gives::Chat, 7), [answer("chatcmpl-1")]);
    assert_eq!(given(JSON, r#"{"id":"gen-1"}"#, Gives::Chat, 7), []);
}

#[test]
fn credentials_that_are_issued_for_a_client_are_given_out() {
    for said in [
        r#"{"value":"ek_1","expires_at":1,"session":{"id":"sess_1"}}"#,
        r#"{"client_secret":{"value":"ek_1","expires_at":1},"id":"sess_1"}"#,
    ] {
        assert_eq!(
            given(JSON, said, Gives::Known, 7),
            [answer("ek_1")],
            "{said}"
        );
    }
    assert_eq!(given(JSON, r#"{"value":"sk-1"}"#, Gives::Known, 7), []);
    let token = r#"{"name":"auth_tokens/a1"}"#;
    assert_eq!(given(JSON, token, Gives::Anything, 7), [stored("a1")]);
}

const KEYS: &[&str] = &[
    "id",
    "conversation",
    "container",
    "encrypted_content",
    "data",
    "output",
    "response",
    "item",
    "name",
    "task_id",
];

proptest! {
    #[test]
    fn no_cut_changes_what_is_found(json in with_duplicates(KEYS), size in 1_usize..9) {
        let text = json.write();
        let whole = given("application/json", &text, Gives::Anything, text.len().max(1));
        prop_assert_eq!(given("application/json", &text, Gives::Anything, size), whole);
    }
}
