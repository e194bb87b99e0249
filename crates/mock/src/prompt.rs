//! The prompt of a request as canonical text: its size in tokens and its chain of block hashes.
//!
//! Nothing is concatenated: text is hashed as it is walked, so a 100 MB conversation costs one
//! pass and one block of memory.

use serde_json::Value;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Bytes of text per token: the usual rule of thumb for English.
const BYTES_PER_TOKEN: usize = 4;
/// Between two pieces of text, so that `["ab","c"]` and `["a","bc"]` differ.
const SEPARATOR: &[u8] = b"\n";
/// Marks a prompt, or a part of one, that may differ without changing what the model reads.
const IGNORED_MEMBER: &str = "cache_control";
/// Parts whose content is binary: they enter the prompt by hash, as megabytes of base64 are not
/// text tokens.
const BINARY_PARTS: [&str; 10] = [
    "image",
    "image_url",
    "input_image",
    "input_audio",
    "input_file",
    "document",
    "file",
    "inlineData",
    "inline_data",
    "fileData",
];

/// What the limits, the cache and the answer need to know about a prompt.
#[derive(Debug, Clone)]
pub(crate) struct Prompt {
    /// Size in tokens, rounded up.
    pub(crate) tokens: u64,
    /// Hash of each complete block; each covers all text before it and the model.
    pub(crate) blocks: Vec<u64>,
    /// Hash of the whole prompt: the seed of the answer.
    pub(crate) seed: u64,
}

/// Hashes text in blocks, each block seeded with the hash of the one before.
#[derive(Debug)]
pub(crate) struct PromptHasher {
    block_bytes: usize,
    open: Vec<u8>,
    bytes: u64,
    previous: u64,
    blocks: Vec<u64>,
}

impl PromptHasher {
    /// `block_tokens` is the size of a cache block; the model separates caches.
    pub(crate) fn new(model: &str, block_tokens: usize) -> Self {
        let block_bytes = block_tokens.max(1) * BYTES_PER_TOKEN;
        Self {
            block_bytes,
            open: Vec::with_capacity(block_bytes),
            bytes: 0,
            previous: xxh3_64(model.as_bytes()),
            blocks: Vec::new(),
        }
    }

    fn bytes(&mut self, mut text: &[u8]) {
        self.bytes += text.len() as u64;
        while !text.is_empty() {
            let room = self.block_bytes - self.open.len();
            let (now, later) = text.split_at(room.min(text.len()));
            self.open.extend_from_slice(now);
            text = later;
            if self.open.len() == self.block_bytes {
                self.previous = xxh3_64_with_seed(&self.open, self.previous);
                self.blocks.push(self.previous);
                self.open.clear();
            }
        }
    }

    /// Adds one piece of text.
    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
        self.bytes(SEPARATOR);
    }

    /// Adds everything a JSON value says: member names and scalars, in a stable order.
    pub(crate) fn value(&mut self, value: &Value) {
        match value {
            Value::Null => {}
            Value::Bool(flag) => self.text(if *flag { "true" } else { "false" }),
            Value::Number(number) => self.text(&number.to_string()),
            Value::String(text) => self.text(text),
            Value::Array(items) => items.iter().for_each(|item| self.value(item)),
            Value::Object(members) => {
                // Sorted here: serde_json keeps or sorts the order depending on a feature that any
                // crate of the workspace may switch on.
                let mut members: Vec<_> = members.iter().collect();
                members.sort_unstable_by_key(|(name, _)| *name);
                for (name, member) in members {
                    if name != IGNORED_MEMBER {
                        self.text(name);
                        self.value(member);
                    }
                }
            }
        }
    }

    /// Adds message content: a string, or parts of which text parts count as their text.
    pub(crate) fn content(&mut self, content: &Value) {
        let Value::Array(parts) = content else {
            return self.value(content);
        };
        for part in parts {
            let kind = part.get("type").and_then(Value::as_str);
            if let Some(text) = part.get("text").and_then(Value::as_str) {
                self.text(text);
            } else if is_binary(part, kind) {
                self.text(&format!("{:016x}", xxh3_64(part.to_string().as_bytes())));
            } else {
                self.value(part);
            }
        }
    }

    /// Adds one message: its role, its content, then whatever else it carries (tool calls, ids).
    pub(crate) fn message(&mut self, message: &Value) {
        let Value::Object(members) = message else {
            return self.content(message);
        };
        let mut members: Vec<_> = members.iter().collect();
        members.sort_unstable_by_key(|(name, _)| *name);
        if let Some(role) = message.get("role").and_then(Value::as_str) {
            self.text(role);
        }
        for (name, member) in members {
            match name.as_str() {
                "role" | IGNORED_MEMBER => {}
                "content" | "parts" => self.content(member),
                _ => {
                    self.text(name);
                    self.value(member);
                }
            }
        }
    }

    /// Adds a list of messages; a lone string or object counts as a list of one.
    pub(crate) fn messages(&mut self, messages: Option<&Value>) {
        match messages {
            Some(Value::Array(items)) => items.iter().for_each(|item| self.message(item)),
            Some(item) => self.message(item),
            None => {}
        }
    }

    pub(crate) fn finish(self) -> Prompt {
        Prompt {
            tokens: self.bytes.div_ceil(BYTES_PER_TOKEN as u64),
            seed: xxh3_64_with_seed(&self.open, self.previous),
            blocks: self.blocks,
        }
    }
}

fn is_binary(part: &Value, kind: Option<&str>) -> bool {
    match kind {
        Some(kind) => BINARY_PARTS.contains(&kind),
        None => BINARY_PARTS.iter().any(|member| part.get(member).is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn prompt(messages: Value) -> Prompt {
        let mut hasher = PromptHasher::new("m", 4);
        hasher.messages(Some(&messages));
        hasher.finish()
    }

    #[test]
    fn a_continued_conversation_keeps_its_blocks() {
        let first = json!([{"role": "user", "content": "tell me a long story about a fox"}]);
        let mut next = first.as_array().unwrap().clone();
        next.push(json!({"role": "assistant", "content": "once upon a time"}));
        let (first, next) = (prompt(first), prompt(Value::Array(next)));
        assert!(first.blocks.len() >= 2);
        assert_eq!(first.blocks[..], next.blocks[..first.blocks.len()]);
        assert_ne!(first.seed, next.seed);
    }

    #[test]
    fn cache_control_does_not_change_the_prompt() {
        let bare = json!([{"role": "user", "content": [{"type": "text", "text": "hello there"}]}]);
        let marked = json!([{"role": "user", "content": [
            {"type": "text", "text": "hello there", "cache_control": {"type": "ephemeral"}}]}]);
        assert_eq!(prompt(bare).seed, prompt(marked).seed);
    }

    #[test]
    fn an_early_change_changes_every_later_block() {
        let text = "x".repeat(200);
        let one = prompt(json!([{"role": "user", "content": format!("a{text}")}]));
        let two = prompt(json!([{"role": "user", "content": format!("b{text}")}]));
        assert!(
            one.blocks
                .iter()
                .zip(&two.blocks)
                .all(|(one, two)| one != two)
        );
    }

    #[test]
    fn an_image_is_not_counted_as_text() {
        let url = format!("data:image/png;base64,{}", "A".repeat(100_000));
        let image = json!([{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": url}}]}]);
        assert!(prompt(image).tokens < 20);
    }
}
