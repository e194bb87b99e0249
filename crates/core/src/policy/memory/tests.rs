//! What was remembered and restored decides as what was never forgotten.

mod merged;
mod recognised;

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::fact::{Affinity, Usage};
use crate::headroom::Axis;
use crate::policy::tests::{World, at, throttled};
use crate::policy::{Asked, Bound, Choice, KeySnapshot, Session, Tries};
use crate::verdict::Verdict;

const KEYS: [&str; 5] = ["a", "b@x", "c@x", "d", "e"];

/// A store as simple as one can be: the newest row about each thing.
#[derive(Default)]
struct Store {
    sessions: HashMap<SessionId, SessionRow>,
    accounts: HashMap<AccountId, AccountRow>,
    keys: HashMap<KeyId, KeyRow>,
    owners: HashMap<AccountId, OwnerRow>,
    objects: HashMap<u64, ObjectRow>,
    threads: HashMap<SessionId, ThreadRow>,
    shared: HashMap<SessionId, SharedRow>,
    answers: HashMap<u64, AnswerRow>,
}

impl Store {
    fn keep(&mut self, rows: Memory) {
        let sessions = rows.sessions.into_iter();
        self.sessions.extend(sessions.map(|row| (row.id, row)));
        let accounts = rows.accounts.into_iter();
        self.accounts.extend(accounts.map(|row| (row.id, row)));
        let keys = rows.keys.into_iter();
        self.keys.extend(keys.map(|row| (row.id, row)));
        let owners = rows.owners.into_iter();
        self.owners.extend(owners.map(|row| (row.account, row)));
        let objects = rows.objects.into_iter();
        self.objects.extend(objects.map(|row| (row.object, row)));
        let threads = rows.threads.into_iter();
        self.threads.extend(threads.map(|row| (row.id, row)));
        let shared = rows.shared.into_iter();
        self.shared.extend(shared.map(|row| (row.id, row)));
        let answers = rows.answers.into_iter();
        self.answers.extend(answers.map(|row| (row.answer, row)));
    }

    fn take_all(&mut self, policy: &mut Policy, most: usize) {
        loop {
            let rows = policy.changes(most);
            assert!(rows.len() <= most);
            let more = rows.len() == most;
            self.keep(rows);
            if !more {
                return;
            }
        }
    }

    fn memory(self) -> Memory {
        let mut sessions: Vec<SessionRow> = self.sessions.into_values().collect();
        sessions.sort_by_key(|row| (row.used, row.id));
        let mut threads: Vec<ThreadRow> = self.threads.into_values().collect();
        threads.sort_by_key(|row| (row.used, row.id));
        let mut answers: Vec<AnswerRow> = self.answers.into_values().collect();
        answers.sort_by_key(|row| (row.learned, row.answer));
        Memory {
            threads,
            answers,
            shared: self.shared.into_values().collect(),
            sessions,
            accounts: self.accounts.into_values().collect(),
            keys: self.keys.into_values().collect(),
            owners: self.owners.into_values().collect(),
            objects: self.objects.into_values().collect(),
        }
    }
}

fn foresees(world: &World, policy: &Policy, session: Option<u128>, now: u64) -> Choice {
    let session = session.map(|id| Session::named(SessionId(id), "test".into()));
    let asked = Asked {
        pool: world.pool(),
        session: session.as_ref(),
        model: world.model,
        bytes: world.bytes,
        bound: Bound::Free,
        patience: world.patience,
    };
    policy.preview(&asked, at(now))
}

fn restored(world: &World, memory: Memory, now: u64) -> Policy {
    let mut policy = Policy::new(&world.plan);
    policy.restore(memory, at(now));
    policy
}

/// One request, tried until it is served or nothing is left; each attempt comes to what `outcome`
/// says, and the store takes what has changed in the middle of it if it `takes`.
fn request(
    world: &mut World,
    session: Option<u128>,
    (outcome, span): (usize, u64),
    takes: Option<&mut Store>,
    now: u64,
) {
    let mut takes = takes;
    let mut tries = Tries::new(at(now));
    for attempt in 0..KEYS.len() {
        let Choice::Use { key, affinity, .. } = world.ask(session, &mut tries, now) else {
            break;
        };
        let key = world.pool().keys[key].id;
        let mut running = world.begins(session, key, affinity, now);
        let until = |matter| Verdict {
            until: Some(at(now + span)),
            ..Verdict::new(matter, "test")
        };
        let verdict = match (outcome + attempt) % 9 {
            1 => throttled(now + span),
            2 => Verdict::new(Matter::Key, "test"),
            3 => Verdict::new(Matter::Credit, "test"),
            4 => until(Matter::ModelRate),
            5 => Verdict::new(Matter::Concurrency, "test"),
            6 => Verdict::new(Matter::Entitlement, "test"),
            7 => until(Matter::AccountQuota),
            _ => Verdict::SERVED,
        };
        if outcome % 2 == 0 {
            let bucket = Bucket {
                axis: Axis::Requests,
                whole_account: outcome % 4 == 0,
                limit: Some(100),
                remaining: span % 3,
                reset: Some(at(now + span)),
            };
            world.learned(key, &[bucket], now);
        }
        world.comes_to(session, &mut running, verdict, &mut tries, now);
        if let Some(store) = takes.as_deref_mut() {
            store.take_all(&mut world.policy, 3);
        }
        let served = verdict.matter == Matter::Served;
        let usage = served.then_some(Usage {
            prompt: 2_000 + span,
            cached: span,
            written: 0,
            output: 100,
        });
        world.policy.ended(running, usage, at(now));
        if served {
            break;
        }
    }
    world.policy.gone(&mut tries);
}

const MODELS: [&str; 3] = ["m", "n", "o"];

fn decides_the_same(world: &mut World, mut policy: Policy, now: u64) -> Result<(), TestCaseError> {
    for model in MODELS {
        world.model = Some(ModelId::of(model));
        for later in [0, 1, 700, 5_000, 40_000, 200_000, 4_000_000] {
            for session in 0..6 {
                let session = (session > 0).then_some(session);
                prop_assert_eq!(
                    foresees(world, &policy, session, now + later),
                    foresees(world, &world.policy, session, now + later),
                    "session {:?} {} ms later",
                    session,
                    later
                );
            }
        }
    }
    let (before, after) = (
        world.policy.snapshot(&world.plan, at(now)),
        policy.snapshot(&world.plan, at(now)),
    );
    prop_assert_eq!(before.sessions, after.sessions);
    for (before, after) in before.keys.iter().zip(&after.keys) {
        prop_assert_eq!(before.cooling_until, after.cooling_until);
        prop_assert_eq!(before.refused_until, after.refused_until);
        prop_assert_eq!(before.at_once, after.at_once);
        let trouble = |key: &KeySnapshot| key.trouble.map(|(matter, _)| matter);
        prop_assert_eq!(trouble(before), trouble(after));
    }
    Ok(())
}

proptest! {
    #[test]
    fn whatever_happened_it_decides_the_same_after_a_restart(
        steps in prop::collection::vec(
            (0_u128..6, 0_usize..9, 0_usize..3, 0_u64..20_000, 0_u64..90_000, any::<bool>()),
            1..80,
        ),
        most in 1_usize..9,
    ) {
        let mut world = World::new(&KEYS);
        world.policy.remember();
        world.bytes = 8_000;
        let models = MODELS.map(|name| Some(ModelId::of(name)));
        let mut store = Store::default();
        let mut now = 0;
        for (session, outcome, model, pause, span, takes) in steps {
            now += pause;
            world.model = models[model];
            let session = (session > 0).then_some(session);
            request(&mut world, session, (outcome, span), takes.then_some(&mut store), now);
            if takes {
                store.take_all(&mut world.policy, most);
            }
        }
        store.take_all(&mut world.policy, most);
        let policy = restored(&world, store.memory(), now);
        decides_the_same(&mut world, policy, now)?;
    }
}

#[test]
fn nothing_is_kept_for_nobody_and_what_was_taken_is_taken_once() {
    let mut world = World::new(&KEYS);
    world.served(7, 0);
    assert!(world.policy.changes(100).is_empty());
    world.policy.remember();
    for now in 1..50 {
        world.served(7, now);
    }
    let rows = world.policy.changes(100);
    assert_eq!((rows.sessions.len(), rows.accounts.len()), (1, 1));
    assert!(world.policy.changes(100).is_empty());
}

#[test]
fn what_is_not_taken_is_bounded_by_the_sessions_that_are_kept() {
    let mut world = World::new(&KEYS);
    world.plan.limits.sessions = 10;
    world.policy = Policy::new(&world.plan);
    world.policy.remember();
    for session in 0..1_000 {
        world.served(session, session as u64);
    }
    let rows = world.policy.changes(usize::MAX);
    assert!(rows.sessions.len() <= 10);
    world.served(999, 2_000);
    assert_eq!(world.policy.changes(usize::MAX).sessions.len(), 1);
}

#[test]
fn an_account_that_was_discovered_stays_one_after_a_restart() {
    let mut world = World::new(&["a", "b"]);
    world.policy.remember();
    let keys: Vec<_> = world.pool().keys.clone();
    let owner = AccountId::discovered("openai", b"org-1");
    for key in &keys {
        world.policy.told(key, None, &[], Some(owner), at(0));
    }
    world.judged(None, keys[0].id, throttled(9_000), &[], 0);
    let mut store = Store::default();
    store.take_all(&mut world.policy, 100);
    let mut policy = restored(&world, store.memory(), 10);
    for key in policy.snapshot(&world.plan, at(10)).keys {
        assert_eq!((key.account, key.cooling_until), (owner, Some(at(9_000))));
    }
}

#[test]
fn sessions_that_are_over_stay_so_and_a_clock_that_was_put_back_keeps_none_for_longer() {
    let mut world = World::new(&KEYS);
    world.policy.remember();
    let (home, _) = world.served(7, 0);
    world.served(8, 3_000_000);
    let mut store = Store::default();
    store.take_all(&mut world.policy, 100);
    let memory = store.memory();
    let mut late = restored(&world, memory.clone(), 3_700_000);
    assert_eq!(late.snapshot(&world.plan, at(3_700_000)).sessions, 1);
    let mut early = restored(&world, memory, 0);
    assert_eq!(early.snapshot(&world.plan, at(0)).sessions, 2);
    let choice = foresees(&world, &early, Some(7), 1);
    let Choice::Use { key, affinity, .. } = choice else {
        panic!("{choice:?}");
    };
    assert_eq!(
        (world.pool().keys[key].id, affinity),
        (home, Affinity::Home)
    );
    assert_eq!(early.snapshot(&world.plan, at(3_700_000)).sessions, 0);
}
