//! Who is behind a target: today only which credential header the provider wants, by host.

use super::credential::CredentialKind;
use crate::target::Target;

/// What is known of one provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Short name, as people write it.
    pub name: &'static str,
    /// Its hosts; one that begins with a dot matches every name that ends with it.
    pub hosts: &'static [&'static str],
    /// How it wants its key.
    pub credential: CredentialKind,
}

/// Providers by host. Sources: each provider's own authentication page, and the official SDKs'
/// `_client.py` / `azure.py` / `google-genai`.
pub const PROVIDERS: &[Provider] = &[
    bearer("openai", &["api.openai.com"]),
    Provider {
        name: "anthropic",
        hosts: &["api.anthropic.com"],
        credential: CredentialKind::XApiKey,
    },
    bearer("zai", &["api.z.ai", "open.bigmodel.cn"]),
    bearer("openrouter", &["openrouter.ai"]),
    Provider {
        name: "gemini",
        hosts: &["generativelanguage.googleapis.com"],
        credential: CredentialKind::XGoogApiKey,
    },
    Provider {
        name: "azure",
        hosts: &[
            ".openai.azure.com",
            ".services.ai.azure.com",
            ".cognitiveservices.azure.com",
        ],
        credential: CredentialKind::ApiKey,
    },
    bearer("moonshot", &["api.moonshot.ai", "api.moonshot.cn"]),
    bearer("kimi", &["api.kimi.com", "api.kimi.ai"]),
    bearer("deepseek", &["api.deepseek.com"]),
    bearer("groq", &["api.groq.com"]),
    bearer("mistral", &["api.mistral.ai"]),
    bearer("xai", &["api.x.ai"]),
    bearer("cerebras", &["api.cerebras.ai"]),
    bearer("together", &["api.together.xyz", "api.together.ai"]),
    bearer("fireworks", &["api.fireworks.ai"]),
    bearer("minimax", &["api.minimax.io", "api.minimaxi.com"]),
    bearer(
        "dashscope",
        &["dashscope-intl.aliyuncs.com", "dashscope.aliyuncs.com"],
    ),
    bearer("nvidia", &["integrate.api.nvidia.com"]),
    bearer("cohere", &["api.cohere.com"]),
    bearer("perplexity", &["api.perplexity.ai"]),
    bearer("huggingface", &["router.huggingface.co"]),
    bearer("github", &["models.github.ai"]),
    bearer("ollama", &["ollama.com"]),
];

const fn bearer(name: &'static str, hosts: &'static [&'static str]) -> Provider {
    Provider {
        name,
        hosts,
        credential: CredentialKind::Bearer,
    }
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
    let provider = of_host(target.host())?;
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
        assert_eq!(of_host("evil-api.openai.com.example"), None);
        assert_eq!(of_host("localhost"), None);
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
