//! Sub-agents, parents, shared ids and continued answers, by hand.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::conversation::Conversation;
use crate::fact::Affinity;
use crate::plan::{AccountId, Guard, Key, KeyId, Limits, Plan, Recognition, Timing};
use crate::policy::{Asked, Choice, Tries};
use crate::secret::Secret;
use crate::target::Target;
use crate::verdict::{Matter, Verdict};

fn at(seconds: u64) -> Moment {
    Moment::from_unix_millis(1_790_000_000_000 + seconds * 1000)
}

/// Three keys of three accounts in a pool called `zai`.
fn plan(split_subagents: SplitSubAgents) -> Plan {
    let target = Arc::new(Target::parse("https://h").unwrap());
    let keys = ["a", "b", "c"].map(|name| {
        let secret = Secret::new(name.to_owned());
        let id = KeyId::of(&secret, &target);
        Key {
            id,
            label: name.to_owned(),
            secret,
            target: Arc::clone(&target),
            via: None,
            account: AccountId::of_key(id),
            weight: 1,
        }
    });
    Plan {
        default_pool: Some(Pool {
            lists: crate::plan::Lists::First,
            name: "zai".to_owned(),
            target,
            keys: keys.into(),
        }),
        named_pools: Vec::new(),
        guard: Guard::default(),
        timing: Timing::default(),
        limits: Limits::default(),
        recognition: Recognition {
            split_subagents,
            ..Recognition::default()
        },
        pacing: crate::plan::Pacing::default(),
        answer_headers: true,
        include_usage: false,
        error_rules: Vec::new(),
    }
}

struct World {
    plan: Plan,
    policy: Policy,
}

/// What a request came to.
struct Served {
    session: Session,
    key: usize,
    affinity: Affinity,
}

impl World {
    fn new(split_subagents: SplitSubAgents) -> Self {
        let plan = plan(split_subagents);
        Self {
            policy: Policy::new(&plan),
            plan,
        }
    }

    /// A request arrives and is sent off.
    fn begins(&mut self, identity: &Identity, now: u64) -> Served {
        let pool = self.plan.default_pool.as_ref().unwrap();
        let session = self.policy.recognise(pool, identity, at(now)).unwrap();
        self.policy.entered(pool, identity, &session, 1000, at(now));
        let asked = Asked {
            pool,
            session: Some(&session),
            model: None,
            bytes: 1000,
            bound: crate::policy::Bound::Free,
            patience: Duration::ZERO,
        };
        let foreseen = self.policy.preview(&asked, at(now));
        let choice = self
            .policy
            .choose(&asked, &mut Tries::new(at(now)), at(now));
        assert_eq!(foreseen, choice);
        let Choice::Use { key, affinity, .. } = choice else {
            panic!("no key");
        };
        Served {
            session,
            key,
            affinity,
        }
    }

    /// A request arrives, is served, and is over.
    fn serves(&mut self, identity: &Identity, now: u64) -> Served {
        let served = self.begins(identity, now);
        self.judged(&served, Verdict::SERVED, now);
        self.policy.left(&served.session);
        served
    }

    fn judged(&mut self, served: &Served, verdict: Verdict, now: u64) {
        let pool = self.plan.default_pool.as_ref().unwrap();
        let key = &pool.keys[served.key];
        let asked = Asked {
            pool,
            session: Some(&served.session),
            model: None,
            bytes: 1000,
            bound: crate::policy::Bound::Free,
            patience: Duration::ZERO,
        };
        let mut tries = Tries::new(at(now));
        let mut attempt = self.policy.began(&asked, key, served.affinity, at(now));
        self.policy
            .judged(&asked, &mut attempt, verdict, true, &mut tries, at(now));
        self.policy.ended(attempt, None, at(now));
    }

    /// The account of the key is throttled for a second.
    fn throttle(&mut self, key: usize, now: u64) {
        let pool = self.plan.default_pool.as_ref().unwrap();
        let until = Some(at(now + 1));
        let verdict = Verdict {
            until,
            ..Verdict::new(Matter::AccountRate, "test")
        };
        let asked = Asked {
            pool,
            session: None,
            model: None,
            bytes: 1000,
            bound: crate::policy::Bound::Free,
            patience: Duration::ZERO,
        };
        let (key, mut tries) = (&pool.keys[key], Tries::new(at(now)));
        let mut attempt = self.policy.began(&asked, key, Affinity::None, at(now));
        self.policy
            .judged(&asked, &mut attempt, verdict, true, &mut tries, at(now));
        self.policy.ended(attempt, None, at(now));
    }

    fn splits(&mut self, now: u64) -> Vec<super::super::Split> {
        self.policy.snapshot(&self.plan, at(now)).splits
    }
}

/// A request with an id whose conversation opens with `opener`.
fn request(id: u128, opener: u128, may_be_shared: bool) -> Identity {
    Identity {
        named: Some(Named {
            session: SessionId(id),
            rule: "body prompt_cache_key".into(),
            may_be_shared,
        }),
        conversation: Conversation {
            links: vec![opener as u64],
            ends: vec![100],
            before_reply: 1,
            last_reply: 0,
            opener: Some(opener),
            system: 1,
        },
        ..Identity::default()
    }
}

fn of_agent(agent: u64) -> Identity {
    Identity {
        agent: Some(agent),
        ..request(1, u128::from(agent), false)
    }
}

#[test]
fn an_id_with_many_openers_is_split_once_its_home_is_near_a_limit() {
    let mut world = World::new(SplitSubAgents::Never);
    let home = world.serves(&request(1, 0, true), 0).key;
    for opener in 1..60 {
        let served = world.serves(&request(1, opener, true), 1);
        assert_eq!(
            (served.key, served.session.part),
            (home, Part::Whole),
            "{opener}"
        );
    }
    assert_eq!(world.splits(1), []);

    world.throttle(home, 2);
    let keys: Vec<usize> = (0..60)
        .map(|opener| world.serves(&request(1, opener, true), 4).key)
        .collect();
    assert!(
        (0..3).any(|key| key != home && keys.contains(&key)),
        "{keys:?}"
    );
    let [split] = &world.splits(4)[..] else {
        panic!("one id is split");
    };
    assert_eq!(split.rule.as_ref(), "body prompt_cache_key");
    assert_eq!(split.why, SplitReason::Openers(33));
    // It stays split after the limit is forgotten, and each conversation stays where it is.
    for (opener, key) in keys.iter().enumerate() {
        let served = world.serves(&request(1, opener as u128, true), 1000);
        assert_eq!(
            (served.key, served.affinity),
            (*key, Affinity::Home),
            "{opener}"
        );
        assert_eq!(served.session.part, Part::Conversation);
    }
    // Other ids are not.
    assert_eq!(
        world.serves(&request(2, 5, true), 1000).session.part,
        Part::Whole
    );
}

#[test]
fn an_id_with_many_requests_at_once_is_split_once_its_home_is_near_a_limit() {
    let mut world = World::new(SplitSubAgents::Never);
    let home = world.serves(&request(1, 0, true), 0).key;
    world.throttle(home, 0);
    let mut running: Vec<Served> = Vec::new();
    for opener in 0..16 {
        let served = world.begins(&request(1, opener, true), 2);
        assert_eq!(served.session.part, Part::Whole, "{opener}");
        running.push(served);
    }
    let next = world.begins(&request(1, 16, true), 2);
    assert_eq!(next.session.part, Part::Conversation);
    assert_eq!(world.splits(2)[0].why, SplitReason::InFlight(17));
}

#[test]
fn an_id_is_split_even_if_the_request_that_shows_it_was_not_read_whole() {
    let mut world = World::new(SplitSubAgents::Never);
    let unread = |opener: u128| {
        let mut identity = request(1, opener, true);
        identity.conversation.links.clear();
        identity
    };
    let home = world.serves(&unread(0), 0).key;
    world.throttle(home, 0);
    for opener in 1..40 {
        assert_eq!(world.serves(&unread(opener), 2).session.part, Part::Whole);
    }
    assert_eq!(world.splits(2).len(), 1);
    let read = world.serves(&request(1, 40, true), 2);
    assert_eq!(read.session.part, Part::Conversation);
}

#[test]
fn what_ran_before_is_not_running_now() {
    let mut world = World::new(SplitSubAgents::Never);
    let home = world.serves(&request(1, 0, true), 0).key;
    world.throttle(home, 0);
    for _ in 0..100 {
        let served = world.serves(&request(1, 0, true), 2);
        assert_eq!(served.session.part, Part::Whole);
    }
}

#[test]
fn openers_older_than_the_time_to_live_do_not_count() {
    let mut world = World::new(SplitSubAgents::Never);
    for hour in 0..60 {
        let served = world.serves(&request(1, hour, true), hour as u64 * 1200);
        world.throttle(served.key, hour as u64 * 1200);
        assert_eq!(served.session.part, Part::Whole, "{hour}");
    }
}

#[test]
fn the_sub_agents_of_one_session_do_not_make_its_id_a_shared_one() {
    let mut world = World::new(SplitSubAgents::Never);
    let home = world.serves(&request(1, 0, false), 0).key;
    world.throttle(home, 0);
    // Claude Code names them; a client that does not, but has an id of its own, is trusted as well.
    for agent in 0..100 {
        let mut identity = of_agent(agent);
        let served = world.begins(&identity, 2);
        assert_eq!((served.key, served.session.part), (home, Part::Whole));
        identity.agent = None;
        let served = world.begins(&identity, 2);
        assert_eq!((served.key, served.session.part), (home, Part::Whole));
    }
    assert_eq!(world.splits(2), []);
}

#[test]
fn sub_agents_are_placed_apart_when_home_is_near_its_limit_and_stay_there() {
    let mut world = World::new(SplitSubAgents::Auto);
    let home = world.serves(&request(1, 0, false), 0).key;
    let early = world.serves(&of_agent(1), 0);
    assert_eq!((early.key, early.session.part), (home, Part::Whole));

    world.throttle(home, 1);
    let apart = world.serves(&of_agent(2), 3);
    assert_ne!(apart.key, home, "it keeps off the account it is split from");
    assert_eq!(
        (apart.session.part, apart.affinity),
        (Part::SubAgent, Affinity::New)
    );
    let main = world.serves(&request(1, 0, false), 3);
    assert_eq!(
        (main.key, main.session.part),
        (home, Part::Whole),
        "the main thread stays"
    );

    let later = world.serves(&of_agent(2), 600);
    assert_eq!((later.key, later.affinity), (apart.key, Affinity::Home));
    assert_eq!(
        world.serves(&of_agent(3), 600).key,
        home,
        "home has recovered"
    );
}

#[test]
fn a_child_begins_where_its_parent_is_only_if_they_share_a_prefix() {
    let mut shared = 0;
    for n in 0..40_u128 {
        let mut world = World::new(SplitSubAgents::Never);
        let pool = "zai";
        let home = world.serves(&request(n, 7, false), 0).key;
        let child = |opener: u128| Identity {
            parent: Some(SessionId(n)),
            ..request(n + 1000, opener, false)
        };
        assert_eq!(world.serves(&child(7), 1).key, home, "in {pool}");
        let mut world = World::new(SplitSubAgents::Never);
        let home = world.serves(&request(n, 7, false), 0).key;
        shared += usize::from(world.serves(&child(8), 1).key == home);
    }
    assert!(shared < 30, "by chance a third: {shared}");
}

#[test]
fn a_request_that_names_an_earlier_answer_continues_its_session() {
    let mut world = World::new(SplitSubAgents::Never);
    let named = Identity {
        named: None,
        ..request(0, 5, false)
    };
    let first = world.serves(&named, 0);
    let answer = AnswerId::of(b"resp_1");
    world
        .policy
        .gave_out("zai", answer, first.session.id, at(0));
    let next = Identity {
        named: None,
        answers: vec![(answer, "body previous_response_id".into())],
        ..request(0, 99, false)
    };
    let continued = world.serves(&next, 1);
    assert_eq!(continued.session.id, first.session.id);
    assert_eq!(continued.session.rule.as_ref(), "body previous_response_id");
    // What it carries is only the newest message, so it says nothing about the session's.
    assert_eq!(world.serves(&named, 2).session.id, first.session.id);

    let elsewhere = Pool {
        lists: crate::plan::Lists::First,
        name: "other".to_owned(),
        ..world.plan.default_pool.clone().unwrap()
    };
    let there = world.policy.recognise(&elsewhere, &next, at(2)).unwrap();
    assert_ne!(
        there.id, first.session.id,
        "another pool has given out nothing"
    );
    let late = at(2).after(Duration::from_secs(7200));
    let forgotten = world
        .policy
        .recognise(world.plan.default_pool.as_ref().unwrap(), &next, late);
    assert_ne!(forgotten.unwrap().id, first.session.id);
}

#[test]
fn what_says_nothing_has_no_session() {
    let world = World::new(SplitSubAgents::Never);
    let pool = world.plan.default_pool.as_ref().unwrap();
    assert_eq!(
        world.policy.recognise(pool, &Identity::default(), at(0)),
        None
    );
}

#[test]
fn messages_are_read_while_they_matter() {
    let mut world = World::new(SplitSubAgents::Never);
    let pool = world.plan.default_pool.clone().unwrap();
    assert!(
        world
            .policy
            .wants_messages(&pool, SessionId(1), 1000, at(0))
    );
    let home = world.serves(&request(1, 0, true), 0).key;
    assert!(
        !world
            .policy
            .wants_messages(&pool, SessionId(1), 1100, at(0))
    );
    world.throttle(home, 0);
    for opener in 0..40 {
        world.serves(&request(1, opener, true), 2);
    }
    assert!(
        world
            .policy
            .wants_messages(&pool, SessionId(1), 1100, at(2)),
        "it is split"
    );
}
