//! The providers that are known, by host, and what is assumed of one that is not.

mod anthropic;
mod azure;
mod cerebras;
mod cohere;
mod dashscope;
mod deepseek;
mod fireworks;
mod gemini;
mod github;
mod groq;
mod huggingface;
mod kimi;
mod minimax;
mod mistral;
mod moonshot;
mod nvidia;
mod ollama;
mod openai;
mod openrouter;
mod perplexity;
mod together;
mod xai;
mod zai;

use std::time::Duration;

use super::{Cache, Provider, Scope};
use crate::wire::credential::CredentialKind;

/// What is assumed where nothing is known: a throttle is the account's for this model, a cache
/// lasts five minutes, as the shortest ones do.
const USUAL: Provider = Provider {
    name: "unknown",
    hosts: &[],
    credential: CredentialKind::Bearer,
    scope: Scope::Model,
    zone: 0,
    quirks: &[],
    errors: &[],
    marks: &[],
    cache: Cache {
        ttl: Duration::from_secs(300),
        minimum_tokens: 1024,
    },
    probe: None,
};

/// A provider that is not known.
pub static UNKNOWN: Provider = USUAL;

/// Providers by host; what is known of each stands in its own file.
pub static PROVIDERS: &[Provider] = &[
    openai::PROVIDER,
    anthropic::PROVIDER,
    zai::PROVIDER,
    openrouter::PROVIDER,
    gemini::PROVIDER,
    azure::PROVIDER,
    moonshot::PROVIDER,
    kimi::PROVIDER,
    deepseek::PROVIDER,
    groq::PROVIDER,
    mistral::PROVIDER,
    xai::PROVIDER,
    cerebras::PROVIDER,
    together::PROVIDER,
    fireworks::PROVIDER,
    minimax::PROVIDER,
    dashscope::PROVIDER,
    nvidia::PROVIDER,
    cohere::PROVIDER,
    perplexity::PROVIDER,
    huggingface::PROVIDER,
    github::PROVIDER,
    ollama::PROVIDER,
];
