//! What the workers share: the plan, the policy behind its one lock, the clock, the queue of facts.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api_key_lb_core::conversation::Identity;
use api_key_lb_core::fact::{RequestId, SessionId};
use api_key_lb_core::object::References;
use api_key_lb_core::plan::Pool;
use api_key_lb_core::policy::memory::Memory;
use api_key_lb_core::policy::{Policy, Snapshot};
use api_key_lb_core::{KeyId, Moment, Plan};
use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::facts::FactQueue;
use crate::websocket::Websockets;

/// How long a request waits that names what nobody knows, while another process may still tell of it:
/// what that has learned from an answer is here before the answer is read, unless this machine is busy.
const TOLD_WITHIN: Duration = Duration::from_millis(100);

/// Shared between the workers and whoever looks on.
#[derive(Debug)]
pub struct State {
    plan: ArcSwap<Plan>,
    policy: Mutex<Policy>,
    facts: FactQueue,
    /// Wakes the requests that wait for an account.
    changed: Notify,
    /// Whether somebody waits for news of the policy, and what wakes him.
    is_followed: AtomicBool,
    news: Notify,
    /// Whether another process tells what it learns, and who waits for that.
    is_told: AtomicBool,
    told: Notify,
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
            is_followed: AtomicBool::new(false),
            news: Notify::new(),
            is_told: AtomicBool::new(false),
            told: Notify::new(),
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

    /// Takes over what another process has learned that ends beside this one. At any time; the policy
    /// is locked meanwhile.
    pub fn merge(&self, memory: Memory) {
        let now = self.now();
        self.policy().merge(memory, now);
        self.told.notify_waiters();
    }

    /// Whether another process goes on telling what it learns ([`State::merge`]).
    pub fn expect_news(&self, is_told: bool) {
        self.is_told.store(is_told, Ordering::Relaxed);
        self.told.notify_waiters();
    }

    pub(crate) fn is_told(&self) -> bool {
        self.is_told.load(Ordering::Relaxed)
    }

    /// Waits a moment if nobody knows what a request names, and another process may be about to tell
    /// of it: its client has the answer that gave it out from there.
    pub(crate) async fn hear_of(&self, pool: &Pool, references: &References, identity: &Identity) {
        let deadline = Instant::now() + TOLD_WITHIN;
        while self.is_told() {
            let mut told = pin!(self.told.notified());
            told.as_mut().enable();
            let (answers, now) = (&identity.answers, self.now());
            let is_unknown = self
                .policy()
                .knows_nothing_of(pool, references, answers, now);
            if !is_unknown || timeout_at(deadline, told).await.is_err() {
                return;
            }
        }
    }

    /// From now on what changes is noted, and [`State::news`] tells of it.
    pub fn follow(&self) {
        self.policy().remember();
        self.is_followed.store(true, Ordering::Relaxed);
    }

    /// Waits until there are changes, after [`State::follow`]. One waiter at a time.
    pub async fn news(&self) {
        self.news.notified().await;
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
    pub(crate) fn policy(&self) -> Locked<'_> {
        Locked {
            policy: self.policy.lock().unwrap_or_else(PoisonError::into_inner),
            state: self,
        }
    }
}

/// The policy, locked.
pub(crate) struct Locked<'s> {
    policy: MutexGuard<'s, Policy>,
    state: &'s State,
}

impl Deref for Locked<'_> {
    type Target = Policy;

    fn deref(&self) -> &Policy {
        &self.policy
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Policy {
        &mut self.policy
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // At once, and so before the answer has left: its client may go on with the other process.
        if self.state.is_followed.load(Ordering::Relaxed) && self.policy.has_changed() {
            self.state.news.notify_one();
        }
    }
}

fn wall_clock() -> Moment {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Moment::from_unix_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}
