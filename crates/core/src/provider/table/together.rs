//! Together. From its page on rate limits: they rise with what was served before.

use super::USUAL;
use crate::provider::{ErrorRule, Mark, Probe, Provider, Tells};
use crate::verdict::Matter;

/// Its documentation.
const DOCS: &str = "docs.together.ai rate-limits";
/// Not confirmed.
const UNSURE: &str = "general knowledge";

pub(super) const PROVIDER: Provider = Provider {
    name: "together",
    hosts: &["api.together.xyz", "api.together.ai"],
    errors: ERRORS,
    marks: &[
        Mark::Word("dynamic_request_limited"),
        Mark::Word("dynamic_token_limited"),
    ],
    probe: Some(Probe {
        path: "/v1/models",
        tells: Tells::Validity,
    }),
    ..USUAL
};

/// What its errors mean.
const ERRORS: &[ErrorRule] = &[
    ErrorRule::new("dynamic rate", Matter::ModelRate, DOCS)
        .codes(&["dynamic_request_limited", "dynamic_token_limited"]),
    ErrorRule::new("platform capacity", Matter::Overload, DOCS).on(&[503]),
    ErrorRule::new("no credit", Matter::Credit, UNSURE)
        .on(&[402, 403])
        .says(&["credit"]),
];
