//! How everything is now, as `/_lb/state` tells it: keys, sessions, sums, and what to look at.

use std::time::Duration;

use api_key_lb_core::headroom::Axis;
use api_key_lb_core::plan::{Key, Plan, Pool};
use api_key_lb_core::policy::{KeySnapshot, Snapshot};
use api_key_lb_core::verdict::Matter;
use api_key_lb_core::{KeyId, Moment};
use serde::{Deserialize, Serialize};

use super::{Observed, Saved, Seen, Totals};
use crate::health::{Health, HealthKey};

/// Sessions that are told.
const MOST_SESSIONS: usize = 200;
/// A pause from this length on is no cooldown but a break: the account is parked.
const PARKED_FROM: Duration = Duration::from_secs(600);

/// Everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// As `GET /health` tells it.
    pub health: Health,
    /// Every key of every pool, in the order of the configuration.
    pub keys: Vec<KeyState>,
    /// The latest sessions, newest first.
    pub sessions: Vec<SessionState>,
    /// What all requests come to.
    pub totals: Totals,
    /// What caching and pooling were good for.
    pub saved: Saved,
    /// What to look at, in words.
    pub problems: Vec<String>,
    /// When this was so, in milliseconds since 1970.
    pub now: u64,
}

/// A key as it is, and what it had to do since the process began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyState {
    /// Who it is, whatever its position and label.
    pub fingerprint: String,
    /// What people call it.
    pub label: String,
    /// The pool it is in; empty for the default one.
    pub pool: String,
    /// The account it is configured to belong to.
    pub account: Option<String>,
    /// `ready`, `recovering`, `cooling`, `parked`, `refused` or `disabled`.
    pub state: String,
    /// Whether it is the configuration that disables it: then it is enabled there.
    #[serde(default, skip_serializing_if = "is_false")]
    pub by_configuration: bool,
    /// Until when, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// What for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// If it cools for some models only: for how many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<u64>,
    /// Requests that it serves right now.
    pub in_flight: u64,
    /// What is left of its account's limits, as far as its provider tells.
    pub headroom: Vec<Headroom>,
    /// Requests whose last attempt was made with it.
    pub requests: u64,
    /// Attempts with it that failed otherwise than by a throttle.
    pub errors: u64,
    /// Attempts with it that were throttled.
    pub throttles: u64,
    /// Tokens of prompts.
    pub prompt: u64,
    /// Of these, from the provider's cache.
    pub cached: u64,
    /// Tokens generated.
    pub output: u64,
    /// Sessions that live with it, of those seen of late.
    pub sessions: u64,
}

/// A limit of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headroom {
    /// What it counts: `requests`, `tokens`, `input_tokens`, `output_tokens`, or `window` for a
    /// subscription's, in thousandths.
    pub what: String,
    /// How much there is in all.
    pub limit: u64,
    /// How much is left.
    pub remaining: u64,
    /// When it is full again, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<u64>,
}

/// A session as far as its requests have shown it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionState {
    /// The first digits of its id, as in the log.
    pub id: String,
    /// All of them.
    pub full: String,
    /// The pool.
    pub pool: String,
    /// The rule that recognised it.
    pub rule: Option<String>,
    /// The program that leads it.
    pub client: Option<String>,
    /// The model that it named last.
    pub model: Option<String>,
    /// The label of the key that it lives with.
    pub home: Option<String>,
    /// How often it had to move.
    pub moves: u64,
    /// Its requests.
    pub requests: u64,
    /// Tokens of their prompts.
    pub prompt: u64,
    /// Of these, from the provider's cache.
    pub cached: u64,
    /// When its last request ended, in milliseconds since 1970.
    pub last_seen: u64,
}

/// What else is known.
#[derive(Debug)]
pub struct About<'a> {
    /// The plan in force.
    pub plan: &'a Plan,
    /// What the policy knows of its keys.
    pub snapshot: &'a Snapshot,
    /// What was noticed when the configuration was read.
    pub notes: &'a [String],
    /// Now.
    pub now: Moment,
}

impl State {
    /// How it is.
    pub fn of(health: Health, observed: &Observed, about: &About<'_>) -> Self {
        let seen = observed.seen();
        let homes = seen
            .sessions
            .by_home(before(about.now, about.plan.timing.session_ttl));
        let keys = pairs(about.plan).enumerate().map(|(at, (pool, key))| {
            let known = about.snapshot.keys.iter().find(|known| known.id == key.id);
            let mut state = KeyState::of(pool, key, known, health.keys.get(at), about.now);
            let sums = seen.sums.of_key(key.id);
            state.requests = sums.requests;
            state.errors = sums.errors;
            state.throttles = sums.throttles;
            state.prompt = sums.prompt;
            state.cached = sums.cached;
            state.output = sums.output;
            state.sessions = homes.get(&key.id).copied().unwrap_or(0);
            state
        });
        let beside = health.keys.iter().skip(pairs(about.plan).count());
        let keys: Vec<KeyState> = keys.chain(beside.map(KeyState::beside)).collect();
        let sessions = sessions(&seen, about.plan);
        let (totals, saved) = (seen.sums.totals, seen.sums.saved());
        drop(seen);
        Self {
            problems: problems(&health, &keys, about.notes),
            health,
            keys,
            sessions,
            totals,
            saved,
            now: about.now.unix_millis(),
        }
    }

    /// The same without what changes by itself, to find out whether anything else has.
    #[must_use]
    pub fn stilled(mut self) -> Self {
        self.now = 0;
        self.health.uptime_ms = 0;
        for key in &mut self.health.keys {
            key.retry_in_ms = key.retry_in_ms.map(|_| 0);
            key.refused_for_ms = key.refused_for_ms.map(|_| 0);
        }
        for split in &mut self.health.split_ids {
            split.since_ms = 0;
        }
        if let Some(trouble) = &mut self.health.config_error {
            trouble.since_ms = 0;
        }
        if let Some(store) = &mut self.health.store {
            store.bytes = None;
        }
        self
    }
}

fn pairs(plan: &Plan) -> impl Iterator<Item = (&Pool, &Key)> {
    plan.pools()
        .flat_map(|pool| pool.keys.iter().map(move |key| (pool, key)))
}

fn before(now: Moment, span: Duration) -> Moment {
    let span = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    Moment::from_unix_millis(now.unix_millis().saturating_sub(span))
}

fn sessions(seen: &Seen, plan: &Plan) -> Vec<SessionState> {
    let label = |home: KeyId| {
        let key = pairs(plan).find(|(_, key)| key.id == home);
        key.map(|(_, key)| key.label.clone())
    };
    let latest = seen.sessions.latest(MOST_SESSIONS);
    latest
        .into_iter()
        .map(|(id, session)| SessionState {
            id: id.short(),
            full: id.full(),
            pool: session.pool.clone(),
            rule: session.rule.as_deref().map(str::to_owned),
            client: session.client.name().map(str::to_owned),
            model: session.model.clone(),
            home: session.home.and_then(label),
            moves: session.moves,
            requests: session.requests,
            prompt: session.prompt,
            cached: session.cached,
            last_seen: session.last_seen.unix_millis(),
        })
        .collect()
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl KeyState {
    /// A key that is not in the plan, because the configuration disables it.
    fn beside(health: &HealthKey) -> Self {
        Self {
            fingerprint: health.fingerprint.clone().unwrap_or_default(),
            label: health.label.clone().unwrap_or_default(),
            pool: health.pool.clone().unwrap_or_default(),
            account: health.account.clone(),
            state: health.status.clone(),
            by_configuration: true,
            reason: Some("by the configuration".to_owned()),
            ..Self::default()
        }
    }

    fn of(
        pool: &Pool,
        key: &Key,
        known: Option<&KeySnapshot>,
        health: Option<&HealthKey>,
        now: Moment,
    ) -> Self {
        let mut state = Self {
            fingerprint: key.id.to_string(),
            label: key.label.clone(),
            pool: pool.name.clone(),
            account: health.and_then(|health| health.account.clone()),
            state: "ready".to_owned(),
            ..Self::default()
        };
        let Some(known) = known else {
            return state;
        };
        let later = |until: Option<Moment>| until.filter(|until| *until > now);
        let cooling = later(known.cooling_until);
        let refused = later(known.refused_until);
        let is_quota = matches!(
            known.cooling_for,
            Some(Matter::AccountQuota | Matter::ModelQuota)
        );
        let (word, until) = match (refused, cooling) {
            _ if known.disabled => ("disabled", None),
            (Some(until), _) => ("refused", Some(until)),
            (None, Some(until)) if is_quota || until.since(now) >= PARKED_FROM => {
                ("parked", Some(until))
            }
            (None, Some(until)) => ("cooling", Some(until)),
            (None, None) if known.recovering => ("recovering", None),
            (None, None) => ("ready", None),
        };
        state.state = word.to_owned();
        state.until_ms = until.map(Moment::unix_millis);
        let cause = || match (word, known.cooling_for) {
            ("cooling" | "parked", Some(matter)) => Some(matter.as_str().to_owned()),
            ("cooling" | "parked", None) => empty(known),
            _ => None,
        };
        state.reason = health
            .and_then(|health| health.reason.clone())
            .or_else(cause);
        state.models = Some(known.cooling_models as u64).filter(|models| *models > 0);
        state.in_flight = known.in_flight.into();
        state.headroom = headroom(known);
        state
    }
}

/// Which limit is used up, by what its provider said.
fn empty(known: &KeySnapshot) -> Option<String> {
    let used_up = known.headroom.iter().find(|limit| limit.left == 0)?;
    Some(format!("no {} left", word(used_up.axis).replace('_', " ")))
}

const fn word(axis: Axis) -> &'static str {
    match axis {
        Axis::Requests => "requests",
        Axis::Tokens => "tokens",
        Axis::InputTokens => "input_tokens",
        Axis::OutputTokens => "output_tokens",
        Axis::Window => "window",
    }
}

/// Of each kind of limit the one of which least is left.
fn headroom(known: &KeySnapshot) -> Vec<Headroom> {
    let mut shown: Vec<(Axis, u64, Headroom)> = Vec::new();
    for limit in &known.headroom {
        let Some(most) = limit.limit.filter(|most| *most > 0) else {
            continue;
        };
        let left = limit.left.min(most);
        let share = left.saturating_mul(1_000_000) / most;
        let row = Headroom {
            what: word(limit.axis).to_owned(),
            limit: most,
            remaining: left,
            resets_at: limit.reset.map(Moment::unix_millis),
        };
        match shown.iter_mut().find(|(axis, ..)| *axis == limit.axis) {
            Some(known) if known.1 > share => *known = (limit.axis, share, row),
            Some(_) => {}
            None => shown.push((limit.axis, share, row)),
        }
    }
    shown.sort_by_key(|(axis, ..)| *axis);
    shown.into_iter().map(|(_, _, row)| row).collect()
}

/// What a person should look at, the worst first.
fn problems(health: &Health, keys: &[KeyState], notes: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(trouble) = &health.config_error {
        problems.push(format!(
            "the configuration has an error, the one before it is in force: {}",
            trouble.text
        ));
    }
    let idle = |key: &&KeyState| matches!(key.state.as_str(), "refused" | "disabled");
    if !keys.is_empty() && keys.iter().filter(idle).count() == keys.len() {
        problems.push("no key can serve: all are refused or disabled".to_owned());
    }
    for key in keys.iter().filter(|key| key.state == "refused") {
        let why = key.reason.as_deref().unwrap_or("revoked or out of credit?");
        problems.push(format!("{} is refused by its provider: {why}", key.label));
    }
    if let Some(problem) = health
        .store
        .as_ref()
        .and_then(|store| store.problem.as_ref())
    {
        problems.push(format!("nothing is written down: {problem}"));
    }
    for key in &health.keys {
        if let (Some(label), Some(other)) = (&key.label, &key.same_account_as) {
            problems.push(format!(
                "{label} shares the account of {other}, and so its limits: it adds no quota"
            ));
        }
    }
    if !health.needs_restart.is_empty() {
        problems.push(format!(
            "waiting for `api-key-lb restart`: {}",
            health.needs_restart.join("; ")
        ));
    }
    if let Some(lost) = health.dropped_facts.filter(|lost| *lost > 0) {
        problems.push(format!(
            "{lost} requests are in no log and no sum: there were more than could be counted"
        ));
    }
    problems.extend(notes.iter().cloned());
    problems
}
