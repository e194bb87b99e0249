//! Conversations are recognised after a restart as if there had been none.

use std::sync::Arc;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::*;
use crate::conversation::{AnswerId, Conversation, Identity, Named};
use crate::policy::SplitReason;

/// A conversation, as its client knows it.
#[derive(Clone, Debug, Default)]
struct Talk {
    /// What begins with `a:` was written by a model.
    messages: Vec<String>,
    /// The id that it sends, and whether others may send it too.
    id: Option<(u128, bool)>,
    /// The answer that it continues instead of sending its messages.
    answer: Option<AnswerId>,
}

impl Talk {
    fn begin(opener: usize, id: usize) -> Self {
        let mut messages = vec![format!("u:canned {opener}")];
        if opener == 0 {
            messages.insert(0, "u:environment".to_owned());
        }
        Self {
            messages,
            id: [None, None, Some((77, true)), Some((id as u128, false))][id % 4],
            answer: None,
        }
    }

    fn with(&self, words: &[String]) -> Self {
        let mut talk = self.clone();
        talk.messages.extend_from_slice(words);
        talk
    }

    /// The model's answer and what is said next.
    fn next(&self, tag: usize) -> Self {
        let number = self.messages.len();
        self.with(&[format!("a:{number} {tag}"), format!("u:{number} {tag}")])
    }

    /// Another one that leaves this one after so many messages.
    fn branch(&self, at: usize, tag: usize) -> Self {
        let mut talk = self.clone();
        talk.messages.truncate(at % self.messages.len().max(1) + 1);
        talk.with(&[format!("u:branch {tag}")])
    }

    fn compacted(&self, tag: usize) -> Self {
        let mut talk = self.clone();
        talk.messages.truncate(1 + tag % 2);
        talk.with(&[format!("a:summary {tag}"), "u:go on".to_owned()])
    }

    fn edited(&self, at: usize, tag: usize) -> Self {
        let mut talk = self.next(tag);
        let at = at % talk.messages.len();
        talk.messages[at] = format!("u:pruned {tag}");
        talk
    }

    fn identity(&self) -> Identity {
        let rule: Arc<str> = "test".into();
        let mut conversation = Conversation {
            system: 7,
            before_reply: self.messages.len(),
            ..Conversation::default()
        };
        let (mut link, mut bytes) = (0_u64, 0);
        for (at, message) in self.messages.iter().enumerate() {
            let mut all = link.to_le_bytes().to_vec();
            all.extend_from_slice(message.as_bytes());
            link = xxh3_64(&all);
            bytes += 100;
            conversation.links.push(link);
            conversation.ends.push(bytes);
            if message.starts_with("a:") {
                conversation.before_reply = conversation.before_reply.min(at);
                conversation.last_reply = at + 1;
            }
        }
        let mut words = self.messages.iter();
        let first = words.find(|message| message.starts_with("u:canned"));
        conversation.opener = first.map(|first| xxh3_128(first.as_bytes()));
        Identity {
            answers: self
                .answer
                .map(|id| (id, rule.clone()))
                .into_iter()
                .collect(),
            named: self.id.map(|(id, may_be_shared)| Named {
                session: SessionId(xxh3_128(&id.to_le_bytes())),
                rule,
                may_be_shared,
            }),
            agent: None,
            parent: None,
            conversation,
        }
    }
}

/// A request from its recognition to its end; the answer that it gave out.
fn serves(world: &mut World, talk: &Talk, number: u64, now: u64) -> AnswerId {
    let (identity, now) = (talk.identity(), at(now));
    let World { plan, policy, .. } = world;
    let pool = plan.default_pool.as_ref().unwrap();
    let session = policy.recognise(pool, &identity, now);
    if let Some(session) = &session {
        policy.entered(pool, &identity, session, 1_000 * number, now);
    }
    let asked = Asked {
        pool,
        session: session.as_ref(),
        model: None,
        bytes: 8_000,
        bound: Bound::Free,
        patience: std::time::Duration::ZERO,
    };
    let mut tries = Tries::new(now);
    if let Choice::Use { key, affinity, .. } = policy.choose(&asked, &mut tries, now) {
        let mut attempt = policy.began(&asked, &pool.keys[key], affinity, now);
        policy.judged(&asked, &mut attempt, Verdict::SERVED, true, &mut tries, now);
        policy.ended(attempt, None, now);
    }
    let answer = AnswerId::of(&number.to_le_bytes());
    if let Some(session) = &session {
        policy.gave_out(&pool.name, answer, session.id, now);
        policy.left(session);
    }
    policy.gone(&mut tries);
    answer
}

fn recognised(world: &World, policy: &Policy, talk: &Talk, now: u64) -> (Option<Session>, Choice) {
    let pool = world.pool();
    let session = policy.recognise(pool, &talk.identity(), at(now));
    let asked = Asked {
        pool,
        session: session.as_ref(),
        model: None,
        bytes: 8_000,
        bound: Bound::Free,
        patience: std::time::Duration::ZERO,
    };
    let choice = policy.preview(&asked, at(now));
    (session, choice)
}

proptest! {
    #[test]
    fn a_conversation_is_recognised_after_a_restart_as_if_there_had_been_none(
        steps in prop::collection::vec(
            (0_usize..10, 0_usize..40, 0_usize..40, 0_u64..60_000, any::<bool>()), 1..90),
        most in 1_usize..9,
    ) {
        let mut world = World::new(&KEYS);
        world.policy.remember();
        let (mut store, mut now) = (Store::default(), 0);
        let mut talks: Vec<Talk> = Vec::new();
        for (number, (what, which, tag, pause, takes)) in steps.into_iter().enumerate() {
            now += pause;
            let known = which.checked_rem(talks.len());
            let talk = match (what, known) {
                (0, _) | (_, None) => Talk::begin(which % 3, tag),
                (1, Some(at)) => talks[at].clone(),
                (2, Some(at)) => talks[at].branch(tag, tag),
                (3, Some(at)) => talks[at].compacted(tag),
                (4, Some(at)) => talks[at].edited(which, tag),
                // Most go on where they were.
                (_, Some(at)) => talks[at].next(tag),
            };
            let answer = serves(&mut world, &talk, number as u64 + 1, now);
            let replaces = !matches!(what, 0 | 2);
            match known {
                Some(at) if replaces => talks[at] = talk.clone(),
                _ => talks.push(talk.clone()),
            }
            if which % 5 == 0 {
                let answer = Some(answer);
                let messages = vec!["u:canned and then".to_owned()];
                talks.push(Talk { answer, messages, ..Talk::default() });
            }
            if takes {
                store.take_all(&mut world.policy, most);
            }
        }
        store.take_all(&mut world.policy, most);
        let policy = restored(&world, store.memory(), now);
        let mut probes: Vec<Talk> = (0..12).map(|at| Talk::begin(at % 3, at / 3)).collect();
        for talk in &talks {
            probes.extend([talk.clone(), talk.next(90), talk.compacted(91)]);
            probes.extend((0..12).map(|at| talk.branch(at, 92)));
            probes.extend((0..6).map(|at| talk.edited(at, 93)));
        }
        for later in [0, 1_000, 3_400_000] {
            for probe in &probes {
                prop_assert_eq!(
                    recognised(&world, &policy, probe, now + later),
                    recognised(&world, &world.policy, probe, now + later),
                    "{:?} {} ms later", probe, later
                );
            }
        }
    }
}

#[test]
fn conversations_that_begin_alike_stay_apart_after_a_restart() {
    let mut world = World::new(&KEYS);
    world.policy.remember();
    let mut store = Store::default();
    let mut talks: Vec<Talk> = (0..20).map(|_| Talk::begin(1, 0)).collect();
    let mut homes = Vec::new();
    for turn in 0..30 {
        homes.clear();
        for (number, talk) in talks.iter_mut().enumerate() {
            if turn > 0 {
                *talk = talk.next(number);
            }
            serves(&mut world, talk, 1, turn * 100);
            homes.push(recognised(&world, &world.policy, talk, turn * 100));
        }
    }
    store.take_all(&mut world.policy, 7);
    let mut ids: Vec<SessionId> = homes.iter().map(|one| one.0.as_ref().unwrap().id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), talks.len());
    let policy = restored(&world, store.memory(), 3_000);
    for (number, (talk, home)) in talks.iter().zip(homes).enumerate() {
        let (session, choice) = recognised(&world, &policy, &talk.next(number), 3_001);
        assert_eq!(session.unwrap().id, home.0.unwrap().id);
        let (Choice::Use { key: was, .. }, Choice::Use { key, affinity, .. }) = (home.1, choice)
        else {
            panic!("{choice:?}");
        };
        assert_eq!((key, affinity), (was, Affinity::Home));
    }
}

#[test]
fn an_id_that_was_split_stays_so_and_is_named_again_with_its_next_request() {
    let mut world = World::new(&["a"]);
    world.policy.remember();
    let mut store = Store::default();
    let shared = |opener: u64| Talk {
        messages: vec![format!("u:canned {opener}")],
        id: Some((77, true)),
        answer: None,
    };
    for opener in 0..40 {
        if opener == 32 {
            let key = world.pool().keys[0].id;
            world.judged(None, key, throttled(9_000), &[], 319);
        }
        serves(&mut world, &shared(opener), 1, opener * 10);
    }
    let splits = world.policy.snapshot(&world.plan, at(400)).splits;
    assert_eq!(splits.len(), 1);
    store.take_all(&mut world.policy, 3);
    let mut restarted = World::new(&["a"]);
    restarted.policy.restore(store.memory(), at(400));
    let known = restarted.policy.snapshot(&world.plan, at(400)).splits;
    assert_eq!(
        (known[0].id, known[0].since),
        (splits[0].id, splits[0].since)
    );
    assert_eq!(known[0].why, SplitReason::Openers(33));
    for opener in [0, 39, 50] {
        assert_eq!(
            recognised(&world, &restarted.policy, &shared(opener), 400),
            recognised(&world, &world.policy, &shared(opener), 400)
        );
    }
    serves(&mut restarted, &shared(0), 2, 500);
    let splits = restarted.policy.snapshot(&world.plan, at(500)).splits;
    assert_eq!(&*splits[0].rule, "test");
}

#[test]
fn what_was_written_down_and_lost_is_told_once_more() {
    let mut world = World::new(&KEYS);
    world.policy.remember();
    let mut talk = Talk::begin(1, 0);
    for turn in 0..5 {
        serves(&mut world, &talk, turn, turn);
        talk = talk.next(1);
    }
    world.judged(None, world.pool().keys[0].id, throttled(9_000), &[], 10);
    let (mut first, mut second) = (Store::default(), Store::default());
    first.take_all(&mut world.policy, 5);
    assert!(world.policy.changes(100).is_empty());
    world.policy.forgotten();
    second.take_all(&mut world.policy, 5);
    let (first, second) = (first.memory(), second.memory());
    assert_eq!(first.sessions, second.sessions);
    assert_eq!(first.threads, second.threads);
    assert_eq!(first.answers.len(), second.answers.len());
    assert_eq!(first.accounts.len(), second.accounts.len());
}

#[test]
fn cooldowns_are_told_before_anything_that_there_is_much_of() {
    let mut world = World::new(&KEYS);
    world.policy.remember();
    for number in 0..500 {
        let mut talk = Talk::begin(1, 0);
        talk.messages[0] = format!("u:canned {number}");
        serves(&mut world, &talk, number, number);
    }
    while !world.policy.changes(64).accounts.is_empty() {}
    world.judged(None, world.pool().keys[0].id, throttled(9_000), &[], 600);
    let rows = world.policy.changes(64);
    assert_eq!(rows.accounts[0].cooldowns[0].until, at(9_000));
}

#[test]
fn conversations_that_went_on_elsewhere_are_recognised_and_those_that_went_on_here_stay() {
    let mut old = World::new(&KEYS);
    old.policy.remember();
    let mut talks: Vec<Talk> = (0..20).map(|_| Talk::begin(1, 0)).collect();
    let turn = |world: &mut World, talks: &mut [Talk], now: u64| {
        for (number, talk) in talks.iter_mut().enumerate() {
            *talk = talk.next(number);
            serves(world, talk, 1, now);
        }
    };
    for talk in &talks {
        serves(&mut old, talk, 1, 0);
    }
    for now in 1..10 {
        turn(&mut old, &mut talks, now);
    }
    let mut store = Store::default();
    store.take_all(&mut old.policy, 7);
    let mut new = World::new(&KEYS);
    new.policy = restored(&new, store.memory(), 10);
    new.policy.remember();
    // Half of them go on here, half there, where some begin as well.
    let (here, there) = talks.split_at_mut(10);
    for now in 11..15 {
        turn(&mut new, here, now);
        turn(&mut old, there, now);
    }
    let mut begun: Vec<Talk> = (0..5)
        .map(|number| Talk::begin(2, 0).branch(0, number))
        .collect();
    let mut answers = Vec::new();
    for (number, talk) in begun.iter_mut().enumerate() {
        serves(&mut old, talk, 1, 16);
        *talk = talk.next(1);
        answers.push(serves(&mut old, talk, 100 + number as u64, 16));
    }
    let expected = |world: &World, talk: &Talk| {
        let (session, choice) = recognised(world, &world.policy, talk, 20);
        let Choice::Use { key, affinity, .. } = choice else {
            panic!("{choice:?}");
        };
        (session.unwrap().id, key, affinity)
    };
    let here: Vec<Talk> = here.iter().map(|talk| talk.next(3)).collect();
    let there: Vec<Talk> = there
        .iter()
        .chain(&begun)
        .map(|talk| talk.next(3))
        .collect();
    let stays: Vec<_> = here.iter().map(|talk| expected(&new, talk)).collect();
    let comes: Vec<_> = there.iter().map(|talk| expected(&old, talk)).collect();
    while new.policy.changes(64).len() == 64 {}
    loop {
        let rows = old.policy.changes(5);
        let more = rows.len() == 5;
        new.policy.merge(rows, at(20));
        if !more {
            break;
        }
    }
    for (talk, was) in here.iter().zip(stays).chain(there.iter().zip(comes)) {
        assert_eq!(expected(&new, talk), was, "{talk:?}");
        assert_eq!(was.2, Affinity::Home);
    }
    for (answer, talk) in answers.into_iter().zip(&begun) {
        let next = Talk {
            answer: Some(answer),
            messages: vec!["u:canned and then".to_owned()],
            ..Talk::default()
        };
        assert_eq!(expected(&new, &next).0, expected(&old, talk).0);
    }
    let mut told = Store::default();
    told.take_all(&mut new.policy, 64);
    assert_eq!(told.threads.len(), 15, "only what is new is told on");
}
