//! What it costs to look inside a request, beside general JSON parsers doing the same, and what the
//! policy's tables cost: `bench/reading`.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api_key_lb_core::conversation::{Conversation, Identity};
use api_key_lb_core::ladder::Ladder;
use api_key_lb_core::plan::{Guard, Limits, Pacing, Plan, Recognition, Timing};
use api_key_lb_core::policy::{Asked, Choice, Policy, Tries};
use api_key_lb_core::target::Target;
use api_key_lb_core::wire::body::{Need, RequestReader};
use api_key_lb_core::wire::identity;
use api_key_lb_core::{AccountId, Key, KeyId, Moment, Pool, Secret, Verdict};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::value::RawValue;
use sonic_rs::LazyValue;
use xxhash_rust::xxh3::xxh3_128;

/// Bytes of one frame, as hyper hands a body over.
const FRAME: usize = 16 << 10;
/// How long each way of reading is repeated; its fastest run counts.
const FOR: Duration = Duration::from_millis(1500);
/// Sessions of the table benchmarks, and messages of each: long ones are fewer, or the bound on the
/// table would be what is measured.
const TABLES: [(usize, usize); 3] = [(100_000, 2), (40_000, 20), (20_000, 200)];

/// What a coding agent sends: a system prompt, then prompts, calls of tools and their results with
/// code in them. About one escape in 30 bytes, a tenth of the words not ASCII; `model` first, the id
/// after the messages.
fn body(bytes: usize) -> Vec<u8> {
    const WORDS: [&str; 20] = [
        "the", "function", "returns", "größe", "value", "and", "caller", "checks", "für", "it",
        "before", "loop", "index", "name", "of", "struct", "field", "then", "error", "path",
    ];
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = move |most: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed >> 33).unwrap_or(0) % most
    };
    let mut prose = |words: usize, code: bool| {
        let mut text = String::new();
        for word in 0..words {
            // A line of code has six words; every fourth line quotes something.
            let sign = match (code, word % 24) {
                (true, 0 | 6 | 12 | 18) => "\\n    ",
                (true, 8 | 10) => " \\\"",
                (false, 4) => ".\\n",
                _ => " ",
            };
            text.push_str(WORDS[next(WORDS.len())]);
            text.push_str(sign);
        }
        text
    };
    let mut body = format!(
        "{{\"model\":\"gpt-5.4\",\"messages\":[{{\"role\":\"system\",\"content\":\"{}\"}}",
        prose(1500.min(bytes / 20), false)
    );
    let mut turn = 0;
    while body.len() < bytes {
        let _ = write!(
            body,
            ",{{\"role\":\"user\",\"content\":\"{}\"}},{{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{{\"id\":\"call_{turn:08}\",\"type\":\"function\",\"function\":{{\"name\":\"read_file\",\"arguments\":\"{{\\\"path\\\":\\\"src/{turn}.rs\\\"}}\"}}}}]}},{{\"role\":\"tool\",\"tool_call_id\":\"call_{turn:08}\",\"content\":\"{}\"}}",
            prose(20, false),
            // A line, a function, a function, a file.
            prose([30, 300, 300, 1800][turn % 4], true),
        );
        turn += 1;
    }
    body.push_str("],\"stream\":true,\"tools\":[],\"prompt_cache_key\":\"01a20535-1667-7b83-baaa-68bfa3123dee\"}");
    body.into_bytes()
}

#[derive(Deserialize)]
struct Typed<'b> {
    #[serde(borrow)]
    messages: Vec<&'b RawValue>,
    model: &'b str,
    prompt_cache_key: Option<&'b str>,
}

#[derive(Deserialize)]
struct Lazy<'b> {
    #[serde(borrow)]
    messages: Vec<LazyValue<'b>>,
    model: &'b str,
    prompt_cache_key: Option<&'b str>,
}

/// A way to read a body; the number keeps the work from being optimised away.
type Way = (&'static str, fn(&Ladder, &[u8]) -> u64);

fn ours(ladder: &Ladder, body: &[u8], need: Need) -> u64 {
    let mut reader = RequestReader::new(ladder.paths(), need);
    for frame in body.chunks(FRAME) {
        if !reader.feed(frame) {
            break;
        }
    }
    let (identity, facts) = identity::recognise(ladder, &HeaderMap::new(), reader.finish());
    let last = identity.conversation.links.last().copied().unwrap_or(0);
    last + facts.model.map_or(0, |model| model.len() as u64)
}

const WAYS: &[Way] = &[
    ("ours: ids, every message and objects", |ladder, body| {
        ours(ladder, body, Need::ALL)
    }),
    ("ours: ids and every message", |ladder, body| {
        let need = Need {
            references: false,
            ..Need::ALL
        };
        ours(ladder, body, need)
    }),
    ("ours: ids and the opener", |ladder, body| {
        let need = Need {
            chain: false,
            references: false,
            ..Need::ALL
        };
        ours(ladder, body, need)
    }),
    ("ours: objects alone", |ladder, body| {
        let need = Need {
            ids: false,
            chain: false,
            background: false,
            stores: false,
            splice: false,
            references: true,
        };
        ours(ladder, body, need)
    }),
    ("ours: the head named a known session", |ladder, body| {
        let need = Need {
            ids: false,
            chain: false,
            background: false,
            stores: false,
            splice: false,
            references: false,
        };
        ours(ladder, body, need)
    }),
    ("serde_json, typed, hash of every message", |_, body| {
        let Ok(typed) = serde_json::from_slice::<Typed<'_>>(body) else {
            return 0;
        };
        let hashes = typed
            .messages
            .iter()
            .map(|message| xxh3_128(message.get().as_bytes()) as u64);
        hashes.fold(typed.model.len() as u64, |sum, hash| {
            sum.rotate_left(5) ^ hash
        }) + typed.prompt_cache_key.map_or(0, |key| key.len() as u64)
    }),
    ("sonic-rs, typed, hash of every message", |_, body| {
        let Ok(typed) = sonic_rs::from_slice::<Lazy<'_>>(body) else {
            return 0;
        };
        let hashes = typed
            .messages
            .iter()
            .map(|message| xxh3_128(message.as_raw_str().as_bytes()) as u64);
        hashes.fold(typed.model.len() as u64, |sum, hash| {
            sum.rotate_left(5) ^ hash
        }) + typed.prompt_cache_key.map_or(0, |key| key.len() as u64)
    }),
];

fn fastest(mut run: impl FnMut() -> u64) -> Duration {
    let end = Instant::now() + FOR;
    let mut best = Duration::MAX;
    while Instant::now() < end {
        let began = Instant::now();
        black_box(run());
        best = best.min(began.elapsed());
    }
    best
}

/// Bytes of memory this process holds.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

fn plan() -> Option<Plan> {
    let target = Arc::new(Target::parse("https://h").ok()?);
    let keys = (0..8).map(|n| {
        let secret = Secret::new(format!("sk-{n}"));
        let id = KeyId::of(&secret, &target);
        Key {
            id,
            label: format!("key-{n}"),
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

/// A conversation of `messages` messages, number `n`.
fn conversation(n: usize, messages: usize) -> Identity {
    let link =
        |at: usize| xxhash_rust::xxh3::xxh3_64(&[n.to_le_bytes(), at.to_le_bytes()].concat());
    Identity {
        conversation: Conversation {
            links: (0..messages).map(link).collect(),
            ends: (1..=messages).map(|n| n as u32 * 400).collect(),
            before_reply: 1,
            last_reply: messages.saturating_sub(1),
            opener: Some(n as u128),
            system: 1,
        },
        ..Identity::default()
    }
}

/// Sessions by content, turn after turn: ns per request and bytes per session.
fn tables(sessions: usize, messages: usize) {
    let Some(plan) = plan() else { return };
    let Some(pool) = plan.default_pool.as_ref() else {
        return;
    };
    let before = resident();
    let mut policy = Policy::new(&plan);
    let mut now = Moment::from_unix_millis(1_790_000_000_000);
    let mut turn = |policy: &mut Policy, identity: &Identity| {
        now = now.after(Duration::from_millis(1));
        let Some(session) = policy.recognise(pool, identity, now) else {
            return;
        };
        policy.entered(pool, identity, &session, 0, now);
        let asked = Asked {
            pool,
            session: Some(&session),
            model: None,
            bytes: 400 * messages as u64,
            bound: api_key_lb_core::policy::Bound::Free,
            patience: Duration::from_secs(60),
        };
        let mut tries = Tries::new(now);
        if let Choice::Use { key, affinity, .. } = policy.choose(&asked, &mut tries, now) {
            let key = &pool.keys[key];
            let mut attempt = policy.began(&asked, key, affinity, now);
            policy.judged(&asked, &mut attempt, Verdict::SERVED, true, &mut tries, now);
            policy.ended(attempt, None, now);
        }
        policy.left(&session);
    };
    for n in 0..sessions {
        turn(&mut policy, &conversation(n, messages));
    }
    let after = resident();
    let next: Vec<Identity> = (0..sessions)
        .step_by(10)
        .map(|n| conversation(n, messages + 2))
        .collect();
    let began = Instant::now();
    for identity in &next {
        turn(&mut policy, identity);
    }
    let each = began.elapsed().as_nanos() / next.len() as u128;
    let bytes = before
        .zip(after)
        .map(|(before, after)| (after.saturating_sub(before)) / sessions as u64);
    println!(
        "{sessions} conversations of {messages} messages: {} bytes each, next turn recognised, placed and recorded in {each} ns",
        bytes.map_or("?".to_owned(), |bytes| bytes.to_string()),
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ladder = Ladder::default();
    // `reading once WAY RUNS`: for counting instructions.
    if let [mode, way, runs] = arguments.as_slice()
        && mode == "once"
    {
        let body = body(1 << 20);
        let (Ok(way), Ok(runs)) = (way.parse::<usize>(), runs.parse::<usize>()) else {
            return;
        };
        if let Some((_, run)) = WAYS.get(way) {
            for _ in 0..runs {
                black_box(run(&ladder, black_box(&body)));
            }
        }
        return;
    }
    if arguments.first().is_some_and(|mode| mode == "ways") {
        for (name, _) in WAYS {
            println!("{name}");
        }
        return;
    }
    println!(
        "{:<44} {:>9} {:>9} {:>9} {:>9}",
        "µs (fastest run)", "2 KB", "16 KB", "256 KB", "1 MB"
    );
    let bodies = [2 << 10, 16 << 10, 256 << 10, 1 << 20].map(body);
    for (name, way) in WAYS {
        print!("{name:<44}");
        for body in &bodies {
            let took = fastest(|| way(&ladder, black_box(body)));
            print!(" {:>9.1}", took.as_nanos() as f64 / 1000.0);
        }
        println!();
    }
    println!();
    for (sessions, messages) in TABLES {
        tables(sessions, messages);
    }
}
