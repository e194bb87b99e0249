//! Which key leads where, as spans and metrics name it.

use std::collections::HashMap;

use api_key_lb_core::{KeyId, Plan};

use super::semantics;

/// Where a key leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) label: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) provider: &'static str,
}

/// Where keys lead. Those that are gone stay: their last requests may still run.
#[derive(Debug, Default)]
pub(super) struct Places(HashMap<KeyId, Place>);

impl Places {
    /// Takes those of `plan` over.
    pub(super) fn learn(&mut self, plan: &Plan) {
        for key in plan.pools().flat_map(|pool| &pool.keys) {
            let place = Place {
                label: key.label.clone(),
                host: key.target.host().to_owned(),
                port: key.target.port(),
                provider: semantics::provider(key.target.provider().name),
            };
            self.0.insert(key.id, place);
        }
    }

    pub(super) fn get(&self, key: KeyId) -> Option<&Place> {
        self.0.get(&key)
    }
}
