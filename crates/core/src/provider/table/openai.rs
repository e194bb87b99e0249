//! OpenAI. From its pages on errors and rate limits, its SDKs (`_client.py`), and Codex, which reads
//! the same errors.

use std::time::Duration;

use super::USUAL;
use crate::provider::{Cache, ErrorRule, Mark, Probe, Provider, Quirk, Tells, When};
use crate::verdict::Matter;

/// Its documentation.
const DOCS: &str = "OpenAI error codes";
/// What Codex makes of its errors.
const CODEX: &str = "openai/codex api_bridge.rs";
/// What a gateway saw of state.
const CLIPROXY: &str = "CLIProxyAPI";
/// Its API description.
const SPEC: &str = "openai-openapi ResponseError";
/// Not confirmed.
const UNSURE: &str = "general knowledge";

pub(super) const PROVIDER: Provider = Provider {
    name: "openai",
    hosts: &[".api.openai.com", "api.openai.com"],
    quirks: &[Quirk::ResetIsFull],
    errors: ERRORS,
    marks: &[Mark::Header("x-codex-primary-used-percent")],
    cache: Cache {
        // Half an hour since GPT-5.6; older models keep it for five minutes to a day.
        ttl: Duration::from_secs(1800),
        minimum_tokens: 1024,
    },
    probe: Some(Probe {
        path: "/v1/models",
        tells: Tells::Validity,
    }),
    ..USUAL
};

/// What its errors mean.
const ERRORS: &[ErrorRule] = &[
    ErrorRule::new(
        "store=false",
        Matter::Request,
        "claude-code-hub error-rules",
    )
    .on(&[400, 404])
    .says(&["items are not persisted when"]),
    ErrorRule::new("invalid_encrypted_content", Matter::State, CLIPROXY)
        .codes(&["invalid_encrypted_content"]),
    ErrorRule::new("previous_response_not_found", Matter::State, CLIPROXY)
        .codes(&["previous_response_not_found"]),
    ErrorRule::new("content policy", Matter::Request, CODEX).codes(&[
        "cyber_policy",
        "bio_policy",
        "content_policy_violation",
        "content_filter",
        "image_content_policy_violation",
        "invalid_prompt",
        "data_residency_mismatch",
    ]),
    ErrorRule::new("context_length_exceeded", Matter::Request, CODEX)
        .codes(&["context_length_exceeded"]),
    // Another key would leave from the same place.
    ErrorRule::new("region", Matter::Request, DOCS)
        .codes(&["unsupported_country_region_territory"]),
    ErrorRule::new("billing_hard_limit_reached", Matter::Credit, UNSURE)
        .codes(&["billing_hard_limit_reached"]),
    ErrorRule::new("insufficient_quota", Matter::Credit, DOCS).codes(&["insufficient_quota"]),
    ErrorRule::new("usage_limit_reached", Matter::AccountQuota, CODEX)
        .codes(&["usage_limit_reached"]),
    ErrorRule::new("usage_not_included", Matter::Entitlement, CODEX).codes(&["usage_not_included"]),
    ErrorRule::new("server_is_overloaded", Matter::Overload, CODEX)
        .codes(&["server_is_overloaded", "slow_down"]),
    ErrorRule::new("overloaded", Matter::Overload, CODEX)
        .on(&[429, 503])
        .says(&["currently overloaded"]),
    ErrorRule::new(
        "larger than the limit",
        Matter::Request,
        "openai/codex tests",
    )
    .on(&[429])
    .when(&[When::NeverFits]),
    ErrorRule::new(
        "rate_limit_exceeded",
        Matter::ModelRate,
        "openai/codex tests",
    )
    .codes(&["rate_limit_exceeded"]),
    ErrorRule::new("insufficient_permissions", Matter::Entitlement, UNSURE)
        .on(&[401, 403])
        .codes(&["insufficient_permissions"]),
    ErrorRule::new("insufficient_permissions", Matter::Entitlement, UNSURE)
        .on(&[401, 403])
        .says(&["missing scopes", "insufficient permissions"]),
    ErrorRule::new("invalid_api_key", Matter::Key, DOCS).codes(&["invalid_api_key"]),
    ErrorRule::new("organization", Matter::Key, DOCS)
        .on(&[401, 403])
        .says(&[
            "member of an organization",
            "ip not authorized",
            "openai-organization header",
        ]),
    ErrorRule::new("model_not_found", Matter::Entitlement, UNSURE)
        .on(&[403, 404])
        .codes(&["model_not_found"]),
    ErrorRule::new(
        "connection limit",
        Matter::Request,
        "openai/codex responses over WebSocket",
    )
    .codes(&[
        "websocket_connection_limit_reached",
        "websocket_stream_limit_reached",
    ]),
    ErrorRule::new("server_error", Matter::Server, SPEC)
        .codes(&["server_error", "vector_store_timeout"]),
];
