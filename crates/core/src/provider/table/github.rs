//! GitHub Models. Its errors are Azure's; its limits are counted by user and model.

use super::USUAL;
use crate::provider::{Mark, Provider};

pub(super) const PROVIDER: Provider = Provider {
    name: "github",
    hosts: &["models.github.ai", "models.inference.ai.azure.com"],
    errors: super::azure::ERRORS,
    marks: &[Mark::Phrase("userbymodelby")],
    ..USUAL
};
