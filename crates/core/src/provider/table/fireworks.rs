//! Fireworks. From its guides on prompt caching and limits.

use std::time::Duration;

use super::USUAL;
use crate::provider::{Cache, ErrorRule, Probe, Provider, Scope, Tells};
use crate::verdict::Matter;

/// Not confirmed.
const UNSURE: &str = "general knowledge";

pub(super) const PROVIDER: Provider = Provider {
    name: "fireworks",
    hosts: &["api.fireworks.ai"],
    scope: Scope::Account,
    errors: ERRORS,
    cache: Cache {
        // Minutes to hours, of any length.
        ttl: Duration::from_secs(600),
        minimum_tokens: 0,
    },
    probe: Some(Probe {
        path: "/v1/accounts",
        tells: Tells::Validity,
    }),
    ..USUAL
};

/// What its errors mean.
const ERRORS: &[ErrorRule] = &[
    ErrorRule::new("suspended", Matter::Credit, UNSURE)
        .on(&[412])
        .says(&["suspended"]),
    ErrorRule::new("deployment", Matter::Entitlement, "docs.fireworks.ai")
        .on(&[404])
        .says(&["deployment", "model"]),
];
