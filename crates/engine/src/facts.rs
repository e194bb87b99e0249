//! The bounded queue from the workers to whoever counts and logs; it drops and counts, never blocks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use api_key_lb_core::fact::Fact;

/// Facts kept while nobody takes them: some 10 MB, minutes of a busy machine.
const MOST: usize = 16_384;

/// Facts about ended requests, oldest first.
#[derive(Debug, Default)]
pub struct FactQueue {
    facts: Mutex<Vec<Fact>>,
    arrived: Condvar,
    dropped: AtomicU64,
}

impl FactQueue {
    /// Takes all that has come, waiting at most `timeout` for the first one. The consumer sets
    /// the pace: one that pauses between calls costs the workers no wake-ups meanwhile.
    pub fn wait(&self, timeout: Duration) -> Vec<Fact> {
        let facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut facts, _) = self
            .arrived
            .wait_timeout_while(facts, timeout, |facts| facts.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *facts)
    }

    /// How many facts were lost because nobody took them in time.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(crate) fn push(&self, fact: Fact) {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        if facts.len() >= MOST {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let first = facts.is_empty();
        facts.push(fact);
        drop(facts);
        if first {
            self.arrived.notify_one();
        }
    }
}
