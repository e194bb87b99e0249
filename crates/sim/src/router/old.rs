//! What the npm package `api-key-lb` 1.0.x does, as far as its documentation and behaviour tell.
//!
//! - A session is its id, else its model and system prompt, so sessions without ids share one key.
//! - A new session goes to a key by hash; it stays there for an hour after its last use.
//! - Only a 429 counts: the key cools for 60 s, whatever the provider said, and the next key in
//!   order that does not cool is tried. The session returns to its key afterwards.
//! - If all keys cool, the session's own is used all the same. Other errors go to the client.

use std::collections::HashMap;

use api_key_lb_core::fact::{Affinity, Usage};
use api_key_lb_core::verdict::Matter;

use super::{Call, Decision, Router};
use crate::provider::Answer;
use crate::request::Request;
use crate::rng::mix;

/// Its cooldown.
const COOLDOWN_MS: u64 = 60_000;
/// How long it remembers a session.
const SESSION_TTL_MS: u64 = 3_600_000;

/// The package.
#[derive(Debug)]
pub struct OldPackage {
    cooling_until: Vec<u64>,
    homes: HashMap<u64, (usize, u64)>,
    tried: HashMap<usize, Vec<usize>>,
}

impl OldPackage {
    /// With so many keys.
    pub fn new(keys: usize) -> Self {
        Self {
            cooling_until: vec![0; keys],
            homes: HashMap::new(),
            tried: HashMap::new(),
        }
    }

    fn home(&mut self, request: &Request, now: u64) -> usize {
        let session = fingerprint(request);
        let count = self.cooling_until.len() as u64;
        let hashed = usize::try_from(mix(session) % count.max(1)).unwrap_or(0);
        let home = self.homes.entry(session).or_insert((hashed, now));
        if now - home.1 > SESSION_TTL_MS {
            home.0 = hashed;
        }
        home.1 = now;
        home.0
    }
}

/// Its id, else its model and system prompt. A trace does not say what the system prompt is: it is
/// what all requests have in common, which ends one block before the opening does.
fn fingerprint(request: &Request) -> u64 {
    if let Some(session) = request.session {
        return mix(session);
    }
    let system = if request.system_blocks > 0 {
        request.system_blocks
    } else {
        request.opening_blocks.saturating_sub(1)
    };
    let blocks = request.blocks.iter().take(system);
    blocks.fold(u64::from(request.model), |hash, block| {
        mix(hash ^ mix(*block))
    })
}

impl Router for OldPackage {
    fn came(&mut self, call: Call<'_>, _now: u64) {
        self.tried.insert(call.row, Vec::new());
    }

    fn choose(&mut self, call: Call<'_>, now: u64) -> Decision {
        let home = self.home(call.request, now);
        let count = self.cooling_until.len();
        let tried = self.tried.entry(call.row).or_default();
        let mut order = (0..count).map(|step| (home + step) % count);
        let usable = order.find(|key| !tried.contains(key) && self.cooling_until[*key] <= now);
        let key = match usable {
            Some(key) => key,
            None if tried.is_empty() => home,
            None => return Decision::Refuse { soonest: None },
        };
        tried.push(key);
        Decision::Send {
            key,
            affinity: if key == home {
                Affinity::Home
            } else {
                Affinity::Borrowed
            },
        }
    }

    fn answered(
        &mut self,
        _call: Call<'_>,
        key: usize,
        answer: &Answer,
        _may_resend: bool,
        now: u64,
    ) -> bool {
        let throttled = matches!(
            answer.verdict.matter,
            Matter::AccountRate | Matter::AccountQuota | Matter::ModelRate | Matter::Concurrency
        );
        if throttled {
            self.cooling_until[key] = now + COOLDOWN_MS;
        }
        throttled
    }

    fn ended(&mut self, _call: Call<'_>, _key: usize, _usage: Option<Usage>, _now: u64) {}

    fn gone(&mut self, call: Call<'_>, _now: u64) {
        self.tried.remove(&call.row);
    }
}
