//! What all requests come to, and what each key had of them.

use std::collections::HashMap;

use api_key_lb_core::KeyId;
use api_key_lb_core::fact::{Ending, Fact};
use serde::{Deserialize, Serialize};

use super::Spent;
use super::request::millis;

/// Keys of which sums are kept; configurations have fewer, but reloads may bring ever new ones.
const MOST_KEYS: usize = 10_000;
/// The answer of a provider that throttles.
const TOO_MANY_REQUESTS: u16 = 429;

/// Since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Requests.
    pub requests: u64,
    /// Those whose client got an error, or an answer that was cut.
    pub errors: u64,
    /// Attempts that were throttled.
    pub throttles: u64,
    /// Tokens of prompts.
    pub prompt: u64,
    /// Of these, from the providers' caches.
    pub cached: u64,
    /// Of these, written to them.
    pub written: u64,
    /// Tokens generated.
    pub output: u64,
    /// Milliseconds waited for accounts.
    pub waited_ms: u64,
    /// What it cost, as far as prices are known; absent if none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// What the providers' caches have saved of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved_usd: Option<f64>,
}

/// What caching and pooling were good for since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// Tokens that did not have to be read again.
    pub cached_tokens: u64,
    /// What that was worth, as far as prices are known; absent if none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd: Option<f64>,
    /// Throttles of which no client saw anything.
    pub throttles_hidden: u64,
    /// Requests that were served although their first attempt failed.
    pub requests_rescued: u64,
}

/// What a key had of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OfKey {
    /// Requests whose last attempt was made with it.
    pub(super) requests: u64,
    /// Attempts with it that failed otherwise than by a throttle, and answers that were cut.
    pub(super) errors: u64,
    pub(super) throttles: u64,
    pub(super) prompt: u64,
    pub(super) cached: u64,
    pub(super) output: u64,
}

#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) totals: Totals,
    hidden: u64,
    rescued: u64,
    keys: HashMap<KeyId, OfKey>,
}

/// Whether its client got an error, or an answer that was cut.
pub(super) fn has_failed(fact: &Fact) -> bool {
    fact.status >= 400 || matches!(fact.ending, Ending::Cut)
}

/// How many of its attempts were throttled.
pub(super) fn throttles(fact: &Fact) -> u64 {
    let attempts = fact.attempts.iter();
    let throttled = attempts.filter(|attempt| attempt.status == Some(TOO_MANY_REQUESTS));
    throttled.count() as u64
}

impl Sums {
    pub(super) fn add(&mut self, fact: &Fact, spent: Option<&Spent>) {
        let throttles = throttles(fact);
        let totals = &mut self.totals;
        totals.requests += 1;
        totals.errors += u64::from(has_failed(fact));
        totals.throttles += throttles;
        totals.waited_ms = totals.waited_ms.saturating_add(millis(fact.waited));
        if let Some(usage) = fact.usage {
            totals.prompt = totals.prompt.saturating_add(usage.prompt);
            totals.cached = totals.cached.saturating_add(usage.cached);
            totals.written = totals.written.saturating_add(usage.written);
            totals.output = totals.output.saturating_add(usage.output);
        }
        if let Some(spent) = spent {
            *totals.cost_usd.get_or_insert_default() += spent.cost_usd;
            *totals.saved_usd.get_or_insert_default() += spent.saved_usd;
        }
        if (200..300).contains(&fact.status) {
            self.hidden += throttles;
            self.rescued += u64::from(fact.attempts.len() > 1);
        }
        self.count_keys(fact);
    }

    fn count_keys(&mut self, fact: &Fact) {
        for (at, attempt) in fact.attempts.iter().enumerate() {
            if self.keys.len() >= MOST_KEYS && !self.keys.contains_key(&attempt.key) {
                continue;
            }
            let of_key = self.keys.entry(attempt.key).or_default();
            let is_last = at + 1 == fact.attempts.len();
            match attempt.status {
                Some(TOO_MANY_REQUESTS) => of_key.throttles += 1,
                Some(400..) => of_key.errors += 1,
                None if !(is_last && fact.ending == Ending::ClientLeft) => of_key.errors += 1,
                Some(_) if is_last && fact.ending == Ending::Cut => of_key.errors += 1,
                _ => {}
            }
            if !is_last {
                continue;
            }
            of_key.requests += 1;
            if let Some(usage) = fact.usage {
                of_key.prompt = of_key.prompt.saturating_add(usage.prompt);
                of_key.cached = of_key.cached.saturating_add(usage.cached);
                of_key.output = of_key.output.saturating_add(usage.output);
            }
        }
    }

    pub(super) fn of_key(&self, key: KeyId) -> OfKey {
        self.keys.get(&key).copied().unwrap_or_default()
    }

    pub(super) const fn saved(&self) -> Saved {
        Saved {
            cached_tokens: self.totals.cached,
            usd: self.totals.saved_usd,
            throttles_hidden: self.hidden,
            requests_rescued: self.rescued,
        }
    }
}
