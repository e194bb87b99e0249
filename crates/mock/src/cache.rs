//! The prompt cache of one account: block hashes with their last use.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Share of the entries thrown out when the cache is full: one sorted pass per so many inserts
/// keeps eviction cheap without a linked list.
const EVICTED_SHARE: usize = 8;

/// Prompt blocks an account has seen. A block's hash covers everything before it, so one lookup
/// per block finds the longest cached prefix.
#[derive(Debug, Default)]
pub(crate) struct PromptCache {
    blocks: HashMap<u64, Instant>,
}

impl PromptCache {
    /// How many leading blocks are cached at `now`.
    pub(crate) fn prefix(&self, blocks: &[u64], now: Instant, ttl: Duration) -> usize {
        let alive = |block: &&u64| {
            self.blocks
                .get(*block)
                .is_some_and(|used| now.saturating_duration_since(*used) <= ttl)
        };
        blocks.iter().take_while(alive).count()
    }

    /// Marks the blocks as used at `start`, the start of the request that sent them.
    pub(crate) fn touch(&mut self, blocks: &[u64], start: Instant, ttl: Duration, capacity: usize) {
        for block in blocks {
            let used = self.blocks.entry(*block).or_insert(start);
            *used = start.max(*used);
        }
        if self.blocks.len() > capacity {
            self.blocks
                .retain(|_, used| start.saturating_duration_since(*used) <= ttl);
        }
        if self.blocks.len() > capacity {
            let surplus = self.blocks.len() - capacity + capacity / EVICTED_SHARE;
            let mut ages: Vec<(Instant, u64)> = self
                .blocks
                .iter()
                .map(|(block, used)| (*used, *block))
                .collect();
            let last = ages.len() - 1;
            ages.select_nth_unstable(surplus.min(last));
            for (_, block) in ages.iter().take(surplus) {
                self.blocks.remove(block);
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.blocks.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(300);

    #[test]
    fn only_an_unbroken_prefix_counts() {
        let (mut cache, now) = (PromptCache::default(), Instant::now());
        cache.touch(&[1, 2, 4], now, TTL, 100);
        assert_eq!(cache.prefix(&[1, 2, 3, 4], now, TTL), 2);
    }

    #[test]
    fn use_extends_the_life_of_a_block() {
        let (mut cache, now) = (PromptCache::default(), Instant::now());
        cache.touch(&[1], now, TTL, 100);
        cache.touch(&[1], now + TTL, TTL, 100);
        assert_eq!(cache.prefix(&[1], now + TTL * 2, TTL), 1);
        let late = now + TTL * 2 + Duration::from_millis(1);
        assert_eq!(cache.prefix(&[1], late, TTL), 0);
    }

    #[test]
    fn a_full_cache_drops_the_blocks_unused_for_longest() {
        let (mut cache, now) = (PromptCache::default(), Instant::now());
        for second in 0..40 {
            cache.touch(&[second], now + Duration::from_secs(second), TTL, 16);
            assert!(cache.blocks.len() <= 16);
        }
        let end = now + Duration::from_secs(40);
        assert_eq!(cache.prefix(&[39], end, TTL), 1);
        assert_eq!(cache.prefix(&[0], end, TTL), 0);
    }
}
