//! What requests and providers are called in the semantic conventions for generative AI.

use api_key_lb_core::fact::{Ending, Fact};

/// Endings of paths, and what is done there. The first that fits decides.
const OPERATIONS: &[(&str, &str)] = &[
    ("/chat/completions", "chat"),
    ("/messages", "chat"),
    ("/responses", "chat"),
    ("/chat", "chat"),
    ("/completions", "text_completion"),
    ("/embeddings", "embeddings"),
    ("/embed", "embeddings"),
    (":generateContent", "generate_content"),
    (":streamGenerateContent", "generate_content"),
    (":embedContent", "embeddings"),
    (":batchEmbedContents", "embeddings"),
];

/// What a request does, as far as its path says; `None` for what is no model's work (a list of
/// models, a file).
pub(super) fn operation(fact: &Fact) -> Option<&'static str> {
    // Reading a stored answer is none.
    if fact.method != http::Method::POST {
        return None;
    }
    let path = fact.path.trim_end_matches('/');
    OPERATIONS
        .iter()
        .find(|(ending, _)| path.ends_with(ending))
        .map(|(_, operation)| *operation)
}

/// What the conventions call a provider; others are called as we do.
pub(super) fn provider(name: &'static str) -> &'static str {
    match name {
        "azure" => "azure.ai.openai",
        "gemini" => "gcp.gemini",
        "mistral" => "mistral_ai",
        "xai" => "x_ai",
        "" => "unknown",
        name => name,
    }
}

/// What went wrong, if something did.
pub(super) fn error(fact: &Fact) -> Option<String> {
    match fact.ending {
        Ending::Own(code) => Some(code.to_owned()),
        Ending::Cut => Some("cut".to_owned()),
        _ if fact.status >= 400 => Some(fact.status.to_string()),
        Ending::Complete | Ending::ClientLeft => None,
    }
}

#[cfg(test)]
mod tests {
    use api_key_lb_core::Moment;
    use api_key_lb_core::fact::RequestId;

    use super::*;

    #[test]
    fn the_path_says_what_is_done() {
        for (method, path, wanted) in [
            ("POST", "/v1/chat/completions", Some("chat")),
            ("POST", "/api/anthropic/v1/messages", Some("chat")),
            ("POST", "/v1/responses", Some("chat")),
            ("POST", "/v1/completions", Some("text_completion")),
            ("POST", "/v1/embeddings", Some("embeddings")),
            (
                "POST",
                "/v1beta/models/gemini-3:streamGenerateContent",
                Some("generate_content"),
            ),
            ("GET", "/v1/responses", None),
            ("GET", "/v1/models", None),
            ("POST", "/v1/messages/count_tokens", None),
        ] {
            let method = method.parse().unwrap();
            let fact = Fact::begun(
                RequestId::default(),
                Moment::default(),
                method,
                path.to_owned(),
            );
            assert_eq!(operation(&fact), wanted, "{path}");
        }
    }
}
