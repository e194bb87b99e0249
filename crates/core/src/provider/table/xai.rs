//! xAI. From docs.x.ai on regions and rate limits, and issue threads.

use super::USUAL;
use crate::provider::{ErrorRule, Mark, Probe, Provider, Tells};
use crate::verdict::Matter;

/// Texts that were reported.
const THREADS: &str = "continue#10373, warp#14867";
/// What gateways saw.
const GATEWAYS: &str = "gateways";
/// Not confirmed.
const UNSURE: &str = "general knowledge";

pub(super) const PROVIDER: Provider = Provider {
    name: "xai",
    hosts: &["api.x.ai", ".api.x.ai"],
    errors: ERRORS,
    marks: &[Mark::Phrase(
        "used all available credits or reached its monthly spending limit",
    )],
    probe: Some(Probe {
        path: "/v1/models",
        tells: Tells::Validity,
    }),
    ..USUAL
};

/// What its errors mean.
const ERRORS: &[ErrorRule] = &[
    ErrorRule::new("no credit", Matter::Credit, THREADS)
        .says(&["used all available credits", "monthly spending limit"]),
    ErrorRule::new("incorrect key", Matter::Key, UNSURE)
        .on(&[400])
        .says(&["incorrect api key"]),
    ErrorRule::new("resource_exhausted", Matter::ModelRate, GATEWAYS)
        .on(&[400])
        .codes(&["*resource_exhausted*"]),
    ErrorRule::new("resource_exhausted", Matter::ModelRate, GATEWAYS)
        .on(&[400])
        .says(&["resource exhausted", "resource_exhausted"]),
];
