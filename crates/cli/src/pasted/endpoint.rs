//! Which endpoint a body without a path was most likely sent to.

use http::HeaderMap;
use serde_json::Value;

/// The path of the endpoint whose bodies look like this one.
pub(super) fn guess(body: &[u8], headers: &HeaderMap) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let has = |name: &str| body.get(name).is_some();
    if has("contents") {
        let model = body["model"].as_str().unwrap_or("model");
        let model = model.rsplit('/').next().unwrap_or(model);
        let fits = model
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        let model = if fits { model } else { "model" };
        return format!("/v1beta/models/{model}:generateContent");
    }
    let path = if has("messages") {
        let anthropic =
            has("system") || has("anthropic_version") || headers.contains_key("anthropic-version");
        if anthropic {
            "/v1/messages"
        } else {
            "/v1/chat/completions"
        }
    } else if has("input") {
        if is_for_embedding(&body) {
            "/v1/embeddings"
        } else {
            "/v1/responses"
        }
    } else if has("prompt") {
        "/v1/completions"
    } else {
        "/v1/chat/completions"
    };
    path.to_owned()
}

/// Whether `input` holds texts rather than a conversation.
fn is_for_embedding(body: &Value) -> bool {
    let is_named = body["model"]
        .as_str()
        .is_some_and(|model| model.contains("embed"));
    let items = body["input"].as_array();
    is_named
        || items
            .is_some_and(|items| !items.is_empty() && items.iter().all(|item| !item.is_object()))
}
