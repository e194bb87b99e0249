//! What the policy knows of a session, for whoever explains a choice. Changes nothing.

use super::Policy;
use super::recognition::Session;
use super::shared_id::SplitReason;
use crate::fact::Part;
use crate::moment::Moment;
use crate::plan::AccountId;

/// How it stands with a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// When it was last used; `None` if it is not known (any more).
    pub used: Option<Moment>,
    /// Where it lives, if that account has ever served it.
    pub home: Option<AccountId>,
    /// Where it begins if it can: its parent's beginning is warm there.
    pub drawn_to: Option<AccountId>,
    /// Why it is only one conversation of those that have its id.
    pub shared: Option<Shared>,
}

/// An id that many conversations share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared {
    /// What showed it.
    pub why: SplitReason,
    /// The home of the conversations that were there before: the account that neared its limit.
    pub home: Option<AccountId>,
}

impl Policy {
    /// How it stands with a session that [`Policy::recognise`] found.
    pub fn standing(&self, session: &Session, now: Moment) -> Standing {
        let home = self.sessions.peek(session.id, now);
        let id = session
            .counted
            .filter(|_| session.part == Part::Conversation);
        let shared = id.and_then(|id| {
            let why = session.split.or_else(|| self.shared_ids.why(id, now))?;
            let home = self.sessions.peek(id, now).map(|home| home.account);
            Some(Shared { why, home })
        });
        Standing {
            used: home.map(|home| home.used),
            home: home.filter(|home| home.served).map(|home| home.account),
            drawn_to: session.first.filter(|_| home.is_none()),
            shared,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Asked, Choice};
    use super::*;
    use crate::plan::Pool;
    use crate::plan::{Guard, Key, KeyId, Limits, Plan, Recognition, Timing};
    use crate::secret::Secret;
    use crate::target::Target;
    use crate::verdict::{Matter, Verdict};

    fn plan(weights: &[u32]) -> Plan {
        let target = Arc::new(Target::parse("https://h").unwrap());
        let key = |(number, weight): (usize, &u32)| {
            let secret = Secret::new(format!("sk-{number}"));
            let id = KeyId::of(&secret, &target);
            Key {
                id,
                label: format!("key-{number}"),
                secret,
                target: Arc::clone(&target),
                via: None,
                account: AccountId::of_key(id),
                weight: *weight,
            }
        };
        Plan {
            default_pool: Some(Pool {
                name: String::new(),
                target: Arc::clone(&target),
                keys: weights.iter().enumerate().map(key).collect(),
            }),
            named_pools: Vec::new(),
            guard: Guard::default(),
            timing: Timing::default(),
            limits: Limits::default(),
            recognition: Recognition::default(),
            answer_headers: true,
            include_usage: false,
            error_rules: Vec::new(),
        }
    }

    #[test]
    fn the_next_turn_is_foreseen_and_foreseeing_takes_nobodys_turn() {
        let plan = plan(&[3, 1, 2]);
        let pool = plan.default_pool.as_ref().unwrap();
        let asked = Asked {
            pool,
            session: None,
            model: None,
        };
        let mut policy = Policy::new(&plan);
        let now = Moment::from_unix_millis(1_790_000_000_000);
        for turn in 0..24 {
            if turn == 12 {
                let verdict = Verdict::new(Matter::AccountRate, "test");
                policy.judged(&asked, &pool.keys[0], verdict, &[], now);
            }
            let foreseen = policy.preview(&asked, now);
            assert_eq!(policy.preview(&asked, now), foreseen);
            assert_eq!(policy.choose(&asked, &[], now), foreseen, "turn {turn}");
        }
        for key in &pool.keys {
            let verdict = Verdict::new(Matter::AccountRate, "test");
            policy.judged(&asked, key, verdict, &[], now);
        }
        assert!(matches!(
            policy.preview(&asked, now),
            Choice::Exhausted { soonest: Some(_) }
        ));
    }
}
