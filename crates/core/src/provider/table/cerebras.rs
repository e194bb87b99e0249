//! Cerebras. From its page on limits, and issue threads.

use super::USUAL;
use crate::provider::{ErrorRule, Mark, Probe, Provider, Tells};
use crate::verdict::Matter;

/// Codes that were reported.
const THREADS: &str = "issue threads";

pub(super) const PROVIDER: Provider = Provider {
    name: "cerebras",
    hosts: &["api.cerebras.ai"],
    errors: ERRORS,
    marks: &[
        Mark::Word("token_quota_exceeded"),
        Mark::Word("request_quota_exceeded"),
    ],
    probe: Some(Probe {
        path: "/v1/models",
        tells: Tells::Validity,
    }),
    ..USUAL
};

/// What its errors mean.
const ERRORS: &[ErrorRule] = &[
    ErrorRule::new("queue_exceeded", Matter::Overload, THREADS).codes(&["queue_exceeded"]),
    ErrorRule::new("per day", Matter::ModelQuota, THREADS)
        .on(&[429])
        .says(&["per day"]),
    ErrorRule::new("request_quota_exceeded", Matter::ModelRate, THREADS)
        .codes(&["request_quota_exceeded", "token_quota_exceeded"]),
];
