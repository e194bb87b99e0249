//! Groq. From console.groq.com on rate limits and errors, and recorded answers.

use std::time::Duration;

use super::USUAL;
use crate::provider::{Cache, ErrorRule, Mark, Probe, Provider, Quirk, Tells, When};
use crate::verdict::Matter;

/// Its documentation.
const DOCS: &str = "console.groq.com rate-limits";
/// Its documentation.
const PAGE: &str = "console.groq.com errors";
/// Its documentation, and the code seen instead.
const SPEND: &str = "console.groq.com spend-limits";

pub(super) const PROVIDER: Provider = Provider {
    name: "groq",
    hosts: &["api.groq.com"],
    quirks: &[Quirk::RequestsPerDay],
    errors: ERRORS,
    marks: &[Mark::Phrase("console.groq.com/")],
    cache: Cache {
        // Some two hours.
        ttl: Duration::from_secs(7200),
        minimum_tokens: 1024,
    },
    probe: Some(Probe {
        path: "/openai/v1/models",
        tells: Tells::Validity,
    }),
    ..USUAL
};

/// What its errors mean.
const ERRORS: &[ErrorRule] = &[
    ErrorRule::new("spend limit", Matter::Credit, SPEND)
        .on(&[400])
        .codes(&["blocked_api_access", "spend_*"]),
    ErrorRule::new("too large for the tier", Matter::Request, DOCS)
        .on(&[413, 429])
        .when(&[When::NeverFits]),
    ErrorRule::new("per day", Matter::ModelQuota, DOCS)
        .on(&[413, 429])
        .says(&["per day", "(tpd)", "(rpd)"]),
    ErrorRule::new("requests of the day", Matter::ModelQuota, DOCS)
        .on(&[429])
        .when(&[When::HeaderIs("x-ratelimit-remaining-requests", "0")]),
    ErrorRule::new("413", Matter::Request, DOCS).on(&[413]),
    ErrorRule::new("flex capacity", Matter::Overload, PAGE).on(&[498]),
    ErrorRule::new("failed dependency", Matter::Request, PAGE).on(&[424]),
    ErrorRule::new("cancelled", Matter::Request, PAGE).on(&[499]),
    ErrorRule::new("rate_limit_exceeded", Matter::ModelRate, DOCS).on(&[429]),
];
