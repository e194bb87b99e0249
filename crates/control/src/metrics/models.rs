//! Which names of models may be shown: those that were served, and not endlessly many. What a client
//! writes into a request that nobody serves may be anything.

use std::collections::HashSet;

use api_key_lb_core::fact::Fact;

/// Names that are told apart: each is a series per key. Agents use a handful.
const MOST: usize = 100;
/// The longest name, in bytes; longer ones are somebody's mistake.
const MOST_BYTES: usize = 128;

/// Names that may be shown.
#[derive(Debug, Default)]
pub(crate) struct Models(HashSet<Box<str>>);

impl Models {
    /// Whether the model that `fact` names may be shown, also from now on.
    pub(crate) fn admit(&mut self, fact: &Fact) -> bool {
        let Some(model) = fact.model.as_deref() else {
            return false;
        };
        if self.0.contains(model) {
            return true;
        }
        let served = (200..300).contains(&fact.status) && !fact.attempts.is_empty();
        let is_name = model.len() <= MOST_BYTES && !model.chars().any(char::is_control);
        served && is_name && self.0.len() < MOST && self.0.insert(model.into())
    }
}
