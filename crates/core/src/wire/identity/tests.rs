//! Every rule of the ladder, alone and against every other, and what must never be an id.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::ladder::{LADDER, Mark, NEVER, OwnRule, Step};
use crate::wire::body::{Need, RequestReader};

mod values;

const ONE: &str = "019ab2f1-7c1d-7e10-8a44-1f0a7b6c5d4e";
const OTHER: &str = "5eb437ee-910f-4388-9d2a-0c1b2a3d4e5f";

/// A request in the making.
#[derive(Clone, Debug)]
struct Request {
    headers: HeaderMap,
    body: Value,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            headers: HeaderMap::new(),
            body: json!({"messages": [{"role": "user", "content": "hi"}]}),
        }
    }
}

impl Request {
    fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = value.parse().unwrap();
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    fn body(mut self, path: &str, value: &str) -> Self {
        let path: crate::ladder::Path = path.parse().unwrap();
        assert!(put(&mut self.body, path.steps(), value));
        self
    }

    /// Writes an id where `rule` looks, in the form that it reads; `None` if something else stands
    /// there.
    fn with(mut self, rule: &Rule, id: &str) -> Option<Self> {
        let value = match rule.reading {
            Reading::ClaudeUser => json!({"device_id": "d", "session_id": id}).to_string(),
            Reading::SessionOfAgent => {
                self = self.header("user-agent", "codex_cli_rs/0.169.0 (Linux)");
                id.to_owned()
            }
            _ => id.to_owned(),
        };
        match &rule.place {
            Place::Header(name) | Place::AnswerInHeader(name) => {
                let before = self.headers.insert(name.clone(), value.parse().unwrap());
                before.is_none().then_some(self)
            }
            Place::Body(path) | Place::AnswerInBody(path) => {
                put(&mut self.body, path.steps(), &value).then_some(self)
            }
            Place::Text(Mark::OpenClaw) => {
                self.body["messages"][0]["content"] = format!("Runtime: | sessionId={id} |").into();
                Some(self)
            }
            Place::Text(Mark::Hermes) => {
                self.body["system"] = format!("You.\nSession ID: {id}\nModel: m").into();
                Some(self)
            }
            Place::Content => Some(self),
        }
    }

    fn facts(&self, ladder: &Ladder) -> BodyFacts {
        let mut reader = RequestReader::new(ladder.paths(), Need::ALL);
        reader.feed(self.body.to_string().as_bytes());
        reader.finish()
    }

    fn identity(&self, ladder: &Ladder) -> Identity {
        recognise(ladder, &self.headers, self.facts(ladder)).0
    }

    /// By the built-in rules.
    fn named(&self) -> Option<Named> {
        self.identity(&Ladder::default()).named
    }

    fn session(&self) -> SessionId {
        self.named().unwrap().session
    }

    fn rule(&self) -> Option<String> {
        self.named().map(|named| named.rule.to_string())
    }
}

/// Puts a string at a path; whether there was room for it.
fn put(body: &mut Value, path: &[Step], value: &str) -> bool {
    match path {
        [] if body.is_null() => {
            *body = value.into();
            true
        }
        [Step::Key(key), rest @ ..] if body.is_null() || body.is_object() => {
            put(&mut body[&**key], rest, value)
        }
        [Step::Element, rest @ ..] => {
            if body.is_null() {
                *body = json!([null]);
            }
            body.get_mut(0).is_some_and(|first| put(first, rest, value))
        }
        _ => false,
    }
}

fn is_answer(rule: &Rule) -> bool {
    matches!(
        rule.place,
        Place::AnswerInBody(_) | Place::AnswerInHeader(_)
    )
}

fn says_nothing_about_ids(identity: &Identity) -> bool {
    identity.named.is_none()
        && identity.answers.is_empty()
        && identity.agent.is_none()
        && identity.parent.is_none()
}

#[test]
fn every_rule_alone_finds_its_id_and_tells_its_name() {
    let ladder = Ladder::default();
    assert_eq!(ladder.rules().len(), LADDER.len());
    for (rule, row) in ladder.rules().iter().zip(LADDER) {
        let identity = Request::default()
            .with(rule, ONE)
            .unwrap()
            .identity(&ladder);
        assert!(!identity.conversation.is_empty());
        if is_answer(rule) {
            let answer = (AnswerId::of(ONE.as_bytes()), row.name().into());
            assert_eq!((identity.named, identity.answers), (None, vec![answer]));
        } else if rule.place == Place::Content {
            assert!(says_nothing_about_ids(&identity));
        } else {
            let named = Named {
                session: session(rule, ONE.as_bytes()),
                rule: row.name().into(),
                may_be_shared: rule.may_be_shared,
            };
            assert_eq!(identity.named, Some(named), "{}", row.name());
            assert_eq!(identity.answers, []);
        }
    }
}

#[test]
fn every_rule_comes_before_all_later_ones() {
    let ladder = Ladder::default();
    let mut impossible = Vec::new();
    for (at, first) in ladder.rules().iter().enumerate() {
        for second in &ladder.rules()[at + 1..] {
            let names = format!("{} and {}", first.name, second.name);
            let one = Request::default().with(first, ONE).unwrap();
            let Some(both) = one.with(second, OTHER) else {
                impossible.push(names);
                continue;
            };
            let identity = both.identity(&ladder);
            if is_answer(first) {
                assert_eq!(identity.answers[0].1, first.name, "{names}");
                assert_eq!(identity.answers.len(), 1 + usize::from(is_answer(second)));
                continue;
            }
            let named = identity.named.unwrap();
            assert_eq!(named.session, session(first, ONE.as_bytes()), "{names}");
            assert_eq!(named.rule, first.name);
            assert_eq!(named.may_be_shared, first.may_be_shared);
            assert_eq!(identity.answers, [], "{names}");
        }
    }
    // One place cannot hold two values.
    assert_eq!(
        impossible,
        [
            "body metadata.user_id and body metadata.user_id",
            "body conversation.id and body conversation",
        ]
    );
}

#[test]
fn equal_values_are_one_session_in_one_family_and_two_in_two() {
    let ladder = Ladder::default();
    let rules: Vec<&Rule> = ladder
        .rules()
        .iter()
        .filter(|rule| !is_answer(rule) && rule.place != Place::Content)
        .collect();
    for one in &rules {
        for other in &rules {
            let session = |rule: &Rule, id: &str| {
                let request = Request::default().with(rule, id).unwrap();
                request.session()
            };
            let names = format!("{} {}", one.name, other.name);
            assert_eq!(
                session(one, ONE) == session(other, ONE),
                one.family == other.family,
                "{names}"
            );
            assert_ne!(session(one, ONE), session(other, OTHER), "{names}");
        }
    }
}

#[test]
fn what_is_no_session_never_names_one() {
    let ladder = Ladder::default();
    for (name, why) in NEVER {
        let request = Request::default()
            .header(name, ONE)
            .header("user-agent", "codex_cli_rs/0.169.0")
            .body(name, ONE)
            .body(&format!("metadata.{name}"), ONE)
            .body(&format!("client_metadata.{name}"), ONE)
            .body(&format!("messages[].metadata.{name}"), ONE);
        let identity = request.identity(&ladder);
        assert!(says_nothing_about_ids(&identity), "{name}: {why}");
        assert_eq!(from_head(&ladder, &request.headers), None, "{name}");
    }
}

#[test]
fn without_an_id_the_content_is_what_is_left() {
    let ladder = Ladder::default();
    let identity = Request::default().identity(&ladder);
    assert!(says_nothing_about_ids(&identity) && !identity.conversation.is_empty());
    let nothing = Request {
        body: json!({}),
        ..Request::default()
    };
    assert!(nothing.identity(&ladder).conversation.is_empty());
}

#[test]
fn every_id_the_old_package_read_is_read() {
    for path in [
        "session_id",
        "sessionId",
        "conversation_id",
        "conversationId",
        "thread_id",
        "messages[].custom_fields.session_id",
        "messages[].metadata.session_id",
    ] {
        let one = Request::default().body(path, "a");
        let other = Request::default().body(path, "b");
        assert_eq!(one.rule().unwrap(), format!("body {path}"));
        assert_eq!(one.rule(), other.rule(), "{path}");
        assert_ne!(one.session(), other.session(), "{path}");
    }
}

#[test]
fn earlier_answers_are_told_in_the_order_of_the_rules_beside_an_id_in_the_prompt() {
    let ladder = Ladder::default();
    let identity = Request::default()
        .header("x-codex-turn-state", "state")
        .body("previous_response_id", "resp_1")
        .body("system", "You.\nSession ID: 20261122_2201_ab\n")
        .identity(&ladder);
    let answers: Vec<(AnswerId, &str)> = identity
        .answers
        .iter()
        .map(|(answer, rule)| (*answer, &**rule))
        .collect();
    assert_eq!(
        answers,
        [
            (AnswerId::of(b"resp_1"), "body previous_response_id"),
            (AnswerId::of(b"state"), "header x-codex-turn-state"),
        ]
    );
    assert_eq!(
        identity.named.unwrap().rule.as_ref(),
        "Session ID: in the system prompt"
    );
}

#[test]
fn a_persons_own_rules_come_first_in_their_order_and_are_kept_apart() {
    let header = |name| OwnRule::Header(HeaderName::from_static(name));
    let body = |path: &str| OwnRule::Body(path.parse().unwrap());
    let ladder = Ladder::new(&[
        header("x-mine"),
        body("my.id"),
        header("x-session-id"),
        body("session_id"),
    ]);
    let named = |request: &Request| request.identity(&ladder).named.unwrap();
    let requests = [
        (Request::default().header("x-mine", ONE), "header x-mine"),
        (Request::default().body("my.id", ONE), "body my.id"),
        (
            Request::default().header("x-session-id", ONE),
            "header x-session-id",
        ),
        (
            Request::default().body("session_id", ONE),
            "body session_id",
        ),
    ];
    for (at, (request, name)) in requests.iter().enumerate() {
        assert_eq!(named(request).rule.as_ref(), *name);
        assert!(!named(request).may_be_shared, "{name}");
        for (other, _) in &requests[..at] {
            assert_ne!(named(request).session, named(other).session, "{name}");
        }
        // The built-in rule for the same place means something else.
        let built_in = request.named().map(|named| named.session);
        assert_ne!(Some(named(request).session), built_in, "{name}");
        // Before every built-in rule, unless that looks where an earlier own one does.
        for rule in Ladder::default().rules() {
            let taken = requests[..at]
                .iter()
                .any(|(_, earlier)| *earlier == &*rule.name);
            if let Some(both) = request.clone().with(rule, OTHER)
                && !taken
            {
                assert_eq!(named(&both).rule.as_ref(), *name, "against {}", rule.name);
            }
        }
    }
    let both = Request::default()
        .header("x-mine", ONE)
        .body("my.id", OTHER);
    assert_eq!(named(&both).session, named(&requests[0].0).session);
    assert_eq!(
        named(&Request::default().header("session-id", ONE)).session,
        Request::default().header("session-id", ONE).session()
    );
}

/// Values that are ids for some rules, and that are none for any.
const VALUES: [&str; 8] = [ONE, OTHER, "a", "", "   ", "a\tb", "pck_0123", "session_1"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_the_head_settles_is_what_the_request_is_recognised_by(
        chosen in prop::collection::vec((0..LADDER.len() + 2, 0..VALUES.len()), 0..5),
        own: bool,
        agent in prop::sample::select(&["curl/8", "codex_exec/0.1", "Hermes"][..]),
    ) {
        let own_rules = [
            OwnRule::Header(HeaderName::from_static("x-mine")),
            OwnRule::Body("my.id".parse().unwrap()),
        ];
        let ladder = if own { Ladder::new(&own_rules) } else { Ladder::default() };
        let mut request = Request::default();
        for (at, value) in chosen {
            let Some(rule) = ladder.rules().get(at) else { continue };
            if let Some(more) = request.clone().with(rule, VALUES[value]) {
                request = more;
            }
        }
        let request = request.header("user-agent", agent);
        let named = request.identity(&ladder).named;
        let hint = from_head(&ladder, &request.headers);
        let session = named.as_ref().map(|named| named.session);
        if let Some(Hint { session: hinted, settled: true }) = hint {
            prop_assert_eq!(Some(hinted), session);
        }
        // Without a body the head is all there is.
        let alone = recognise(&ladder, &request.headers, BodyFacts::default()).0;
        prop_assert_eq!(
            hint.map(|hint| hint.session),
            alone.named.map(|named| named.session)
        );
        // The rule that decides is the first one that finds anything.
        let all = everything(&ladder, &request.headers, &request.facts(&ladder));
        let first = all.iter().find(|found| !is_answer(&found.rule));
        prop_assert_eq!(
            first.map(|found| found.rule.name.clone()),
            named.map(|named| named.rule)
        );
    }
}
