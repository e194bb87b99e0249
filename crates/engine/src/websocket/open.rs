//! How many WebSockets are open, and which upstreams have none.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use api_key_lb_core::plan::{Key, Pool};
use api_key_lb_core::target::Target;
use tokio::sync::Notify;

use crate::state::State;

/// How long it is remembered that an upstream has no WebSocket: each client asks when it starts, and
/// a provider that begins to offer them is not in a hurry.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Most upstreams and paths remembered.
const MOST: usize = 64;
/// Longest path remembered, in bytes.
const LONGEST: usize = 256;

/// Those of this process.
#[derive(Debug, Default)]
pub(crate) struct Websockets {
    open: AtomicUsize,
    without: Mutex<Vec<Without>>,
    /// Told when another plan is in force: a key may be gone. Nothing else wakes them all.
    replanned: Notify,
}

#[derive(Debug)]
struct Without {
    target: Arc<Target>,
    path: String,
    until: Instant,
}

/// Counts one for as long as it lives.
#[derive(Debug)]
pub(crate) struct Seat(Arc<State>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.websockets().open.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Websockets {
    /// Told when another plan is in force.
    pub(crate) const fn replanned(&self) -> &Notify {
        &self.replanned
    }

    /// One more, unless `most` are open.
    pub(crate) fn enter(&self, state: &Arc<State>, most: usize) -> Option<Seat> {
        let seat = |open: usize| (open < most).then_some(open + 1);
        let entered = self
            .open
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, seat);
        entered.is_ok().then(|| Seat(Arc::clone(state)))
    }

    /// Whether no key of `pool` leads to one at this path, as far as is remembered.
    pub(super) fn lacks_all(&self, pool: &Pool, path: &str) -> bool {
        pool.keys.iter().all(|key| self.lacks(key, path))
    }

    pub(super) fn lacks(&self, key: &Key, path: &str) -> bool {
        let mut without = self.without.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        without.retain(|known| known.until > now);
        without
            .iter()
            .any(|known| known.path == path && *known.target == *key.target)
    }

    /// The upstream of `key` has none at this path.
    pub(super) fn lacking(&self, key: &Key, path: &str) {
        if path.len() > LONGEST || self.lacks(key, path) {
            return;
        }
        let mut without = self.without.lock().unwrap_or_else(PoisonError::into_inner);
        if without.len() >= MOST {
            without.remove(0);
        }
        without.push(Without {
            target: Arc::clone(&key.target),
            path: path.to_owned(),
            until: Instant::now() + REMEMBERED,
        });
    }
}
