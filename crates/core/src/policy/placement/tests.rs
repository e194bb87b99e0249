//! Where new sessions begin: prefixes that are warm somewhere, and those that are no reason.

use std::time::Duration;

use super::super::tests::{World, at};
use super::super::{Asked, Because, Choice, Reason, Tries};
use crate::conversation::{Conversation, Identity, Named};
use crate::fact::{Affinity, SessionId};
use crate::plan::KeyId;
use crate::verdict::Verdict;

/// Bytes of text of one message: some 2 500 tokens.
const MESSAGE: u32 = 10_000;

/// A request with this id and these messages, of which every second one is a reply.
fn request(id: u128, messages: &[&str]) -> Identity {
    let mut links = Vec::new();
    let mut link = 0_u64;
    for message in messages {
        link = xxhash_rust::xxh3::xxh3_64_with_seed(message.as_bytes(), link);
        links.push(link);
    }
    let count = u32::try_from(messages.len()).unwrap();
    Identity {
        named: Some(Named {
            session: SessionId(id),
            rule: "test".into(),
            may_be_shared: false,
        }),
        conversation: Conversation {
            before_reply: 1,
            last_reply: messages.len() / 2 * 2,
            opener: Some(u128::from(links[0])),
            system: 1,
            ends: (1..=count).map(|n| n * MESSAGE).collect(),
            links,
        },
        ..Identity::default()
    }
}

/// One request that is served; by which key, and why.
fn serves(world: &mut World, identity: &Identity, now: u64) -> (KeyId, Affinity, Reason) {
    let pool = world.plan.default_pool.clone().unwrap();
    let bytes = u64::from(*identity.conversation.ends.last().unwrap()) + 20_000;
    let session = world.policy.recognise(&pool, identity, at(now)).unwrap();
    world
        .policy
        .entered(&pool, identity, &session, bytes, at(now));
    let asked = Asked {
        pool: &pool,
        session: Some(&session),
        model: None,
        bytes,
        bound: crate::policy::Bound::Free,
        patience: Duration::ZERO,
    };
    let mut tries = Tries::new(at(now));
    let choice = world.policy.choose(&asked, &mut tries, at(now));
    let Choice::Use {
        key,
        affinity,
        reason,
    } = choice
    else {
        panic!("{choice:?}");
    };
    let key = &pool.keys[key];
    let mut attempt = world.policy.began(&asked, key, affinity, at(now));
    world.policy.judged(
        &asked,
        &mut attempt,
        Verdict::SERVED,
        true,
        &mut tries,
        at(now),
    );
    world.policy.ended(attempt, None, at(now));
    world.policy.left(&session);
    (key.id, affinity, reason)
}

/// A conversation of `turns` turns, played from its beginning.
fn play(world: &mut World, id: u128, name: &str, turns: usize) -> (KeyId, Vec<String>) {
    let mut messages = vec![format!("{name} asks 0")];
    let mut home = None;
    for turn in 0..turns {
        let words: Vec<&str> = messages.iter().map(String::as_str).collect();
        home = Some(serves(world, &request(id, &words), turn as u64).0);
        messages.push(format!("{name} is answered {turn}"));
        messages.push(format!("{name} asks {}", turn + 1));
    }
    (home.unwrap(), messages)
}

#[test]
fn a_branch_with_an_id_of_its_own_begins_where_its_history_is_warm() {
    for parent in 0..20 {
        let mut world = World::new(&["a", "b", "c", "d"]);
        let (home, mut messages) = play(&mut world, parent, "alice", 4);
        messages.truncate(5);
        messages.push("something else".into());
        let words: Vec<&str> = messages.iter().map(String::as_str).collect();
        let branch = request(1000 + parent, &words);
        let (key, affinity, reason) = serves(&mut world, &branch, 10);
        assert_eq!((key, affinity), (home, Affinity::New));
        assert_eq!(reason.because, Because::Prefix);
        assert!(reason.warm > 10_000, "{reason:?}");
    }
}

#[test]
fn many_branches_of_one_conversation_stay_with_it_until_it_is_too_far_ahead() {
    let mut world = World::new(&["a", "b"]);
    let (home, messages) = play(&mut world, 1, "alice", 4);
    let mut at_home = 0;
    for branch in 0..60 {
        let own = format!("branch {branch}");
        let mut words: Vec<&str> = messages[..5].iter().map(String::as_str).collect();
        words.push(&own);
        let (key, ..) = serves(&mut world, &request(100 + branch, &words), 10);
        at_home += u32::from(key == home);
    }
    assert!(at_home >= 8, "worth some load: {at_home}");
    assert!(at_home <= 45, "but not all of it: {at_home}");
}

#[test]
fn messages_that_many_conversations_begin_with_draw_none_of_them() {
    let mut world = World::new(&["a", "b", "c", "d"]);
    let mut counts = [0_u32; 4];
    let keys: Vec<KeyId> = world.pool().keys.iter().map(|key| key.id).collect();
    for session in 0..200_u128 {
        let own = format!("question {session}");
        let words = ["an example question", "an example answer", &own];
        let (key, ..) = serves(&mut world, &request(session, &words), session as u64);
        counts[keys.iter().position(|id| *id == key).unwrap()] += 1;
    }
    assert!(counts.iter().all(|count| *count > 40), "{counts:?}");
}

#[test]
fn another_system_prompt_is_another_beginning() {
    let mut world = World::new(&["a", "b", "c", "d"]);
    let mut same = 0;
    for n in 0..40 {
        let (home, messages) = play(&mut world, n, &format!("alice {n}"), 3);
        let words: Vec<&str> = messages.iter().map(String::as_str).collect();
        let mut other = request(1000 + n, &words);
        other.conversation.system = 2;
        let (key, _, reason) = serves(&mut world, &other, 100);
        assert_ne!(reason.because, Because::Prefix);
        same += u32::from(key == home);
    }
    assert!(same < 30, "by chance a quarter: {same}");
}
