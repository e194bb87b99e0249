//! What others do: take turns, hash the session, or take the least loaded key, and skip what cools.

use std::collections::HashMap;

use api_key_lb_core::fact::{Affinity, Usage};
use api_key_lb_core::verdict::{Elsewhere, Matter};

use super::{Call, Decision, Router};
use crate::provider::Answer;
use crate::request::Request;
use crate::rng::mix;
use crate::time;
use crate::world::KeySpec;

/// Cooldown after a refusal that names no time: the default of LiteLLM, the most used of them.
const COOLDOWN_MS: u64 = 5_000;
/// Cooldown of a key that was refused for good: some minutes, since what it lacks takes a person.
const REFUSED_MS: u64 = 300_000;
/// Over how long the load of a key is counted.
const LOAD_MS: u64 = 60_000;

/// In which order keys are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// One after another.
    RoundRobin,
    /// By rendezvous hashing of the session's id, else of its first messages.
    SessionHash,
    /// The fewest running requests first, then the fewest tokens of the last minute.
    LeastLoaded,
}

/// One of them.
#[derive(Debug)]
pub struct Baseline {
    rule: Rule,
    keys: Vec<KeyState>,
    turn: usize,
    tried: HashMap<usize, Vec<usize>>,
}

#[derive(Debug)]
struct KeyState {
    weight: u32,
    cooling_until: u64,
    running: u32,
    /// When, and how many tokens.
    recent: Vec<(u64, u64)>,
}

impl Baseline {
    /// One that tries `keys` by `rule`.
    pub fn new(rule: Rule, keys: &[KeySpec]) -> Self {
        let state = |key: &KeySpec| KeyState {
            weight: key.weight,
            cooling_until: 0,
            running: 0,
            recent: Vec::new(),
        };
        Self {
            rule,
            keys: keys.iter().map(state).collect(),
            turn: 0,
            tried: HashMap::new(),
        }
    }

    /// Smaller is better.
    fn rank(&self, key: usize, request: &Request) -> (u64, u64) {
        let state = &self.keys[key];
        let weight = u64::from(state.weight.max(1));
        match self.rule {
            Rule::RoundRobin => {
                let count = self.keys.len();
                (((key + count - self.turn % count) % count) as u64, 0)
            }
            Rule::SessionHash => {
                let hash = mix(session_hash(request) ^ mix(key as u64 + 1));
                // Weighted rendezvous without logarithms: good enough for equal weights.
                (u64::MAX - hash, 0)
            }
            Rule::LeastLoaded => {
                let tokens: u64 = state.recent.iter().map(|(_, tokens)| tokens).sum();
                (u64::from(state.running) * 1000 / weight, tokens / weight)
            }
        }
    }
}

/// What stands for the session: its id, else its messages up to the first reply.
pub(super) fn session_hash(request: &Request) -> u64 {
    request.session.map_or_else(
        || {
            let opening = request.blocks.iter().take(request.opening_blocks);
            opening.fold(u64::from(request.model), |hash, block| {
                mix(hash ^ mix(*block))
            })
        },
        mix,
    )
}

impl Router for Baseline {
    fn came(&mut self, call: Call<'_>, _now: u64) {
        self.tried.insert(call.row, Vec::new());
    }

    fn choose(&mut self, call: Call<'_>, now: u64) -> Decision {
        let tried = self.tried.entry(call.row).or_default().clone();
        for state in &mut self.keys {
            state.recent.retain(|(at, _)| now - at < LOAD_MS);
        }
        let usable = (0..self.keys.len())
            .filter(|key| !tried.contains(key) && self.keys[*key].cooling_until <= now);
        let Some(key) = usable.min_by_key(|key| self.rank(*key, call.request)) else {
            let cooling = self.keys.iter().map(|state| state.cooling_until);
            return Decision::Refuse {
                soonest: cooling.filter(|until| *until > now).min(),
            };
        };
        self.turn = key + 1;
        let state = &mut self.keys[key];
        state.running += 1;
        state.recent.push((now, call.request.input_tokens));
        self.tried.entry(call.row).or_default().push(key);
        Decision::Send {
            key,
            affinity: Affinity::None,
        }
    }

    fn answered(
        &mut self,
        _call: Call<'_>,
        key: usize,
        answer: &Answer,
        may_resend: bool,
        now: u64,
    ) -> bool {
        let verdict = answer.verdict;
        if verdict.elsewhere() == Elsewhere::No {
            return false;
        }
        let usual = match verdict.matter {
            Matter::Key | Matter::Credit => REFUSED_MS,
            _ => COOLDOWN_MS,
        };
        let until = verdict.until.map_or(now + usual, time::ms);
        let state = &mut self.keys[key];
        state.cooling_until = state.cooling_until.max(until);
        may_resend
    }

    fn ended(&mut self, _call: Call<'_>, key: usize, _usage: Option<Usage>, _now: u64) {
        let state = &mut self.keys[key];
        state.running = state.running.saturating_sub(1);
    }

    fn gone(&mut self, call: Call<'_>, _now: u64) {
        self.tried.remove(&call.row);
    }
}
