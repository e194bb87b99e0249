//! Anthropic. From its pages on errors and rate limits and its SDK; the windows of subscriptions from
//! gateways that recorded them.

use std::time::Duration;

use super::USUAL;
use crate::provider::{Cache, ErrorRule, Mark, Probe, Provider, Tells, When};
use crate::verdict::Matter;
use crate::wire::credential::CredentialKind;

/// Its SDK.
const SDK: &str = "anthropic-sdk error types";
/// Its documentation.
const DOCS: &str = "code.claude.com errors";
/// What a gateway tells apart.
const CLIPROXY: &str = "CLIProxyAPI classifyClaudeUpstreamError";
/// Bodies that were recorded.
const RECORDED: &str = "recorded answers";
/// Texts of older API versions.
const COMMON: &str = "common knowledge";

pub(super) const PROVIDER: Provider = Provider {
    name: "anthropic",
    hosts: &["api.anthropic.com"],
    credential: CredentialKind::XApiKey,
    errors: ERRORS,
    marks: &[
        Mark::Header("anthropic-ratelimit-unified-status"),
        Mark::Header("anthropic-organization-id"),
    ],
    cache: Cache {
        // Five minutes since the request began, or an hour if the client asks for it. Between 512 and
        // 4096 tokens, by model.
        ttl: Duration::from_secs(300),
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
    ErrorRule::new("credit balance", Matter::Credit, RECORDED).says(&["credit balance is too low"]),
    ErrorRule::new("API usage limits", Matter::AccountQuota, RECORDED).says(&[
        "specified api usage limits",
        "specified workspace api usage limits",
        "you will regain access on",
    ]),
    // Fast mode and long context need credits of their own: every key would be asked in vain.
    ErrorRule::new("credits for a feature", Matter::Request, CLIPROXY)
        .on(&[400, 429])
        .says(&[
            "usage credits are required",
            "fast request rejected",
            "fast mode",
            "extra usage is required",
            "long context",
        ]),
    ErrorRule::new("signature", Matter::State, "claude-code-hub error-rules")
        .on(&[400])
        .says(&[
            "signature in thinking",
            "`signature` in `thinking`",
            "invalid `signature`",
        ]),
    ErrorRule::new("spend limit", Matter::AccountQuota, DOCS)
        .codes(&["enforced_spend_limit_reached"]),
    ErrorRule::new("spend limit", Matter::AccountQuota, DOCS)
        .on(&[400, 429])
        .says(&["spend limit"]),
    ErrorRule::new("invalid_request_error", Matter::Request, SDK)
        .on(&[400])
        .codes(&["invalid_request_error"]),
    ErrorRule::new("request_too_large", Matter::Request, SDK).codes(&["request_too_large"]),
    ErrorRule::new("organization disabled", Matter::Key, DOCS)
        .on(&[400, 401, 403])
        .says(&[
            "organization has been disabled",
            "account has been disabled",
        ]),
    ErrorRule::new("authentication_error", Matter::Key, SDK)
        .on(&[401])
        .codes(&["authentication_error"]),
    ErrorRule::new("billing_error", Matter::Credit, SDK).codes(&["billing_error"]),
    ErrorRule::new("permission_error", Matter::Entitlement, DOCS)
        .on(&[403])
        .codes(&["permission_error"]),
    ErrorRule::new("not_found_error", Matter::Entitlement, SDK)
        .on(&[404])
        .codes(&["not_found_error"])
        .says(&["model"]),
    ErrorRule::new("overloaded_error", Matter::Overload, DOCS).codes(&["overloaded_error"]),
    ErrorRule::new("timeout_error", Matter::Server, SDK).codes(&["timeout_error"]),
    ErrorRule::new("api_error", Matter::Server, SDK)
        .codes(&["api_error"])
        .on(&[5]),
    // A subscription: which of its windows is used up.
    ErrorRule::new("5h window", Matter::AccountQuota, CLIPROXY)
        .on(&[429])
        .when(&[When::HeaderIs(
            "anthropic-ratelimit-unified-5h-status",
            "rejected",
        )]),
    ErrorRule::new("7d window", Matter::AccountQuota, CLIPROXY)
        .on(&[429])
        .when(&[When::HeaderIs(
            "anthropic-ratelimit-unified-7d-status",
            "rejected",
        )]),
    ErrorRule::new("window of a model", Matter::ModelQuota, CLIPROXY)
        .on(&[429])
        .when(&[When::HeaderIs(
            "anthropic-ratelimit-unified-7d_oi-status",
            "rejected",
        )]),
    ErrorRule::new("window of a model", Matter::ModelQuota, CLIPROXY)
        .on(&[429])
        .when(&[When::HeaderIs(
            "anthropic-ratelimit-unified-representative-claim",
            "seven_day_overage_included",
        )]),
    ErrorRule::new("window", Matter::AccountQuota, CLIPROXY)
        .on(&[429])
        .when(&[When::HeaderIs(
            "anthropic-ratelimit-unified-status",
            "rejected",
        )]),
    // The API: what the organisation may per minute.
    ErrorRule::new("concurrent connections", Matter::Concurrency, COMMON)
        .on(&[429])
        .says(&["concurrent connections"]),
    ErrorRule::new(
        "rate limit of the organization",
        Matter::ModelRate,
        RECORDED,
    )
    .on(&[429])
    .says(&[
        "rate limit for your organization",
        "rate limit of your organization",
        "per minute",
        "per-minute",
        "usage increase rate",
    ]),
    ErrorRule::new("server throttle", Matter::Overload, DOCS)
        .on(&[429])
        .says(&["not your usage limit", "temporarily limiting requests"]),
    ErrorRule::new("server throttle", Matter::Overload, DOCS)
        .on(&[429])
        .codes(&["rate_limit_error"])
        // A limit of the organisation names its time.
        .when(&[
            When::NoHeaderLike("anthropic-ratelimit-"),
            When::NoHeaderLike("retry-after"),
        ]),
    ErrorRule::new("rate_limit_error", Matter::ModelRate, SDK).codes(&["rate_limit_error"]),
];
