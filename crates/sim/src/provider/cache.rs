//! The prompt cache of one account and model: prefix blocks, with a time to live and a capacity.

use std::num::NonZeroUsize;

use lru::LruCache;
use serde::{Deserialize, Serialize};

/// What a provider's prompt cache is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheSpec {
    /// How long a block stays after the start of the last request that used it.
    pub ttl_ms: u64,
    /// Blocks held for one account and model; the least recently used goes first.
    pub capacity_blocks: usize,
    /// Below so many tokens nothing is read from it.
    pub minimum_tokens: u64,
}

impl Default for CacheSpec {
    fn default() -> Self {
        Self {
            // Anthropic's and DashScope's explicit caches; OpenAI's is as short at worst.
            ttl_ms: 300_000,
            capacity_blocks: 1 << 20,
            // OpenAI's, and that of most models of Anthropic.
            minimum_tokens: 1024,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Block {
    /// Start of the last request that used it.
    used: u64,
    /// From when it can be read: when the answer that wrote it began.
    ready: u64,
}

#[derive(Debug)]
pub(super) struct Cache {
    blocks: LruCache<u64, Block>,
    ttl: u64,
}

impl Cache {
    pub(super) fn new(spec: &CacheSpec) -> Self {
        let capacity = NonZeroUsize::new(spec.capacity_blocks).unwrap_or(NonZeroUsize::MIN);
        let mut blocks = LruCache::unbounded();
        blocks.resize(capacity);
        Self {
            blocks,
            ttl: spec.ttl_ms,
        }
    }

    /// How many of the first blocks of a prompt can be read at `now`.
    pub(super) fn warm(&self, prompt: &[u64], now: u64) -> usize {
        let is_warm = |id: &&u64| {
            let block = self.blocks.peek(*id);
            block.is_some_and(|block| block.ready <= now && now - block.used <= self.ttl)
        };
        prompt.iter().take_while(is_warm).count()
    }

    /// A request that came at `now` uses and writes its prompt; its answer begins at `ready`.
    pub(super) fn write(&mut self, prompt: &[u64], now: u64, ready: u64) {
        // The last block first: what goes first must be the end of a prefix, not its beginning.
        for id in prompt.iter().rev() {
            let ready = match self.blocks.peek(id) {
                Some(known) if now - known.used <= self.ttl => known.ready.min(ready),
                _ => ready,
            };
            self.blocks.put(*id, Block { used: now, ready });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(ttl_ms: u64, capacity_blocks: usize) -> Cache {
        Cache::new(&CacheSpec {
            ttl_ms,
            capacity_blocks,
            minimum_tokens: 0,
        })
    }

    #[test]
    fn a_prefix_is_warm_once_its_answer_has_begun_and_until_it_is_old() {
        let mut cache = cache(100, 10);
        cache.write(&[1, 2, 3], 0, 20);
        assert_eq!(cache.warm(&[1, 2, 3], 19), 0);
        assert_eq!(cache.warm(&[1, 2, 4], 20), 2);
        assert_eq!(cache.warm(&[1, 2, 3], 100), 3);
        assert_eq!(cache.warm(&[1, 2, 3], 101), 0);
    }

    #[test]
    fn use_keeps_it_counted_from_the_start_of_the_request() {
        let mut cache = cache(100, 10);
        cache.write(&[1, 2], 0, 20);
        cache.write(&[1, 2, 3], 90, 120);
        assert_eq!(cache.warm(&[1, 2, 3], 110), 2, "the third is being written");
        assert_eq!(cache.warm(&[1, 2, 3], 190), 3);
        assert_eq!(cache.warm(&[1, 2, 3], 191), 0);
    }

    #[test]
    fn the_ends_of_the_oldest_prompts_go_first() {
        let mut cache = cache(100, 4);
        cache.write(&[1, 2, 3], 0, 0);
        cache.write(&[4, 5], 1, 1);
        assert_eq!(cache.warm(&[1, 2, 3], 2), 2);
        assert_eq!(cache.warm(&[4, 5], 2), 2);
    }
}
