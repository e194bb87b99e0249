//! The agents that `setup` knows, one file for each.

use crate::agent::Agent;

/// All of them, in the order in which they are shown.
pub const AGENTS: &[&dyn Agent] = &[];

/// The agent that `--only` and `--except` call so.
pub fn called(id: &str) -> Option<&'static dyn Agent> {
    AGENTS.iter().copied().find(|agent| agent.id() == id)
}
