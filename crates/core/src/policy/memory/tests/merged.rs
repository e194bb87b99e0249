//! What another process goes on learning is known here as well, and what is known better here stays.

use super::*;

/// A request: session, outcome, model, pause before it, how long what refuses it lasts.
type Step = (u128, usize, usize, u64, u64);

fn steps(sessions: std::ops::Range<u128>) -> impl Strategy<Value = Vec<Step>> {
    let step = (
        sessions,
        0_usize..9,
        0_usize..3,
        0_u64..20_000,
        1_u64..90_000,
    );
    prop::collection::vec(step, 1..40)
}

fn goes(world: &mut World, steps: &[Step], mut now: u64) -> u64 {
    for (session, outcome, model, pause, span) in steps.iter().copied() {
        now += pause;
        world.model = Some(ModelId::of(MODELS[model]));
        request(world, Some(session), (outcome, span), None, now);
    }
    now
}

/// Everything that a policy knows, in the order in which it would be told.
fn everything(policy: &mut Policy) -> Memory {
    policy.remember();
    policy.forgotten();
    policy.changes(usize::MAX)
}

fn kept(rows: Memory) -> Store {
    let mut store = Store::default();
    store.keep(rows);
    store
}

/// Until when what is throttled.
fn throttles(rows: &Memory) -> HashMap<(AccountId, Option<ModelId>), Moment> {
    let accounts = rows.accounts.iter();
    let all = accounts.flat_map(|row| {
        let known = row.cooldowns.iter().filter(|known| known.until > at(0));
        known.map(|known| ((row.id, known.model), known.until))
    });
    all.collect()
}

/// Where a session is at home by a row, and how good a reason that row is.
fn home(row: &SessionRow) -> (bool, Moment, AccountId) {
    (row.served, row.used, row.account)
}

proptest! {
    #[test]
    fn who_is_told_of_everything_as_it_happens_decides_the_same(
        steps in steps(1..6),
        most in 1_usize..9,
    ) {
        let mut world = World::new(&KEYS);
        world.policy.remember();
        world.bytes = 8_000;
        let mut heir = Policy::new(&world.plan);
        let mut now = 0;
        for step in steps {
            now = goes(&mut world, &[step], now);
            loop {
                let rows = world.policy.changes(most);
                let more = rows.len() == most;
                heir.merge(rows, at(now));
                if !more {
                    break;
                }
            }
        }
        decides_the_same(&mut world, heir, now)?;
    }

    #[test]
    fn who_merges_knows_what_either_knew_and_what_it_knew_better_stays(
        base in steps(1..4),
        theirs in steps(1..9),
        ours in steps(1..6),
        turned in any::<bool>(),
    ) {
        let mut old = World::new(&KEYS);
        old.bytes = 8_000;
        let began = goes(&mut old, &base, 0);
        let mut new = World::new(&KEYS);
        new.bytes = 8_000;
        new.policy.restore(everything(&mut old.policy), at(began));
        let now = goes(&mut old, &theirs, began).max(goes(&mut new, &ours, began));
        let (theirs, ours) = (everything(&mut old.policy), everything(&mut new.policy));
        let mut told = theirs.clone();
        if turned {
            told.sessions.reverse();
            told.accounts.reverse();
            told.keys.reverse();
        }
        new.policy.merge(told.clone(), at(now));
        let news = new.policy.changes(usize::MAX);
        let both = everything(&mut new.policy);

        let sessions = kept(both.clone()).sessions;
        let (of_theirs, of_ours) = (kept(theirs.clone()).sessions, kept(ours.clone()).sessions);
        for id in of_theirs.keys().chain(of_ours.keys()) {
            let (one, two) = (of_theirs.get(id).map(home), of_ours.get(id).map(home));
            let known = sessions[id];
            prop_assert_eq!((known.served, known.account), one.max(two).map(|best| (best.0, best.2)).unwrap());
            prop_assert_eq!(Some(known.used), one.map(|one| one.1).max(two.map(|two| two.1)));
        }
        let (one, two, known) = (throttles(&theirs), throttles(&ours), throttles(&both));
        for what in one.keys().chain(two.keys()) {
            prop_assert_eq!(known.get(what), one.get(what).max(two.get(what)));
        }
        // What is new is told on, and nothing else.
        for (id, row) in kept(news).sessions {
            prop_assert_ne!(of_ours.get(&id), Some(&row));
        }
        new.policy.changes(usize::MAX);
        new.policy.merge(told, at(now));
        let again = new.policy.changes(usize::MAX);
        prop_assert!(again.sessions.is_empty() && again.objects.is_empty());
    }
}
