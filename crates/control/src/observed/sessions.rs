//! The conversations that were seen: who leads them, with which model, where they live.

use std::collections::HashMap;
use std::sync::Arc;

use api_key_lb_core::fact::{Affinity, Client, Fact, SessionId};
use api_key_lb_core::{KeyId, Moment};

/// Sessions of which something is kept; beyond, the quarter that was longest unused goes.
pub(super) const MOST: usize = 4_000;

/// A session as far as its requests have shown it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) pool: String,
    pub(super) rule: Option<Arc<str>>,
    pub(super) client: Client,
    pub(super) model: Option<String>,
    /// The key that it lives with.
    pub(super) home: Option<KeyId>,
    pub(super) moves: u64,
    pub(super) requests: u64,
    pub(super) prompt: u64,
    pub(super) cached: u64,
    pub(super) last_seen: Moment,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Sessions(HashMap<SessionId, Seen>);

impl Sessions {
    pub(super) fn add(&mut self, fact: &Fact, model: Option<&str>) {
        let Some(id) = fact.session else {
            return;
        };
        if self.0.len() >= MOST && !self.0.contains_key(&id) {
            self.make_room();
        }
        let seen = self.0.entry(id).or_insert_with(|| Seen {
            pool: fact.pool.clone(),
            rule: None,
            client: fact.client,
            model: None,
            home: None,
            moves: 0,
            requests: 0,
            prompt: 0,
            cached: 0,
            last_seen: fact.began,
        });
        seen.requests += 1;
        seen.rule.clone_from(&fact.rule);
        seen.last_seen = seen.last_seen.max(fact.began.after(fact.took));
        if fact.client.name().is_some() {
            seen.client = fact.client;
        }
        if let Some(model) = model
            && seen.model.as_deref() != Some(model)
        {
            seen.model = Some(model.to_owned());
        }
        if let Some(usage) = fact.usage {
            seen.prompt = seen.prompt.saturating_add(usage.prompt);
            seen.cached = seen.cached.saturating_add(usage.cached);
        }
        // A WebSocket's handshake is answered with 101, and lives there as well.
        let served = (100..300).contains(&fact.status);
        if let Some(last) = fact.attempts.last().filter(|_| served) {
            match fact.affinity {
                Affinity::Home | Affinity::New => seen.home = Some(last.key),
                Affinity::Moved => {
                    seen.home = Some(last.key);
                    seen.moves += 1;
                }
                Affinity::Borrowed | Affinity::None => {}
            }
        }
    }

    pub(super) fn unpinned(&mut self, id: SessionId) {
        if let Some(seen) = self.0.get_mut(&id) {
            seen.home = None;
        }
    }

    /// The latest ones, newest first.
    pub(super) fn latest(&self, most: usize) -> Vec<(SessionId, &Seen)> {
        let mut all: Vec<_> = self.0.iter().map(|(id, seen)| (*id, seen)).collect();
        all.sort_unstable_by_key(|(id, seen)| (std::cmp::Reverse(seen.last_seen), *id));
        all.truncate(most);
        all
    }

    /// How many live with each key, of those seen since then.
    pub(super) fn by_home(&self, since: Moment) -> HashMap<KeyId, u64> {
        let mut homes = HashMap::new();
        let alive = self.0.values().filter(|seen| seen.last_seen >= since);
        for home in alive.filter_map(|seen| seen.home) {
            *homes.entry(home).or_insert(0) += 1;
        }
        homes
    }

    fn make_room(&mut self) {
        let mut used: Vec<Moment> = self.0.values().map(|seen| seen.last_seen).collect();
        let (_, until, _) = used.select_nth_unstable(MOST / 4);
        let until = *until;
        self.0.retain(|_, seen| seen.last_seen > until);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
