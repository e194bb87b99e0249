//! The proxy's own log as requests to simulate: its sessions become prefixes that grow.

use std::collections::HashMap;
use std::io::{self, BufRead, Read as _};
use std::sync::Arc;
use std::time::Duration;

use api_key_lb_control::ledger::Entry;
use api_key_lb_sim::provider::Latency;
use api_key_lb_sim::request::{BLOCK_TOKENS, Request, TOKEN_BYTES};
use serde::Serialize;

/// Longest line that is looked at; what the proxy writes is a tenth of it.
const LONGEST_LINE: u64 = 16 << 10;
/// A line whose time is so much before that of the line before is of the next day: lines are
/// written as requests end, so they are never far out of order.
const DAY_TURNS: Duration = Duration::from_hours(12);
const DAY: Duration = Duration::from_hours(24);
/// Times of day are written to the second: what ended so shortly after the next one began may have
/// ended before it.
const PRECISION_MS: u64 = 1000;
/// Most tokens of an answer that its duration is taken for.
const MOST_OUTPUT: u64 = 64_000;
/// Most conversations of one session that are told apart: a long one beside titles and sub-agents.
const MOST_STRANDS: usize = 16;
/// The first block ids of what all conversations begin with; all others count from 1.
const COMMON_IDS: u64 = 1 << 40;
/// What is asked besides conversations, and is not generated.
const NO_GENERATION: [&str; 3] = ["/count_tokens", "/embeddings", "/models"];

/// How much of a log could be used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Usable {
    /// Lines about requests.
    pub(crate) lines: usize,
    /// Those that are simulated.
    pub(crate) used: usize,
    /// Those of them whose tokens were estimated from their bytes.
    pub(crate) estimated: usize,
    /// Those without a count of tokens.
    pub(crate) uncounted: usize,
    /// Those that were not answered: refused, failed or left by their clients.
    pub(crate) unanswered: usize,
    /// Those that did without trouble; a log of problems has none.
    #[serde(skip)]
    pub(crate) smooth: usize,
}

impl Usable {
    /// How much that is, in words.
    pub(crate) fn text(&self) -> String {
        let mut remarks = Vec::new();
        let mut remark = |number: usize, what: &str| {
            if number > 0 {
                remarks.push(format!("{number} {what}"));
            }
        };
        remark(self.uncounted, "had no token counts");
        remark(self.unanswered, "were not answered");
        remark(self.estimated, "were estimated from their bytes");
        let remarks = match remarks.as_slice() {
            [] => String::new(),
            remarks => format!(": {}", remarks.join(", ")),
        };
        format!(
            "{} of {} lines could be used{remarks}",
            self.used, self.lines
        )
    }
}

/// The requests that a log tells of, in order of time.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn read(input: impl BufRead) -> io::Result<(Vec<Request>, Usable)> {
    let mut usable = Usable::default();
    let entries = entries(input, &mut usable)?;
    let requests = Maker::of(&entries).requests(&entries);
    usable.used = requests.len();
    Ok((requests, usable))
}

/// One line that can be used.
#[derive(Clone, Copy, Debug)]
struct Line {
    began_ms: u64,
    ended_ms: u64,
    session: Option<u32>,
    prompt: u64,
    cached: u64,
    output: u64,
}

fn entries(mut input: impl BufRead, usable: &mut Usable) -> io::Result<Vec<Line>> {
    let (mut lines, mut text) = (Vec::new(), Vec::new());
    let output_per_s = Latency::default().output_per_s;
    // The first day is left free: what ended on the second may have begun on it.
    let (mut day, mut before) = (DAY, Duration::ZERO);
    loop {
        text.clear();
        let read = (&mut input)
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut text)?;
        if read == 0 {
            return Ok(lines);
        }
        let Some(entry) = Entry::parse(&String::from_utf8_lossy(&text)) else {
            continue;
        };
        if entry.ended + DAY_TURNS < before {
            day += DAY;
        }
        before = entry.ended;
        if NO_GENERATION.iter().any(|end| entry.path.ends_with(end)) {
            continue;
        }
        usable.lines += 1;
        let answered = entry
            .status
            .is_some_and(|status| (200..300).contains(&status));
        if entry.own_answer || !answered {
            usable.unanswered += 1;
            continue;
        }
        let (prompt, cached) = match (entry.tokens, entry.bytes) {
            (Some((prompt, percent)), _) => (prompt, prompt * u64::from(percent) / 100),
            (None, Some(bytes)) => {
                usable.estimated += 1;
                (bytes / TOKEN_BYTES, 0)
            }
            (None, None) => {
                usable.uncounted += 1;
                continue;
            }
        };
        usable.smooth += usize::from(entry.complete && !entry.retried);
        let ended = day + entry.ended;
        let generated = entry.took.saturating_sub(entry.first_byte);
        lines.push(Line {
            began_ms: millis(ended.saturating_sub(entry.took)),
            ended_ms: millis(ended),
            session: entry.session,
            prompt: prompt.max(1),
            cached,
            output: (millis(generated) * output_per_s / 1000).clamp(1, MOST_OUTPUT),
        });
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// One conversation of a session.
#[derive(Debug, Default)]
struct Strand {
    tokens: u64,
    /// Its full blocks.
    blocks: Vec<u64>,
}

#[derive(Debug, Default)]
struct Session {
    strands: Vec<Strand>,
    /// When its requests ended, and their rows.
    ended: Vec<(u64, usize)>,
}

#[derive(Debug)]
struct Maker {
    sessions: HashMap<u32, Session>,
    /// Blocks that all conversations begin with.
    common: usize,
    next_block: u64,
}

impl Maker {
    fn of(lines: &[Line]) -> Self {
        Self {
            sessions: HashMap::new(),
            common: common(lines),
            next_block: 0,
        }
    }

    fn requests(&mut self, lines: &[Line]) -> Vec<Request> {
        let mut lines = lines.to_vec();
        lines.sort_by_key(|line| line.began_ms);
        let start = lines.first().map_or(0, |line| line.began_ms);
        let requests = lines.iter().enumerate();
        requests
            .map(|(row, line)| self.request(row, line, start))
            .collect()
    }

    fn request(&mut self, row: usize, line: &Line, start: u64) -> Request {
        let mut session = line.session.and_then(|id| self.sessions.remove(&id));
        let before = session.iter().flat_map(|session| &session.ended);
        // Its client waited for the last answer that it had when it sent this request.
        let follows = before
            .filter(|(ended, _)| *ended <= line.began_ms + PRECISION_MS)
            .max_by_key(|(ended, _)| *ended)
            .copied();
        let session_state = session.get_or_insert_default();
        let blocks = self.blocks(session_state, line.prompt);
        session_state.ended.push((line.ended_ms, row));
        if let (Some(id), Some(state)) = (line.session, session) {
            self.sessions.insert(id, state);
        }
        let system_blocks = self.common.min(blocks.len());
        Request {
            at_ms: match follows {
                Some((ended, _)) => line.began_ms.saturating_sub(ended),
                None => line.began_ms - start,
            },
            follows: follows.map(|(_, row)| row),
            input_tokens: line.prompt,
            output_tokens: line.output,
            opening_blocks: (system_blocks + 1).min(blocks.len()),
            system_blocks,
            blocks,
            session: line.session.map(u64::from),
            ..Request::default()
        }
    }

    /// A prompt of so many tokens. It goes on with the longest conversation of its session that is
    /// no longer than itself: what is shorter was written anew, or is another conversation.
    fn blocks(&mut self, session: &mut Session, prompt: u64) -> Arc<[u64]> {
        let fitting = session.strands.iter().enumerate();
        let fitting = fitting.filter(|(_, strand)| strand.tokens <= prompt);
        let longest = fitting.max_by_key(|(_, strand)| strand.tokens);
        let mut strand = match longest.map(|(at, _)| at) {
            Some(at) => session.strands.remove(at),
            None => Strand::default(),
        };
        let full = usize::try_from(prompt / BLOCK_TOKENS).unwrap_or(usize::MAX);
        if strand.blocks.is_empty() && full >= self.common {
            strand.blocks = (COMMON_IDS..).take(self.common).collect();
        }
        while strand.blocks.len() < full {
            strand.blocks.push(self.block());
        }
        strand.tokens = prompt;
        let mut blocks = strand.blocks.clone();
        if !prompt.is_multiple_of(BLOCK_TOKENS) {
            // Not full, so what is in its place next turn is another one.
            blocks.push(self.block());
        }
        if session.strands.len() == MOST_STRANDS {
            session.strands.remove(0);
        }
        session.strands.push(strand);
        Arc::from(blocks)
    }

    const fn block(&mut self) -> u64 {
        self.next_block += 1;
        self.next_block
    }
}

/// Blocks of the system prompt: what the first requests of sessions found in the cache, in the
/// middle. A line does not say what its prompt begins with, and nothing else can have been there.
fn common(lines: &[Line]) -> usize {
    let mut seen = std::collections::HashSet::new();
    let first = |line: &&Line| line.session.is_some_and(|session| seen.insert(session));
    let mut cached: Vec<u64> = lines
        .iter()
        .filter(first)
        .map(|line| line.cached)
        .filter(|cached| *cached > 0)
        .collect();
    cached.sort_unstable();
    let middle = cached.get(cached.len() / 2).copied().unwrap_or(0);
    usize::try_from(middle / BLOCK_TOKENS).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> (Vec<Request>, Usable) {
        read(lines.join("\n").as_bytes()).unwrap()
    }

    fn line(at: &str, session: &str, took: &str, tokens: &str) -> String {
        format!(
            "{at} POST /v1/messages 200 key-1 home session {session} (x) {took} first byte 1.00s {tokens}"
        )
    }

    #[test]
    fn a_session_grows_and_its_turns_wait_for_the_answers_before() {
        let lines = [
            line("10:00:05", "0000000a", "5.00s", "10k tokens 0% cached"),
            line("10:00:16", "0000000a", "6.00s", "12k tokens 80% cached"),
            line("10:00:17", "0000000a", "7.00s", "600 tokens 0% cached"),
            line("10:00:30", "0000000a", "4.00s", "14k tokens 80% cached"),
        ];
        let (requests, usable) = of(&lines.each_ref().map(String::as_str));
        assert_eq!((usable.lines, usable.used), (4, 4));
        let follows: Vec<_> = requests.iter().map(|it| (it.follows, it.at_ms)).collect();
        assert_eq!(
            follows,
            [(None, 0), (Some(0), 5000), (Some(0), 5000), (Some(2), 9000)]
        );
        assert_eq!(requests[0].output_tokens, 4 * 80);
        let full = 10_000 / 512;
        assert_eq!(requests[0].blocks[..full], requests[1].blocks[..full]);
        assert_ne!(requests[0].blocks[full], requests[1].blocks[full]);
        assert_ne!(
            requests[2].blocks[0], requests[1].blocks[0],
            "a title is another prompt"
        );
        let full = 12_000 / 512;
        assert_eq!(requests[1].blocks[..full], requests[3].blocks[..full]);
        for request in &requests {
            assert_eq!(
                request.blocks.len() as u64,
                request.input_tokens.div_ceil(512)
            );
        }
    }

    #[test]
    fn what_first_requests_find_cached_is_what_all_begin_with() {
        let lines = [
            line("10:00:05", "0000000a", "5.00s", "10k tokens 0% cached"),
            line("10:00:15", "0000000b", "5.00s", "10k tokens 52% cached"),
            line("10:00:25", "0000000c", "5.00s", "300 tokens 0% cached"),
        ];
        let (requests, _) = of(&lines.each_ref().map(String::as_str));
        assert_eq!(requests[0].blocks[..10], requests[1].blocks[..10]);
        assert_ne!(requests[0].blocks[10], requests[1].blocks[10]);
        assert_eq!(
            (requests[1].system_blocks, requests[1].opening_blocks),
            (10, 11)
        );
        assert_eq!(requests[2].blocks.len(), 1);
    }

    #[test]
    fn a_log_goes_on_after_midnight() {
        let lines = [
            line("23:59:58", "0000000a", "5.00s", "10k tokens 0% cached"),
            line("00:00:03", "0000000b", "2.00s", "10k tokens 0% cached"),
        ];
        let (requests, _) = of(&lines.each_ref().map(String::as_str));
        assert_eq!([requests[0].at_ms, requests[1].at_ms], [0, 8000]);
        let (requests, _) = of(&[&line(
            "00:00:01",
            "0000000a",
            "60.00s",
            "1k tokens 0% cached",
        )]);
        assert_eq!(requests[0].at_ms, 0);
    }

    #[test]
    fn what_cannot_be_used_is_counted() {
        let good = line("10:00:05", "0000000a", "5.00s", "10k tokens 0% cached");
        let (requests, usable) = of(&[
            "api-key-lb listens on http://127.0.0.1:4577",
            &good,
            "10:00:06 POST /v1/messages 200 key-1 home session 0000000b (x) 1.00s",
            "10:00:06 POST /v1/messages 200 key-1 home session 0000000c (x) 1.00s 48k bytes",
            "10:00:06 POST /v1/messages 429 (own answer: throttled) session 0000000d 1.00s",
            "10:00:06 POST /v1/messages/count_tokens 200 key-1 session 0000000d 1.00s 48k bytes",
            "10:00:06 POST /v1/messages 1.00s client left",
        ]);
        assert_eq!(
            usable.text(),
            "2 of 5 lines could be used: 1 had no token counts, 2 were not answered, \
             1 were estimated from their bytes"
        );
        assert_eq!(requests[1].input_tokens, 12_000);
    }
}
