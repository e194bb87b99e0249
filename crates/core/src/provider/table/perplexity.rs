//! Perplexity. Its errors are not documented in detail; the general rules must do.

use super::USUAL;
use crate::provider::{ErrorRule, Provider};
use crate::verdict::Matter;

/// Not confirmed.
const UNSURE: &str = "general knowledge";

pub(super) const PROVIDER: Provider = Provider {
    name: "perplexity",
    hosts: &["api.perplexity.ai"],
    errors: ERRORS,
    ..USUAL
};

/// What its errors mean.
const ERRORS: &[ErrorRule] = &[ErrorRule::new("no credit", Matter::Credit, UNSURE)
    .on(&[401])
    .says(&["credit", "quota", "billing"])];
