//! The requests: chat conversations as agents send them, without a session header, so that the
//! proxy has to read the body to recognise the conversation.

use std::fmt::Write as _;

/// Turns of a conversation that are sent in a cycle, each one exchange longer than the one before.
const TURNS: usize = 4;
/// Bytes of an ordinary message in a long conversation, about what a tool's result has.
const LONG_MESSAGE_BYTES: usize = 2_000;
/// Bytes of an ordinary message in a short conversation.
const SHORT_MESSAGE_BYTES: usize = 60;
/// Bodies above this many bytes are long conversations.
const LONG_BODY_BYTES: usize = 64 * 1024;
/// Bytes of the system prompt that every conversation shares.
const SYSTEM_PROMPT_BYTES: usize = 600;

const WORDS: [&str; 24] = [
    "the",
    "function",
    "returns",
    "an",
    "error",
    "when",
    "file",
    "is",
    "missing",
    "so",
    "we",
    "check",
    "path",
    "first",
    "and",
    "then",
    "read",
    "it",
    "line",
    "by",
    "\\\"quoted\\\"",
    "value\\n",
    "naïve",
    "{ braces }",
];

/// One kind of traffic.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    /// Its name in the table.
    pub name: &'static str,
    /// Bytes of the body of the longest turn, about.
    pub body_bytes: usize,
    /// Whether the answer is an event stream.
    pub stream: bool,
}

/// What is measured.
pub const WORKLOADS: [Workload; 3] = [
    Workload {
        name: "2 KB chat",
        body_bytes: 2 * 1024,
        stream: false,
    },
    Workload {
        name: "256 KB chat",
        body_bytes: 256 * 1024,
        stream: false,
    },
    Workload {
        name: "SSE, 100 events",
        body_bytes: 2 * 1024,
        stream: true,
    },
];

/// The same bytes on every run: a comparison over time needs equal traffic.
struct Text(u64);

impl Text {
    fn next(&mut self) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize
    }

    /// At least `bytes` bytes of prose, already escaped for JSON.
    fn prose(&mut self, bytes: usize) -> String {
        let mut text = String::with_capacity(bytes + 16);
        while text.len() < bytes {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(WORDS[self.next() % WORDS.len()]);
        }
        text
    }
}

fn push_message(body: &mut String, role: &str, text: &str) {
    let _ = write!(body, r#",{{"role":"{role}","content":"{text}"}}"#);
}

/// The bodies of one conversation, turn after turn.
fn bodies(workload: Workload, conversation: usize) -> Vec<String> {
    let message_bytes = if workload.body_bytes > LONG_BODY_BYTES {
        LONG_MESSAGE_BYTES
    } else {
        SHORT_MESSAGE_BYTES
    };
    let mut shared = Text(0x9E37_79B9_7F4A_7C15);
    let mut own = Text(0xD1B5_4A32_D192_ED03 ^ (conversation as u64 + 1));
    let stream = if workload.stream {
        r#","stream":true,"stream_options":{"include_usage":true}"#
    } else {
        ""
    };
    let mut open = format!(
        r#"{{"model":"mock-large","temperature":0.2{stream},"messages":[{{"role":"system","content":"{}"}}"#,
        shared.prose(SYSTEM_PROMPT_BYTES)
    );
    push_message(
        &mut open,
        "user",
        &format!("{conversation}: {}", own.prose(message_bytes)),
    );
    // Every further exchange adds two messages and their envelopes.
    let exchange = 2 * message_bytes + 80;
    while open.len() + (TURNS - 1) * exchange + exchange < workload.body_bytes {
        push_message(&mut open, "assistant", &own.prose(message_bytes));
        push_message(&mut open, "user", &own.prose(message_bytes));
    }
    let mut turns = Vec::with_capacity(TURNS);
    for turn in 0..TURNS {
        if turn > 0 {
            push_message(&mut open, "assistant", &own.prose(message_bytes));
            push_message(&mut open, "user", &own.prose(message_bytes));
        }
        turns.push(format!("{open}]}}"));
    }
    turns
}

/// The requests of one conversation, whole, for a server that is addressed as `host`.
pub fn requests(workload: Workload, conversation: usize, host: &str) -> Vec<Vec<u8>> {
    let query = if workload.stream { "?stream=1" } else { "" };
    bodies(workload, conversation)
        .into_iter()
        .map(|body| {
            format!(
                "POST /v1/chat/completions{query} HTTP/1.1\r\n\
                 Host: {host}\r\n\
                 Accept: application/json\r\n\
                 Content-Type: application/json\r\n\
                 User-Agent: OpenAI/Python 2.0.0\r\n\
                 X-Stainless-Lang: python\r\n\
                 X-Stainless-Runtime: CPython\r\n\
                 X-Stainless-Retry-Count: 0\r\n\
                 Authorization: Bearer sk-placeholder-of-the-client\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_about_the_size_their_workload_says_and_grow_by_turn() {
        for workload in WORKLOADS {
            for body in bodies(workload, 7).windows(2) {
                assert!(body[0].len() < body[1].len());
                let prefix = &body[0][..body[0].len() - 2];
                assert!(body[1].starts_with(prefix), "a turn repeats the one before");
            }
            let last = bodies(workload, 7).pop().unwrap().len() as f64;
            let wanted = workload.body_bytes as f64;
            assert!(
                (0.85..1.1).contains(&(last / wanted)),
                "{} {last}",
                workload.name
            );
        }
    }
}
