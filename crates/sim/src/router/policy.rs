//! The real policy, asked and told as the proxy does it.

use std::collections::HashMap;
use std::time::Duration;

use api_key_lb_core::conversation::Identity;
use api_key_lb_core::fact::{ModelId, Usage};
use api_key_lb_core::plan::{Plan, Pool};
use api_key_lb_core::policy::{Asked, Attempt, Choice, Policy, Session, Snapshot, Tries};
use api_key_lb_core::target::TargetError;

use super::{Call, Decision, Router};
use crate::provider::Answer;
use crate::world::{World, owner};
use crate::{identity, time};

/// The policy, and the requests that it is asked about.
#[derive(Debug)]
pub struct PolicyRouter {
    plan: Plan,
    /// Which account of the provider each key belongs to.
    accounts: Vec<usize>,
    policy: Policy,
    live: HashMap<usize, Live>,
    reason: String,
    /// Whether reasons are wanted; they cost more than the choice itself.
    explains: bool,
}

#[derive(Debug)]
struct Live {
    session: Option<Session>,
    model: ModelId,
    tries: Tries,
    attempt: Option<Attempt>,
}

impl Live {
    fn asked<'a>(&'a self, pool: &'a Pool, call: Call<'_>) -> Asked<'a> {
        Asked {
            pool,
            session: self.session.as_ref(),
            model: Some(self.model),
            bytes: call.request.bytes(),
            bound: api_key_lb_core::policy::Bound::Free,
            patience: Duration::from_millis(call.request.patience_ms),
        }
    }
}

impl PolicyRouter {
    /// The policy for the keys of `world`, knowing nothing yet.
    ///
    /// # Errors
    /// Never: see [`World::plan`].
    pub fn new(world: &World) -> Result<Self, TargetError> {
        let plan = world.plan()?;
        Ok(Self {
            accounts: world.keys.iter().map(|key| key.account).collect(),
            policy: Policy::new(&plan),
            plan,
            live: HashMap::new(),
            reason: String::new(),
            explains: false,
        })
    }

    /// The same, which also says why it decided as it did.
    #[must_use]
    pub const fn explaining(mut self) -> Self {
        self.explains = true;
        self
    }
}

impl Router for PolicyRouter {
    fn came(&mut self, call: Call<'_>, now: u64) {
        let now = time::moment(now);
        let Some(pool) = &self.plan.default_pool else {
            return;
        };
        let identity: Identity = identity::of(call.request);
        let session = self.policy.recognise(pool, &identity, now);
        if let Some(session) = &session {
            let bytes = call.request.bytes();
            self.policy.entered(pool, &identity, session, bytes, now);
        }
        let live = Live {
            session,
            model: identity::model(call.request.model),
            tries: Tries::new(now),
            attempt: None,
        };
        self.live.insert(call.row, live);
    }

    fn choose(&mut self, call: Call<'_>, now: u64) -> Decision {
        let now = time::moment(now);
        let (Some(pool), Some(live)) = (&self.plan.default_pool, self.live.get_mut(&call.row))
        else {
            return Decision::Refuse { soonest: None };
        };
        let mut tries = std::mem::replace(&mut live.tries, Tries::new(now));
        let asked = live.asked(pool, call);
        let choice = self.policy.choose(&asked, &mut tries, now);
        if self.explains {
            self.reason = format!("{choice:?}");
        }
        let mut attempt = None;
        let decision = match choice {
            Choice::Use { key, affinity, .. } => {
                let began = self.policy.began(&asked, &pool.keys[key], affinity, now);
                attempt = Some(began);
                Decision::Send { key, affinity }
            }
            Choice::Hold { until, .. } => Decision::Hold {
                until: time::ms(until),
            },
            Choice::Exhausted { soonest } => Decision::Refuse {
                soonest: soonest.map(time::ms),
            },
        };
        live.tries = tries;
        live.attempt = attempt.or(live.attempt.take());
        decision
    }

    fn answered(
        &mut self,
        call: Call<'_>,
        key: usize,
        answer: &Answer,
        may_resend: bool,
        now: u64,
    ) -> bool {
        let now = time::moment(now);
        let (Some(pool), Some(mut live)) = (&self.plan.default_pool, self.live.remove(&call.row))
        else {
            return false;
        };
        let owner = answer.names_owner.then(|| owner(self.accounts[key]));
        let model = Some(live.model);
        self.policy
            .told(&pool.keys[key], model, &answer.buckets, owner, now);
        let mut again = false;
        if let Some(mut attempt) = live.attempt.take() {
            let mut tries = std::mem::replace(&mut live.tries, Tries::new(now));
            let asked = live.asked(pool, call);
            let verdict = answer.verdict;
            again = self
                .policy
                .judged(&asked, &mut attempt, verdict, may_resend, &mut tries, now);
            live.tries = tries;
            live.attempt = Some(attempt);
        }
        self.live.insert(call.row, live);
        again
    }

    fn ended(&mut self, call: Call<'_>, _key: usize, usage: Option<Usage>, now: u64) {
        let Some(live) = self.live.get_mut(&call.row) else {
            return;
        };
        if let Some(attempt) = live.attempt.take() {
            self.policy.ended(attempt, usage, time::moment(now));
        }
    }

    fn gone(&mut self, call: Call<'_>, _now: u64) {
        let Some(mut live) = self.live.remove(&call.row) else {
            return;
        };
        self.policy.gone(&mut live.tries);
        if let Some(session) = &live.session {
            self.policy.left(session);
        }
    }

    fn snapshot(&mut self, now: u64) -> Option<Snapshot> {
        Some(self.policy.snapshot(&self.plan, time::moment(now)))
    }

    fn reason(&self) -> String {
        self.reason.clone()
    }
}
