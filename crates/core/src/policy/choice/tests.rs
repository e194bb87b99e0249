//! Staying, waiting, moving, placing: the choice stepped by hand.

use std::time::Duration;

use proptest::prelude::*;

use super::super::tests::{World, at, throttled};
use super::*;
use crate::fact::{ModelId, SessionId, Usage};
use crate::headroom::{Axis, Bucket};
use crate::plan::KeyId;
use crate::verdict::{Matter, Verdict};

/// A conversation of some 100 000 tokens.
const LARGE: u64 = 400_000;
/// One of some 2 000.
const SMALL: u64 = 8_000;
/// What most clients bear.
const PATIENT: Duration = Duration::from_secs(60);

fn ids(world: &World) -> Vec<KeyId> {
    world.pool().keys.iter().map(|key| key.id).collect()
}

/// A session whose turn of `bytes` was served just before; its home.
fn settled(world: &mut World, bytes: u64) -> KeyId {
    world.bytes = bytes;
    let (home, _) = world.served(7, 0);
    home
}

#[test]
fn a_large_conversation_waits_for_its_home_and_a_small_one_is_lent() {
    for (bytes, waits) in [(LARGE, true), (SMALL, false)] {
        let mut world = World::new(&["a", "b", "c"]);
        world.patience = PATIENT;
        let home = settled(&mut world, bytes);
        world.judged(None, home, throttled(3_000), &[], 1_000);
        let choice = world.choose(Some(7), &[], 1_000);
        match choice {
            Choice::Hold { key, until, reason } => {
                assert!(waits, "{bytes}");
                assert_eq!((world.pool().keys[key].id, until), (home, at(3_000)));
                let words = reason.waiting(world.pool(), key, at(1_000)).to_string();
                assert!(words.contains("cools for 2 s"), "{words}");
                assert!(words.contains("95 % of 100k tokens warm"), "{words}");
            }
            Choice::Use { affinity, .. } => {
                assert!(!waits, "{bytes}");
                assert_eq!(affinity, Affinity::Borrowed);
            }
            Choice::Exhausted { .. } => panic!("{bytes}"),
        }
    }
}

#[test]
fn a_large_conversation_does_not_wait_longer_than_reading_it_again_takes() {
    let mut world = World::new(&["a", "b"]);
    world.patience = PATIENT;
    let home = settled(&mut world, LARGE);
    world.judged(None, home, throttled(30_000), &[], 1_000);
    let Choice::Use { key, reason, .. } = world.choose(Some(7), &[], 1_000) else {
        panic!("it should be lent");
    };
    let words = reason.words(world.pool(), key, at(1_000)).to_string();
    assert!(words.contains("cools for 29 s"), "{words}");
    assert!(words.contains("0 % of 100k tokens warm"), "{words}");
}

#[test]
fn nobody_waits_longer_than_the_client_or_than_is_configured() {
    let mut world = World::new(&["a"]);
    settled(&mut world, LARGE);
    let only = ids(&world)[0];
    world.judged(None, only, throttled(40_000), &[], 1_000);
    let held = |world: &mut World| matches!(world.choose(Some(7), &[], 1_000), Choice::Hold { .. });
    world.patience = PATIENT;
    assert!(held(&mut world));
    // The client gives up after 30 s, and an answer takes some time to begin.
    world.patience = Duration::from_secs(30);
    assert!(!held(&mut world));
    world.patience = PATIENT;
    world.policy.timing.max_wait = Duration::from_secs(10);
    let soonest = Some(at(40_000));
    assert_eq!(
        world.choose(Some(7), &[], 1_000),
        Choice::Exhausted { soonest }
    );
}

#[test]
fn after_a_loan_the_session_returns_while_its_cache_may_be_warm() {
    for (back_at, returns) in [(60_000_u64, true), (3_000_000, false)] {
        let mut world = World::new(&["a", "b", "c"]);
        let home = settled(&mut world, LARGE);
        world.judged(None, home, throttled(40_000), &[], 1_000);
        let (lender, affinity) = world.served(7, 2_000);
        assert_eq!(affinity, Affinity::Borrowed);
        if !returns {
            // It goes on talking there while its home is away.
            world.judged(None, home, throttled(2_990_000), &[], 40_000);
            for now in (60_000..2_990_000).step_by(200_000) {
                world.served(7, now);
            }
        }
        let (served, _) = world.served(7, back_at);
        assert_eq!(served == home, returns, "at {back_at}");
        assert_eq!(served == lender, !returns);
    }
}

#[test]
fn a_home_that_is_away_for_longer_than_its_cache_lasts_is_left_for_good() {
    let mut world = World::new(&["a", "b"]);
    let home = settled(&mut world, LARGE);
    let quota = Verdict {
        until: Some(at(5 * 3_600_000)),
        ..Verdict::new(Matter::AccountQuota, "test")
    };
    world.judged(None, home, quota, &[], 1_000);
    let (other, affinity) = world.served(7, 2_000);
    assert_ne!(other, home);
    assert_eq!(affinity, Affinity::Moved);
    assert_eq!(world.served(7, 3_000), (other, Affinity::Home));
}

#[test]
fn new_sessions_go_where_there_is_least_to_do() {
    let mut world = World::new(&["a", "b", "c"]);
    world.bytes = SMALL;
    let mut requests = [0; 3];
    for session in 0..300 {
        let (key, _) = world.served(session, session as u64 * 10);
        requests[ids(&world).iter().position(|id| *id == key).unwrap()] += 1;
    }
    assert!(
        requests.iter().all(|count| (98..=102).contains(count)),
        "{requests:?}"
    );
}

#[test]
fn an_account_with_a_larger_weight_or_limit_takes_more_of_the_new_sessions() {
    let mut world = World::new(&["a", "b"]);
    world.bytes = SMALL;
    world.plan.default_pool.as_mut().unwrap().keys[0].weight = 3;
    let mut first = 0;
    for session in 0..400 {
        let (key, _) = world.served(session, session as u64 * 10);
        first += usize::from(key == ids(&world)[0]);
    }
    assert!((290..=310).contains(&first), "{first}");

    let mut world = World::new(&["a", "b"]);
    world.bytes = SMALL;
    let mut first = 0;
    for session in 0..400 {
        for (key, limit) in ids(&world).into_iter().zip([300_000, 100_000]) {
            let bucket = Bucket {
                axis: Axis::Tokens,
                whole_account: true,
                limit: Some(limit),
                remaining: limit,
                reset: Some(at(60_000)),
            };
            world.learned(key, &[bucket], session as u64 * 10);
        }
        let (key, _) = world.served(session, session as u64 * 10);
        first += usize::from(key == ids(&world)[0]);
    }
    assert!((290..=310).contains(&first), "{first}");
}

#[test]
fn an_account_that_learned_how_many_it_takes_at_once_gets_no_more() {
    let mut world = World::new(&["a"]);
    world.patience = PATIENT;
    let only = ids(&world)[0];
    let mut running: Vec<_> = (0..5)
        .map(|_| world.begins(None, only, Affinity::None, 0))
        .collect();
    let busy = Verdict::new(Matter::Concurrency, "test");
    let mut tries = Tries::new(at(0));
    let last = running.last_mut().unwrap();
    assert!(world.comes_to(None, last, busy, &mut tries, 0));
    world.policy.ended(running.pop().unwrap(), None, at(0));
    // It takes 3 of the 5 that ran; 4 still do.
    let choice = world.ask(None, &mut tries, 600);
    assert!(matches!(choice, Choice::Hold { .. }), "{choice:?}");
    for _ in 0..2 {
        let mut first = running.remove(0);
        let mut tries = Tries::new(at(600));
        world.comes_to(None, &mut first, Verdict::SERVED, &mut tries, 600);
        world.policy.ended(first, None, at(600));
    }
    let choice = world.ask(None, &mut tries, 600);
    assert!(matches!(choice, Choice::Use { .. }), "{choice:?}");
}

#[test]
fn those_who_wait_are_served_in_the_order_in_which_they_came() {
    let mut world = World::new(&["a"]);
    world.patience = PATIENT;
    let only = ids(&world)[0];
    world.judged(None, only, throttled(2_000), &[], 0);
    let mut line: Vec<Tries> = (0..5).map(|n| Tries::new(at(n))).collect();
    for (n, tries) in line.iter_mut().enumerate() {
        let choice = world.ask(Some(n as u128), tries, n as u64);
        assert!(matches!(choice, Choice::Hold { .. }));
    }
    assert_eq!(world.policy.snapshot(&world.plan, at(5)).waiting, 5);
    // One has left, one comes late; the account recovers with one request at a time.
    let mut left = line.remove(2);
    world.policy.gone(&mut left);
    let mut late = Tries::new(at(2_000));
    assert!(matches!(
        world.ask(Some(9), &mut late, 2_000),
        Choice::Hold { .. }
    ));
    assert!(matches!(
        world.ask(Some(3), &mut line[2], 2_000),
        Choice::Hold { .. }
    ));
    let mut steps: Vec<Vec<usize>> = Vec::new();
    let mut waiting: Vec<(usize, Tries)> = line.into_iter().enumerate().collect();
    waiting.push((9, late));
    for now in 2_000..2_010 {
        // All are woken, in any order.
        waiting.reverse();
        let mut still = Vec::new();
        let mut begun = Vec::new();
        steps.push(Vec::new());
        for (n, mut tries) in waiting {
            match world.ask(Some(n as u128), &mut tries, now) {
                Choice::Use { affinity, .. } => {
                    begun.push((world.begins(Some(n as u128), only, affinity, now), tries));
                    steps.last_mut().unwrap().push(n);
                }
                _ => still.push((n, tries)),
            }
        }
        assert!(begun.len() <= 1 << (now - 2_000), "it ramps");
        for (mut attempt, mut tries) in begun {
            world.comes_to(None, &mut attempt, Verdict::SERVED, &mut tries, now);
            world.policy.ended(attempt, None, at(now));
        }
        waiting = still;
    }
    // Those that begin together were woken in any order.
    for step in &mut steps {
        step.sort_unstable();
    }
    assert_eq!(steps.concat(), [0, 1, 2, 3, 9], "{steps:?}");
    assert_eq!(world.policy.snapshot(&world.plan, at(2_010)).waiting, 0);
}

#[test]
fn the_first_request_after_a_cooldown_is_a_probe() {
    let mut world = World::new(&["a", "b"]);
    let keys = ids(&world);
    world.judged(None, keys[0], throttled(1_000), &[], 0);
    let probe = world.begins(None, keys[0], Affinity::None, 1_000);
    for _ in 0..4 {
        assert_eq!(world.used(None, &[], 1_001).0, keys[1]);
    }
    // It leaves without having been judged: the next one may find out.
    world.policy.ended(probe, None, at(1_002));
    let next: Vec<KeyId> = (0..4).map(|_| world.used(None, &[], 1_003).0).collect();
    assert!(next.contains(&keys[0]));
}

#[test]
fn two_overloaded_accounts_stop_all_requests_for_the_model_for_a_moment() {
    let mut world = World::new(&["a", "b", "c"]);
    world.model = Some(ModelId::of("large"));
    world.patience = PATIENT;
    let keys = ids(&world);
    let overloaded = Verdict::new(Matter::Overload, "test");
    let mut tries = Tries::new(at(0));
    let mut first = world.begins(None, keys[0], Affinity::None, 0);
    assert!(world.comes_to(None, &mut first, overloaded, &mut tries, 0));
    world.policy.ended(first, None, at(0));
    let mut second = world.begins(None, keys[1], Affinity::None, 10);
    assert!(
        !world.comes_to(None, &mut second, overloaded, &mut tries, 10),
        "a third account is not burned"
    );
    world.policy.ended(second, None, at(10));

    let waits = world.choose(None, &[], 20);
    assert!(matches!(waits, Choice::Hold { until, .. } if until == at(1_010)));
    world.model = Some(ModelId::of("small"));
    assert!(matches!(world.choose(None, &[], 20), Choice::Use { .. }));
    // Who cannot wait gets the provider's own answer.
    world.model = Some(ModelId::of("large"));
    world.patience = Duration::ZERO;
    assert!(matches!(world.choose(None, &[], 20), Choice::Use { .. }));
}

#[test]
fn retries_without_a_limit_as_reason_are_bounded_by_a_budget() {
    let mut world = World::new(&["a", "b", "c"]);
    let keys = ids(&world);
    let failed = Verdict::new(Matter::Server, "test");
    let mut again = 0;
    for _ in 0..40 {
        let mut tries = Tries::new(at(0));
        let mut attempt = world.begins(None, keys[0], Affinity::None, 0);
        again += usize::from(world.comes_to(None, &mut attempt, failed, &mut tries, 0));
        world.policy.ended(attempt, None, at(0));
    }
    assert_eq!(again, 10);
    let mut tries = Tries::new(at(0));
    let mut attempt = world.begins(None, keys[0], Affinity::None, 0);
    assert!(world.comes_to(None, &mut attempt, throttled(9), &mut tries, 0));
    world.policy.ended(attempt, None, at(0));
}

#[test]
fn two_quotas_that_end_in_the_same_second_are_one_accounts() {
    for (second, tries_third) in [(3_661_000, false), (3_662_000, true)] {
        let mut world = World::new(&["a", "b", "c"]);
        let keys = ids(&world);
        let mut tries = Tries::new(at(0));
        for (key, until) in keys.iter().zip([3_661_000, second]) {
            let quota = Verdict {
                until: Some(at(until)),
                ..Verdict::new(Matter::AccountQuota, "test")
            };
            let mut attempt = world.begins(None, *key, Affinity::None, 0);
            world.comes_to(None, &mut attempt, quota, &mut tries, 0);
            world.policy.ended(attempt, None, at(0));
        }
        let choice = world.ask(None, &mut tries, 1);
        assert_eq!(
            matches!(choice, Choice::Use { .. }),
            tries_third,
            "{second}"
        );
    }
}

#[test]
fn quotas_are_drained_in_the_order_in_which_they_end_down_to_the_reserve() {
    let mut world = World::new(&["a", "b", "c"]);
    world.policy.pacing.drain = true;
    world.policy.pacing.reserve = 100;
    let keys = ids(&world);
    let window = |left, ends| Bucket {
        axis: Axis::Window,
        whole_account: true,
        limit: Some(1000),
        remaining: left,
        reset: Some(at(ends)),
    };
    let tell = |world: &mut World, lefts: [(u64, u64); 3]| {
        for (key, (left, ends)) in keys.iter().zip(lefts) {
            world.learned(*key, &[window(left, ends)], 0);
        }
    };
    tell(
        &mut world,
        [(900, 9_000_000), (500, 3_000_000), (800, 6_000_000)],
    );
    for session in 0..10 {
        assert_eq!(world.served(session, 1).0, keys[1], "its window ends first");
    }
    tell(
        &mut world,
        [(900, 9_000_000), (100, 3_000_000), (800, 6_000_000)],
    );
    assert_eq!(world.served(20, 2).0, keys[2]);
    assert_eq!(
        world.served(0, 3),
        (keys[1], Affinity::Home),
        "the reserve is for it"
    );
}

#[test]
fn what_the_provider_counted_corrects_what_was_estimated() {
    let mut world = World::new(&["a", "b"]);
    world.bytes = 100_000;
    let (home, affinity) = world.used(Some(7), &[], 0);
    let mut attempt = world.begins(Some(7), home, affinity, 0);
    let mut tries = Tries::new(at(0));
    world.comes_to(Some(7), &mut attempt, Verdict::SERVED, &mut tries, 0);
    let usage = Usage {
        prompt: 50_000,
        output: 1_000,
        ..Usage::default()
    };
    world.policy.ended(attempt, Some(usage), at(10));
    world.bytes = 110_000;
    let Choice::Use { reason, .. } = world.choose(Some(7), &[], 20) else {
        panic!("home");
    };
    assert_eq!((reason.warm, reason.of), (48_449, 55_000));
}

proptest! {
    /// The short way for the usual case never decides otherwise than the whole comparison does.
    #[test]
    fn a_home_that_is_taken_without_comparing_is_what_comparing_finds(
        steps in prop::collection::vec(
            (0_u128..3, 0_usize..6, 0_u64..400_000, 1_u64..400_000),
            1..40,
        )
    ) {
        let mut world = World::new(&["a", "b@x", "c@x", "d"]);
        let mut now = 0;
        let mut short = 0;
        for (session, outcome, pause, bytes) in steps {
            now += pause;
            world.bytes = bytes;
            let id = SessionId(session);
            let known = Session::named(id, "test".into());
            let asked = Asked {
                pool: world.plan.default_pool.as_ref().unwrap(),
                session: Some(&known),
                model: None,
                bytes,
                patience: Duration::ZERO,
                bound: crate::policy::Bound::Free,
            };
            let tries = Tries::new(at(now));
            let home = world.policy.sessions.peek(id, at(now));
            let case = Case {
                asked: &asked,
                tries: &tries,
                home,
                tokens: home.map_or(0, |home| home.estimate(bytes)),
                now: at(now),
            };
            if let Some(Decision::Use { at: taken, .. }) = world.policy.at_home(&case) {
                let candidates = world.policy.candidates(&case);
                let found = world.policy.cheapest(&case, &known, home.unwrap(), &candidates);
                prop_assert_eq!(Some(taken), found.map(|found| found.at));
                short += 1;
            }
            let Choice::Use { key, affinity, .. } = world.choose(Some(session), &[], now) else {
                continue;
            };
            let key = world.pool().keys[key].id;
            let verdict = match outcome {
                0 => throttled(now + pause),
                1 => Verdict::new(Matter::Server, "test"),
                _ => Verdict::SERVED,
            };
            let mut attempt = world.begins(Some(session), key, affinity, now);
            let mut tries = Tries::new(at(now));
            world.comes_to(Some(session), &mut attempt, verdict, &mut tries, now);
            let usage = Usage {
                prompt: bytes / 3,
                cached: bytes / 5 * (outcome as u64 % 2),
                ..Usage::default()
            };
            world.policy.ended(attempt, Some(usage), at(now));
        }
        // Most walks meet the usual case; those that do not are no use.
        prop_assume!(short > 0);
    }
}
