//! The stage of the demo: a mock provider with three keys and the proxy in front of it, in this process.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use api_key_lb_control::config::LogLevel;
use api_key_lb_core::plan::{Guard, Key, Limits, Plan, Pool, Timing};
use api_key_lb_core::target::Target;
use api_key_lb_core::{AccountId, KeyId, Secret};
use api_key_lb_mock::{Account, Fault, Mock};

use crate::listen::{self, ListenError};
use crate::live::Now;
use crate::local_client::Call;
use crate::printer::Printer;
use crate::server::{Announce, Server, ServerSetup};

use super::script::Conversation;
use super::story::Step;

/// Label, credential and account of each key.
const KEYS: [(&str, &str, &str); 3] = [
    ("alpha", "sk-demo-alpha-1111", "org-alpha"),
    ("beta", "sk-demo-beta-2222", "org-beta"),
    ("gamma", "sk-demo-gamma-3333", "org-gamma"),
];
/// What reading 1 000 tokens that are not cached costs: a tenth of what a large model takes, so
/// that one can see what a cache is good for without waiting for it.
const PREFILL: Duration = Duration::from_millis(40);
/// How long an answer may take; the whole story takes a few seconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// Worker threads of the proxy: five agents that take turns need no more.
const WORKERS: usize = 1;
/// The path the agents ask.
const CHAT: &str = "/v1/chat/completions";

/// Mock provider and proxy.
pub(super) struct Stage {
    pub(super) mock: Mock,
    pub(super) server: Server,
    pub(super) address: SocketAddr,
}

impl Stage {
    /// Builds it: the proxy listens on `port`, or on a free one if that is taken and nobody asked
    /// for it (`insist`).
    pub(super) fn build(port: u16, insist: bool, printer: &Printer) -> anyhow::Result<Self> {
        let mock = provider(PREFILL).context("cannot start the mock provider")?;
        let hosts = [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ];
        let listeners = match listen::bind(&hosts, port, false) {
            Err(ListenError::Taken(_)) if !insist => listen::bind(&hosts, 0, false)?,
            result => result?,
        };
        let setup = ServerSetup {
            plan: plan(&mock.url())?,
            listeners,
            workers: WORKERS,
            ca_file: None,
            now: Now {
                accounts: Arc::new(BTreeMap::from(
                    KEYS.map(|(_, _, name)| (AccountId::named("", name), name.to_owned())),
                )),
                log: LogLevel::Requests,
                ..Now::default()
            },
            log: None,
            supervisor: None,
            predecessor: None,
            announce: Announce::Later,
            store: None,
            otlp: None,
        };
        let server = Server::start(setup, printer)?;
        let address = server.address();
        Ok(Self {
            mock,
            server,
            address,
        })
    }

    /// The labels of the keys.
    pub(super) fn labels() -> [&'static str; KEYS.len()] {
        KEYS.map(|(label, ..)| label)
    }

    /// Lets the provider refuse the next request with this key, as it would one over a limit.
    pub(super) fn throttle(&self, label: &str, pause: Duration) {
        if let Some((_, secret, _)) = KEYS.iter().find(|(known, ..)| *known == label) {
            let fault = Fault::on(*secret)
                .times(1)
                .status(429)
                .header("retry-after", pause.as_secs().to_string());
            self.mock.fault(fault);
        }
    }

    /// How long the proxy will still keep away from the key; zero if it will not.
    pub(super) fn cooldown(&self, label: &str) -> Duration {
        let state = self.server.state();
        let plan = state.plan();
        let id = plan
            .pools()
            .flat_map(|pool| &pool.keys)
            .find(|key| key.label == label)
            .map(|key| key.id);
        let now = state.now();
        state
            .snapshot()
            .keys
            .iter()
            .find(|key| Some(key.id) == id)
            .and_then(|key| key.cooling_until)
            .map_or(Duration::ZERO, |until| until.since(now))
    }

    /// Asks for the next answer of a conversation through the proxy.
    pub(super) fn ask(&self, conversation: &Conversation, turn: usize) -> (Step, Option<String>) {
        let body = conversation.request();
        let began = Instant::now();
        let answer = Call {
            to: self.address,
            method: "POST",
            path: CHAT,
            headers: &[
                ("content-type", "application/json"),
                (
                    "authorization",
                    "Bearer what-the-agent-sends-does-not-matter",
                ),
                ("x-session-id", conversation.agent),
            ],
            body: &body,
            timeout: PATIENCE,
        }
        .send();
        let mut step = Step {
            agent: conversation.agent,
            turn,
            took: began.elapsed(),
            ..Step::default()
        };
        let Ok(answer) = answer else {
            return (step, None);
        };
        let header = |name| answer.header(name).unwrap_or_default().to_owned();
        step.status = answer.status;
        step.key = header("x-lb-key");
        step.affinity = header("x-lb-affinity");
        step.attempts = header("x-lb-attempts").parse().unwrap_or_default();
        let json = answer.json().unwrap_or_default();
        let usage = &json["usage"];
        step.prompt = usage["prompt_tokens"].as_u64().unwrap_or_default();
        step.cached = usage["prompt_tokens_details"]["cached_tokens"]
            .as_u64()
            .unwrap_or_default();
        let said = json["choices"][0]["message"]["content"].as_str();
        (step, said.map(str::to_owned))
    }
}

/// What the provider counts when the same requests come with the keys in turn: prompt tokens and
/// those of them that came from a cache. Measured on a provider of its own, whose caches are cold.
pub(super) fn with_keys_in_turn(requests: &[Vec<u8>]) -> anyhow::Result<(u64, u64)> {
    let mock = provider(Duration::ZERO).context("cannot start a second mock provider")?;
    for (request, (_, secret, _)) in requests.iter().zip(KEYS.iter().cycle()) {
        let authorization = format!("Bearer {secret}");
        let answer = Call {
            to: mock.addr(),
            method: "POST",
            path: CHAT,
            headers: &[
                ("content-type", "application/json"),
                ("authorization", &authorization),
            ],
            body: request,
            timeout: PATIENCE,
        }
        .send()
        .context("the second mock provider did not answer")?;
        anyhow::ensure!(
            answer.status == 200,
            "the second mock provider answered with status {}",
            answer.status
        );
    }
    let total = mock.counters().total;
    Ok((total.prompt_tokens, total.cached_tokens))
}

fn provider(prefill: Duration) -> io::Result<Mock> {
    KEYS.iter()
        .fold(Mock::builder(), |mock, (_, secret, account)| {
            mock.account(Account::new(*account).key(*secret))
        })
        .prefill(prefill)
        .start()
}

/// Built by hand: the demo shall not depend on a configuration that somebody has.
fn plan(url: &str) -> anyhow::Result<Plan> {
    let target = Arc::new(Target::parse(url)?);
    let keys = KEYS
        .iter()
        .map(|(label, secret, account)| {
            let secret = Secret::new((*secret).to_owned());
            Key {
                id: KeyId::of(&secret, &target),
                label: (*label).to_owned(),
                secret,
                target: target.clone(),
                via: None,
                account: AccountId::named("", account),
                weight: 1,
            }
        })
        .collect();
    Ok(Plan {
        default_pool: Some(Pool {
            lists: api_key_lb_core::plan::Lists::First,
            name: String::new(),
            target,
            keys,
        }),
        named_pools: Vec::new(),
        guard: Guard::default(),
        timing: Timing::default(),
        limits: Limits::default(),
        recognition: api_key_lb_core::plan::Recognition::default(),
        pacing: api_key_lb_core::plan::Pacing::default(),
        answer_headers: true,
        include_usage: false,
        error_rules: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_turn_read_less_from_the_cache_than_one_key_for_each_conversation_would() {
        let mut ada = Conversation::new("ada");
        let mut requests = Vec::new();
        for _ in 0..4 {
            requests.push(ada.request());
            ada.go_on("fine");
        }
        let (prompt, cached) = with_keys_in_turn(&requests).unwrap();
        // The fourth request is the first to meet a key again.
        assert!(cached > 0 && cached * 2 < prompt, "{cached} of {prompt}");
    }
}
