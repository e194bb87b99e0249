//! OpenRouter. From its pages on errors and limits; texts from issue threads.

use std::time::Duration;

use super::USUAL;
use crate::provider::{Cache, ErrorRule, Mark, Over, Probe, Provider, Quirk, Tells, When};
use crate::verdict::Matter;

/// Its documentation.
const DOCS: &str = "OpenRouter errors-and-debugging";
/// Texts that were reported.
const THREADS: &str = "issue threads";

pub(super) const PROVIDER: Provider = Provider {
    name: "openrouter",
    hosts: &["openrouter.ai", ".openrouter.ai"],
    quirks: &[Quirk::ResetIsEpochMillis],
    errors: ERRORS,
    marks: &[
        Mark::Word("openrouter_in_flight_budget"),
        Mark::Phrase("free-models-per-"),
        Mark::Phrase("openrouter.ai/"),
    ],
    cache: Cache {
        // It sends a conversation to the same provider for ten idle minutes.
        ttl: Duration::from_secs(600),
        minimum_tokens: 1024,
    },
    probe: Some(Probe {
        path: "/api/v1/key",
        tells: Tells::OpenRouterKey,
    }),
    ..USUAL
};

/// What its errors mean.
const ERRORS: &[ErrorRule] = &[
    ErrorRule::new("in-flight budget", Matter::AccountRate, DOCS)
        .codes(&["openrouter_in_flight_budget"]),
    // Enough for smaller prompts: no reason to let the account rest for long.
    ErrorRule::new("credit for a smaller prompt", Matter::ModelRate, THREADS)
        .on(&[402])
        .says(&["prompt tokens limit exceeded", "can only afford"])
        .over(Over::After(Duration::from_secs(60))),
    ErrorRule::new("key limit", Matter::Credit, "recorded answers")
        .on(&[402, 403])
        .says(&["key limit exceeded"]),
    ErrorRule::new("payment_required", Matter::Credit, DOCS).on(&[402]),
    ErrorRule::new("authentication", Matter::Key, DOCS).on(&[401]),
    ErrorRule::new("guardrail", Matter::Request, DOCS).on(&[403]),
    ErrorRule::new("request", Matter::Request, DOCS).codes(&[
        "context_length_exceeded",
        "max_tokens_exceeded",
        "token_limit_exceeded",
        "string_too_long",
        "invalid_request",
        "invalid_prompt",
        "payload_too_large",
        "unprocessable",
        "content_policy_violation",
        "refusal",
        "permission_denied",
        "region_restricted",
    ]),
    ErrorRule::new("no endpoint", Matter::Request, DOCS).codes(&[
        "not_found",
        "no_endpoints",
        "model_deprecated",
        "privacy_restricted",
        "constraint_filtered",
        "free_variant_ended",
        "model_unavailable_upstream",
    ]),
    ErrorRule::new("no endpoint", Matter::Request, DOCS)
        .on(&[404])
        .says(&["no endpoints found", "no allowed providers"]),
    // The account, but only for free models: those that are paid for go on.
    ErrorRule::new("free models per day", Matter::ModelQuota, THREADS)
        .on(&[429])
        .says(&["free-models-per-day"]),
    ErrorRule::new("free models per minute", Matter::ModelRate, THREADS)
        .on(&[429])
        .says(&["free-models-per-min"]),
    // Whoever stands behind is busy; there another key of ours is nobody else.
    ErrorRule::new("capacity_exhausted", Matter::Overload, DOCS).codes(&[
        "capacity_exhausted",
        "provider_overloaded",
        "temporarily_unavailable",
    ]),
    ErrorRule::new("provider_code", Matter::Overload, DOCS)
        .on(&[429, 503])
        .codes(&["provider_code"]),
    ErrorRule::new("provider_code", Matter::Overload, THREADS)
        .on(&[429, 503])
        .says(&["provider returned error", "rate-limited upstream"]),
    ErrorRule::new("platform limit", Matter::AccountRate, DOCS)
        .on(&[429])
        .when(&[When::Header("x-ratelimit-reset")]),
    ErrorRule::new("provider_unavailable", Matter::Server, DOCS).codes(&[
        "provider_unavailable",
        "timeout",
        "server",
        "unmapped",
    ]),
];
