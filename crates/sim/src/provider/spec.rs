//! What a simulated provider is like: its accounts, limits, cache, speed and misfortunes.

use serde::{Deserialize, Serialize};

use super::cache::CacheSpec;
use super::limit::Counting;

/// A provider.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProviderSpec {
    /// Its accounts.
    pub accounts: Vec<AccountSpec>,
    /// The prompt cache that each account has for each model.
    pub cache: CacheSpec,
    /// How fast it is.
    pub latency: Latency,
    /// What goes wrong.
    pub troubles: Vec<Trouble>,
}

/// One account and what it may use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountSpec {
    /// Requests a minute.
    pub requests_per_minute: Option<u64>,
    /// Tokens a minute, of prompts and answers.
    pub tokens_per_minute: Option<u64>,
    /// Whether cached tokens count for that.
    pub cached_tokens_are_free: bool,
    /// How minutes are counted.
    pub counting: Counting,
    /// Whether every model has these two limits for itself.
    pub per_model: bool,
    /// Requests that may run at once.
    pub concurrency: Option<u32>,
    /// Windows of a subscription.
    pub windows: Vec<WindowSpec>,
    /// What its answers tell.
    pub says: Says,
}

/// A window of a subscription; it begins with its first use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSpec {
    /// How long it lasts.
    pub length_ms: u64,
    /// Tokens that it holds.
    pub tokens: u64,
}

/// What the answers of an account tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Says {
    /// What is left of its limits.
    pub headroom: bool,
    /// When a refusal is over.
    pub retry_after: bool,
    /// How many tokens were used, and how many of them were cached.
    pub usage: bool,
    /// Whose account it is.
    pub owner: bool,
    /// By how much its stated times are late (or, below zero, early), in milliseconds.
    pub skew_ms: i64,
}

impl Default for Says {
    fn default() -> Self {
        Self {
            headroom: true,
            retry_after: true,
            usage: true,
            owner: false,
            skew_ms: 0,
        }
    }
}

/// How fast a provider is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Latency {
    /// Until the first byte of an answer to a prompt that is wholly cached.
    pub base_ms: u64,
    /// Tokens of a prompt read in a second, as far as they are not cached.
    pub prefill_per_s: u64,
    /// Tokens generated in a second.
    pub output_per_s: u64,
    /// Until a refusal.
    pub refusal_ms: u64,
}

impl Default for Latency {
    fn default() -> Self {
        // Of the order of large hosted models: half a second, 100 000 tokens cold in ten.
        Self {
            base_ms: 500,
            prefill_per_s: 10_000,
            output_per_s: 80,
            refusal_ms: 80,
        }
    }
}

/// Something that goes wrong for a while.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trouble {
    /// What.
    pub kind: TroubleKind,
    /// From then …
    pub from_ms: u64,
    /// … until then.
    pub until_ms: u64,
    /// For one account only.
    pub account: Option<usize>,
    /// For one model only.
    pub model: Option<u32>,
    /// Share of the requests that it hits.
    pub share: f64,
}

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TroubleKind {
    /// There is no capacity for the model.
    Overload,
    /// Answers with a 5xx.
    Server,
    /// The connection breaks.
    Network,
    /// The key is refused.
    Revoked,
    /// There is no credit.
    Credit,
}
