//! Keys that are taken out of use stay so, and what is forgotten or let go is as if it never was.

use std::time::Duration;

use proptest::prelude::*;

use super::super::tests::{World, at, throttled};
use super::super::{Choice, Policy, Tries};
use crate::fact::{Affinity, SessionId};
use crate::headroom::{Axis, Bucket};
use crate::plan::KeyId;
use crate::verdict::{Matter, Verdict};

fn ids(world: &World) -> Vec<KeyId> {
    world.pool().keys.iter().map(|key| key.id).collect()
}

fn snapshot(world: &mut World, key: usize, now: u64) -> super::super::KeySnapshot {
    let plan = world.plan.clone();
    world.policy.snapshot(&plan, at(now)).keys[key].clone()
}

#[test]
fn a_disabled_key_serves_nobody_and_its_sessions_move() {
    let mut world = World::new(&["a", "b"]);
    let (home, _) = world.served(7, 0);
    world.policy.disable(home, true);
    for turn in 1..10 {
        assert_ne!(world.used(None, &[], turn).0, home);
        assert_ne!(world.used(Some(100 + u128::from(turn)), &[], turn).0, home);
    }
    let (other, affinity) = world.served(7, 20);
    assert_ne!(other, home);
    assert_eq!(affinity, Affinity::Moved);
    assert_eq!(world.served(7, 21), (other, Affinity::Home));
    let at_home = ids(&world).iter().position(|id| *id == home).unwrap();
    assert!(snapshot(&mut world, at_home, 22).disabled);
    world.policy.disable(home, false);
    assert!(!snapshot(&mut world, at_home, 22).disabled);
    assert!((23..40).any(|turn| world.used(None, &[], turn).0 == home));
}

#[test]
fn where_all_keys_are_disabled_none_is_waited_for() {
    let mut world = World::new(&["a", "b"]);
    world.patience = Duration::from_secs(600);
    for (number, id) in ids(&world).into_iter().enumerate() {
        if number == 0 {
            world.judged(None, id, throttled(5_000), &[], 0);
        }
        world.policy.disable(id, true);
    }
    assert_eq!(
        world.choose(Some(7), &[], 1),
        Choice::Exhausted { soonest: None }
    );
}

#[test]
fn whoever_waits_for_a_key_asks_another_once_it_is_disabled() {
    let mut world = World::new(&["a", "b"]);
    let (home, _) = world.served(7, 0);
    for id in ids(&world) {
        world.judged(None, id, throttled(5_000), &[], 1);
    }
    world.patience = Duration::from_secs(600);
    let mut tries = Tries::new(at(2));
    let waits_for = |choice| match choice {
        Choice::Hold { key, .. } => key,
        other => panic!("it should wait: {other:?}"),
    };
    let first = waits_for(world.ask(Some(7), &mut tries, 2));
    assert_eq!(ids(&world)[first], home);
    world.policy.disable(home, true);
    assert_ne!(waits_for(world.ask(Some(7), &mut tries, 3)), first);
}

#[test]
fn a_key_that_was_disabled_is_so_after_a_restart_until_it_is_enabled() {
    let mut world = World::new(&["a", "b"]);
    let [first, _] = ids(&world)[..] else {
        panic!("two keys");
    };
    world.policy.remember();
    world.policy.disable(first, true);
    let rows = world.policy.changes(100);
    assert!(rows.keys.iter().any(|row| row.id == first && row.disabled));
    let mut next = Policy::new(&world.plan);
    next.restore(rows, at(1));
    assert!(next.is_disabled(first));
    next.remember();
    next.disable(first, false);
    let rows = next.changes(100);
    let mut last = Policy::new(&world.plan);
    last.restore(rows, at(2));
    assert!(!last.is_disabled(first));
}

#[test]
fn what_is_forgotten_blocks_no_more() {
    let mut world = World::new(&["a@x", "b@x", "c"]);
    let [first, second, third] = ids(&world)[..] else {
        panic!("three keys");
    };
    let plan = world.plan.clone();
    world.judged(None, first, throttled(3_600_000), &[], 0);
    world.judged(None, second, Verdict::new(Matter::Credit, "test"), &[], 0);
    world.learned(
        first,
        &[Bucket {
            axis: Axis::Tokens,
            whole_account: true,
            limit: Some(100),
            remaining: 0,
            reset: Some(at(60_000)),
        }],
        0,
    );
    let known = snapshot(&mut world, 0, 1);
    assert!(known.cooling_until.is_some() && known.refused_until.is_some());
    assert_eq!(known.headroom[0].left, 0);
    assert!(world.policy.forget(&plan, second));
    for key in [0, 1] {
        let known = snapshot(&mut world, key, 2);
        assert_eq!((known.cooling_until, known.refused_until), (None, None));
        assert!(known.trouble.is_none() && known.headroom.is_empty());
    }
    world.policy.disable(third, true);
    assert_ne!(world.used(None, &[], 3).0, third);
    assert!(!world.policy.forget(&plan, KeyId::from_number(1)));
}

#[test]
fn a_session_that_was_let_go_is_placed_as_a_new_one() {
    let mut world = World::new(&["a", "b", "c"]);
    let (home, _) = world.served(7, 0);
    assert!(!world.policy.unpin(SessionId(8), at(1)), "nobody knows it");
    assert!(world.policy.unpin(SessionId(7), at(1)));
    assert_eq!(
        world
            .policy
            .standing(
                &super::super::Session::named(SessionId(7), "test".into()),
                at(1)
            )
            .home,
        None
    );
    world.policy.disable(home, true);
    let (other, affinity) = world.served(7, 2);
    assert_ne!(other, home);
    assert_eq!(affinity, Affinity::New);
    assert_eq!(world.served(7, 3), (other, Affinity::Home));
}

proptest! {
    #[test]
    fn whatever_happens_a_disabled_key_is_never_chosen(
        steps in proptest::collection::vec((0..6_u8, 0..4_usize, proptest::option::of(0..5_u128)), 1..120)
    ) {
        let mut world = World::new(&["a", "b@x", "c@x", "d"]);
        let ids = ids(&world);
        let mut disabled = [false; 4];
        for (now, (what, key, session)) in (0..).zip(steps) {
            let now = now * 700;
            match what {
                0 => {
                    disabled[key] = !disabled[key];
                    world.policy.disable(ids[key], disabled[key]);
                }
                1 => world.judged(session, ids[key], throttled(now + 2_000), &[], now),
                2 => world.judged(session, ids[key], Verdict::new(Matter::Key, "test"), &[], now),
                3 => {
                    let plan = world.plan.clone();
                    world.policy.forget(&plan, ids[key]);
                }
                4 => {
                    if let Some(session) = session {
                        world.policy.unpin(SessionId(session), at(now));
                    }
                }
                _ => {
                    let mut tried = Vec::new();
                    while let Choice::Use { key, .. } = world.choose(session, &tried, now) {
                        prop_assert!(!disabled[key], "{key} is disabled");
                        if tried.is_empty() {
                            world.judged(session, ids[key], Verdict::SERVED, &[], now);
                        }
                        if tried.contains(&ids[key]) {
                            break;
                        }
                        tried.push(ids[key]);
                    }
                }
            }
            let plan = world.plan.clone();
            for (known, disabled) in world.policy.snapshot(&plan, at(now)).keys.iter().zip(disabled) {
                prop_assert_eq!(known.disabled, disabled);
            }
        }
    }
}
