//! Reads token usage from an answer as it passes, JSON or SSE, without holding a byte back.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};

use super::json::{Container, Tokenizer, Visit};
use crate::conversation::AnswerId;
use crate::fact::Usage;

/// Deepest container in which usage fields stand: `response.usage.input_tokens_details`, inside
/// Gemini's outer array.
const TRACKED_DEPTH: usize = 6;

/// How the ids of stored responses begin; other answers' ids cannot be continued by.
const RESPONSE_ID: &[u8] = b"resp_";
/// Longest such id, in bytes; they have some fifty.
const MAX_ID: usize = 128;

/// Watches one answer body. Feed it every frame; ask [`AnswerReader::usage`] at the end.
#[derive(Debug)]
pub struct AnswerReader {
    format: Format,
    tokenizer: Tokenizer,
    seen: Seen,
    line: Line,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Events,
    Unread,
}

/// Where in a line of an event stream the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// So many bytes of `data:` have matched.
    Field(usize),
    /// In the payload of a data line.
    Data,
    /// In a line that does not matter.
    Skipped,
}

const DATA: &[u8] = b"data:";

impl AnswerReader {
    /// For an answer with these headers. A compressed or foreign body is not read.
    pub fn new(headers: &HeaderMap) -> Self {
        let kind = headers
            .get(CONTENT_TYPE)
            .map_or(&b""[..], http::HeaderValue::as_bytes);
        let format = if headers.contains_key(CONTENT_ENCODING) {
            Format::Unread
        } else if kind.starts_with(b"text/event-stream") {
            Format::Events
        } else if kind.starts_with(b"application/json") {
            Format::Json
        } else {
            Format::Unread
        };
        Self {
            format,
            tokenizer: Tokenizer::new(),
            seen: Seen::default(),
            line: Line::Field(0),
        }
    }

    /// Takes the next frame.
    pub fn feed(&mut self, frame: &[u8]) {
        match self.format {
            Format::Unread => {}
            Format::Json => {
                self.tokenizer.feed(frame, &mut self.seen);
            }
            Format::Events => self.feed_events(frame),
        }
    }

    /// The tokens the answer stated, if it stated any. Later statements in a stream complete or
    /// replace earlier ones.
    pub fn usage(&self) -> Option<Usage> {
        self.seen.usage()
    }

    /// What a client can continue by: the id of a response of the responses API.
    pub fn answer_id(&self) -> Option<AnswerId> {
        let id = &self.seen.id;
        id.starts_with(RESPONSE_ID).then(|| AnswerId::of(id))
    }

    fn feed_events(&mut self, frame: &[u8]) {
        let mut rest = frame;
        while !rest.is_empty() {
            let (line, ended) = match memchr::memchr(b'\n', rest) {
                Some(end) => (&rest[..end], true),
                None => (rest, false),
            };
            self.feed_line(line);
            rest = &rest[line.len() + usize::from(ended)..];
            if ended {
                // An empty line ends the event; the next one is a document of its own.
                if self.line == Line::Field(0) {
                    self.event_ended();
                }
                self.line = Line::Field(0);
            }
        }
    }

    fn feed_line(&mut self, mut piece: &[u8]) {
        if let Line::Field(matched) = self.line {
            // `\r` ends a line too; before `\n` it makes an empty one.
            while matched == 0
                && let Some(rest) = piece.strip_prefix(b"\r")
            {
                piece = rest;
            }
            let wanted = &DATA[matched..];
            let length = piece.len().min(wanted.len());
            if piece[..length] != wanted[..length] {
                self.line = Line::Skipped;
                return;
            }
            piece = &piece[length..];
            self.line = if length == wanted.len() {
                Line::Data
            } else {
                Line::Field(matched + length)
            };
        }
        if self.line == Line::Data {
            self.tokenizer.feed(piece, &mut self.seen);
        }
    }

    fn event_ended(&mut self) {
        self.tokenizer.reset();
        self.seen.document_ended();
    }
}

/// What a usage number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    /// The prompt with its cached part (OpenAI, Gemini).
    PromptWhole,
    /// `input_tokens`: the prompt whole (responses), or without its cached part (messages).
    Input,
    /// Cached tokens as part of the prompt.
    Cached,
    /// Anthropic: read from cache, not in `input_tokens`.
    CacheRead,
    /// Anthropic: written to cache, not in `input_tokens`.
    CacheWritten,
    Output,
}

#[derive(Debug, Default)]
struct Seen {
    in_usage: [bool; TRACKED_DEPTH],
    depth: usize,
    /// The last key named a usage object, or a wrapper in which one stands.
    field: Named,
    /// Deepest open container that leads to usage: `message`, `response`, or an outer array.
    lead: usize,
    prompt_whole: Option<u64>,
    input: Option<u64>,
    cached: Option<u64>,
    cache_read: Option<u64>,
    cache_written: Option<u64>,
    output: Option<u64>,
    /// The id of the answer, or of the response in an event.
    id: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Named {
    #[default]
    Other,
    Usage,
    Wrapper,
    Id,
    Details,
    Count(Count),
}

impl Seen {
    fn usage(&self) -> Option<Usage> {
        let cached = self.cached.or(self.cache_read).unwrap_or(0);
        let prompt = match (self.prompt_whole, self.input) {
            (Some(whole), _) => whole,
            // Anthropic states the three parts apart.
            (None, Some(input)) if self.cache_read.is_some() || self.cache_written.is_some() => {
                let read = self.cache_read.unwrap_or(0);
                let written = self.cache_written.unwrap_or(0);
                input.saturating_add(read).saturating_add(written)
            }
            (None, Some(input)) => input,
            (None, None) => return None,
        };
        Some(Usage {
            prompt,
            cached,
            output: self.output.unwrap_or(0),
        })
    }

    fn document_ended(&mut self) {
        self.depth = 0;
        self.lead = 0;
        self.field = Named::Other;
    }

    fn inside_usage(&self) -> bool {
        self.depth
            .checked_sub(1)
            .and_then(|at| self.in_usage.get(at))
            .copied()
            .unwrap_or(false)
    }
}

impl Visit for Seen {
    fn open(&mut self, container: Container) {
        let leads = self.depth == self.lead;
        let usage = (leads && self.field == Named::Usage)
            || (self.inside_usage() && self.field == Named::Details);
        // The top value, `message`/`response` below it, and the elements of an outer array.
        if leads && (self.depth == 0 || self.field == Named::Wrapper) {
            self.lead = self.depth + 1;
        }
        if let Some(slot) = self.in_usage.get_mut(self.depth) {
            *slot = usage;
        }
        if self.depth == 0 {
            self.in_usage[0] = false;
            self.field = match container {
                Container::Array => Named::Wrapper,
                Container::Object => Named::Other,
            };
        } else {
            self.field = Named::Other;
        }
        self.depth += 1;
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        let was_lead = self.lead > self.depth;
        self.lead = self.lead.min(self.depth);
        // Back in an outer array, the next element leads again.
        self.field = if was_lead && self.depth == 1 {
            Named::Wrapper
        } else {
            Named::Other
        };
    }

    fn key(&mut self, key: &[u8]) {
        self.field = if self.inside_usage() {
            match key {
                b"prompt_tokens" | b"promptTokenCount" => Named::Count(Count::PromptWhole),
                b"input_tokens" => Named::Count(Count::Input),
                b"cached_tokens" | b"prompt_cache_hit_tokens" | b"cachedContentTokenCount" => {
                    Named::Count(Count::Cached)
                }
                b"cache_read_input_tokens" => Named::Count(Count::CacheRead),
                b"cache_creation_input_tokens" => Named::Count(Count::CacheWritten),
                b"completion_tokens" | b"output_tokens" | b"candidatesTokenCount" => {
                    Named::Count(Count::Output)
                }
                b"prompt_tokens_details" | b"input_tokens_details" => Named::Details,
                _ => Named::Other,
            }
        } else if self.depth == self.lead {
            match key {
                b"usage" | b"usageMetadata" => Named::Usage,
                b"message" | b"response" => Named::Wrapper,
                b"id" => Named::Id,
                _ => Named::Other,
            }
        } else {
            Named::Other
        };
    }

    fn text_begins(&mut self) -> bool {
        let wanted = self.field == Named::Id && !self.id.starts_with(RESPONSE_ID);
        if wanted {
            self.id.clear();
        }
        wanted
    }

    fn text(&mut self, piece: &[u8], _: bool) {
        let room = MAX_ID - self.id.len();
        self.id.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    fn scalar(&mut self, raw: &[u8]) {
        let Named::Count(count) = self.field else {
            return;
        };
        let Some(number) = std::str::from_utf8(raw)
            .ok()
            .and_then(|text| text.parse().ok())
        else {
            return;
        };
        let slot = match count {
            Count::PromptWhole => &mut self.prompt_whole,
            Count::Input => &mut self.input,
            Count::Cached => &mut self.cached,
            Count::CacheRead => &mut self.cache_read,
            Count::CacheWritten => &mut self.cache_written,
            Count::Output => &mut self.output,
        };
        *slot = Some(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &'static str, body: &[u8], piece: usize) -> Option<Usage> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, kind.parse().unwrap());
        let mut reader = AnswerReader::new(&headers);
        for piece in body.chunks(piece) {
            reader.feed(piece);
        }
        reader.usage()
    }

    fn expect(kind: &'static str, body: &str, prompt: u64, cached: u64, output: u64) {
        for piece in [1, 2, 3, 7, body.len()] {
            let usage = read(kind, body.as_bytes(), piece);
            let wanted = Usage {
                prompt,
                cached,
                output,
            };
            assert_eq!(usage, Some(wanted), "{piece} bytes at a time: {body}");
        }
    }

    #[test]
    fn usage_is_read_from_json_of_every_dialect() {
        let json = "application/json; charset=utf-8";
        expect(
            json,
            r#"{"choices":[{"message":{"content":"x","usage":{"prompt_tokens":9}}}],"usage":{"prompt_tokens":100,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":64}}}"#,
            100,
            64,
            5,
        );
        expect(
            json,
            r#"{"usage":{"input_tokens":100,"input_tokens_details":{"cached_tokens":64},"output_tokens":5}}"#,
            100,
            64,
            5,
        );
        expect(
            json,
            r#"{"usage":{"input_tokens":10,"cache_read_input_tokens":64,"cache_creation_input_tokens":26,"output_tokens":5}}"#,
            100,
            64,
            5,
        );
        expect(
            json,
            r#"{"usage":{"prompt_tokens":100,"prompt_cache_hit_tokens":64,"completion_tokens":5}}"#,
            100,
            64,
            5,
        );
    }

    #[test]
    fn usage_is_read_from_event_streams() {
        let sse = "text/event-stream";
        expect(
            sse,
            "data: {\"choices\":[],\"usage\":null}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":5,\"prompt_tokens_details\":{\"cached_tokens\":64}}}\n\ndata: [DONE]\n\n",
            100,
            64,
            5,
        );
        expect(
            sse,
            "event: message_start\r\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":10,\"cache_read_input_tokens\":64,\"cache_creation_input_tokens\":26,\"output_tokens\":1}}}\r\n\r\n: ping\n\nevent: message_delta\ndata: {\"usage\":{\"output_tokens\":5}}\n\n",
            100,
            64,
            5,
        );
        expect(
            sse,
            "event: response.completed\ndata: {\"response\":{\"usage\":{\"input_tokens\":100,\"input_tokens_details\":{\"cached_tokens\":64},\"output_tokens\":5}}}\n\n",
            100,
            64,
            5,
        );
        expect(
            sse,
            "data: {\"candidates\":[],\"usageMetadata\":{\"promptTokenCount\":100,\"cachedContentTokenCount\":64,\"candidatesTokenCount\":5}}\n\n",
            100,
            64,
            5,
        );
    }

    #[test]
    fn usage_is_read_from_geminis_array_of_chunks() {
        expect(
            "application/json",
            r#"[{"candidates":[]},{"usageMetadata":{"promptTokenCount":100,"cachedContentTokenCount":64,"candidatesTokenCount":5}}]"#,
            100,
            64,
            5,
        );
    }

    #[test]
    fn lines_may_end_in_any_way_wherever_the_stream_is_cut() {
        expect(
            "text/event-stream",
            "\rdata: {\"usage\":{\"input_tokens\":100}}\r\n\r\n\r\rdata: {\"usage\":{\"output_tokens\":5}}\n\n",
            100,
            0,
            5,
        );
    }

    #[test]
    fn counts_that_no_provider_states_are_not_too_large_to_add() {
        let max = u64::MAX;
        expect(
            "application/json",
            &format!(
                r#"{{"usage":{{"input_tokens":{max},"cache_read_input_tokens":{max},"cache_creation_input_tokens":1,"output_tokens":5}}}}"#
            ),
            max,
            max,
            5,
        );
    }

    #[test]
    fn what_a_model_wrote_is_never_taken_for_usage() {
        let json = "application/json";
        for body in [
            r#"{"content":[{"type":"tool_use","input":{"usage":{"input_tokens":1}}}]}"#,
            r#"{"choices":[{"usage":{"prompt_tokens":1}}]}"#,
            r#"{"message":{"content":"{\"usage\":{\"input_tokens\":1}}"}}"#,
        ] {
            assert_eq!(read(json, body.as_bytes(), 1000), None, "{body}");
        }
        assert_eq!(
            read("text/plain", br#"{"usage":{"input_tokens":1}}"#, 1000),
            None
        );
    }
}
