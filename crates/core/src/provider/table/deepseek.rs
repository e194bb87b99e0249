//! DeepSeek. From its pages on errors and rate limits: it counts requests that run at once.

use std::time::Duration;

use super::USUAL;
use crate::provider::{Cache, ErrorRule, Probe, Provider, Tells};
use crate::verdict::Matter;

/// Its documentation.
const DOCS: &str = "api-docs.deepseek.com error_codes";

pub(super) const PROVIDER: Provider = Provider {
    name: "deepseek",
    hosts: &["api.deepseek.com"],
    errors: ERRORS,
    cache: Cache {
        // On disk, for hours to days; the low end, since more was never confirmed.
        ttl: Duration::from_secs(7200),
        minimum_tokens: 64,
    },
    probe: Some(Probe {
        path: "/user/balance",
        tells: Tells::DeepSeekBalance,
    }),
    ..USUAL
};

/// What its errors mean.
const ERRORS: &[ErrorRule] = &[
    ErrorRule::new("402", Matter::Credit, DOCS).on(&[402]),
    ErrorRule::new("429", Matter::Concurrency, DOCS).on(&[429]),
    ErrorRule::new("503", Matter::Overload, DOCS).on(&[503]),
];
