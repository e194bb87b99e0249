//! A small world for captured requests: reads them as the proxy does and asks the policy.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code outside of tests functions; each test uses a part of it"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api_key_lb_core::conversation::{Conversation, Identity};
use api_key_lb_core::plan::{Guard, Limits, Pacing, Plan, Recognition, SplitSubAgents, Timing};
use api_key_lb_core::policy::{Asked, Choice, Policy, Session, Tries};
use api_key_lb_core::target::Target;
use api_key_lb_core::wire::body::{Need, RequestReader};
use api_key_lb_core::wire::dialect::{Dialect, Endpoint};
use api_key_lb_core::wire::{identity, references};
use api_key_lb_core::{AccountId, Key, KeyId, Moment, Pool, Secret, Verdict};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Stored {
    version: String,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Box<RawValue>>,
    frames: Option<Vec<Box<RawValue>>>,
}

/// How the request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Http,
    WebSocket,
}

/// A captured request.
pub(crate) struct Fixture {
    pub(crate) version: String,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    /// The body; of a WebSocket, every frame of the client's.
    pub(crate) bodies: Vec<Vec<u8>>,
    kind: Kind,
}

impl Fixture {
    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        let path = self.path.split('?').next().unwrap();
        let anthropic = self.headers.contains_key("anthropic-version");
        Endpoint::of(&self.method, path, anthropic)
    }

    pub(crate) fn api(&self) -> &'static str {
        match self.endpoint().dialect {
            Dialect::OpenAi => "chat completions",
            Dialect::Responses => "responses",
            Dialect::Anthropic => "messages",
            Dialect::Gemini => "generateContent",
        }
    }
}

pub(crate) fn fixture(client: &str, scenario: &str) -> Fixture {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/captures")
        .join(client)
        .join(format!("{scenario}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let stored: Stored = serde_json::from_str(&text).unwrap();
    let headers = stored
        .headers
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            )
        })
        .collect();
    let bytes = |raw: &RawValue| raw.get().as_bytes().to_vec();
    let kind = match stored.frames {
        Some(_) => Kind::WebSocket,
        None => Kind::Http,
    };
    Fixture {
        version: stored.version,
        method: stored.method.parse().unwrap(),
        path: stored.path,
        headers,
        bodies: match stored.frames {
            Some(frames) => frames.iter().map(|frame| bytes(frame)).collect(),
            None => stored.body.iter().map(|body| bytes(body)).collect(),
        },
        kind,
    }
}

/// Three keys and everything that the policy remembers.
pub(crate) struct World {
    plan: Plan,
    policy: Policy,
    ids: bool,
    now: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::splitting(SplitSubAgents::Never)
    }

    pub(crate) fn splitting(split_subagents: SplitSubAgents) -> Self {
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
        let plan = Plan {
            default_pool: Some(Pool {
                lists: api_key_lb_core::plan::Lists::First,
                name: String::new(),
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
            pacing: Pacing::default(),
            answer_headers: true,
            include_usage: false,
            error_rules: Vec::new(),
        };
        Self {
            policy: Policy::new(&plan),
            plan,
            ids: true,
            now: 1_790_000_000_000,
        }
    }

    /// From now on as if the clients sent no ids.
    pub(crate) fn without_ids(&mut self) {
        self.ids = false;
    }

    /// What is read of a request when its (first) body is cut at these places.
    pub(crate) fn reads(&self, client: &str, scenario: &str, cuts: &[usize]) -> Identity {
        let fixture = fixture(client, scenario);
        let ladder = &self.plan.recognition.ladder;
        let mut reader = RequestReader::new(ladder.paths(), Need::ALL);
        if let Some(body) = fixture.bodies.first() {
            let mut from = 0;
            for cut in cuts.iter().chain([&body.len()]) {
                reader.feed(&body[from..*cut]);
                from = *cut;
            }
        }
        identity::recognise(ladder, &fixture.headers, reader.finish()).0
    }

    /// One request, recognised as the proxy does it, and served.
    pub(crate) fn asks(&mut self, client: &str, scenario: &str) -> Option<Session> {
        let fixture = fixture(client, scenario);
        if fixture.bodies.is_empty() {
            return self.one(&fixture, b"");
        }
        let mut sessions = fixture.bodies.iter().map(|body| self.one(&fixture, body));
        let first = sessions.next().unwrap();
        for session in sessions {
            let id = |session: &Option<Session>| session.as_ref().map(|session| session.id);
            assert_eq!(id(&session), id(&first), "frames of {client} {scenario}");
        }
        first
    }

    fn one(&mut self, fixture: &Fixture, body: &[u8]) -> Option<Session> {
        self.now += 1000;
        let now = Moment::from_unix_millis(self.now);
        let pool = self.plan.default_pool.as_ref().unwrap();
        let ladder = &self.plan.recognition.ladder;
        let endpoint = fixture.endpoint();
        let hint = identity::from_head(ladder, &fixture.headers).filter(|_| self.ids);
        let bytes = body.len() as u64;
        let need = Need {
            ids: !hint.is_some_and(|hint| hint.settled),
            chain: hint
                .is_none_or(|hint| self.policy.wants_messages(pool, hint.session, bytes, now)),
            background: endpoint.dialect == Dialect::Responses,
            stores: false,
            splice: false,
            references: self.policy.knows_objects(pool, references::kinds(endpoint)),
        };
        let mut reader = RequestReader::new(ladder.paths(), need);
        reader.feed(body);
        let (mut identity, _) = identity::recognise(ladder, &fixture.headers, reader.finish());
        if !endpoint.converses {
            identity.conversation = Conversation::default();
        }
        if !self.ids {
            identity = Identity {
                conversation: identity.conversation,
                ..Identity::default()
            };
        }
        let session = self.policy.recognise(pool, &identity, now)?;
        self.policy.entered(pool, &identity, &session, bytes, now);
        let asked = Asked {
            pool,
            session: Some(&session),
            model: None,
            bytes,
            bound: api_key_lb_core::policy::Bound::Free,
            patience: Duration::ZERO,
        };
        let mut tries = Tries::new(now);
        let chosen = self.policy.choose(&asked, &mut tries, now);
        let Choice::Use { key, affinity, .. } = chosen else {
            panic!("no key");
        };
        let key = &pool.keys[key];
        let mut attempt = self.policy.began(&asked, key, affinity, now);
        self.policy
            .judged(&asked, &mut attempt, Verdict::SERVED, true, &mut tries, now);
        self.policy.ended(attempt, None, now);
        self.policy.left(&session);
        Some(session)
    }
}
