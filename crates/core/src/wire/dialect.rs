//! Which API family a request speaks, and whether it may be sent twice.

use http::Method;

/// How one API family writes requests and errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// OpenAI chat completions and everything shaped like it (embeddings, models, …).
    OpenAi,
    /// OpenAI responses.
    Responses,
    /// Anthropic messages.
    Anthropic,
    /// Google `generateContent`.
    Gemini,
}

/// What a request's path says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// How its errors must be written.
    pub dialect: Dialect,
    /// Whether it only generates: nothing but tokens is spent if it is sent twice.
    pub generates: bool,
    /// Whether its content may be a conversation. The texts of an index being built are none: a
    /// session for each would push the real ones out of the table.
    pub converses: bool,
}

/// Ends of paths that generate, by dialect. What comes before differs from provider to provider
/// (`/v1`, `/api/coding/paas/v4`, `/openai/deployments/x`), so it does not count.
const GENERATING: &[(&str, Dialect)] = &[
    ("/chat/completions", Dialect::OpenAi),
    ("/completions", Dialect::OpenAi),
    ("/embeddings", Dialect::OpenAi),
    ("/responses", Dialect::Responses),
    ("/messages", Dialect::Anthropic),
    ("/messages/count_tokens", Dialect::Anthropic),
    (":generateContent", Dialect::Gemini),
    (":streamGenerateContent", Dialect::Gemini),
    (":countTokens", Dialect::Gemini),
    (":embedContent", Dialect::Gemini),
    (":batchEmbedContents", Dialect::Gemini),
    // Ollama's own.
    ("/api/chat", Dialect::OpenAi),
    ("/api/generate", Dialect::OpenAi),
    ("/api/embed", Dialect::OpenAi),
];

/// In the path of Gemini's WebSocket.
const GEMINI_LIVE: &str = "/google.ai.generativelanguage.";

/// Ends of paths whose bodies look like conversations and are none.
const NO_CONVERSATION: &[&str] = &[
    "/embeddings",
    "/api/embed",
    ":embedContent",
    ":batchEmbedContents",
    "/rerank",
    "/moderations",
];

fn converses(path: &str) -> bool {
    !NO_CONVERSATION.iter().any(|ending| path.ends_with(ending))
}

impl Endpoint {
    /// Reads method and path. `anthropic` says whether the client sent `anthropic-version`, which
    /// is all that tells its `/v1/models` or `/v1/files` from OpenAI's.
    pub fn of(method: &Method, path: &str, anthropic: bool) -> Self {
        let path = path.trim_end_matches('/');
        if let Some((_, dialect)) = GENERATING
            .iter()
            .find(|(ending, _)| path.ends_with(ending) && !is_assistants_thread(path))
        {
            return Self {
                dialect: *dialect,
                generates: *method == Method::POST,
                converses: converses(path),
            };
        }
        let dialect = if anthropic {
            Dialect::Anthropic
        } else if (path.contains("/v1beta/") && !path.contains("/openai/"))
            || path.contains(GEMINI_LIVE)
        {
            Dialect::Gemini
        } else {
            Dialect::OpenAi
        };
        Self {
            dialect,
            generates: false,
            converses: converses(path),
        }
    }

    /// Whether it may be sent again after its body went out and no answer proves that nothing
    /// happened. `background` is what the body said: a background response is a stored job.
    pub fn repeatable(self, method: &Method, background: bool) -> bool {
        method.is_safe() || (self.generates && !background)
    }
}

/// Segments of a path that name the model in the next one: Gemini's and Vertex's, Azure's, Bedrock's.
const BEFORE_MODEL: &[&str] = &["models", "deployments", "model"];

/// The model that a path names instead of the body: `/v1beta/models/X:generateContent`,
/// `/openai/deployments/X/chat/completions`, `/model/X/invoke`. Not the id in `/v1/models/X`, which
/// only asks what it is.
pub fn model_of_path(path: &str) -> Option<&str> {
    let mut segments = path.split('/');
    let before = segments.find(|segment| BEFORE_MODEL.contains(segment))?;
    let segment = segments.next()?;
    let (model, acts) = segment
        .split_once(':')
        .map_or((segment, false), |(model, _)| (model, true));
    let goes_on = segments.next().is_some() && before != "models";
    (!model.is_empty() && (acts || goes_on)).then_some(model)
}

/// `POST /threads/{id}/messages` of OpenAI's assistants appends to a stored thread.
fn is_assistants_thread(path: &str) -> bool {
    path.contains("/threads/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(path: &str) -> Endpoint {
        Endpoint::of(&Method::POST, path, false)
    }

    #[test]
    fn the_end_of_the_path_names_the_dialect() {
        assert_eq!(
            post("/api/coding/paas/v4/chat/completions").dialect,
            Dialect::OpenAi
        );
        assert_eq!(post("/v1/responses").dialect, Dialect::Responses);
        assert_eq!(
            post("/api/anthropic/v1/messages").dialect,
            Dialect::Anthropic
        );
        assert_eq!(
            post("/v1beta/models/gemini-3:streamGenerateContent").dialect,
            Dialect::Gemini
        );
        assert_eq!(
            Endpoint::of(&Method::GET, "/v1/models", true).dialect,
            Dialect::Anthropic
        );
        assert_eq!(
            Endpoint::of(&Method::GET, "/v1/models", false).dialect,
            Dialect::OpenAi
        );
    }

    #[test]
    fn some_paths_name_the_model() {
        for (path, model) in [
            (
                "/v1beta/models/gemini-3-pro:streamGenerateContent",
                Some("gemini-3-pro"),
            ),
            (
                "/openai/deployments/my-gpt/chat/completions",
                Some("my-gpt"),
            ),
            (
                "/model/anthropic.claude-4/invoke",
                Some("anthropic.claude-4"),
            ),
            (
                "/v1/projects/p/locations/l/publishers/google/models/gemini-3:generateContent",
                Some("gemini-3"),
            ),
            ("/v1/models/gpt-5", None),
            ("/v1/models", None),
            ("/v1/chat/completions", None),
            ("/v1beta/models/:generateContent", None),
        ] {
            assert_eq!(model_of_path(path), model, "{path}");
        }
    }

    #[test]
    fn texts_of_an_index_are_no_conversation() {
        for path in ["/v1/embeddings", "/api/embed", "/api/embeddings"] {
            assert!(!post(path).converses, "{path}");
        }
        for path in ["/v1/chat/completions", "/api/chat", "/api/generate"] {
            assert!(post(path).converses, "{path}");
        }
    }

    #[test]
    fn only_generating_posts_and_safe_methods_are_repeatable() {
        let repeatable = |method: Method, path: &str, background: bool| {
            Endpoint::of(&method, path, false).repeatable(&method, background)
        };
        assert!(repeatable(Method::POST, "/v1/chat/completions", false));
        assert!(repeatable(Method::POST, "/v1/embeddings", false));
        assert!(repeatable(Method::POST, "/v1/messages/count_tokens", false));
        for own_of_ollama in [
            "/api/chat",
            "/api/generate",
            "/api/embed",
            "/api/embeddings",
        ] {
            assert!(
                repeatable(Method::POST, own_of_ollama, false),
                "{own_of_ollama}"
            );
        }
        assert!(!repeatable(Method::POST, "/api/pull", false));
        assert!(!repeatable(Method::DELETE, "/api/delete", false));
        assert!(repeatable(Method::GET, "/v1/files", false));
        assert!(repeatable(Method::HEAD, "/", false));
        assert!(!repeatable(Method::POST, "/v1/responses", true));
        assert!(!repeatable(Method::POST, "/v1/files", false));
        assert!(!repeatable(Method::POST, "/v1/batches", false));
        assert!(!repeatable(Method::POST, "/v1/messages/batches", false));
        assert!(!repeatable(Method::POST, "/v1/threads/t1/messages", false));
        assert!(!repeatable(Method::DELETE, "/v1/responses/r1", false));
        assert!(!repeatable(Method::PUT, "/v1/chat/completions", false));
    }
}
