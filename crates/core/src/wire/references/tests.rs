//! What requests name and answers give out, row by row of the table, and whatever the cut.

use http::{HeaderMap, Method, StatusCode};
use proptest::prelude::*;

use super::*;
use crate::verdict::Verdict;
use crate::wire::body::Need;
use crate::wire::sample::{read_for, read_in_pieces, with_duplicates};

const NEED: Need = Need {
    ids: false,
    chain: false,
    background: false,
    stores: false,
    splice: false,
    references: true,
};

fn stored(id: &str) -> Reference {
    Reference::new(id.as_bytes(), Keeping::Stored)
}

fn answer(id: &str) -> Reference {
    Reference::new(id.as_bytes(), Keeping::Answer)
}

fn sealed(content: &str) -> Reference {
    Reference::new(content.as_bytes(), Keeping::Sealed)
}

fn head(method: &Method, target: &str) -> References {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let endpoint = Endpoint::of(method, path, false);
    of_head(method, path, Some(query), &HeaderMap::new(), endpoint)
}

fn named(target: &str) -> Vec<Reference> {
    head(&Method::GET, target).named
}

fn in_body(body: &str) -> Vec<Reference> {
    read_for(body, NEED).references
}

/// Where the documents say that objects are named in paths and queries, and which.
const TARGETS: &[(&str, &[&str])] = &[
    ("/v1/responses/resp_1a", &["resp_1a"]),
    ("/v1/responses/resp_1a/cancel", &["resp_1a"]),
    ("/v1/responses/resp_1a/input_items?limit=2", &["resp_1a"]),
    ("/v1/responses/input_tokens", &[]),
    ("/v1/responses/compact", &[]),
    ("/v1/conversations/conv_2/items/msg_3", &["conv_2", "msg_3"]),
    ("/v1/chat/completions/chatcmpl-4/messages", &["chatcmpl-4"]),
    ("/v1/files/file-5", &["file-5"]),
    ("/v1/files/file-5/content", &["file-5"]),
    ("/openai/v1/files/assistant-5", &["assistant-5"]),
    ("/v1/uploads/upload_6/parts", &["upload_6"]),
    ("/v1/batches/batch_7/cancel", &["batch_7"]),
    ("/v1/fine_tuning/jobs/ftjob-8/events", &["ftjob-8"]),
    ("/v1/models/ft:gpt-4o:org::id9", &["ft:gpt-4o:org::id9"]),
    ("/v1/models/gpt-4o", &[]),
    ("/v1/evals/eval_1/runs/evalrun_2", &["eval_1", "evalrun_2"]),
    ("/v1/vector_stores/vs_1/files/file-2", &["vs_1", "file-2"]),
    (
        "/v1/vector_stores/vs_1/file_batches/vsfb_2/files",
        &["vs_1", "vsfb_2"],
    ),
    ("/v1/vector_stores/vs_1/search", &["vs_1"]),
    ("/v1/assistants/asst_1", &["asst_1"]),
    (
        "/v1/threads/thread_1/runs/run_2/steps/step_3",
        &["thread_1", "run_2", "step_3"],
    ),
    (
        "/v1/containers/cntr_1/files/cfile_2/content",
        &["cntr_1", "cfile_2"],
    ),
    ("/v1/videos/video_1/remix", &["video_1"]),
    ("/v1/realtime/calls/rtc_1/accept", &["rtc_1"]),
    ("/v1/realtime?call_id=rtc_1&model=m", &["rtc_1"]),
    ("/v1/messages/batches/msgbatch_1/results", &["msgbatch_1"]),
    ("/v1/skills/skill_1/versions", &["skill_1"]),
    ("/v1/sessions/sesn_1/events", &["sesn_1"]),
    ("/v1beta/files/my-own-name", &["my-own-name"]),
    ("/v1beta/cachedContents/abc", &["abc"]),
    ("/v1beta/fileSearchStores/abc/documents", &["abc"]),
    ("/v1beta/interactions/v1_abc", &["v1_abc"]),
    ("/v1beta/tunedModels/abc:generateContent", &["abc"]),
    ("/v1beta/batches/abc:cancel", &["abc"]),
    ("/v1beta/models/veo/operations/abc", &["abc"]),
    ("/v1beta/models/gemini:generateContent", &[]),
    (
        "/upload/v1beta/files?upload_id=AX1&upload_protocol=resumable",
        &["AX1"],
    ),
    ("/api/paas/v4/async-result/9981", &["9981"]),
    ("/v1/chat/deferred-completion/7e2", &["7e2"]),
    ("/api/v1/generation?id=gen-17", &["gen-17"]),
    ("/v1/anything?id=gen-17", &[]),
    ("/api/v1/tasks/13b1", &["13b1"]),
    ("/v1/query/video_generation?task_id=1065", &["1065"]),
    ("/v1/files/retrieve?file_id=2051", &["2051"]),
    ("/v1/chat/completions", &[]),
    ("/v1/models", &[]),
    ("//v1//files//", &[]),
];

#[test]
fn paths_and_queries_name_their_objects() {
    for (target, ids) in TARGETS {
        let found: Vec<ObjectId> = named(target).iter().map(|found| found.object).collect();
        let wanted: Vec<ObjectId> = ids.iter().map(|id| ObjectId::of(id.as_bytes())).collect();
        assert_eq!(found, wanted, "{target}");
    }
}

/// What names objects in a body; `None` where what looks so does not.
const BODIES: &[(&str, Option<&str>)] = &[
    (r#"{"conversation":"conv_1"}"#, Some("conv_1")),
    (r#"{"conversation":{"id":"conv_1"}}"#, Some("conv_1")),
    // Some agents send their own session's id.
    (r#"{"conversation":"0199-aaaa"}"#, None),
    (
        r#"{"input":[{"role":"user","content":[{"type":"input_file","file_id":"file-1"}]}]}"#,
        Some("file-1"),
    ),
    (
        r#"{"input":[{"content":[{"type":"input_image","file_id":"file_\u0031"}]}]}"#,
        Some("file_1"),
    ),
    (
        r#"{"messages":[{"content":[{"type":"file","file":{"file_id":"file-1"}}]}]}"#,
        Some("file-1"),
    ),
    (
        r#"{"messages":[{"content":[{"type":"image_file","image_file":{"file_id":"file-1"}}]}]}"#,
        Some("file-1"),
    ),
    (
        r#"{"messages":[{"content":[{"source":{"type":"file","file_id":"file_1"}}]}]}"#,
        Some("file_1"),
    ),
    (
        r#"{"messages":[{"content":[{"type":"file","file_id":"3cf1e8b6-0ce3-4f36-9bd8-2c3e6a1f5d70"}]}]}"#,
        Some("3cf1e8b6-0ce3-4f36-9bd8-2c3e6a1f5d70"),
    ),
    (
        r#"{"input_files":["3cf1e8b6-0ce3-4f36-9bd8-2c3e6a1f5d70"],"endpoint":"/v1/chat/completions"}"#,
        Some("3cf1e8b6-0ce3-4f36-9bd8-2c3e6a1f5d70"),
    ),
    // What tools call a file is theirs.
    (r#"{"messages":[{"file_id":"3cf1e8b6-report-7"}]}"#, None),
    (
        r#"{"messages":[{"content":[{"type":"container_upload","file_id":"file_1"}]}]}"#,
        Some("file_1"),
    ),
    (
        r#"{"tools":[{"type":"file_search","vector_store_ids":["vs_1"]}]}"#,
        Some("vs_1"),
    ),
    (
        r#"{"tool_resources":{"code_interpreter":{"file_ids":["file-1"]}}}"#,
        Some("file-1"),
    ),
    (
        r#"{"tools":[{"type":"code_interpreter","container":"cntr_1"}]}"#,
        Some("cntr_1"),
    ),
    (
        r#"{"tools":[{"container":{"type":"auto","file_ids":["file-1"]}}]}"#,
        Some("file-1"),
    ),
    (r#"{"container":"container_1"}"#, Some("container_1")),
    (
        r#"{"container":{"id":"container_1","skills":[]}}"#,
        Some("container_1"),
    ),
    (
        r#"{"container":{"skills":[{"type":"custom","skill_id":"skill_1"}]}}"#,
        Some("skill_1"),
    ),
    (
        r#"{"input_file_id":"file-1","endpoint":"/v1/responses"}"#,
        Some("file-1"),
    ),
    (
        r#"{"training_file":"file-1","model":"gpt-4o"}"#,
        Some("file-1"),
    ),
    (
        r#"{"model":"ft:gpt-4o:org::id"}"#,
        Some("ft:gpt-4o:org::id"),
    ),
    (r#"{"assistant_id":"asst_1"}"#, Some("asst_1")),
    (r#"{"part_ids":["part_1"]}"#, Some("part_1")),
    (
        r#"{"contents":[{"parts":[{"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/ab-c"}}]}]}"#,
        Some("ab-c"),
    ),
    (
        r#"{"contents":[{"parts":[{"file_data":{"file_uri":"https:\/\/h:8080\/v1beta\/files\/abc?alt=x"}}]}]}"#,
        Some("abc"),
    ),
    (
        r#"{"contents":[{"parts":[{"fileData":{"fileUri":"gs://bucket/files/abc"}}]}]}"#,
        None,
    ),
    (
        r#"{"contents":[{"parts":[{"fileData":{"fileUri":"https://youtu.be/abc"}}]}]}"#,
        None,
    ),
    (r#"{"cachedContent":"cachedContents/abc"}"#, Some("abc")),
    (r#"{"inputConfig":{"file_name":"files/abc"}}"#, Some("abc")),
    (
        r#"{"tools":[{"fileSearch":{"fileSearchStoreNames":["fileSearchStores/abc"]}}]}"#,
        Some("abc"),
    ),
    (r#"{"previous_interaction_id":"v1_abc"}"#, Some("v1_abc")),
    (r#"{"agent_id":"ag_1"}"#, Some("ag_1")),
    (r#"{"file_name":"notes.txt"}"#, None),
    (r#"{"file_id":2051}"#, None),
    // What a tool was called with, what it may be called with, what people noted.
    (
        r#"{"messages":[{"content":[{"type":"tool_use","input":{"file_id":"file-1"}}]}]}"#,
        None,
    ),
    (
        r#"{"contents":[{"parts":[{"functionCall":{"args":{"file_id":"file-1"}}}]}]}"#,
        None,
    ),
    (
        r#"{"tools":[{"parameters":{"properties":{"file_id":{"file_id":"file-1"}}}}]}"#,
        None,
    ),
    (r#"{"metadata":{"file_id":"file-1"}}"#, None),
    (r#"{"messages":[{"content":"file_id: file-1"}]}"#, None),
];

#[test]
fn bodies_name_their_objects() {
    for (body, id) in BODIES {
        let wanted: Vec<Reference> = id.iter().map(|id| stored(id)).collect();
        assert_eq!(in_body(body), wanted, "{body}");
        for size in 1..body.len() {
            let cut = read_in_pieces(body.as_bytes(), size, NEED).references;
            assert_eq!(cut, wanted, "{size} bytes at a time: {body}");
        }
    }
}

#[test]
fn items_are_named_where_they_only_stand_for_themselves() {
    let reference = r#"{"input":[{"id":"msg_1","type":"item_reference"},{"type":"item_reference","id":"fc_2"}]}"#;
    assert_eq!(in_body(reference), [answer("msg_1"), answer("fc_2")]);
    // Codex sends every item with its id, and with all that is in it.
    let whole = r#"{"input":[{"type":"message","id":"msg_1","content":[]},{"type":"function_call","id":"fc_1"}]}"#;
    assert_eq!(in_body(whole), []);
    let kept = r#"{"input":[{"type":"reasoning","id":"rs_1","summary":[]}]}"#;
    assert_eq!(in_body(kept), [answer("rs_1")]);
    let brought = r#"{"input":[{"type":"reasoning","id":"rs_1","encrypted_content":"gAAA1"}]}"#;
    assert_eq!(in_body(brought), [sealed("gAAA1")]);
}

#[test]
fn sealed_things_come_last_and_the_latest_of_them_first() {
    let items: Vec<String> = (0..9)
        .map(|number| format!(r#"{{"type":"reasoning","encrypted_content":"gAAA{number}"}}"#))
        .collect();
    let body = format!(
        r#"{{"input":[{}],"previous_response_id":"resp_1"}}"#,
        items.join(",")
    );
    let wanted = [
        answer("resp_1"),
        sealed("gAAA8"),
        sealed("gAAA7"),
        sealed("gAAA6"),
        sealed("gAAA5"),
    ];
    assert_eq!(in_body(&body), wanted);
}

#[test]
fn what_is_noted_of_one_body_is_bounded() {
    let ids: Vec<String> = (0..1000)
        .map(|number| format!("\"file-{number}\""))
        .collect();
    let body = format!(r#"{{"file_ids":[{}]}}"#, ids.join(","));
    assert_eq!(in_body(&body).len(), 32);
    let long = format!(r#"{{"file_id":"file-{}"}}"#, "x".repeat(300));
    assert_eq!(in_body(&long), []);
    let long = "y".repeat(100_000);
    let body = format!(r#"{{"input":[{{"encrypted_content":"{long}"}}]}}"#);
    assert_eq!(in_body(&body), [sealed(&long[..256])]);
}

#[test]
fn the_keys_that_are_looked_for_are_those_of_the_table() {
    let mut keys: Vec<&str> = TABLE
        .iter()
        .filter_map(|row| match row.at {
            At::Body(name) => Some(name),
            _ => None,
        })
        .collect();
    keys.sort_unstable();
    keys.dedup();
    let mut known = body::BODY.to_vec();
    known.sort_unstable();
    assert_eq!(known, keys);
}

#[test]
fn a_list_is_a_collection_by_itself() {
    for list in [
        "/v1/files",
        "/v1/files/",
        "/v1/batches?limit=3",
        "/v1/messages/batches",
        "/v1/vector_stores",
        "/v1/fine_tuning/jobs",
        "/v1/chat/completions",
        "/v1beta/cachedContents",
        "/v1beta/files",
    ] {
        assert!(head(&Method::GET, list).lists, "{list}");
        assert!(!head(&Method::POST, list).lists, "{list}");
    }
    for other in [
        "/v1/models",
        "/v1/vector_stores/vs_1/files",
        "/v1/responses/resp_1/input_items",
    ] {
        assert!(!head(&Method::GET, other).lists, "{other}");
    }
}

#[test]
fn a_list_goes_on_behind_an_item() {
    let cursor = |target| head(&Method::GET, target).cursor;
    for target in [
        "/v1/files?limit=2&after=file-1",
        "/v1/batches?before=file-1",
        "/v1/files?after_id=file-1",
    ] {
        assert_eq!(cursor(target), Some(ObjectId::of(b"file-1")), "{target}");
    }
    assert_eq!(cursor("/v1/files?after="), None);
    assert_eq!(cursor("/v1/vector_stores/vs_1/files?after=file-1"), None);
}

#[test]
fn credentials_that_are_issued_for_a_client_are_objects() {
    let issued_in = |name: &'static str, value: &str, query| {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        let found: Vec<Reference> = issued(&headers, query).map(|(found, _)| found).collect();
        found
    };
    assert_eq!(
        issued_in("authorization", "Bearer ek_1", None),
        [answer("ek_1")]
    );
    let protocols = "realtime, openai-insecure-api-key.ek_1";
    assert_eq!(
        issued_in("sec-websocket-protocol", protocols, None),
        [answer("ek_1")]
    );
    let query = Some("access_token=auth_tokens/a1");
    assert_eq!(issued_in("x-none", "1", query), [answer("a1")]);
    assert_eq!(
        issued_in("authorization", "Token auth_tokens/a1", None),
        [answer("a1")]
    );
    assert_eq!(
        issued_in("authorization", "Bearer sk-1", Some("key=sk-2")),
        []
    );
}

#[test]
fn only_an_object_as_a_whole_is_deleted() {
    let deletes = |target| head(&Method::DELETE, target).deletes;
    assert_eq!(deletes("/v1/files/file-1"), Some(ObjectId::of(b"file-1")));
    assert_eq!(deletes("/v1beta/files/abc"), Some(ObjectId::of(b"abc")));
    for part in [
        "/v1/vector_stores/vs_1/files/file-1",
        "/v1/files/file-1/content",
        "/v1/files",
    ] {
        assert_eq!(deletes(part), None, "{part}");
    }
    assert_eq!(head(&Method::GET, "/v1/files/file-1").deletes, None);
}

#[test]
fn not_found_may_only_mean_not_here_where_something_is_asked_about() {
    let request = Verdict::new(crate::verdict::Matter::Request, "client error");
    let judged = |method: &Method, target, status: u16| {
        let status = StatusCode::from_u16(status).unwrap();
        judge(&head(method, target), status, request).matter
    };
    assert_eq!(judged(&Method::GET, "/v1/files/file-1", 404), Matter::State);
    assert_eq!(
        judged(&Method::GET, "/v1/files/file-1", 400),
        Matter::Request
    );
    assert_eq!(judged(&Method::GET, "/v1/models", 404), Matter::Request);
    assert_eq!(
        judged(&Method::DELETE, "/v1/files/file-1", 404),
        Matter::Request
    );
}

const KEYS: &[&str] = &[
    "input",
    "id",
    "type",
    "file_id",
    "file_ids",
    "conversation",
    "container",
    "metadata",
    "encrypted_content",
    "data",
    "output",
    "response",
    "item",
    "name",
];

proptest! {
    #[test]
    fn no_cut_changes_what_is_found(json in with_duplicates(KEYS), size in 1_usize..9) {
        let text = json.write();
        prop_assert_eq!(read_in_pieces(text.as_bytes(), size, NEED).references, in_body(&text));
    }
}
