//! Ollama Cloud. From issue threads: windows that are the same for everybody.

use std::time::Duration;

use super::USUAL;
use crate::provider::{ErrorRule, Mark, Over, Provider, Scope};
use crate::verdict::Matter;

/// What was reported.
const THREADS: &str = "pi-ollama-cloud#42, #53";

/// Its sessions begin at every fifth hour since the epoch …
const SESSION: Over = Over::Every {
    period: Duration::from_secs(5 * 3600),
    offset: Duration::ZERO,
};
/// … its weeks on Monday, UTC; the epoch was a Thursday …
const WEEK: Over = Over::Every {
    period: Duration::from_secs(7 * 24 * 3600),
    offset: Duration::from_secs(4 * 24 * 3600),
};
/// … and its hours, before there were sessions, with the clock's.
const HOUR: Over = Over::Every {
    period: Duration::from_secs(3600),
    offset: Duration::ZERO,
};

pub(super) const PROVIDER: Provider = Provider {
    name: "ollama",
    hosts: &["ollama.com"],
    scope: Scope::Account,
    errors: ERRORS,
    marks: &[
        Mark::Phrase("session usage limit, please wait or upgrade"),
        Mark::Phrase("weekly usage limit, please wait or upgrade"),
    ],
    ..USUAL
};

/// What its errors mean.
const ERRORS: &[ErrorRule] = &[
    ErrorRule::new("session usage limit", Matter::AccountQuota, THREADS)
        .says(&["session usage limit"])
        .over(SESSION),
    ErrorRule::new("weekly usage limit", Matter::AccountQuota, THREADS)
        .says(&["weekly usage limit"])
        .over(WEEK),
    ErrorRule::new("hourly usage limit", Matter::AccountQuota, THREADS)
        .says(&["hourly usage limit"])
        .over(HOUR),
];
