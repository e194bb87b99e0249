//! Cohere. From its SDK's error types.

use super::USUAL;
use crate::provider::{ErrorRule, Probe, Provider, Tells};
use crate::verdict::Matter;

/// Its SDK.
const SDK: &str = "cohere SDK error types";

pub(super) const PROVIDER: Provider = Provider {
    name: "cohere",
    hosts: &["api.cohere.com", "api.cohere.ai"],
    errors: ERRORS,
    probe: Some(Probe {
        path: "/v1/models",
        tells: Tells::Validity,
    }),
    ..USUAL
};

/// What its errors mean.
const ERRORS: &[ErrorRule] = &[
    ErrorRule::new("498", Matter::Key, SDK).on(&[498]),
    ErrorRule::new("trial calls of the month", Matter::AccountQuota, SDK)
        .on(&[429])
        .says(&["/ month", "per month", "/month"]),
    ErrorRule::new("trial calls of the minute", Matter::AccountRate, SDK)
        .on(&[429])
        .says(&["/ minute", "per minute", "/minute"]),
];
