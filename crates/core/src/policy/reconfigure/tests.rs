//! What stays and what moves when another plan takes over.

use std::time::Duration;

use super::super::tests::{World, at, plan, throttled};
use crate::fact::Affinity;
use crate::plan::AccountId;

impl World {
    /// The same secrets may come with another account after the `=`.
    fn reload(&mut self, names: &[&str], now: u64) {
        let mut new = plan(&names.iter().map(secret).collect::<Vec<_>>());
        let keys = &mut new.default_pool.as_mut().unwrap().keys;
        for (key, name) in keys.iter_mut().zip(names) {
            if let Some((_, account)) = name.split_once('=') {
                key.account = AccountId::named("", account);
            }
        }
        self.policy.reconfigure(&self.plan, &new, at(now));
        self.plan = new;
    }

    fn label(&mut self, session: u128, now: u64) -> (String, Affinity) {
        let (key, affinity) = self.served(session, now);
        (self.key(key).label.clone(), affinity)
    }
}

fn secret<'n>(name: &&'n str) -> &'n str {
    name.split_once('=').map_or(name, |(secret, _)| secret)
}

#[test]
fn sessions_stay_when_keys_are_added_removed_and_reordered_unless_theirs_is_gone() {
    let mut world = World::new(&["a", "b", "c"]);
    let before: Vec<_> = (0..60).map(|session| world.label(session, 0).0).collect();
    world.reload(&["d", "c", "e", "a"], 1);
    for (session, home) in (0..).zip(&before) {
        let (now, affinity) = world.label(session, 2);
        if home == "b" {
            assert_eq!(affinity, Affinity::Moved);
        } else {
            assert_eq!((&now, affinity), (home, Affinity::Home));
        }
        assert_eq!(world.label(session, 3), (now, Affinity::Home));
    }
}

#[test]
fn what_is_known_of_a_key_survives_its_absence() {
    let mut world = World::new(&["a", "b"]);
    let first = world.pool().keys[0].id;
    world.judged(None, first, throttled(60_000), &[], 0);
    world.reload(&["b"], 1);
    world.reload(&["b", "a"], 2);
    for turn in 3..9 {
        assert_ne!(world.used(None, &[], turn).0, first);
    }
    let plan = world.plan.clone();
    assert_eq!(world.policy.snapshot(&plan, at(9)).keys[1].requests, 1);
}

#[test]
fn a_key_whose_account_gets_a_name_keeps_its_sessions_and_its_throttle() {
    let mut world = World::new(&["a", "b", "c"]);
    let homes: Vec<_> = (0..30).map(|session| world.label(session, 0).0).collect();
    for names in [
        &["a=acme", "b", "c"][..],
        &["a=other", "b", "c"],
        &["a", "b", "c"],
        &["a=acme", "b", "c"],
    ] {
        world.reload(names, 1);
        for (session, home) in (0..).zip(&homes) {
            assert_eq!(
                world.label(session, 2),
                (home.clone(), Affinity::Home),
                "{names:?}"
            );
        }
    }
    let first = world.pool().keys[0].id;
    world.judged(None, first, throttled(60_000), &[], 3);
    world.reload(&["a=renamed", "b", "c"], 4);
    assert_ne!(world.used(None, &[], 5).0, first);
}

#[test]
fn a_key_that_leaves_an_account_which_stays_leaves_its_sessions_behind() {
    let mut world = World::new(&["a", "b", "c"]);
    world.reload(&["a=acme", "b=acme", "c"], 0);
    let homes: Vec<_> = (0..30).map(|session| world.label(session, 1).0).collect();
    world.reload(&["a", "b=acme", "c"], 2);
    for (session, home) in (0..).zip(&homes) {
        let (now, affinity) = world.label(session, 3);
        let expected = if home == "c" { "c" } else { "b" };
        assert_eq!((now.as_str(), affinity), (expected, Affinity::Home));
    }
}

#[test]
fn other_bounds_and_times_count_at_once() {
    let mut world = World::new(&["a", "b"]);
    for session in 0..20 {
        world.served(session, 0);
    }
    let mut new = world.plan.clone();
    new.limits.sessions = 5;
    new.timing.session_ttl = Duration::from_millis(100);
    world.policy.reconfigure(&world.plan, &new, at(1));
    assert_eq!(world.policy.snapshot(&new, at(2)).sessions, 5);
    assert_eq!(world.policy.snapshot(&new, at(200)).sessions, 0);
}
