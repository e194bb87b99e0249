//! Usage of every dialect and provider, in any cut and coding.

use std::io::Write as _;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use super::*;

const JSON: &str = "application/json; charset=utf-8";
const SSE: &str = "text/event-stream";
const LINES: &str = "application/x-ndjson";

fn headers(kind: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, kind.parse().unwrap());
    headers
}

fn read(headers: &HeaderMap, body: &[u8], piece: usize) -> Option<Usage> {
    let mut reader = AnswerReader::new(headers, Gives::Nothing);
    for piece in body.chunks(piece) {
        reader.feed(piece);
    }
    reader.usage()
}

/// That `body` states prompt, cached, written and output tokens so.
#[track_caller]
fn expect(kind: &'static str, body: &str, [prompt, cached, written, output]: [u64; 4]) {
    for piece in [1, 2, 3, 7, body.len()] {
        let usage = read(&headers(kind), body.as_bytes(), piece);
        let wanted = Usage {
            prompt,
            cached,
            written,
            output,
        };
        assert_eq!(usage, Some(wanted), "{piece} bytes at a time: {body}");
    }
}

#[test]
fn usage_is_read_from_json_of_every_dialect() {
    for (body, counts) in [
        (
            r#"{"choices":[{"message":{"content":"x","usage":{"prompt_tokens":9}}}],"usage":{"prompt_tokens":100,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":64}}}"#,
            [100, 64, 0, 5],
        ),
        (
            r#"{"usage":{"input_tokens":100,"input_tokens_details":{"cached_tokens":64},"output_tokens":5}}"#,
            [100, 64, 0, 5],
        ),
        (
            r#"{"usage":{"input_tokens":10,"cache_read_input_tokens":64,"cache_creation_input_tokens":26,"cache_creation":{"ephemeral_5m_input_tokens":26},"output_tokens":5}}"#,
            [100, 64, 26, 5],
        ),
        (
            r#"{"candidates":[],"usageMetadata":{"promptTokenCount":100,"cachedContentTokenCount":64,"candidatesTokenCount":5,"thoughtsTokenCount":7,"promptTokensDetails":[{"modality":"TEXT","tokenCount":100}]}}"#,
            [100, 64, 0, 12],
        ),
        (
            r#"{"response":{"usageMetadata":{"promptTokenCount":100,"candidatesTokenCount":5}}}"#,
            [100, 0, 0, 5],
        ),
    ] {
        expect(JSON, body, counts);
    }
}

#[test]
fn usage_is_read_as_each_provider_writes_it() {
    for (body, counts) in [
        // OpenAI and OpenRouter count what was written.
        (
            r#"{"usage":{"prompt_tokens":100,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":64,"cache_write_tokens":30},"completion_tokens_details":{"reasoning_tokens":2}}}"#,
            [100, 64, 30, 5],
        ),
        // DashScope names it as Anthropic does, but within the prompt.
        (
            r#"{"usage":{"prompt_tokens":100,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":64,"cache_creation_input_tokens":30}}}"#,
            [100, 64, 30, 5],
        ),
        (
            r#"{"usage":{"input_tokens":100,"input_tokens_details":{"cached_tokens":64,"cache_creation_input_tokens":30},"output_tokens":5}}"#,
            [100, 64, 30, 5],
        ),
        // DeepSeek.
        (
            r#"{"usage":{"prompt_tokens":100,"prompt_cache_hit_tokens":64,"prompt_cache_miss_tokens":36,"completion_tokens":5}}"#,
            [100, 64, 0, 5],
        ),
        (
            r#"{"usage":{"prompt_cache_hit_tokens":64,"prompt_cache_miss_tokens":36}}"#,
            [100, 64, 0, 0],
        ),
        // Moonshot.
        (
            r#"{"usage":{"prompt_tokens":100,"completion_tokens":5,"cached_tokens":64}}"#,
            [100, 64, 0, 5],
        ),
        // Cohere, second and first version of its API.
        (
            r#"{"message":{"content":[]},"usage":{"billed_units":{"input_tokens":36,"output_tokens":5},"tokens":{"input_tokens":100,"output_tokens":6},"cached_tokens":64}}"#,
            [100, 64, 0, 6],
        ),
        (
            r#"{"text":"x","meta":{"billed_units":{"input_tokens":36},"tokens":{"input_tokens":100,"output_tokens":6}}}"#,
            [100, 0, 0, 6],
        ),
        // Ollama.
        (
            r#"{"message":{"content":"x"},"done":true,"prompt_eval_count":100,"eval_count":5}"#,
            [100, 0, 0, 5],
        ),
    ] {
        expect(JSON, body, counts);
    }
}

#[test]
fn usage_is_read_from_event_streams() {
    for (body, counts) in [
        (
            "data: {\"choices\":[],\"usage\":null}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":5,\"prompt_tokens_details\":{\"cached_tokens\":64}}}\n\ndata: [DONE]\n\n",
            [100, 64, 0, 5],
        ),
        (
            "event: message_start\r\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":10,\"cache_read_input_tokens\":64,\"cache_creation_input_tokens\":26,\"output_tokens\":1}}}\r\n\r\n: ping\n\nevent: message_delta\ndata: {\"usage\":{\"output_tokens\":5}}\n\n",
            [100, 64, 26, 5],
        ),
        (
            "event: response.completed\ndata: {\"response\":{\"usage\":{\"input_tokens\":100,\"input_tokens_details\":{\"cached_tokens\":64},\"output_tokens\":5}}}\n\n",
            [100, 64, 0, 5],
        ),
        (
            "data: {\"candidates\":[],\"usageMetadata\":{\"promptTokenCount\":100,\"cachedContentTokenCount\":64,\"candidatesTokenCount\":5}}\n\n",
            [100, 64, 0, 5],
        ),
        // Moonshot.
        (
            "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\",\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":5,\"cached_tokens\":64}}]}\n\ndata: [DONE]\n\n",
            [100, 64, 0, 5],
        ),
        // Cohere.
        (
            "event: message-end\ndata: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"COMPLETE\",\"usage\":{\"tokens\":{\"input_tokens\":100,\"output_tokens\":5},\"cached_tokens\":64}}}\n\n",
            [100, 64, 0, 5],
        ),
        // Groq.
        (
            "data: {\"choices\":[],\"x_groq\":{\"id\":\"r\",\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":5}}}\n\n",
            [100, 0, 0, 5],
        ),
    ] {
        expect(SSE, body, counts);
    }
}

#[test]
fn usage_is_read_from_lines_of_json() {
    expect(
        LINES,
        "{\"message\":{\"content\":\"x\"},\"done\":false}\n{broken\r\n{\"done\":true,\"prompt_eval_count\":100,\"eval_count\":5}\n",
        [100, 0, 0, 5],
    );
}

#[test]
fn usage_is_read_from_geminis_array_of_chunks() {
    expect(
        JSON,
        r#"[{"candidates":[]},{"usageMetadata":{"promptTokenCount":100,"cachedContentTokenCount":64,"candidatesTokenCount":5}}]"#,
        [100, 64, 0, 5],
    );
}

#[test]
fn counts_in_headers_stand_unless_the_body_states_others() {
    let mut headers = headers(JSON);
    headers.insert("fireworks-prompt-tokens", "100".parse().unwrap());
    headers.insert("fireworks-cached-prompt-tokens", "64".parse().unwrap());
    let counts = |body: &str| {
        let usage = read(&headers, body.as_bytes(), 5).unwrap();
        (usage.prompt, usage.cached, usage.output)
    };
    assert_eq!(counts("{}"), (100, 64, 0));
    assert_eq!(
        counts(r#"{"usage":{"prompt_tokens":101,"completion_tokens":5}}"#),
        (101, 64, 5)
    );
}

#[test]
fn an_end_without_counts_does_not_erase_those_of_the_beginning() {
    expect(
        SSE,
        "data: {\"message\":{\"usage\":{\"input_tokens\":36,\"cache_read_input_tokens\":64}}}\n\ndata: {\"usage\":{\"input_tokens\":0,\"cache_read_input_tokens\":0,\"output_tokens\":5}}\n\n",
        [100, 64, 0, 5],
    );
}

#[test]
fn lines_may_end_in_any_way_wherever_the_stream_is_cut() {
    expect(
        SSE,
        "\rdata: {\"usage\":{\"input_tokens\":100}}\r\n\r\n\r\rdata: {\"usage\":{\"output_tokens\":5}}\n\n",
        [100, 0, 0, 5],
    );
}

#[test]
fn counts_that_no_provider_states_are_not_too_large_to_add() {
    let max = u64::MAX;
    expect(
        JSON,
        &format!(
            r#"{{"usage":{{"input_tokens":{max},"cache_read_input_tokens":{max},"cache_creation_input_tokens":1,"output_tokens":5}}}}"#
        ),
        [max, max, 1, 5],
    );
}

#[test]
fn what_a_model_wrote_is_never_taken_for_usage() {
    for body in [
        r#"{"content":[{"type":"tool_use","input":{"usage":{"input_tokens":1}}}]}"#,
        r#"{"choices":[{"message":{"usage":{"prompt_tokens":1}}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"usage":{"prompt_tokens":1}}]}}]}"#,
        r#"{"message":{"content":"{\"usage\":{\"input_tokens\":1}}"}}"#,
        r#"{"message":{"tool_calls":[{"function":{"arguments":{"usage":{"input_tokens":1},"prompt_eval_count":1}}}]}}"#,
        r#"{"response":{"metadata":{"usage":{"input_tokens":1}}}}"#,
    ] {
        assert_eq!(read(&headers(JSON), body.as_bytes(), 1000), None, "{body}");
    }
    let other = headers("text/plain");
    assert_eq!(read(&other, br#"{"usage":{"input_tokens":1}}"#, 1000), None);
}

#[test]
fn a_compressed_answer_is_read_in_any_cut() {
    let plain = b"data: {\"message\":{\"usage\":{\"input_tokens\":100}}}\n\ndata: {\"usage\":{\"output_tokens\":5}}\n\n";
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).unwrap();
    let gzip = encoder.finish().unwrap();
    let mut brotli = Vec::new();
    brotli::BrotliCompress(&mut &plain[..], &mut brotli, &Default::default()).unwrap();
    let mut zstd = vec![0; zstd_safe::compress_bound(plain.len())];
    let length = zstd_safe::compress(&mut zstd[..], plain, 3).unwrap();
    zstd.truncate(length);
    for (coding, body) in [("gzip", gzip), ("br", brotli), ("zstd", zstd)] {
        let mut headers = headers(SSE);
        headers.insert(CONTENT_ENCODING, coding.parse().unwrap());
        for piece in [1, 7, 1000] {
            let usage = read(&headers, &body, piece).unwrap();
            assert_eq!(
                (usage.prompt, usage.output),
                (100, 5),
                "{coding} by {piece}"
            );
        }
        assert_eq!(read(&headers, plain, 10), None, "{coding} that is none");
    }
}

#[test]
fn reading_of_what_decodes_to_too_much_stops() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder
        .write_all(br#"{"usage":{"input_tokens":100},"x":""#)
        .unwrap();
    for _ in 0..DECODED_MOST >> 20 {
        encoder.write_all(&vec![b'x'; 1 << 20]).unwrap();
    }
    encoder
        .write_all(br#"","usage":{"input_tokens":7}}"#)
        .unwrap();
    let bomb = encoder.finish().unwrap();
    let mut headers = headers(JSON);
    headers.insert(CONTENT_ENCODING, "gzip".parse().unwrap());
    let usage = read(&headers, &bomb, 10_000).unwrap();
    assert_eq!(usage.prompt, 100);
}
