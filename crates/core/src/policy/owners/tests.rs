//! Which account an object binds a request to, stepped by hand.

use std::time::Duration;

use super::*;
use crate::policy::Choice;
use crate::policy::tests::{World, at};

const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;

fn stored(id: &str) -> Reference {
    Reference::new(id.as_bytes(), Keeping::Stored)
}

fn sealed(id: &str) -> Reference {
    Reference::new(id.as_bytes(), Keeping::Sealed)
}

/// A request that does something and names these.
fn names(named: &[Reference]) -> References {
    References {
        named: named.to_vec(),
        ..References::default()
    }
}

/// One that only asks about this.
fn asks(about: Reference) -> References {
    References {
        named: vec![about],
        about: 1,
        safe: true,
        ..References::default()
    }
}

/// One request with this verdict from the key at `key`.
struct Served<'w> {
    world: &'w mut World,
    now: u64,
}

impl Served<'_> {
    fn asked<T>(
        &mut self,
        references: &References,
        step: impl FnOnce(&mut Policy, &Asked<'_>) -> T,
    ) -> T {
        let pool = self.world.pool().clone();
        let bound = self.world.policy.bound(&pool, references, at(self.now));
        let asked = Asked {
            pool: &pool,
            session: None,
            model: None,
            bytes: 0,
            patience: Duration::from_secs(60),
            bound,
        };
        step(&mut self.world.policy, &asked)
    }

    /// The key at `key` served a request that names these, and its answer gave those out.
    fn by(&mut self, key: usize, references: &References, given: &[Reference]) {
        self.came_to(key, references, Verdict::SERVED, given);
    }

    fn came_to(
        &mut self,
        key: usize,
        references: &References,
        verdict: Verdict,
        given: &[Reference],
    ) {
        let now = at(self.now);
        self.asked(references, |policy, asked| {
            let mut tries = Tries::new(now);
            let key = &asked.pool.keys[key];
            let mut attempt = policy.began(asked, key, crate::fact::Affinity::None, now);
            policy.judged(asked, &mut attempt, verdict, true, &mut tries, now);
            policy.showed(asked, &attempt, references, verdict, now);
            policy.gave("", &attempt, given, now);
            policy.ended(attempt, None, now);
        });
    }

    fn choice(&mut self, references: &References) -> Choice {
        let now = at(self.now);
        self.asked(references, |policy, asked| {
            let mut tries = Tries::new(now);
            let choice = policy.choose(asked, &mut tries, now);
            policy.gone(&mut tries);
            choice
        })
    }

    /// The keys that a request gets, asked eight times.
    fn keys(&mut self, references: &References) -> Vec<usize> {
        let mut keys: Vec<usize> = (0..8)
            .filter_map(|_| match self.choice(references) {
                Choice::Use { key, .. } => Some(key),
                _ => None,
            })
            .collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    fn bound(&mut self, references: &References) -> Bound {
        self.asked(references, |_, asked| asked.bound)
    }
}

fn at_time(world: &mut World, now: u64) -> Served<'_> {
    Served { world, now }
}

fn throttled(until: u64) -> Verdict {
    Verdict {
        until: Some(at(until)),
        ..Verdict::new(Matter::AccountRate, "test")
    }
}

#[test]
fn what_an_answer_gave_out_binds_whoever_names_it() {
    let mut world = World::new(&["a", "b", "c"]);
    let file = stored("file-1");
    at_time(&mut world, 0).by(1, &References::default(), &[file]);
    let mut then = at_time(&mut world, DAY);
    assert_eq!(then.keys(&names(&[file])), [1]);
    assert_eq!(then.keys(&asks(file)), [1]);
    assert_eq!(then.keys(&names(&[stored("file-2"), file])), [1]);
    assert_eq!(then.keys(&names(&[stored("file-2")])), [0, 1, 2]);
}

#[test]
fn keys_of_its_owner_share_what_it_has() {
    let mut world = World::new(&["a@one", "b@two", "c@one"]);
    at_time(&mut world, 0).by(0, &References::default(), &[stored("file-1")]);
    assert_eq!(
        at_time(&mut world, 1).keys(&names(&[stored("file-1")])),
        [0, 2]
    );
}

#[test]
fn a_throttled_owner_is_waited_for_and_no_other_is_asked() {
    let mut world = World::new(&["a", "b"]);
    let named = names(&[stored("file-1")]);
    at_time(&mut world, 0).by(0, &References::default(), &named.named);
    at_time(&mut world, 0).came_to(0, &named, throttled(10_000), &[]);
    let choice = at_time(&mut world, 1000).choice(&named);
    assert!(
        matches!(choice, Choice::Hold { key: 0, until, .. } if until == at(10_000)),
        "{choice:?}"
    );
    at_time(&mut world, 1000).came_to(0, &named, throttled(10 * MINUTE), &[]);
    let choice = at_time(&mut world, 2000).choice(&named);
    assert_eq!(
        choice,
        Choice::Exhausted {
            soonest: Some(at(10 * MINUTE))
        }
    );
    assert_eq!(at_time(&mut world, 2000).keys(&References::default()), [1]);
}

#[test]
fn sealed_things_bind_only_to_an_account_that_will_serve() {
    let mut world = World::new(&["a", "b"]);
    let named = names(&[sealed("gAAA")]);
    at_time(&mut world, 0).by(0, &References::default(), &named.named);
    assert_eq!(at_time(&mut world, 1).keys(&named), [0]);
    at_time(&mut world, 1).came_to(0, &named, throttled(10 * MINUTE), &[]);
    assert!(matches!(
        at_time(&mut world, 2).choice(&named),
        Choice::Exhausted { .. }
    ));
    let broke = Verdict::new(Matter::Credit, "test");
    at_time(&mut world, 11 * MINUTE).came_to(0, &named, broke, &[]);
    assert_eq!(at_time(&mut world, 11 * MINUTE + 1).keys(&named), [1]);
}

#[test]
fn an_unknown_object_is_sought_only_by_who_does_no_harm() {
    let mut world = World::new(&["a", "b"]);
    let file = stored("file-1");
    assert_eq!(at_time(&mut world, 0).bound(&asks(file)), Bound::Sought);
    assert_eq!(at_time(&mut world, 0).bound(&names(&[file])), Bound::Free);
    // Whoever serves it has it.
    at_time(&mut world, 0).by(1, &asks(file), &[]);
    assert_eq!(at_time(&mut world, 1).keys(&names(&[file])), [1]);
}

#[test]
fn each_account_is_sought_at_once_and_only_once() {
    let mut world = World::new(&["a@one", "b@one", "c@two"]);
    let about = asks(stored("file-1"));
    let (verdict, now) = (Verdict::new(Matter::State, "test"), at(0));
    at_time(&mut world, 0).asked(&about, |policy, asked| {
        let mut tries = Tries::new(now);
        let mut seen = Vec::new();
        while let Choice::Use { key, affinity, .. } = policy.choose(asked, &mut tries, now) {
            let chosen = &asked.pool.keys[key];
            seen.push(policy.account_of(chosen));
            let mut attempt = policy.began(asked, chosen, affinity, now);
            assert!(policy.judged(asked, &mut attempt, verdict, true, &mut tries, now));
            policy.ended(attempt, None, now);
        }
        assert_eq!(seen.len(), 2, "{seen:?}");
        assert_ne!(seen[0], seen[1]);
    });
}

#[test]
fn an_owner_that_has_it_no_more_is_forgotten() {
    let mut world = World::new(&["a", "b"]);
    let file = stored("file-1");
    at_time(&mut world, 0).by(0, &References::default(), &[file]);
    at_time(&mut world, 1).came_to(0, &asks(file), Verdict::new(Matter::State, "test"), &[]);
    assert_eq!(at_time(&mut world, 2).bound(&asks(file)), Bound::Sought);
    at_time(&mut world, 2).by(1, &asks(file), &[]);
    let deletes = References {
        deletes: Some(file.object),
        ..names(&[file])
    };
    assert_eq!(at_time(&mut world, 3).keys(&deletes), [1]);
    at_time(&mut world, 3).by(1, &deletes, &[]);
    assert_eq!(at_time(&mut world, 4).bound(&asks(file)), Bound::Sought);
}

#[test]
fn lists_are_those_of_the_first_key_or_the_configured_one_while_it_serves() {
    let mut world = World::new(&["a", "b", "c"]);
    let lists = References {
        safe: true,
        lists: true,
        ..References::default()
    };
    assert_eq!(at_time(&mut world, 0).keys(&lists), [0]);
    let second = world.pool().keys[1].id;
    if let Some(pool) = &mut world.plan.default_pool {
        pool.lists = crate::plan::Lists::Of(second);
    }
    assert_eq!(at_time(&mut world, 0).keys(&lists), [1]);
    at_time(&mut world, 0).came_to(1, &lists, throttled(10 * MINUTE), &[]);
    assert!(matches!(
        at_time(&mut world, 1).choice(&lists),
        Choice::Exhausted { .. }
    ));
    at_time(&mut world, 0).came_to(1, &lists, Verdict::new(Matter::Credit, "test"), &[]);
    assert_eq!(at_time(&mut world, 1).keys(&lists), [0]);
}

#[test]
fn equal_ids_of_two_pools_are_two_objects_and_one_account_needs_none() {
    let mut world = World::new(&["a", "b"]);
    let file = stored("file-1");
    at_time(&mut world, 0).by(1, &References::default(), &[file]);
    let other = Pool {
        name: "other".to_owned(),
        ..world.pool().clone()
    };
    assert_eq!(
        world.policy.bound(&other, &names(&[file]), at(1)),
        Bound::Free
    );
    const ALL: &[Keeping] = &[Keeping::Answer, Keeping::Stored];
    assert!(!world.policy.knows_objects(&other, &[Keeping::Answer]));
    let mut alone = World::new(&["a"]);
    at_time(&mut alone, 0).by(0, &References::default(), &[file]);
    assert_eq!(at_time(&mut alone, 1).bound(&asks(file)), Bound::Free);
    let pool = alone.pool().clone();
    assert!(!alone.policy.knows_objects(&pool, ALL) && world.policy.knows_objects(&other, ALL));
}

#[test]
fn an_account_that_turns_out_to_be_another_keeps_what_it_has() {
    let mut world = World::new(&["a", "b"]);
    let file = stored("file-1");
    at_time(&mut world, 0).by(0, &References::default(), &[file]);
    let key = world.pool().keys[0].clone();
    let owner = AccountId::discovered("openai", b"org-1");
    world.policy.told(&key, None, &[], Some(owner), at(1));
    assert_eq!(at_time(&mut world, 2).keys(&names(&[file])), [0]);
    assert_eq!(
        at_time(&mut world, 2).bound(&names(&[file])),
        Bound::To(owner)
    );
}

#[test]
fn the_tables_are_bounded_and_forget_what_is_old() {
    let mut world = World::new(&["a", "b"]);
    let many: Vec<Reference> = (0..MOST_SEALED + 10)
        .map(|number| sealed(&format!("gAAA{number}")))
        .collect();
    let file = stored("file-1");
    at_time(&mut world, 0).by(0, &References::default(), &[file]);
    at_time(&mut world, 0).by(1, &References::default(), &many);
    let bound = |world: &mut World, reference, now| at_time(world, now).bound(&names(&[reference]));
    assert_eq!(bound(&mut world, many[9], 1), Bound::Free);
    assert_ne!(bound(&mut world, many[10], 1), Bound::Free);
    assert_ne!(bound(&mut world, file, 1), Bound::Free, "of another kind");
    assert_eq!(bound(&mut world, many[10], 31 * DAY), Bound::Free);
    assert_ne!(bound(&mut world, file, 179 * DAY), Bound::Free);
    assert_eq!(bound(&mut world, file, 181 * DAY), Bound::Free);
}

#[test]
fn what_is_known_of_objects_outlives_the_process() {
    let mut world = World::new(&["a", "b"]);
    world.policy.remember();
    let (file, gone, answer) = (stored("file-1"), stored("file-2"), sealed("gAAA"));
    at_time(&mut world, 0).by(1, &References::default(), &[file, gone, answer]);
    let mut rows = world.policy.changed_objects(2);
    assert_eq!(rows.len(), 2);
    rows.extend(world.policy.changed_objects(9));
    assert_eq!(rows.len(), 3);
    let deletes = References {
        deletes: Some(gone.object),
        ..References::default()
    };
    at_time(&mut world, 5).by(1, &deletes, &[]);
    rows.extend(world.policy.changed_objects(9));
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[3].account, None);
    assert!(world.policy.changed_objects(9).is_empty());
    let mut after = World::new(&["a", "b"]);
    after.policy.restore_objects(rows, at(10));
    assert_eq!(at_time(&mut after, 10).keys(&names(&[file])), [1]);
    assert_eq!(at_time(&mut after, 10).keys(&names(&[answer])), [1]);
    assert_eq!(at_time(&mut after, 10).bound(&names(&[gone])), Bound::Free);
}
