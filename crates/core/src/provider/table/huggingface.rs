//! Hugging Face's router. From hub-docs on inference providers and rate limits.

use super::USUAL;
use crate::provider::{ErrorRule, Provider, Scope};
use crate::verdict::Matter;

/// Its documentation.
const DOCS: &str = "hub-docs inference-providers pricing";

pub(super) const PROVIDER: Provider = Provider {
    name: "huggingface",
    hosts: &["router.huggingface.co", "api-inference.huggingface.co"],
    scope: Scope::Account,
    errors: ERRORS,
    ..USUAL
};

/// What its errors mean.
const ERRORS: &[ErrorRule] = &[
    ErrorRule::new("monthly credits", Matter::Credit, DOCS).on(&[402]),
    ErrorRule::new("monthly credits", Matter::Credit, DOCS)
        .says(&["exceeded your monthly included credits"]),
    ErrorRule::new("hub limit", Matter::AccountRate, "hub-docs rate-limits").on(&[429]),
];
