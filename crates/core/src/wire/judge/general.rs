//! What errors mean whoever sends them. The order matters: what is the request's own fault comes
//! first, so that a bad request never makes a key rest.

use super::saying::Saying;
use crate::provider::{ErrorRule, When};
use crate::verdict::Matter;
use crate::wire::signals::Signals;

/// Where these are from: what most providers have in common.
const COMMON: &str = "common to several providers";
/// The status by itself.
const STATUS: &str = "RFC 9110, RFC 6585";

const fn rule(name: &'static str, matter: Matter) -> ErrorRule {
    ErrorRule::new(name, matter, COMMON)
}

const fn status(name: &'static str, matter: Matter, status: &'static [u16]) -> ErrorRule {
    ErrorRule::new(name, matter, STATUS).on(status)
}

/// If no rule fits: an error in a 200 that is not understood.
pub(super) const ELSE: ErrorRule = ErrorRule::new("error in a 200", Matter::Server, COMMON);

/// The general rules; the first that fits decides.
pub static GENERAL: &[ErrorRule] = &[
    // 1. State that another account has.
    rule("state not found", Matter::State)
        .codes(&["previous_response_not_found", "invalid_encrypted_content"]),
    rule("state not found", Matter::State)
        .says(&["items are not persisted", "previous response with id"]),
    rule("state not found", Matter::State)
        .on(&[400, 403, 404])
        .says(&[
            "no such file",
            "file not found",
            "file with id",
            "file id",
            "files/",
            "container",
            "cachedcontent",
            "cached content",
            "batch",
        ])
        .when(&[NOT_FOUND]),
    // 2. Policies about content: another account would be asked to break them, too.
    rule("content policy", Matter::Request).codes(&[
        "content_filter*",
        "content_policy_violation*",
        "responsibleaipolicyviolation",
        "datainspectionfailed",
        "data_inspection_failed",
        "cyber_policy",
        "bio_policy",
        "image_content_policy_violation",
        "moderation*",
    ]),
    rule("content policy", Matter::Request)
        .on(&[400, 403])
        .says(&["moderation", "flagged", "content policy"])
        .when(&[When::NotAPage]),
    // 3. The request's own fault.
    rule("too long", Matter::Request).codes(&[
        "context_length*",
        "request_too_large",
        "payload_too_large",
        "string_too_long",
        "max_tokens_exceeded",
        "token_limit_exceeded",
    ]),
    rule("too long", Matter::Request).on(&[4]).says(&[
        "prompt is too long",
        "maximum context length",
        "context length exceeded",
        "exceeds the context window",
    ]),
    status("unprocessable", Matter::Request, &[413, 422]),
    rule("larger than the limit", Matter::Request)
        .on(&[400, 429])
        .when(&[When::NeverFits]),
    // 4. Money, with whatever status.
    rule("no credit", Matter::Credit).on(&[4]).codes(&[
        "insufficient_quota",
        "insufficient_balance*",
        "insufficient_credit*",
        "billing_*",
        "exceeded_current_quota_error",
        "arrearage",
        "payment_required",
    ]),
    rule("no credit", Matter::Credit).on(&[4]).says(&[
        "credit balance is too low",
        "insufficient balance",
        "insufficient credit",
        "used all available credits",
        "exceeded your monthly included credits",
        "exceeded your current quota, please check your plan and billing",
        "额度已用",
        "余额不足",
        "欠费",
    ]),
    status("no credit", Matter::Credit, &[402]),
    // 5. The key.
    rule("key refused", Matter::Key).on(&[4]).codes(&[
        "invalid_api_key",
        "invalidapikey",
        "api_key_invalid",
        "authentication_error",
        "incorrect_api_key*",
        "invalid_authentication*",
    ]),
    rule("key refused", Matter::Key)
        .on(&[400, 403, 429])
        .says(REFUSED_KEYS),
    rule("account closed", Matter::Key)
        .on(&[4])
        .says(&["account", "organization"])
        .when(&[
            When::Also(&[
                "is locked",
                "been locked",
                "is deactivated",
                "been deactivated",
                "is disabled",
                "been disabled",
            ]),
            When::NotAPage,
        ]),
    status("unauthorized", Matter::Key, &[401]),
    // 6. Fair use, and limits that are counted in hours and more.
    rule("fair use", Matter::FairUse)
        .on(&[403, 429])
        .says(&["fair usage", "fair use"]),
    rule("quota of the account", Matter::AccountQuota)
        .on(&[4])
        .codes(&["enforced_spend_limit_reached", "usage_limit_reached"]),
    rule("quota of the account", Matter::AccountQuota)
        .on(&[4])
        .says(&["will regain access on", "使用上限", "限额将在"]),
    rule("quota of the account", Matter::AccountQuota)
        .on(&[403, 429])
        .says(&[
            "usage limit",
            "session limit",
            "weekly limit",
            "monthly limit",
            "daily limit",
            "limit exhausted",
            "spend limit",
        ])
        .when(&[When::NotAPage]),
    rule("quota of the model", Matter::ModelQuota)
        .on(&[403, 429])
        .codes(&["*perday*"]),
    rule("quota of the model", Matter::ModelQuota)
        .on(&[403, 429])
        .says(&["per day", "per month", "(tpd)", "(rpd)", "tpd rate limit"])
        .when(&[When::NotAPage]),
    // 3 again: what only calls itself the request's fault was sorted out above.
    rule("invalid request", Matter::Request).on(&[400]).codes(&[
        "invalid_request*",
        "invalid_argument",
        "invalid_value",
    ]),
    // 7. Overload, before the limits: many say it with a 429.
    rule("overloaded", Matter::Overload).codes(&[
        "overloaded*",
        "*overloaded_error",
        "server_is_overloaded",
        "provider_overloaded",
        "slow_down",
        "queue_exceeded",
        "capacity_exhausted",
        "model_capacity_*",
    ]),
    rule("overloaded", Matter::Overload)
        .on(&[429, 5])
        .says(OVERLOADED),
    status("overloaded", Matter::Overload, &[503, 529]),
    // 8. Too many at once.
    rule("concurrency", Matter::Concurrency)
        .on(&[403, 429])
        .says(&["concurren"])
        .when(&[When::NotAPage]),
    rule("concurrency", Matter::Concurrency)
        .on(&[403, 429])
        .codes(&["*concurren*"]),
    // 9. Limits that are counted in seconds and minutes.
    rule("rate limit", Matter::ModelRate).on(&[4]).codes(&[
        "rate_limit*",
        "ratelimit*",
        "throttling*",
        "too_many_requests",
        "too many requests",
        "resource_exhausted",
    ]),
    rule("rate limit", Matter::ModelRate)
        .on(&[403])
        .says(&["too many requests", "rate limit"])
        .when(&[When::NotAPage]),
    status("rate limit", Matter::ModelRate, &[429]),
    // 10. What the key may not.
    rule("region", Matter::Request)
        .on(&[4])
        .codes(&["unsupported_country*", "region_restricted"]),
    rule("not allowed", Matter::Entitlement)
        .on(&[400, 403, 404])
        .codes(&[
            "model_not_found",
            "usage_not_included",
            "deploymentnotfound",
            "permission_error",
            "permission_denied*",
            "insufficient_permission*",
            "accessdenied",
            "model.accessdenied",
        ]),
    rule("not allowed", Matter::Entitlement)
        .on(&[403])
        .says(&[
            "permission",
            "model",
            "does not have access",
            "not have access",
        ])
        .when(&[When::NotAPage]),
    rule("not allowed", Matter::Entitlement)
        .on(&[404])
        .says(&["model"])
        .when(&[When::NotAPage]),
    // 11. A refusal without a reason.
    status("forbidden", Matter::Suspicion, &[403]),
    // 12. The rest.
    rule("provider failed", Matter::Server)
        .codes(&[
            "server_error",
            "internal_server_error",
            "api_error",
            "timeout_error",
        ])
        .on(&[5]),
    status("provider failed", Matter::Server, &[408, 409, 5]),
    status("client error", Matter::Request, &[4]),
];

/// What says that a key is not known.
const REFUSED_KEYS: &[&str] = &[
    "api key not valid",
    "incorrect api key",
    "invalid api key",
    "invalid x-api-key",
];

/// What says that there is too much to do for all. Ollama's is that its queue is full.
const OVERLOADED: &[&str] = &[
    "overloaded",
    "at capacity",
    "no capacity",
    "server busy, please try again",
];

/// What says that something is not there.
const NOT_FOUND: When = When::Also(&[
    "not found",
    "no such",
    "does not exist",
    "not exist",
    "cannot find",
]);

/// The status that belongs to a type of an error, for errors that come in a 200.
pub(super) fn status_of(signals: &Signals) -> Option<u16> {
    const STATUSES: &[(&str, u16)] = &[
        ("invalid_request_error", 400),
        ("context_length_exceeded", 400),
        ("invalid_prompt", 400),
        ("authentication_error", 401),
        ("unauthorized", 401),
        ("billing_error", 402),
        ("permission_error", 403),
        ("not_found_error", 404),
        ("request_too_large", 413),
        ("insufficient_quota", 429),
        ("rate_limit_error", 429),
        ("rate_limit_exceeded", 429),
        ("usage_limit_reached", 429),
        ("resource_exhausted", 429),
        ("api_error", 500),
        ("server_error", 500),
        ("timeout_error", 504),
        ("overloaded_error", 529),
    ];
    let found = STATUSES.iter().find(|(word, _)| signals.has_word(word));
    found.map(|(_, status)| *status)
}

/// The status with which others send an error that is nothing but text, as Ollama's are. Beside a
/// code, a text may be about something else, or repeat the request.
pub(super) fn status_of_text(saying: &Saying<'_>) -> Option<u16> {
    const LIMITED: &[&str] = &[
        "too many requests",
        "rate limit",
        "usage limit",
        "concurrent request",
    ];
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| saying.text.contains(phrase));
    if !saying.signals.words.is_empty() {
        None
    } else if says(OVERLOADED) {
        Some(503)
    } else if says(LIMITED) {
        Some(429)
    } else if says(REFUSED_KEYS) {
        Some(401)
    } else if says(&["model"]) && says(&["not found"]) {
        Some(404)
    } else {
        None
    }
}
