//! The lineage of conversations, turn by turn and by random walks.

use proptest::prelude::*;

use super::*;

const TTL: Duration = Duration::from_secs(3600);

fn at(seconds: u64) -> Moment {
    Moment::from_unix_millis(1_790_000_000_000 + seconds * 1000)
}

/// A conversation from its messages: what begins with `a:` was written by a model.
fn talk<S: AsRef<str>>(messages: &[S]) -> Conversation {
    let mut conversation = Conversation {
        system: 7,
        before_reply: messages.len(),
        ..Conversation::default()
    };
    let mut link = 0_u64;
    for (at, message) in messages.iter().map(AsRef::as_ref).enumerate() {
        let mut bytes = link.to_le_bytes().to_vec();
        bytes.extend_from_slice(message.as_bytes());
        link = xxh3_64(&bytes);
        conversation.links.push(link);
        if message.starts_with("a:") {
            conversation.before_reply = conversation.before_reply.min(at);
            conversation.last_reply = at + 1;
        }
    }
    let first = messages
        .iter()
        .map(AsRef::as_ref)
        .find(|message| message.starts_with("u:"));
    conversation.opener = first.map(|first| xxh3_128(first.as_bytes()));
    conversation
}

/// A table, and requests that are recognised and recorded.
struct World(Lineage);

impl World {
    fn new() -> Self {
        Self(Lineage::new(1000, TTL))
    }

    fn asks<S: AsRef<str>>(&mut self, messages: &[S], now: u64) -> SessionId {
        let conversation = talk(messages);
        let chain = Chain::new(&conversation, "", None);
        let (Found::Known(session) | Found::New(session)) = self.0.find(&chain, at(now));
        self.0.record(session, false, &chain, 0, at(now));
        session
    }
}

/// `u:0 a:<name>1 u:1 …`, ending with the user: a conversation of so many turns.
fn turns(name: &str, count: usize) -> Vec<String> {
    let mut messages = vec![format!("u:{name} begins")];
    for turn in 1..count {
        messages.push(format!("a:{name} {turn}"));
        messages.push(format!("u:{name} {turn}"));
    }
    messages
}

#[test]
fn the_next_turn_of_a_conversation_is_the_same_session() {
    let mut world = World::new();
    let first = world.asks(&turns("x", 1), 0);
    for turn in 2..100 {
        assert_eq!(world.asks(&turns("x", turn), 1), first, "turn {turn}");
    }
    assert_ne!(world.asks(&turns("y", 1), 2), first);
}

#[test]
fn a_last_message_that_is_thrown_away_each_turn_does_not_matter() {
    let mut world = World::new();
    let first = world.asks(&["u:1", "u:context 1"], 0);
    assert_eq!(world.asks(&["u:1", "a:1", "u:2", "u:context 2"], 1), first);
    assert_eq!(
        world.asks(&["u:1", "a:1", "u:2", "a:2", "u:3", "u:context 3"], 2),
        first
    );
}

#[test]
fn a_pruned_message_in_the_middle_does_not_matter() {
    let mut world = World::new();
    let mut messages = turns("x", 10);
    let first = world.asks(&messages, 0);
    messages[8] = "u:pruned".to_owned();
    messages.extend(["a:more".to_owned(), "u:more".to_owned()]);
    assert_eq!(world.asks(&messages, 1), first);
}

#[test]
fn a_compacted_history_is_the_same_session_if_the_opener_survives() {
    let mut world = World::new();
    let first = world.asks(&turns("x", 10), 0);
    let compacted = ["u:x begins", "a:summary of it all", "u:go on"];
    assert_eq!(world.asks(&compacted, 1), first);
    let next = [
        "u:x begins",
        "a:summary of it all",
        "u:go on",
        "a:on",
        "u:further",
    ];
    assert_eq!(world.asks(&next, 2), first);
    assert_ne!(
        world.asks(&["u:another opener", "a:summary", "u:go on"], 3),
        first
    );
}

#[test]
fn an_edited_or_repeated_prompt_is_the_same_session() {
    let mut world = World::new();
    let first = world.asks(&turns("x", 1), 0);
    for turn in 2..6 {
        world.asks(&turns("x", turn), 1);
    }
    assert_eq!(
        world.asks(&turns("x", 3), 2),
        first,
        "an earlier turn again"
    );
    let mut edited = turns("x", 4);
    *edited.last_mut().unwrap() = "u:otherwise".to_owned();
    assert_eq!(world.asks(&edited, 3), first);
}

#[test]
fn two_conversations_with_one_first_prompt_part_where_they_differ() {
    let mut world = World::new();
    let one = world.asks(&["u:hi"], 0);
    assert_eq!(
        world.asks(&["u:hi"], 0),
        one,
        "nothing tells them apart yet"
    );
    let one = world.asks(&["u:hi", "a:1", "u:2"], 1);
    let other = world.asks(&["u:hi", "a:one", "u:2"], 1);
    assert_ne!(one, other);
    assert_eq!(world.asks(&["u:hi", "a:1", "u:2", "a:3", "u:4"], 2), one);
    assert_eq!(
        world.asks(&["u:hi", "a:one", "u:2", "a:3", "u:4"], 2),
        other
    );
    // A third one, while both are in their third turn.
    let third = world.asks(&["u:hi"], 3);
    assert!(third != one && third != other);
    assert_eq!(world.asks(&["u:hi", "a:eins", "u:2"], 4), third);
    assert_eq!(
        world.asks(&["u:hi", "a:1", "u:2", "a:3", "u:4", "a:5", "u:6"], 5),
        one
    );
}

#[test]
fn canned_first_messages_do_not_make_one_session() {
    let canned = [
        "u:example",
        "a:canned",
        "u:switch",
        "a:ok",
        "u:no files",
        "a:ok",
    ];
    let with = |question: &str| {
        let mut messages = canned.map(str::to_owned).to_vec();
        messages.push(format!("u:{question}"));
        messages
    };
    let mut world = World::new();
    let sessions: Vec<_> = (0..20)
        .map(|n| world.asks(&with(&n.to_string()), n))
        .collect();
    for (at, session) in sessions.iter().enumerate() {
        assert!(!sessions[..at].contains(session), "{at}");
    }
    // Each goes on as itself.
    for (n, session) in sessions.iter().enumerate() {
        let mut next = with(&n.to_string());
        next.extend([format!("a:answer {n}"), "u:and".to_owned()]);
        assert_eq!(world.asks(&next, 30), *session, "{n}");
    }
}

#[test]
fn a_reordered_history_is_recognised_while_nothing_else_shares_its_beginning() {
    // aider: its standing pair comes after the history, whose first prompt loses its reminder.
    let first = [
        "u:example",
        "a:canned",
        "u:no files",
        "a:ok",
        "u:ask (reminder)",
    ];
    let second = [
        "u:example",
        "a:canned",
        "u:ask",
        "a:done",
        "u:no files",
        "a:ok",
        "u:more (reminder)",
    ];
    let mut world = World::new();
    let session = world.asks(&first, 0);
    assert_eq!(world.asks(&second, 1), session);
}

#[test]
fn a_new_session_has_the_same_id_in_every_instance_and_at_every_turn() {
    let id = World::new().asks(&turns("x", 1), 0);
    assert_eq!(World::new().asks(&turns("x", 40), 5), id);
    let conversation = talk(&turns("x", 1));
    let elsewhere = Chain::new(&conversation, "other pool", None);
    assert_ne!(World::new().0.find(&elsewhere, at(0)), Found::New(id));
}

#[test]
fn what_an_id_names_is_not_continued_without_it() {
    let mut lineage = Lineage::new(10, TTL);
    let conversation = talk(&["u:hi"]);
    let chain = Chain::new(&conversation, "", None);
    lineage.record(SessionId(1), true, &chain, 0, at(0));
    assert!(matches!(lineage.find(&chain, at(1)), Found::New(_)));
    // But it is kin: what it has warm is warm for the other one too.
    let kin = lineage.kin(&chain, at(1)).unwrap();
    assert_eq!(
        (kin.messages, kin.sessions),
        (1, [Some(SessionId(1)), None])
    );
}

#[test]
fn a_session_is_forgotten_after_its_time_to_live_and_shares_nothing_any_more() {
    let mut world = World::new();
    let one = world.asks(&["u:hi", "a:1", "u:2"], 0);
    let other = world.asks(&["u:hi", "a:one", "u:2"], 0);
    assert_ne!(one, other);
    assert_eq!(
        world.asks(&["u:hi", "a:one", "u:2", "a:3", "u:4"], 3000),
        other
    );
    world.asks(&["u:something else"], 4000);
    let conversation = talk(&["u:hi"]);
    let kin = world
        .0
        .kin(&Chain::new(&conversation, "", None), at(4000))
        .unwrap();
    assert_eq!(kin.sessions, [Some(other), None], "the first one is over");
    world.asks(&["u:much later"], 100_000);
    assert_eq!((world.0.threads.len(), world.0.links.len()), (1, 1));
}

#[test]
fn a_long_conversation_keeps_few_links_and_is_found_by_them() {
    let mut world = World::new();
    let mut session = None;
    for turn in 1..600 {
        let id = world.asks(&turns("x", turn), turn as u64);
        assert_eq!(*session.get_or_insert(id), id, "turn {turn}");
        assert!(
            world.0.links.len() <= LINKS_OF_A_SESSION + OPENING_LINKS,
            "{}",
            world.0.links.len()
        );
    }
}

#[test]
fn the_table_is_bounded_whatever_comes() {
    let most = 50;
    let mut world = World(Lineage::new(most, TTL));
    for n in 0..5000 {
        world.asks(&turns(&n.to_string(), 40), n / 10);
        assert!(world.0.threads.len() <= most);
    }
    let owned: usize = world
        .0
        .threads
        .iter()
        .map(|(_, thread)| thread.links.len())
        .sum();
    assert_eq!(world.0.links.len(), owned, "no link without an owner");
    assert!(world.0.sessions.len() <= most + 1, "handles are used again");

    let mut world = World(Lineage::new(100_000, TTL));
    world.0.most_links = 1000;
    for n in 0..500 {
        world.asks(&turns(&n.to_string(), 30), 0);
        assert!(world.0.links.len() <= 1000);
    }
}

#[test]
fn a_body_is_read_whole_again_when_it_has_grown_or_shrunk_by_much() {
    let mut lineage = Lineage::new(10, TTL);
    let conversation = talk(&["u:hi"]);
    let chain = Chain::new(&conversation, "", None);
    assert!(lineage.wants(SessionId(1), 10));
    lineage.record(SessionId(1), true, &chain, 400_000, at(0));
    assert!(!lineage.wants(SessionId(1), 450_000));
    assert!(!lineage.wants(SessionId(1), 200_000));
    assert!(lineage.wants(SessionId(1), 500_000));
    assert!(lineage.wants(SessionId(1), 100_000));
}

#[derive(Clone, Debug)]
enum Step {
    /// The next turn.
    Turn,
    /// The same request again.
    Again,
    /// An old tool result is pruned with the next turn.
    Prune(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Turn),
        1 => Just(Step::Again),
        1 => any::<prop::sample::Index>().prop_map(Step::Prune),
    ]
}

proptest! {
    /// Any number of conversations, begun with few different prompts and carried on in any order:
    /// from the second turn on each is one session, and no two are the same.
    #[test]
    fn conversations_are_kept_together_and_apart(
        prompts in prop::collection::vec(0..3_u8, 2..8),
        steps in prop::collection::vec((any::<prop::sample::Index>(), step()), 1..80),
        throws_away: bool,
    ) {
        let mut world = World::new();
        let mut talks: Vec<Vec<String>> = prompts.iter().map(|prompt| vec![format!("u:{prompt}")]).collect();
        let mut known: Vec<Option<SessionId>> = vec![None; prompts.len()];
        let mut begun = vec![false; prompts.len()];
        let mut now = 0;
        for (who, step) in steps {
            let who = who.index(talks.len());
            let turn = talks[who].len();
            match step {
                _ if !begun[who] => begun[who] = true,
                // With another last message it could as well be a sibling.
                Step::Again if throws_away => continue,
                Step::Again => {}
                Step::Turn | Step::Prune(_) => {
                    if let Step::Prune(at) = step && turn > 4 {
                        // Not the opening: what comes after the first reply.
                        let at = 2 + at.index(turn - 3);
                        talks[who][at] = format!("u:pruned in {who} at {turn}");
                    }
                    talks[who].push(format!("a:reply {turn} to {who}"));
                    talks[who].push(format!("u:result {turn} for {who}"));
                }
            }
            let mut request = talks[who].clone();
            if throws_away {
                request.push(format!("u:context {now}"));
            }
            now += 1;
            let session = world.asks(&request, now);
            if talks[who].len() == 1 {
                continue;
            }
            if let Some(before) = known[who] {
                prop_assert_eq!(session, before, "{:?}", request);
            }
            known[who] = Some(session);
            for (other, theirs) in known.iter().enumerate() {
                prop_assert!(other == who || *theirs != Some(session), "{} and {}: {:?}", who, other, request);
            }
        }
    }
}
