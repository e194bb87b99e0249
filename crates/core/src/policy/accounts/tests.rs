//! Accounts that turn out to be one.

use super::super::tests::{World, at, throttled};
use crate::fact::Affinity;
use crate::plan::AccountId;

fn owner(name: &str) -> AccountId {
    AccountId::discovered("openai", name.as_bytes())
}

fn identified(world: &mut World, key: usize, name: &str) {
    let key = world.pool().keys[key].clone();
    world.policy.identified(&key, owner(name), at(0));
}

#[test]
fn keys_that_turn_out_to_be_of_one_account_share_its_throttles() {
    let mut world = World::new(&["a", "b", "c"]);
    let ids: Vec<_> = world.pool().keys.iter().map(|key| key.id).collect();
    world.judged(None, ids[0], throttled(9_000), &[], 0);
    identified(&mut world, 0, "org");
    identified(&mut world, 1, "org");
    for turn in 1..10 {
        assert_eq!(
            world.used(None, &[], turn).0,
            ids[2],
            "a throttle that came before counts"
        );
    }
    world.judged(None, ids[1], throttled(20_000), &[], 10_000);
    assert_eq!(world.used(None, &[], 10_001).0, ids[2]);
}

#[test]
fn a_session_keeps_its_home_when_the_homes_account_gets_a_name() {
    let mut world = World::new(&["a", "b", "c"]);
    let (home, _) = world.served(7, 0);
    let at = world
        .pool()
        .keys
        .iter()
        .position(|key| key.id == home)
        .unwrap();
    identified(&mut world, at, "org");
    assert_eq!(world.served(7, 1), (home, Affinity::Home));
}

#[test]
fn what_was_configured_is_not_overruled() {
    let mut world = World::new(&["a@one", "b@two"]);
    let ids: Vec<_> = world.pool().keys.iter().map(|key| key.id).collect();
    identified(&mut world, 0, "org");
    identified(&mut world, 1, "org");
    world.judged(None, ids[0], throttled(9_000), &[], 0);
    assert_eq!(world.used(None, &[], 1).0, ids[1]);
}

#[test]
fn a_key_that_changes_its_account_leaves_the_throttle_behind() {
    let mut world = World::new(&["a", "b"]);
    let ids: Vec<_> = world.pool().keys.iter().map(|key| key.id).collect();
    identified(&mut world, 0, "org");
    identified(&mut world, 1, "org");
    world.judged(None, ids[0], throttled(9_000), &[], 0);
    identified(&mut world, 1, "another");
    assert_eq!(world.used(None, &[], 1).0, ids[1]);
}

#[test]
fn after_a_refusal_a_key_of_another_account_comes_before_one_that_may_be_of_the_same() {
    let mut world = World::new(&["a@one", "b", "c@two", "d", "e"]);
    let ids: Vec<_> = world.pool().keys.iter().map(|key| key.id).collect();
    for session in 0..40 {
        let (second, _) = world.used(Some(session), &[ids[0]], 0);
        assert_eq!(second, ids[2], "the only one that is certainly another");
    }
    // Of nothing that was tried is the account known: then all are equal.
    let seconds: Vec<_> = (0..40)
        .map(|s| world.used(Some(100 + s), &[ids[1]], 0).0)
        .collect();
    assert!(seconds.contains(&ids[3]) && seconds.contains(&ids[0]));
}
