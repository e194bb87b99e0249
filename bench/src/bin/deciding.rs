//! What it costs to decide which account serves a request, with 8 accounts and 100 000 sessions:
//! `bench/deciding`.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api_key_lb_core::conversation::{Conversation, Identity};
use api_key_lb_core::fact::{ModelId, SessionId, Usage};
use api_key_lb_core::headroom::{Axis, Bucket};
use api_key_lb_core::plan::{Guard, Limits, Pacing, Plan, Recognition, Timing};
use api_key_lb_core::policy::{Asked, Choice, Policy, Session, Tries};
use api_key_lb_core::target::Target;
use api_key_lb_core::verdict::Matter;
use api_key_lb_core::{AccountId, Key, KeyId, Moment, Pool, Secret, Verdict};

const ACCOUNTS: usize = 8;
const SESSIONS: u64 = 100_000;
/// Decisions of one run, in an order that no cache foresees; the fastest of the runs counts.
const DECISIONS: u64 = 200_000;
const RUNS: usize = 7;
/// Whole requests that are timed together.
const BATCH: usize = 500;
/// Conversations without an id.
const CONVERSATIONS: u64 = 20_000;
/// Rows that the store takes at a time.
const AT_A_TIME: usize = 64;
/// Bytes of every request's body.
const BYTES: u64 = 200_000;

fn plan() -> Option<Plan> {
    let target = Arc::new(Target::parse("https://api.openai.com").ok()?);
    let keys = (0..ACCOUNTS).map(|number| {
        let secret = Secret::new(format!("sk-{number}"));
        let id = KeyId::of(&secret, &target);
        Key {
            id,
            label: format!("key-{number}"),
            secret,
            target: Arc::clone(&target),
            via: None,
            account: AccountId::of_key(id),
            weight: 1,
        }
    });
    Some(Plan {
        default_pool: Some(Pool {
            lists: api_key_lb_core::plan::Lists::First,
            name: String::new(),
            target: Arc::clone(&target),
            keys: keys.collect(),
        }),
        named_pools: Vec::new(),
        guard: Guard::default(),
        timing: Timing::default(),
        limits: Limits::default(),
        recognition: Recognition::default(),
        pacing: Pacing::default(),
        answer_headers: true,
        include_usage: false,
        error_rules: Vec::new(),
    })
}

/// A session's id, and the order in which sessions are asked for: scattered, but the same each time.
const fn scattered(n: u64) -> u128 {
    let low = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((low.rotate_left(17) as u128) << 64) | low as u128
}

struct World<'p> {
    pool: &'p Pool,
    policy: Policy,
    now: Moment,
    model: ModelId,
}

impl World<'_> {
    fn asked<'a>(&'a self, session: Option<&'a Session>) -> Asked<'a> {
        Asked {
            pool: self.pool,
            session,
            model: Some(self.model),
            bytes: BYTES,
            bound: api_key_lb_core::policy::Bound::Free,
            patience: Duration::from_secs(60),
        }
    }

    /// One request from its choice to its end.
    fn serves(&mut self, session: Option<&Session>) {
        let (pool, now, model) = (self.pool, self.now, Some(self.model));
        let asked = Asked {
            pool,
            session,
            model,
            bytes: BYTES,
            bound: api_key_lb_core::policy::Bound::Free,
            patience: Duration::from_secs(60),
        };
        let mut tries = Tries::new(now);
        if let Choice::Use { key, affinity, .. } = self.policy.choose(&asked, &mut tries, now) {
            let key = &pool.keys[key];
            let mut attempt = self.policy.began(&asked, key, affinity, now);
            let verdict = Verdict::SERVED;
            self.policy
                .judged(&asked, &mut attempt, verdict, true, &mut tries, now);
            let usage = Usage {
                prompt: BYTES / 4,
                cached: BYTES / 5,
                ..Usage::default()
            };
            self.policy.ended(attempt, Some(usage), now);
        }
    }

    /// Whole requests, in ns for each: the median of batches, which another program that runs now
    /// and then does not change.
    fn serve_all(&mut self, what: &str, sessions: &[Session]) {
        // Nothing, unless it is noted for the store.
        while !self.policy.changes(AT_A_TIME).is_empty() {}
        let mut batches: Vec<u128> = Vec::new();
        for batch in sessions.chunks(BATCH) {
            let began = Instant::now();
            for session in batch {
                self.serves(Some(session));
            }
            batches.push(began.elapsed().as_nanos() / BATCH as u128);
        }
        println!("{what:<58} {:>6} ns", median(batches));
    }

    /// Each conversation's next turn, told by its messages alone: its session, and that it went on.
    fn recognise_all(&mut self, what: &str, turn: u64) {
        while !self.policy.changes(AT_A_TIME).is_empty() {}
        let mut batches: Vec<u128> = Vec::new();
        for batch in 0..CONVERSATIONS / BATCH as u64 {
            let from = batch * BATCH as u64;
            let identities: Vec<Identity> = (from..from + BATCH as u64)
                .map(|n| conversation(n, turn))
                .collect();
            let began = Instant::now();
            for identity in &identities {
                if let Some(session) = self.policy.recognise(self.pool, identity, self.now) {
                    self.policy
                        .entered(self.pool, identity, &session, BYTES, self.now);
                    self.policy.left(&session);
                }
            }
            batches.push(began.elapsed().as_nanos() / BATCH as u128);
        }
        if !what.is_empty() {
            println!("{what:<58} {:>6} ns", median(batches));
        }
    }

    /// What the store takes while nobody else can decide, of all those that have just changed.
    fn takes(&mut self) {
        let mut times = Vec::new();
        loop {
            let began = Instant::now();
            if self.policy.changes(AT_A_TIME).len() < AT_A_TIME {
                break;
            }
            times.push(began.elapsed().as_nanos());
        }
        let what = format!("taking {AT_A_TIME} changed rows for the store");
        println!("{what:<58} {:>6} ns", median(times));
    }

    /// The fastest of the runs, in ns per decision.
    fn decides(&mut self, what: &str, mut session: impl FnMut(u64) -> Option<Session>) {
        let mut fastest = u128::MAX;
        for run in 0..RUNS {
            let sessions: Vec<Option<Session>> = (0..DECISIONS)
                .map(|n| session(n + run as u64 * DECISIONS))
                .collect();
            let began = Instant::now();
            for session in &sessions {
                let asked = self.asked(session.as_ref());
                let choice = self.policy.preview(&asked, self.now);
                black_box(choice);
            }
            fastest = fastest.min(began.elapsed().as_nanos() / u128::from(DECISIONS));
        }
        println!("{what:<58} {fastest:>6} ns");
    }
}

fn median(mut times: Vec<u128>) -> u128 {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or(0)
}

/// A conversation without an id after so many turns.
fn conversation(n: u64, turn: u64) -> Identity {
    let links: Vec<u64> = (0..=2 * turn)
        .map(|at| scattered(n * 1_000 + at) as u64)
        .collect();
    let conversation = Conversation {
        ends: (1..=links.len() as u32).map(|at| at * 1_000).collect(),
        before_reply: 1,
        last_reply: links.len() - 1,
        opener: Some(scattered(n)),
        system: 7,
        links,
    };
    Identity {
        conversation,
        ..Identity::default()
    }
}

fn named(n: u64) -> Session {
    Session::named(SessionId(scattered(n)), "header x-session-id".into())
}

fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

fn main() {
    let Some(plan) = plan() else { return };
    let Some(pool) = plan.default_pool.as_ref() else {
        return;
    };
    let mut world = World {
        pool,
        policy: Policy::new(&plan),
        now: Moment::from_unix_millis(1_790_000_000_000),
        model: ModelId::of("gpt-5"),
    };
    let before = resident();
    for n in 0..SESSIONS {
        world.serves(Some(&named(n)));
    }
    let grown = resident().zip(before).map(|(after, before)| after - before);
    if let Some(bytes) = grown {
        println!("memory per session: {} bytes", bytes / SESSIONS);
    }
    // Every account states its limits, as OpenAI does.
    for key in &pool.keys {
        for (axis, left) in [(Axis::Requests, 4_000), (Axis::Tokens, 1_500_000)] {
            let bucket = Bucket {
                axis,
                whole_account: false,
                limit: Some(left * 2),
                remaining: left,
                reset: Some(world.now.after(Duration::from_secs(60))),
            };
            world
                .policy
                .told(key, Some(world.model), &[bucket], None, world.now);
        }
    }
    println!("{ACCOUNTS} accounts, {SESSIONS} sessions; the fastest of {RUNS} runs, per decision:");
    let known = |n: u64| Some(named(scattered(n) as u64 % SESSIONS));
    world.decides("a known session, its home usable", known);
    world.decides("a new session", |n| Some(named(SESSIONS + n)));
    world.decides("no session", |_| None);

    let sessions: Vec<Session> = (0..DECISIONS).filter_map(known).collect();
    world.serve_all(
        "a known session's request, chosen, begun, judged, ended",
        &sessions,
    );
    for turn in 1..20 {
        world.recognise_all("", turn);
    }
    world.recognise_all("a conversation without an id, found and noted", 20);
    world.policy.remember();
    world.recognise_all("the same, noted for the store", 21);
    world.takes();
    world.serve_all("the same, noted for the store", &sessions);
    world.takes();

    for key in &pool.keys[..ACCOUNTS / 2] {
        let verdict = Verdict {
            until: Some(world.now.after(Duration::from_secs(50))),
            ..Verdict::new(Matter::AccountRate, "bench")
        };
        let (now, mut tries) = (world.now, Tries::new(world.now));
        let asked = Asked {
            pool,
            session: None,
            model: Some(world.model),
            bytes: BYTES,
            bound: api_key_lb_core::policy::Bound::Free,
            patience: Duration::ZERO,
        };
        let affinity = api_key_lb_core::fact::Affinity::None;
        let mut attempt = world.policy.began(&asked, key, affinity, now);
        world
            .policy
            .judged(&asked, &mut attempt, verdict, true, &mut tries, now);
        world.policy.ended(attempt, None, now);
    }
    world.decides("a known session, half of the accounts cooling", known);
    world.decides("a new session, half of the accounts cooling", |n| {
        Some(named(SESSIONS + n))
    });
}
