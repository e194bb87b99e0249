//! Mistral. From its pages on limits and errors, and gateways.

use std::time::Duration;

use super::USUAL;
use crate::provider::{Cache, ErrorRule, Probe, Provider, Scope, Tells, When};
use crate::verdict::Matter;

/// Its documentation.
const DOCS: &str = "docs.mistral.ai rate limits";
/// Bodies that were recorded.
const RECORDED: &str = "recorded answers";

pub(super) const PROVIDER: Provider = Provider {
    name: "mistral",
    hosts: &["api.mistral.ai", "codestral.mistral.ai"],
    scope: Scope::Account,
    errors: ERRORS,
    cache: Cache {
        // Not documented; in blocks of 64 tokens.
        ttl: Duration::from_secs(300),
        minimum_tokens: 64,
    },
    probe: Some(Probe {
        path: "/v1/models",
        tells: Tells::Validity,
    }),
    ..USUAL
};

/// What its errors mean.
const ERRORS: &[ErrorRule] = &[
    ErrorRule::new("service_tier_capacity_exceeded", Matter::Overload, RECORDED)
        .codes(&["service_tier_capacity_exceeded"]),
    ErrorRule::new("tokens of the month", Matter::AccountQuota, DOCS)
        .on(&[429])
        .says(&["month"]),
    ErrorRule::new("tokens of the month", Matter::AccountQuota, RECORDED)
        .on(&[429])
        .when(&[When::HeaderIs("x-ratelimit-remaining-tokens-month", "0")]),
    ErrorRule::new("tokens of the month", Matter::AccountQuota, RECORDED)
        .on(&[429])
        .when(&[When::HeaderIs("x-ratelimitbysize-remaining-month", "0")]),
    ErrorRule::new("rate limit", Matter::AccountRate, DOCS).on(&[429]),
    ErrorRule::new("tier", Matter::Entitlement, DOCS)
        .on(&[403])
        .says(&["tier", "plan", "subscription"]),
];
