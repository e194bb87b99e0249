//! Moonshot's open platform. From platform.kimi.ai `errors` and the help page about limits.

use super::USUAL;
use crate::provider::{ErrorRule, Mark, Over, Probe, Provider, Scope, Tells};
use crate::verdict::Matter;

/// Its documentation.
const DOCS: &str = "platform.kimi.ai errors";

pub(super) const PROVIDER: Provider = Provider {
    name: "moonshot",
    hosts: &["api.moonshot.ai", "api.moonshot.cn"],
    scope: Scope::Account,
    errors: ERRORS,
    marks: &[
        Mark::Phrase("request reached organization"),
        Mark::Phrase("request reached max organization"),
    ],
    probe: Some(Probe {
        path: "/v1/users/me/balance",
        tells: Tells::MoonshotBalance,
    }),
    ..USUAL
};

/// What its errors mean.
const ERRORS: &[ErrorRule] = &[
    ErrorRule::new("content_filter", Matter::Request, DOCS).codes(&["content_filter"]),
    ErrorRule::new("exceeded_current_quota_error", Matter::Credit, DOCS)
        .codes(&["exceeded_current_quota_error"]),
    ErrorRule::new("balance", Matter::Credit, "kimi.com help")
        .on(&[403])
        .says(&["balance"]),
    ErrorRule::new("engine_overloaded_error", Matter::Overload, DOCS)
        .codes(&["engine_overloaded_error"]),
    ErrorRule::new("concurrency", Matter::Concurrency, DOCS)
        .codes(&["rate_limit_reached_error"])
        .says(&["concurrency"]),
    ErrorRule::new("TPD", Matter::AccountQuota, DOCS)
        .codes(&["rate_limit_reached_error"])
        .says(&["tpd"])
        .over(Over::Midnight(8)),
    ErrorRule::new("rate_limit_reached_error", Matter::AccountRate, DOCS)
        .codes(&["rate_limit_reached_error"]),
    // Keys of the other region are unknown here.
    ErrorRule::new("invalid_authentication_error", Matter::Key, DOCS)
        .codes(&["invalid_authentication_error", "incorrect_api_key_error"]),
    ErrorRule::new("permission_denied_error", Matter::Entitlement, DOCS)
        .on(&[403])
        .codes(&["permission_denied_error"]),
    ErrorRule::new("resource_not_found_error", Matter::Entitlement, DOCS)
        .on(&[404])
        .codes(&["resource_not_found_error"]),
    ErrorRule::new("invalid_request_error", Matter::Request, DOCS)
        .on(&[400])
        .codes(&["invalid_request_error"]),
    ErrorRule::new("client_closed_request", Matter::Request, DOCS).on(&[499]),
    ErrorRule::new("server_error", Matter::Server, DOCS)
        .codes(&["server_error", "unexpected_output"]),
    ErrorRule::new("server_unavailable", Matter::Overload, DOCS).codes(&["server_unavailable"]),
];
