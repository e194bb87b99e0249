//! NVIDIA NIM, hosted. From issue threads: it names neither limits nor times.

use super::USUAL;
use crate::provider::{ErrorRule, Provider};
use crate::verdict::Matter;

/// What was reported.
const THREADS: &str = "issue threads";

pub(super) const PROVIDER: Provider = Provider {
    name: "nvidia",
    hosts: &["integrate.api.nvidia.com"],
    errors: ERRORS,
    // Its list of models is the same without a key.
    ..USUAL
};

/// What its errors mean.
const ERRORS: &[ErrorRule] =
    &[ErrorRule::new("too many requests", Matter::ModelRate, THREADS).on(&[429])];
