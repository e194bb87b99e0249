//! One request of a workload: when it comes, what its prompt consists of, how long its client waits.

use std::sync::Arc;

/// Tokens of a prefix block, as the public traces count them.
pub const BLOCK_TOKENS: u64 = 512;
/// Bytes of a token in a request body, roughly.
pub const TOKEN_BYTES: u64 = 4;
/// How long a client waits for the first byte unless it says otherwise: the shortest time of the
/// known clients.
pub const PATIENCE_MS: u64 = 60_000;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// When it comes: milliseconds since the start, or since the request that it follows was over.
    pub at_ms: u64,
    /// The request whose end its client waits for before it sends this one.
    pub follows: Option<usize>,
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Tokens that are generated.
    pub output_tokens: u64,
    /// The ids of the prompt's prefix blocks of [`BLOCK_TOKENS`]: two requests have their first `n`
    /// blocks in common exactly if their first `n` ids are equal.
    pub blocks: Arc<[u64]>,
    /// How many of the first blocks are the system prompt and the tools.
    pub system_blocks: usize,
    /// How many of the first blocks stand before the first reply of a model (or before what tells
    /// this conversation from all others, if it is not known who wrote what).
    pub opening_blocks: usize,
    /// The id that its client sends along.
    pub session: Option<u64>,
    /// The id of the session that its session was begun from.
    pub parent: Option<u64>,
    /// The model.
    pub model: u32,
    /// How long its client waits for the first byte.
    pub patience_ms: u64,
    /// When its client loses interest, counted from when it came.
    pub leaves_after_ms: Option<u64>,
    /// Whether it may be sent again after it may have had an effect.
    pub repeatable: bool,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            at_ms: 0,
            follows: None,
            input_tokens: 0,
            output_tokens: 0,
            blocks: Arc::new([]),
            system_blocks: 0,
            opening_blocks: 0,
            session: None,
            parent: None,
            model: 0,
            patience_ms: PATIENCE_MS,
            leaves_after_ms: None,
            repeatable: true,
        }
    }
}

impl Request {
    /// Bytes of its body.
    pub const fn bytes(&self) -> u64 {
        self.input_tokens * TOKEN_BYTES
    }

    /// The tokens that its first `blocks` blocks hold. The last block need not be full.
    pub const fn tokens_of(&self, blocks: usize) -> u64 {
        let tokens = blocks as u64 * BLOCK_TOKENS;
        if tokens < self.input_tokens {
            tokens
        } else {
            self.input_tokens
        }
    }
}
