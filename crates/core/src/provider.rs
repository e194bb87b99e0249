//! What is known of each provider, as data: hosts, credential, error codes, resets, caches, probes.

mod rule;
mod table;

use std::time::Duration;

use crate::target::Target;
use crate::wire::credential::CredentialKind;

pub use rule::{ErrorRule, Over, OwnErrorRule, When};
pub use table::{PROVIDERS, UNKNOWN};

/// One provider.
#[derive(Debug)]
pub struct Provider {
    /// Short name, as people write it.
    pub name: &'static str,
    /// Its hosts; one that begins with a dot matches every name that ends with it.
    pub hosts: &'static [&'static str],
    /// How it wants its key.
    pub credential: CredentialKind,
    /// What its throttles are counted against, when an answer does not say.
    pub scope: Scope,
    /// The zone of its times that name none, in hours east of UTC.
    pub zone: i8,
    /// How its limit headers deviate from what they seem to say.
    pub quirks: &'static [Quirk],
    /// What its errors mean; the first rule that fits decides. Before the general rules.
    pub errors: &'static [ErrorRule],
    /// What only this provider's errors have: on a host that is not known, it says whose rules to
    /// use for this answer.
    pub marks: &'static [Mark],
    /// How its prompt cache works.
    pub cache: Cache,
    /// A free request that tells whether a key is valid, and perhaps what is left.
    pub probe: Option<Probe>,
}

impl PartialEq for Provider {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Provider {}

impl std::hash::Hash for Provider {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// What only one provider's errors have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A code, type or reason, in lower case.
    Word(&'static str),
    /// A phrase of the message, in lower case.
    Phrase(&'static str),
    /// A header.
    Header(&'static str),
}

/// What a limit is counted against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The account, whatever the model.
    Account,
    /// The account and the model.
    Model,
}

/// What a limit header means other than it seems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quirk {
    /// `x-ratelimit-reset-*` is the time until the bucket is full, not until something is in it.
    ResetIsFull,
    /// `retry-after` and resets of zero or one second are sent while a minute must pass.
    ZerosAreNothing,
    /// `x-ratelimit-reset` is a moment in milliseconds.
    ResetIsEpochMillis,
    /// `x-ratelimit-*-requests` count a day, not a minute.
    RequestsPerDay,
}

/// A prompt cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cache {
    /// How long an unused prefix stays warm: only the prior, until cached tokens say otherwise.
    pub ttl: Duration,
    /// Prompts below so many tokens are not cached.
    pub minimum_tokens: u32,
}

/// A free request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Path from the root of the host.
    pub path: &'static str,
    /// What its answer tells besides whether the key is valid.
    pub tells: Tells,
}

/// What the answer to a probe tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tells {
    /// Nothing more.
    Validity,
    /// OpenRouter's `/api/v1/key`.
    OpenRouterKey,
    /// Z.ai's windows.
    ZaiQuota,
    /// DeepSeek's balance.
    DeepSeekBalance,
    /// Moonshot's balance.
    MoonshotBalance,
    /// Kimi Code's windows.
    KimiUsages,
    /// MiniMax's windows.
    MiniMaxRemains,
}

/// The provider called `name`, if there is one.
pub fn called(name: &str) -> Option<&'static Provider> {
    let mut known = PROVIDERS.iter().chain([&UNKNOWN]);
    known.find(|provider| provider.name.eq_ignore_ascii_case(name))
}

/// The provider behind `host`, if it is a known one.
pub fn of_host(host: &str) -> Option<&'static Provider> {
    let host = host.to_ascii_lowercase();
    PROVIDERS.iter().find(|provider| {
        provider.hosts.iter().any(|known| {
            if known.starts_with('.') {
                host.ends_with(known)
            } else {
                host == *known
            }
        })
    })
}

/// How the provider behind `target` wants the key `secret` for a request to `path`, if it is known.
pub fn credential_of(target: &Target, path: &str, secret: &str) -> Option<CredentialKind> {
    let provider = target.provider();
    if *provider == UNKNOWN {
        return None;
    }
    Some(match provider.name {
        // An OAuth token of Anthropic is a bearer token; as x-api-key it is refused.
        "anthropic" if secret.starts_with("sk-ant-oat") => CredentialKind::Bearer,
        // Google's OpenAI-compatible paths take the same key as a bearer token.
        "gemini" if path.contains("/openai/") || target.base().ends_with("/openai") => {
            CredentialKind::Bearer
        }
        _ => provider.credential,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_names_the_provider() {
        assert_eq!(of_host("API.openai.com").unwrap().name, "openai");
        assert_eq!(of_host("my.openai.azure.com").unwrap().name, "azure");
        assert!(of_host("evil-api.openai.com.example").is_none());
        assert!(of_host("localhost").is_none());
    }

    #[test]
    fn exceptions_within_a_provider_are_known() {
        let anthropic = Target::parse("https://api.anthropic.com").unwrap();
        assert_eq!(
            credential_of(&anthropic, "/v1/messages", "sk-ant-api03-x"),
            Some(CredentialKind::XApiKey)
        );
        assert_eq!(
            credential_of(&anthropic, "/v1/messages", "sk-ant-oat01-x"),
            Some(CredentialKind::Bearer)
        );
        let gemini = Target::parse("https://generativelanguage.googleapis.com").unwrap();
        assert_eq!(
            credential_of(&gemini, "/v1beta/openai/chat/completions", "k"),
            Some(CredentialKind::Bearer)
        );
        // The OpenAI-compatible part may stand in the target instead of the client's path.
        let compatible =
            Target::parse("https://generativelanguage.googleapis.com/v1beta/openai").unwrap();
        assert_eq!(
            credential_of(&compatible, "/chat/completions", "k"),
            Some(CredentialKind::Bearer)
        );
        assert_eq!(
            credential_of(&gemini, "/v1beta/models", "k"),
            Some(CredentialKind::XGoogApiKey)
        );
    }
}
