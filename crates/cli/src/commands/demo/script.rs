//! What the agents of the demo say: deterministic conversations, long enough for a prompt cache.

use serde_json::{Value, json};

/// The agents, one conversation each. Five, because three keys taken in turn never fall on the
/// same conversation twice in a row then, as they would with six.
pub(super) const AGENTS: [&str; 5] = ["ada", "dennis", "grace", "linus", "margaret"];
/// Turns of each conversation.
pub(super) const TURNS: usize = 4;
/// The model asked for.
pub(super) const MODEL: &str = "mock-large";

/// Bytes of the system prompt all agents share, as the agents of one product do (some 1 150
/// tokens, above the 1 024 from which providers cache).
const SYSTEM_BYTES: usize = 4_600;
/// Bytes an agent reads before its first question (some 1 500 tokens).
const FIRST_BYTES: usize = 6_000;
/// Bytes each further turn adds, such as the output of a tool (some 600 tokens).
const TURN_BYTES: usize = 2_400;
/// Most tokens of an answer: its text is not the point.
const ANSWER_TOKENS: u32 = 24;

/// Multiplier and increment of Knuth's linear congruential generator (MMIX).
const LCG: (u64, u64) = (6_364_136_223_846_793_005, 1_442_695_040_888_963_407);

const WORDS: [&str; 32] = [
    "parser", "returns", "the", "buffer", "when", "socket", "closes", "and", "cache", "keeps",
    "every", "block", "that", "worker", "reads", "until", "test", "module", "writes", "state",
    "before", "lock", "is", "taken", "by", "another", "thread", "which", "then", "waits", "for",
    "commit",
];

/// One conversation as it grows.
#[derive(Debug)]
pub(super) struct Conversation {
    /// Who holds it; also its session id.
    pub(super) agent: &'static str,
    messages: Vec<Value>,
}

impl Conversation {
    /// The conversation up to its first question.
    pub(super) fn new(agent: &'static str) -> Self {
        let system = format!("You are a coding agent.\n{}", prose("system", SYSTEM_BYTES));
        let first = format!("I am {agent}. Read this: {}", prose(agent, FIRST_BYTES));
        Self {
            agent,
            messages: vec![
                json!({"role": "system", "content": system}),
                json!({"role": "user", "content": first}),
            ],
        }
    }

    /// The request body that asks for the next answer.
    pub(super) fn request(&self) -> Vec<u8> {
        json!({"model": MODEL, "messages": self.messages, "max_tokens": ANSWER_TOKENS})
            .to_string()
            .into_bytes()
    }

    /// Takes the answer in and asks the next question.
    pub(super) fn go_on(&mut self, answer: &str) {
        let seed = format!("{} {}", self.agent, self.messages.len());
        let next = format!("The tool printed: {}", prose(&seed, TURN_BYTES));
        self.messages
            .push(json!({"role": "assistant", "content": answer}));
        self.messages.push(json!({"role": "user", "content": next}));
    }
}

/// About `bytes` bytes of text that is always the same for the same seed.
fn prose(seed: &str, bytes: usize) -> String {
    let mut state = seed.bytes().fold(LCG.1, |state, byte| {
        (state ^ u64::from(byte))
            .wrapping_mul(LCG.0)
            .wrapping_add(LCG.1)
    });
    let mut text = String::with_capacity(bytes + WORDS[0].len());
    while text.len() < bytes {
        state = state.wrapping_mul(LCG.0).wrapping_add(LCG.1);
        // The upper bits of such a generator are its good ones.
        let word = usize::try_from(state >> 59).unwrap_or_default() % WORDS.len();
        text.push_str(WORDS.get(word).copied().unwrap_or_default());
        text.push(' ');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_turn_begins_with_all_of_the_turn_before() {
        let mut conversation = Conversation::new("ada");
        let before = conversation.messages.clone();
        conversation.go_on("fine");
        assert_eq!(conversation.messages[..before.len()], before[..]);
        assert_eq!(conversation.messages.len(), before.len() + 2);
    }

    #[test]
    fn agents_share_the_system_prompt_and_nothing_else() {
        let [ada, grace] = ["ada", "grace"].map(Conversation::new);
        assert_eq!(ada.messages[0], grace.messages[0]);
        assert_ne!(ada.messages[1], grace.messages[1]);
    }
}
