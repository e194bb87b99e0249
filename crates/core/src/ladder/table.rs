//! The built-in rules, in order. Each was seen on the wire, read in a client's source or in its
//! documentation; what must never be used stands here too.

use http::HeaderName;

use super::{Family, Mark, Place, Reading, Rule};

/// A session of a person's own scripts.
const OVERRIDE: Family = "override";
/// Claude Code's session, the same value in its header and in its body.
const CLAUDE: Family = "claude";
/// The session id of an agent that sends it under several names with the same value (Codex,
/// OpenCode, Crush, Kilo, pi, droid, kimi-code, Copilot CLI, Zed, Hermes).
const AGENT: Family = "agent";
/// Goose counts its sessions per day, so its values are short.
const GOOSE: Family = "goose";
const LITELLM: Family = "litellm";
const KILO: Family = "kilo";

/// A rule as the table states it.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// See [`Rule::number`].
    pub number: u8,
    /// Where it looks.
    pub place: At,
    family: Family,
    reading: Reading,
    may_be_shared: bool,
    /// The client that motivates it.
    pub client: &'static str,
}

/// Where a row of the table looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The header of that name.
    Header(&'static str),
    /// The string at that path.
    Body(&'static str),
    /// The answer that the string at that path names.
    AnswerInBody(&'static str),
    /// The answer that gave out the value of that header.
    AnswerInHeader(&'static str),
    /// The id after a mark in the prompt.
    Text(Mark),
    /// The content itself.
    Content,
}

impl Row {
    const fn new(number: u8, place: At, family: Family, client: &'static str) -> Self {
        Self {
            number,
            place,
            family,
            reading: Reading::Whole,
            may_be_shared: false,
            client,
        }
    }

    const fn reading(mut self, reading: Reading) -> Self {
        self.reading = reading;
        self
    }

    const fn may_be_shared(mut self) -> Self {
        self.may_be_shared = true;
        self
    }

    /// Its name in logs and in `why`.
    pub fn name(&self) -> String {
        match self.place {
            At::Header(name) | At::AnswerInHeader(name) => format!("header {name}"),
            At::Body(path) | At::AnswerInBody(path) => format!("body {path}"),
            At::Text(Mark::OpenClaw) => "sessionId= in the first user message".to_owned(),
            At::Text(Mark::Hermes) => "Session ID: in the system prompt".to_owned(),
            At::Content => "fingerprint".to_owned(),
        }
    }

    #[expect(clippy::expect_used, reason = "a test parses every path of the table")]
    /// The rule that it states.
    pub fn rule(&self) -> Rule {
        let path = |text: &str| text.parse().expect("the paths of the table are valid");
        let place = match self.place {
            At::Header(name) => Place::Header(HeaderName::from_static(name)),
            At::AnswerInHeader(name) => Place::AnswerInHeader(HeaderName::from_static(name)),
            At::Body(text) => Place::Body(path(text)),
            At::AnswerInBody(text) => Place::AnswerInBody(path(text)),
            At::Text(mark) => Place::Text(mark),
            At::Content => Place::Content,
        };
        Rule {
            number: Some(self.number),
            name: self.name().into(),
            family: self.family,
            place,
            reading: self.reading,
            at: None,
            may_be_shared: self.may_be_shared,
        }
    }
}

const fn header(number: u8, name: &'static str, family: Family, client: &'static str) -> Row {
    Row::new(number, At::Header(name), family, client)
}

const fn body(number: u8, path: &'static str, family: Family, client: &'static str) -> Row {
    Row::new(number, At::Body(path), family, client)
}

/// First hit wins.
pub static LADDER: &[Row] = &[
    header(0, "x-lb-session", OVERRIDE, "your own scripts"),
    header(
        1,
        "x-claude-code-session-id",
        CLAUDE,
        "Claude Code since 2.1.86",
    ),
    body(2, "metadata.user_id", CLAUDE, "Claude Code, all versions").reading(Reading::ClaudeUser),
    header(3, "session-id", AGENT, "Codex, OpenCode (provider openai)"),
    header(4, "session_id", AGENT, "older Codex, pi, Roo, Hermes"),
    header(
        5,
        "x-opencode-session",
        AGENT,
        "OpenCode (providers opencode-…), Goose, Hermes",
    ),
    header(6, "x-session-affinity", AGENT, "OpenCode, Crush, Kilo, pi").may_be_shared(),
    header(
        7,
        "x-session-id",
        AGENT,
        "OpenCode, Crush, Kilo, OpenRouter users",
    )
    .may_be_shared(),
    header(8, "x-affinity", "vibe", "Mistral Vibe"),
    header(9, "agent-session-id", GOOSE, "Goose since 2026-01"),
    header(9, "goose-session-id", GOOSE, "older Goose"),
    header(
        10,
        "x-litellm-session-id",
        LITELLM,
        "OpenHands, LiteLLM users",
    )
    .may_be_shared(),
    header(10, "x-litellm-trace-id", LITELLM, "LiteLLM users").may_be_shared(),
    header(11, "x-kilo-session", KILO, "Kilo Code"),
    header(11, "x-kilocode-taskid", KILO, "Kilo Code"),
    header(12, "x-grok-conv-id", "grok", "Hermes on Grok"),
    header(13, "x-amp-thread-id", "amp", "Amp"),
    header(14, "x-openwebui-chat-id", "openwebui", "Open WebUI"),
    header(15, "x-roo-task-id", "roo", "Roo Code"),
    header(15, "x-task-id", "cline", "Cline"),
    header(15, "x-client-session-id", "copilot", "Copilot").may_be_shared(),
    header(15, "x-interaction-id", "copilot-interaction", "Copilot"),
    header(15, "x-coder-chat-id", "coder", "Coder"),
    header(15, "x-mux-workspace-id", "mux", "Mux").may_be_shared(),
    header(
        16,
        "x-conversation-id",
        "conversation",
        "LibreChat template",
    )
    .may_be_shared(),
    header(16, "x-thread-id", "thread", "other gateways' users").may_be_shared(),
    header(16, "thread-id", "thread", "Codex without a session id"),
    header(16, "x-chat-id", "chat", "other gateways' users").may_be_shared(),
    header(16, "x-bf-session-id", "bifrost", "Bifrost users").may_be_shared(),
    header(16, "x-smg-routing-key", "smg", "SGLang router users").may_be_shared(),
    body(17, "session_id", AGENT, "OpenRouter convention, Hermes").may_be_shared(),
    body(17, "sessionId", AGENT, "droid-style gateways").may_be_shared(),
    body(
        18,
        "prompt_cache_key",
        AGENT,
        "Codex, OpenCode, kimi-code, pi, droid, Copilot CLI, Zed",
    )
    .reading(Reading::NoContentHash)
    .may_be_shared(),
    body(19, "client_metadata.session_id", AGENT, "Codex"),
    body(
        20,
        "conversation.id",
        "conversation",
        "OpenAI Conversations",
    ),
    body(20, "conversation", "conversation", "OpenAI Conversations"),
    body(20, "conversation_id", "conversation", "many").may_be_shared(),
    body(20, "conversationId", "conversation", "api-key-lb 1.x users").may_be_shared(),
    body(20, "thread_id", "thread", "many").may_be_shared(),
    body(20, "chat_id", "chat", "many").may_be_shared(),
    body(20, "metadata.session_id", "metadata", "LiteLLM users").may_be_shared(),
    body(20, "metadata.conversation_id", "metadata", "many").may_be_shared(),
    body(20, "metadata.thread_id", "metadata", "many").may_be_shared(),
    body(
        20,
        "metadata.sessionId",
        "metadata",
        "Qwen Code on DashScope",
    )
    .may_be_shared(),
    body(20, "litellm_session_id", LITELLM, "LiteLLM users").may_be_shared(),
    body(20, "metadata.litellm_session_id", LITELLM, "LiteLLM users").may_be_shared(),
    body(20, "litellm_metadata.session_id", LITELLM, "LiteLLM users").may_be_shared(),
    body(
        20,
        "messages[].custom_fields.session_id",
        "custom_fields",
        "api-key-lb 1.x users",
    )
    .may_be_shared(),
    body(
        20,
        "messages[].metadata.session_id",
        "message metadata",
        "api-key-lb 1.x users",
    )
    .may_be_shared(),
    body(
        21,
        "metadata.user_id",
        AGENT,
        "kimi-code and kimi-cli on messages",
    )
    .reading(Reading::SessionLike)
    .may_be_shared(),
    header(22, "x-client-request-id", AGENT, "pi, Codex, Hermes").reading(Reading::SessionOfAgent),
    Row::new(
        23,
        At::AnswerInBody("previous_response_id"),
        "answer",
        "users of stored responses",
    ),
    Row::new(
        23,
        At::AnswerInHeader("x-codex-turn-state"),
        "answer",
        "Codex",
    ),
    Row::new(24, At::Text(Mark::OpenClaw), "openclaw", "OpenClaw"),
    Row::new(
        24,
        At::Text(Mark::Hermes),
        "hermes",
        "Hermes with --pass-session-id",
    ),
    Row::new(25, At::Content, "fingerprint", "every client without an id"),
];

/// What looks like an id and is none: the same for all sessions of a person or a machine, or
/// fresh for every request. No rule may read these; a test holds the table against them.
pub static NEVER: &[(&str, &str)] = &[
    ("user", "a user, so all of their chats"),
    ("x-request-id", "fresh for every request"),
    ("idempotency-key", "fresh for every request"),
    ("x-interaction-type", "a kind of request"),
    ("traceparent", "fresh for every request (OpenClaw)"),
    ("x-gemini-api-privileged-user-id", "an installation"),
    ("x-msh-device-id", "a device"),
    ("device_id", "a device"),
    ("installation_id", "an installation"),
    ("x-codex-window-id", "its counter grows within a session"),
    ("turn_id", "one turn"),
    ("x-stainless-retry-count", "about the SDK"),
    ("authorization", "one key for all sessions"),
    ("x-api-key", "one key for all sessions"),
];

/// Headers that name a sub-agent within a session.
pub static AGENTS: &[&str] = &[
    "x-claude-code-agent-id",
    // Codex: the thread; a sub-agent's differs from the session.
    "thread-id",
];

/// Headers that name the session a new one was begun from, and the family of that id.
pub static PARENTS: &[(&str, Family)] = &[
    ("x-parent-session-id", AGENT),
    ("x-kilocode-parent-taskid", KILO),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_of_the_table_can_be_built_and_they_are_in_order() {
        let numbers: Vec<u8> = LADDER.iter().map(|row| row.number).collect();
        assert!(numbers.is_sorted());
        assert_eq!((numbers[0], numbers[numbers.len() - 1]), (0, 25));
        for number in 0..=25 {
            assert!(numbers.contains(&number), "rule {number} is missing");
        }
        for row in LADDER {
            assert_eq!(row.rule().name.as_ref(), row.name());
        }
    }

    #[test]
    fn no_rule_reads_what_is_no_session() {
        for row in LADDER {
            let (At::Header(name)
            | At::Body(name)
            | At::AnswerInHeader(name)
            | At::AnswerInBody(name)) = row.place
            else {
                continue;
            };
            let last = name.rsplit('.').next().unwrap();
            for (never, why) in NEVER {
                assert_ne!(last, *never, "{why}");
            }
        }
    }
}
