//! What the workers share: the plan, the policy behind its one lock, the clock, the queue of facts.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use api_key_lb_core::fact::{RequestId, SessionId};
use api_key_lb_core::policy::memory::Memory;
use api_key_lb_core::policy::{Policy, Snapshot};
use api_key_lb_core::{KeyId, Moment, Plan};
use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::facts::FactQueue;
use crate::websocket::Websockets;

/// Shared between the workers and whoever looks on.
#[derive(Debug)]
pub struct State {
    plan: ArcSwap<Plan>,
    policy: Mutex<Policy>,
    facts: FactQueue,
    /// Wakes the requests that wait for an account.
    changed: Notify,
    websockets: Websockets,
    started: Moment,
    /// Of the ids of requests: so that those of another run are others.
    salt: u64,
    requests: AtomicU64,
}

impl State {
    /// Serving by `plan`, knowing nothing yet.
    pub fn new(plan: Plan) -> Arc<Self> {
        Arc::new(Self {
            policy: Mutex::new(Policy::new(&plan)),
            plan: ArcSwap::from_pointee(plan),
            facts: FactQueue::default(),
            changed: Notify::new(),
            websockets: Websockets::default(),
            started: wall_clock(),
            salt: RandomState::new().build_hasher().finish(),
            requests: AtomicU64::new(0),
        })
    }

    /// Puts another plan in force. Requests that have begun keep theirs.
    pub fn reload(&self, plan: Plan) {
        let plan = Arc::new(plan);
        let mut policy = self.policy();
        policy.reconfigure(&self.plan(), &plan, self.now());
        self.plan.store(plan);
        drop(policy);
        self.changed.notify_waiters();
        self.websockets.replanned().notify_waiters();
    }

    /// The plan in force.
    pub fn plan(&self) -> Arc<Plan> {
        self.plan.load_full()
    }

    /// The time now. The wall clock, not a monotonic one: a cooldown that a provider stated as a
    /// date must also end while a laptop sleeps.
    pub fn now(&self) -> Moment {
        wall_clock()
    }

    /// When this state was made.
    pub const fn started(&self) -> Moment {
        self.started
    }

    /// What the policy knows of the plan's keys.
    pub fn snapshot(&self) -> Snapshot {
        let plan = self.plan();
        self.policy().snapshot(&plan, self.now())
    }

    /// Takes over what another run of the program knew, and notes from now on what changes. Before
    /// the first request.
    pub fn restore(&self, memory: Memory) {
        let now = self.now();
        let mut policy = self.policy();
        policy.restore(memory, now);
        policy.remember();
    }

    /// At most `most` rows about what has changed since they were last taken. The policy is locked
    /// meanwhile.
    pub fn changes(&self, most: usize) -> Memory {
        self.policy().changes(most)
    }

    /// What was written down is lost: everything counts as changed. The policy is locked meanwhile.
    pub fn forgotten(&self) {
        self.policy().forgotten();
    }

    /// Takes a key out of use, or undoes that. Whether the plan has it.
    pub fn disable(&self, key: KeyId, disabled: bool) -> bool {
        let plan = self.plan();
        if !plan
            .pools()
            .flat_map(|pool| &pool.keys)
            .any(|known| known.id == key)
        {
            return false;
        }
        self.policy().disable(key, disabled);
        self.changed.notify_waiters();
        self.websockets.replanned().notify_waiters();
        true
    }

    /// Has the troubles of a key and its account forgotten. Whether the plan has it.
    pub fn forget(&self, key: KeyId) -> bool {
        let known = self.policy().forget(&self.plan(), key);
        self.changed.notify_waiters();
        known
    }

    /// Has a session forget its home. Whether it had one.
    pub fn unpin(&self, session: SessionId) -> bool {
        self.policy().unpin(session, self.now())
    }

    /// Facts about ended requests.
    pub const fn facts(&self) -> &FactQueue {
        &self.facts
    }

    /// What the next request is called.
    pub(crate) fn next_id(&self) -> RequestId {
        RequestId::of(self.salt, self.requests.fetch_add(1, Ordering::Relaxed))
    }

    /// Told whenever an attempt was judged or has ended while requests wait for an account.
    pub(crate) const fn changed(&self) -> &Notify {
        &self.changed
    }

    /// Those that are open, and where there are none.
    pub(crate) const fn websockets(&self) -> &Websockets {
        &self.websockets
    }

    /// The policy. Hold the guard for one computation, never across a wait.
    pub(crate) fn policy(&self) -> MutexGuard<'_, Policy> {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wall_clock() -> Moment {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Moment::from_unix_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}
