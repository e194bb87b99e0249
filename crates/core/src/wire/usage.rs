//! Reads token usage, and the ids of objects that it gives out, from an answer as it passes,
//! whatever its dialect, without holding a byte back.

use std::ops::ControlFlow;

use http::header::HeaderMap;

use super::decoding::{Decoder, Decoding};
use super::events::{Events, Splitter};
use super::json::{Container, Tokenizer, Visit};
use super::media::Media;
use super::references::{GivenReader, Gives};
use crate::conversation::AnswerId;
use crate::fact::Usage;
use crate::object::Reference;

/// Deepest container in which usage fields stand: `choices[0].usage.prompt_tokens_details`, inside
/// an outer array.
const TRACKED_DEPTH: usize = 6;
/// Most bytes that are read of a compressed answer, decoded: longer than any that a model writes,
/// and a bound on what a bomb costs.
const DECODED_MOST: u64 = 32 << 20;

/// How the ids of stored responses begin; other answers' ids cannot be continued by.
const RESPONSE_ID: &[u8] = b"resp_";
/// Longest such id, in bytes; they have some fifty.
const MAX_ID: usize = 128;

/// Headers in which Fireworks states counts that its bodies lack.
const HEADERS: [(&str, Count); 2] = [
    ("fireworks-prompt-tokens", Count::PromptWhole),
    ("fireworks-cached-prompt-tokens", Count::Cached),
];

/// Watches one answer body. Feed it every frame; ask [`AnswerReader::usage`] at the end.
#[derive(Debug)]
pub struct AnswerReader {
    /// `None`: the body is not read, or not any further.
    decoder: Option<Decoder>,
    reading: Reading,
}

/// Reads the plain body.
#[derive(Debug)]
struct Reading {
    media: Media,
    splitter: Splitter,
    documents: Documents,
}

/// Reads one JSON document after another.
#[derive(Debug)]
struct Documents {
    tokenizer: Tokenizer,
    seen: All,
}

/// Everything that is read of a document.
#[derive(Debug)]
struct All {
    usage: Seen,
    /// Whether the current string is the id that a client can continue by.
    is_answer_id: bool,
    given: Option<GivenReader>,
    /// Whether the current string is one of its ids.
    is_given: bool,
}

impl AnswerReader {
    /// For an answer with these headers that gives out these objects. A foreign body is not read.
    pub fn new(headers: &HeaderMap, gives: Gives) -> Self {
        let media = Media::of(headers);
        let mut seen = Seen::default();
        for (name, count) in HEADERS {
            if let Some(value) = headers.get(name) {
                seen.state(count, value.as_bytes());
            }
        }
        Self {
            decoder: match media {
                Media::Other => None,
                _ => Decoder::new(headers, DECODED_MOST),
            },
            reading: Reading {
                media,
                splitter: Splitter::default(),
                documents: Documents {
                    tokenizer: Tokenizer::new(),
                    seen: All {
                        usage: seen,
                        is_answer_id: false,
                        given: (gives != Gives::Nothing).then(|| GivenReader::new(gives)),
                        is_given: false,
                    },
                },
            },
        }
    }

    /// For one message of a WebSocket, whatever it is.
    pub(super) fn of_message() -> Self {
        let media = Media::Json;
        Self {
            decoder: Decoder::new(&HeaderMap::new(), DECODED_MOST),
            reading: Reading {
                media,
                splitter: Splitter::default(),
                documents: Documents {
                    tokenizer: Tokenizer::new(),
                    seen: All {
                        usage: Seen::default(),
                        is_answer_id: false,
                        given: Some(GivenReader::new(Gives::Known)),
                        is_given: false,
                    },
                },
            },
        }
    }

    /// Takes the next frame.
    pub fn feed(&mut self, frame: &[u8]) {
        let Some(decoder) = &mut self.decoder else {
            return;
        };
        let reading = &mut self.reading;
        if decoder.feed(frame, &mut |plain| reading.feed(plain)) != Decoding::Going {
            self.decoder = None;
        }
    }

    /// The tokens the answer stated, if it stated any. Later statements in a stream complete or
    /// replace earlier ones.
    pub fn usage(&self) -> Option<Usage> {
        self.reading.documents.seen.usage.usage()
    }

    /// What it has given out since this was last asked.
    pub fn given(&mut self) -> Option<&mut Vec<Reference>> {
        let given = self.reading.documents.seen.given.as_mut()?.given();
        (!given.is_empty()).then_some(given)
    }

    /// What a client can continue by: the id of a response of the responses API.
    pub fn answer_id(&self) -> Option<AnswerId> {
        let id = &self.reading.documents.seen.usage.id;
        id.starts_with(RESPONSE_ID).then(|| AnswerId::of(id))
    }
}

impl Reading {
    fn feed(&mut self, plain: &[u8]) {
        match self.media {
            Media::Events => {
                let _ = self.splitter.feed(plain, &mut self.documents);
            }
            Media::Json => self.documents.data(plain),
            Media::Lines => {
                let mut lines = plain.split(|byte| *byte == b'\n');
                if let Some(first) = lines.next() {
                    self.documents.data(first);
                }
                for line in lines {
                    self.documents.end();
                    self.documents.data(line);
                }
            }
            Media::Other => {}
        }
    }
}

impl Documents {
    fn end(&mut self) {
        self.tokenizer.reset();
        self.seen.usage.document_ended();
        if let Some(given) = &mut self.seen.given {
            given.document_ended();
        }
    }
}

impl Events for Documents {
    fn data(&mut self, piece: &[u8]) {
        self.tokenizer.feed(piece, &mut self.seen);
    }

    // Each event is a document of its own.
    fn ended(&mut self) -> ControlFlow<()> {
        self.end();
        ControlFlow::Continue(())
    }
}

impl Visit for All {
    fn open(&mut self, container: Container) {
        self.usage.open(container);
        if let Some(given) = &mut self.given {
            given.open(container);
        }
    }

    fn close(&mut self) {
        self.usage.close();
        if let Some(given) = &mut self.given {
            given.close();
        }
    }

    fn key(&mut self, key: &[u8]) {
        self.usage.key(key);
        if let Some(given) = &mut self.given {
            given.key(key);
        }
    }

    fn text_begins(&mut self) -> bool {
        self.is_answer_id = self.usage.text_begins();
        self.is_given = self.given.as_mut().is_some_and(GivenReader::text_begins);
        self.is_answer_id || self.is_given
    }

    fn text(&mut self, piece: &[u8], ends: bool) {
        if self.is_answer_id {
            self.usage.text(piece);
        }
        if self.is_given
            && let Some(given) = &mut self.given
        {
            given.text(piece, ends);
        }
    }

    fn scalar(&mut self, raw: &[u8]) {
        self.usage.scalar(raw);
    }
}

/// What a usage number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    /// The prompt with its cached part (OpenAI, Gemini, Ollama).
    PromptWhole,
    /// `input_tokens`: the prompt whole (responses), or without its cached part (messages).
    Input,
    /// Cached tokens as part of the prompt.
    Cached,
    /// DeepSeek: the part of the prompt that is not cached.
    Missed,
    /// Written to the cache, as part of the prompt.
    Written,
    /// Anthropic: read from cache, not in `input_tokens`.
    CacheRead,
    /// Anthropic: written to cache, not in `input_tokens`.
    CacheWritten,
    Output,
    /// Gemini: generated, and not in the other output count.
    Thoughts,
}

/// How many counts there are.
const COUNTS: usize = Count::Thoughts as usize + 1;

/// What a container is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Gemini's outer array of answers.
    Elements,
    /// The answer, or an event.
    Top,
    /// An object of the answer in which its usage stands: `message`, `response`.
    Wrapper,
    Choices,
    Choice,
    Usage,
    /// An object in the usage that holds further counts.
    Details,
    #[default]
    Other,
}

/// What the last key names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Named {
    #[default]
    Other,
    Usage,
    Wrapper,
    Choices,
    Id,
    Details,
    Count(Count),
}

#[derive(Debug, Default)]
struct Seen {
    places: [Place; TRACKED_DEPTH],
    depth: usize,
    field: Named,
    counts: [Option<u64>; COUNTS],
    /// The id of the answer, or of the response in an event.
    id: Vec<u8>,
}

impl Seen {
    fn usage(&self) -> Option<Usage> {
        let get = |count: Count| self.counts[count as usize];
        let sum = |counts: [Count; 2]| {
            let [one, two] = counts.map(get);
            one.unwrap_or(0).saturating_add(two.unwrap_or(0))
        };
        let beside = sum([Count::CacheRead, Count::CacheWritten]);
        let prompt = match (get(Count::PromptWhole), get(Count::Input)) {
            (Some(whole), _) => whole,
            // Anthropic states the three parts apart.
            (None, Some(input)) => input.saturating_add(beside),
            (None, None) => {
                get(Count::Missed)?;
                sum([Count::Cached, Count::Missed])
            }
        };
        Some(Usage {
            prompt,
            cached: get(Count::Cached)
                .or(get(Count::CacheRead))
                .unwrap_or_default(),
            written: get(Count::Written)
                .or(get(Count::CacheWritten))
                .unwrap_or_default(),
            output: sum([Count::Output, Count::Thoughts]),
        })
    }

    /// Takes a number. Zero does not replace what was stated before: some gateways in front of
    /// Anthropic's API end a stream with counts of which only the output is filled in.
    fn state(&mut self, count: Count, raw: &[u8]) {
        let number = std::str::from_utf8(raw)
            .ok()
            .and_then(|text| text.parse().ok());
        let slot = &mut self.counts[count as usize];
        match number {
            Some(0) => {
                slot.get_or_insert(0);
            }
            Some(_) => *slot = number,
            None => {}
        }
    }

    fn document_ended(&mut self) {
        self.depth = 0;
        self.field = Named::Other;
    }

    fn here(&self) -> Place {
        self.depth
            .checked_sub(1)
            .and_then(|at| self.places.get(at))
            .copied()
            .unwrap_or_default()
    }
}

/// As [`Visit`], which asks for all of them.
impl Seen {
    fn open(&mut self, container: Container) {
        let place = if self.depth == 0 {
            match container {
                Container::Object => Place::Top,
                Container::Array => Place::Elements,
            }
        } else {
            match (self.here(), self.field) {
                (Place::Elements, _) => Place::Top,
                (Place::Top | Place::Wrapper | Place::Choice, Named::Usage) => Place::Usage,
                (Place::Top, Named::Wrapper) => Place::Wrapper,
                (Place::Top, Named::Choices) => Place::Choices,
                (Place::Choices, _) => Place::Choice,
                (Place::Usage, Named::Details) => Place::Details,
                _ => Place::Other,
            }
        };
        if let Some(slot) = self.places.get_mut(self.depth) {
            *slot = place;
        }
        self.depth += 1;
        self.field = Named::Other;
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.field = Named::Other;
    }

    fn key(&mut self, key: &[u8]) {
        self.field = match self.here() {
            Place::Other | Place::Elements | Place::Choices => Named::Other,
            Place::Top => match key {
                b"usage" | b"usageMetadata" | b"meta" => Named::Usage,
                b"message" | b"response" | b"delta" | b"x_groq" => Named::Wrapper,
                b"choices" => Named::Choices,
                b"id" => Named::Id,
                b"prompt_eval_count" => Named::Count(Count::PromptWhole),
                b"eval_count" => Named::Count(Count::Output),
                _ => Named::Other,
            },
            Place::Wrapper => match key {
                b"usage" | b"usageMetadata" | b"meta" => Named::Usage,
                b"id" => Named::Id,
                _ => Named::Other,
            },
            Place::Choice if key == b"usage" => Named::Usage,
            Place::Choice => Named::Other,
            Place::Usage => match key {
                b"prompt_tokens" | b"promptTokenCount" => Named::Count(Count::PromptWhole),
                b"input_tokens" => Named::Count(Count::Input),
                b"cached_tokens" | b"prompt_cache_hit_tokens" | b"cachedContentTokenCount" => {
                    Named::Count(Count::Cached)
                }
                b"prompt_cache_miss_tokens" => Named::Count(Count::Missed),
                b"cache_write_tokens" => Named::Count(Count::Written),
                b"cache_read_input_tokens" => Named::Count(Count::CacheRead),
                b"cache_creation_input_tokens" => Named::Count(Count::CacheWritten),
                b"completion_tokens"
                | b"output_tokens"
                | b"candidatesTokenCount"
                | b"responseTokenCount" => Named::Count(Count::Output),
                b"thoughtsTokenCount" => Named::Count(Count::Thoughts),
                b"prompt_tokens_details"
                | b"input_tokens_details"
                | b"input_token_details"
                | b"tokens" => Named::Details,
                _ => Named::Other,
            },
            // What stands here is part of the prompt, whatever it is called.
            Place::Details => match key {
                b"cached_tokens" => Named::Count(Count::Cached),
                b"cache_write_tokens" | b"cache_creation_input_tokens" => {
                    Named::Count(Count::Written)
                }
                b"input_tokens" => Named::Count(Count::Input),
                b"output_tokens" => Named::Count(Count::Output),
                _ => Named::Other,
            },
        };
    }

    fn text_begins(&mut self) -> bool {
        let wanted = self.field == Named::Id && !self.id.starts_with(RESPONSE_ID);
        if wanted {
            self.id.clear();
        }
        wanted
    }

    fn text(&mut self, piece: &[u8]) {
        let room = MAX_ID - self.id.len();
        self.id.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    fn scalar(&mut self, raw: &[u8]) {
        if let Named::Count(count) = self.field {
            self.state(count, raw);
        }
    }
}

#[cfg(test)]
mod tests;
