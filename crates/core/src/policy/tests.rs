//! The policy stepped by hand and by random walks: homes, borrowing, cooldowns, refusals, turns.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::fact::SessionId;
use crate::plan::{Guard, Limits};
use crate::secret::Secret;
use crate::target::Target;
use crate::verdict::{Matter, Verdict};

pub(super) fn at(millis: u64) -> Moment {
    Moment::from_unix_millis(1_790_000_000_000 + millis)
}

/// A plan with one key per name; names like `a@acme` put keys into one account.
pub(super) fn plan(names: &[&str]) -> Plan {
    let target = Arc::new(Target::parse("https://h").unwrap());
    let keys = names.iter().map(|name| {
        let secret = Secret::new((*name).to_owned());
        let id = KeyId::of(&secret, &target);
        let account = match name.split_once('@') {
            Some((_, account)) => AccountId::named("", account),
            None => AccountId::of_key(id),
        };
        Key {
            id,
            label: (*name).to_owned(),
            secret,
            target: Arc::clone(&target),
            via: None,
            account,
            weight: 1,
        }
    });
    Plan {
        default_pool: Some(Pool {
            lists: crate::plan::Lists::First,
            name: String::new(),
            target: Arc::clone(&target),
            keys: keys.collect(),
        }),
        named_pools: Vec::new(),
        guard: Guard::default(),
        timing: Timing::default(),
        limits: Limits::default(),
        recognition: crate::plan::Recognition::default(),
        pacing: crate::plan::Pacing::default(),
        answer_headers: true,
        include_usage: false,
        error_rules: Vec::new(),
    }
}

pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) policy: Policy,
    pub(super) model: Option<ModelId>,
    /// Bytes of every request's body.
    pub(super) bytes: u64,
    /// How long every client waits.
    pub(super) patience: Duration,
}

impl World {
    pub(super) fn new(names: &[&str]) -> Self {
        let plan = plan(names);
        Self {
            policy: Policy::new(&plan),
            plan,
            model: None,
            bytes: 0,
            patience: Duration::ZERO,
        }
    }

    pub(super) fn pool(&self) -> &Pool {
        self.plan.default_pool.as_ref().unwrap()
    }

    pub(super) fn key(&self, id: KeyId) -> &Key {
        let mut keys = self.pool().keys.iter();
        keys.find(|key| key.id == id).unwrap()
    }

    /// Calls the policy with what a request of the session asks.
    fn with<T>(
        &mut self,
        session: Option<u128>,
        step: impl FnOnce(&mut Policy, &Asked<'_>) -> T,
    ) -> T {
        let session = session.map(|id| Session::named(SessionId(id), "test".into()));
        let asked = Asked {
            pool: self.plan.default_pool.as_ref().unwrap(),
            session: session.as_ref(),
            model: self.model,
            bytes: self.bytes,
            bound: crate::policy::Bound::Free,
            patience: self.patience,
        };
        step(&mut self.policy, &asked)
    }

    /// The tries of a request that these keys have failed, or refused.
    fn tries(&self, failed: &[KeyId], refused: &[KeyId], now: u64) -> Tries {
        let mut tries = Tries::new(at(now));
        let failed = failed.iter().map(|key| (key, Matter::Server));
        let refused = refused.iter().map(|key| (key, Matter::Key));
        for (key, matter) in failed.chain(refused) {
            let verdict = Verdict::new(matter, "test");
            let account = self.key(*key).account;
            tries.judged(
                (*key, account, true),
                verdict,
                verdict.elsewhere(),
                None,
                true,
                at(now),
            );
        }
        tries
    }

    pub(super) fn ask(&mut self, session: Option<u128>, tries: &mut Tries, now: u64) -> Choice {
        self.with(session, |policy, asked| {
            policy.choose(asked, tries, at(now))
        })
    }

    pub(super) fn choose(&mut self, session: Option<u128>, tried: &[KeyId], now: u64) -> Choice {
        let mut tries = self.tries(tried, &[], now);
        self.ask(session, &mut tries, now)
    }

    pub(super) fn used(
        &mut self,
        session: Option<u128>,
        tried: &[KeyId],
        now: u64,
    ) -> (KeyId, Affinity) {
        match self.choose(session, tried, now) {
            Choice::Use { key, affinity, .. } => (self.pool().keys[key].id, affinity),
            other => panic!("a key was expected: {other:?}"),
        }
    }

    /// An attempt begins.
    pub(super) fn begins(
        &mut self,
        session: Option<u128>,
        key: KeyId,
        affinity: Affinity,
        now: u64,
    ) -> Attempt {
        let key = self.key(key).clone();
        self.with(session, |policy, asked| {
            policy.began(asked, &key, affinity, at(now))
        })
    }

    /// An attempt of a request is judged; whether it may be sent once more.
    pub(super) fn comes_to(
        &mut self,
        session: Option<u128>,
        attempt: &mut Attempt,
        verdict: Verdict,
        tries: &mut Tries,
        now: u64,
    ) -> bool {
        self.with(session, |policy, asked| {
            policy.judged(asked, attempt, verdict, true, tries, at(now))
        })
    }

    /// An attempt that comes to `verdict` at once, of a request that `refused` refused before.
    pub(super) fn judged(
        &mut self,
        session: Option<u128>,
        key: KeyId,
        verdict: Verdict,
        refused: &[KeyId],
        now: u64,
    ) {
        self.judged_as(session, (key, Affinity::Borrowed), verdict, refused, now);
    }

    fn judged_as(
        &mut self,
        session: Option<u128>,
        (key, affinity): (KeyId, Affinity),
        verdict: Verdict,
        refused: &[KeyId],
        now: u64,
    ) {
        let mut tries = self.tries(&[], refused, now);
        let mut attempt = self.begins(session, key, affinity, now);
        self.comes_to(session, &mut attempt, verdict, &mut tries, now);
        self.policy.ended(attempt, None, at(now));
    }

    pub(super) fn learned(&mut self, key: KeyId, buckets: &[Bucket], now: u64) {
        let key = self.key(key).clone();
        self.policy.told(&key, self.model, buckets, None, at(now));
    }

    /// One request that is served at the first try.
    pub(super) fn served(&mut self, session: u128, now: u64) -> (KeyId, Affinity) {
        let used = self.used(Some(session), &[], now);
        self.judged_as(Some(session), used, Verdict::SERVED, &[], now);
        used
    }
}

pub(super) fn throttled(until: u64) -> Verdict {
    Verdict {
        until: Some(at(until)),
        ..Verdict::new(Matter::AccountRate, "test")
    }
}

#[test]
fn a_session_stays_on_its_home() {
    let mut world = World::new(&["a", "b", "c"]);
    let (home, first) = world.served(7, 0);
    assert_eq!(first, Affinity::New);
    for turn in 1..20 {
        assert_eq!(world.served(7, turn), (home, Affinity::Home));
    }
}

#[test]
fn a_throttled_home_is_borrowed_from_and_returned_to() {
    let mut world = World::new(&["a", "b", "c"]);
    let (home, _) = world.served(7, 0);
    world.judged(Some(7), home, throttled(5_000), &[], 100);
    let (lender, affinity) = world.served(7, 200);
    assert_ne!(lender, home);
    assert_eq!(affinity, Affinity::Borrowed);
    assert_eq!(
        world.served(7, 4_999),
        (lender, Affinity::Borrowed),
        "the loan is sticky"
    );
    assert_eq!(world.served(7, 5_000), (home, Affinity::Home));
}

#[test]
fn a_home_that_never_served_gives_way_to_whoever_did() {
    let mut world = World::new(&["a", "b", "c"]);
    let (first, _) = world.used(Some(7), &[], 0);
    world.judged(Some(7), first, throttled(1_000), &[], 0);
    let (second, affinity) = world.used(Some(7), &[first], 0);
    assert_eq!(affinity, Affinity::New);
    world.judged(Some(7), second, Verdict::SERVED, &[], 0);
    assert_eq!(world.served(7, 2_000), (second, Affinity::Home));
}

#[test]
fn a_refused_home_is_left_for_good_and_a_refusal_alone_is_held_against_nobody() {
    let mut world = World::new(&["a", "b"]);
    let (home, _) = world.served(7, 0);
    let (other, _) = world.used(Some(7), &[home], 10);
    world.judged(Some(7), home, Verdict::new(Matter::Key, "test"), &[], 10);
    assert_eq!(
        world.used(Some(7), &[], 20).0,
        home,
        "nothing proves that it was the key"
    );
    world.judged(Some(7), other, Verdict::SERVED, &[home], 30);
    assert_eq!(
        world.served(7, 40),
        (other, Affinity::Home),
        "the session has moved"
    );
    assert_eq!(world.served(7, 3_000_000).0, other, "and stays");
    let refused = world.policy.snapshot(&world.plan, at(40)).keys;
    assert!(
        refused
            .iter()
            .find(|key| key.id == home)
            .unwrap()
            .refused_until
            .is_some()
    );
}

#[test]
fn refused_keys_come_last_but_they_come() {
    let mut world = World::new(&["a", "b"]);
    let ids: Vec<KeyId> = world.pool().keys.iter().map(|key| key.id).collect();
    world.judged(None, ids[1], Verdict::SERVED, &[ids[0]], 0);
    assert_eq!(world.used(None, &[], 1).0, ids[1]);
    assert_eq!(world.used(None, &[], 2).0, ids[1]);
    assert_eq!(world.used(None, &[ids[1]], 3).0, ids[0]);
}

#[test]
fn one_keys_throttle_cools_its_whole_account() {
    let mut world = World::new(&["a@acme", "b@acme", "c"]);
    let ids: Vec<KeyId> = world.pool().keys.iter().map(|key| key.id).collect();
    world.judged(None, ids[0], throttled(9_000), &[], 0);
    for now in 1..10 {
        assert_eq!(world.used(None, &[], now).0, ids[2]);
    }
    let soonest = Some(at(9_000));
    assert_eq!(
        world.choose(None, &[ids[2]], 10),
        Choice::Exhausted { soonest }
    );
}

#[test]
fn when_all_cool_the_soonest_time_is_named() {
    let mut world = World::new(&["a", "b"]);
    let ids: Vec<KeyId> = world.pool().keys.iter().map(|key| key.id).collect();
    world.judged(None, ids[0], throttled(9_000), &[], 0);
    world.judged(None, ids[1], throttled(4_000), &[], 0);
    let soonest = Some(at(4_000));
    assert_eq!(world.choose(Some(7), &[], 1), Choice::Exhausted { soonest });
    assert!(matches!(
        world.choose(Some(7), &[], 4_000),
        Choice::Use { .. }
    ));
}

#[test]
fn requests_without_a_session_take_turns_by_weight() {
    let mut world = World::new(&["a", "b", "c"]);
    world.plan.default_pool.as_mut().unwrap().keys[2].weight = 2;
    let mut counts: HashMap<KeyId, u32> = HashMap::new();
    for now in 0..400 {
        *counts.entry(world.used(None, &[], now).0).or_default() += 1;
    }
    let shares: Vec<u32> = world
        .pool()
        .keys
        .iter()
        .map(|key| counts[&key.id])
        .collect();
    assert_eq!(shares, [100, 100, 200]);
}

#[test]
fn the_next_turn_is_foreseen_and_foreseeing_takes_nobodys_turn() {
    let mut world = World::new(&["a", "b", "c"]);
    for (key, weight) in [(0, 3), (2, 2)] {
        world.plan.default_pool.as_mut().unwrap().keys[key].weight = weight;
    }
    let ids: Vec<KeyId> = world.pool().keys.iter().map(|key| key.id).collect();
    for turn in 0..24 {
        if turn == 12 {
            world.judged(None, ids[0], throttled(9_000), &[], 0);
        }
        let foreseen = world.with(None, |policy, asked| policy.preview(asked, at(0)));
        let again = world.with(None, |policy, asked| policy.preview(asked, at(0)));
        assert_eq!(again, foreseen);
        assert_eq!(world.choose(None, &[], 0), foreseen, "turn {turn}");
    }
    for id in ids {
        world.judged(None, id, throttled(9_000), &[], 0);
    }
    let foreseen = world.with(None, |policy, asked| policy.preview(asked, at(0)));
    assert!(matches!(foreseen, Choice::Exhausted { soonest: Some(_) }));
}

#[test]
fn reordering_keys_moves_no_session_even_after_a_restart() {
    let mut world = World::new(&["a", "b", "c", "d"]);
    let mut other = World::new(&["d", "b", "a", "c"]);
    for session in 0..200 {
        assert_eq!(world.served(session, 0).0, other.served(session, 0).0);
    }
}

#[test]
fn sessions_are_counted_and_forgotten() {
    let mut world = World::new(&["a"]);
    for session in 0..5 {
        world.served(session, 0);
    }
    assert_eq!(world.policy.snapshot(&world.plan, at(1)).sessions, 5);
    let later = Moment::from_unix_millis(at(2).unix_millis()).after(Duration::from_secs(3600));
    assert_eq!(world.policy.snapshot(&world.plan, later).sessions, 0);
}

proptest! {
    /// Whatever happened before: a request never gets a key twice, never a cooling account, and
    /// is refused only when no key is left that may be tried.
    #[test]
    fn a_request_meets_each_usable_key_at_most_once(
        steps in prop::collection::vec((0_u128..4, 0_usize..5, 0_u64..3_000, 0_u64..5_000), 1..120)
    ) {
        let mut world = World::new(&["a", "b@x", "c@x", "d", "e"]);
        let mut now = 0;
        let mut cooling: HashMap<AccountId, u64> = HashMap::new();
        for (session, outcome, pause, span) in steps {
            now += pause;
            let mut tried: Vec<KeyId> = Vec::new();
            let mut refused = Vec::new();
            loop {
                let session = (session > 0).then_some(session);
                let choice = world.choose(session, &tried, now);
                let usable = |key: &&Key| !tried.contains(&key.id)
                    && cooling.get(&key.account).is_none_or(|until| *until <= now);
                let Choice::Use { key, .. } = choice else {
                    prop_assert_eq!(world.pool().keys.iter().filter(usable).count(), 0);
                    break;
                };
                let key = world.pool().keys[key].clone();
                prop_assert!(usable(&&key));
                tried.push(key.id);
                let verdict = match (outcome + tried.len()) % 5 {
                    0 => Verdict::SERVED,
                    1 => throttled(now + span),
                    2 => Verdict::new(Matter::Key, "test"),
                    3 => Verdict::new(Matter::Server, "test"),
                    _ => Verdict::new(Matter::Network, "test"),
                };
                world.judged(session, key.id, verdict, &refused, now);
                match verdict.matter {
                    Matter::Served => break,
                    Matter::AccountRate => {
                        let until = cooling.entry(key.account).or_default();
                        *until = (*until).max(now + span);
                    }
                    Matter::Key => refused.push(key.id),
                    _ => {}
                }
            }
        }
    }
}
