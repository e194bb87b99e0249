//! Small worlds from seeds, in which everything that can happen does happen now and then.

use std::time::Duration;

use api_key_lb_core::plan::{Pacing, SplitSubAgents};

use crate::provider::{
    AccountSpec, CacheSpec, Counting, Latency, ProviderSpec, Says, Trouble, TroubleKind, WindowSpec,
};
use crate::request::Request;
use crate::rng::Rng;
use crate::workload::{Shape, generate};
use crate::world::{KeySpec, Settings, World};

/// Requests of a world: enough for every rule to meet every other, few enough for a thousand worlds.
const MOST_REQUESTS: usize = 160;
/// Span in which troubles begin, in milliseconds.
const SPAN_MS: u64 = 180_000;

/// The world that `seed` determines.
pub fn world(seed: u64) -> World {
    let mut rng = Rng::seeded(seed);
    let requests = requests(&mut rng);
    let accounts = 1 + rng.below(5);
    let per_account = load(&requests, accounts);
    // Those of one provider are alike: what they say, how they count.
    let style = style(&mut rng, per_account);
    let account = |rng: &mut Rng| AccountSpec {
        tokens_per_minute: style
            .tokens_per_minute
            .map(|limit| limit * (50 + rng.below(100)) / 100 + 1),
        ..style.clone()
    };
    let provider = ProviderSpec {
        accounts: (0..accounts).map(|_| account(&mut rng)).collect(),
        cache: CacheSpec {
            ttl_ms: 20_000 + rng.below(600_000),
            capacity_blocks: 50 + rng.below(20_000) as usize,
            ..CacheSpec::default()
        },
        latency: Latency {
            base_ms: 50 + rng.below(2000),
            prefill_per_s: 2000 + rng.below(50_000),
            output_per_s: 20 + rng.below(200),
            refusal_ms: 1 + rng.below(300),
        },
        troubles: troubles(&mut rng, accounts),
    };
    let keys = keys(&mut rng, accounts);
    World {
        keys,
        settings: settings(&mut rng),
        client_tries: 1 + rng.below(3) as u32,
        ..World::new(seed, provider, requests)
    }
}

fn requests(rng: &mut Rng) -> Vec<Request> {
    let some = |rng: &mut Rng, share: f64| if rng.chance(0.5) { share } else { 0.0 };
    let shape = Shape {
        sessions: 1 + rng.below(24) as usize,
        begin_within_ms: 1 + rng.below(120_000),
        turns: 1..=1 + rng.below(15),
        kinds: 1 + rng.below(3),
        system_blocks: 0..=rng.below(30),
        canned_blocks: if rng.chance(0.3) { 1..=4 } else { 0..=0 },
        first_tokens: 50..=50 + rng.below(20_000),
        turn_tokens: 10..=10 + rng.below(8000),
        output_tokens: 1..=1 + rng.below(2000),
        think_ms: rng.below(20_000),
        anonymous: [0.0, 0.3, 1.0][rng.below(3) as usize],
        branches: some(rng, 0.2),
        side_requests: some(rng, 0.3),
        regenerates: some(rng, 0.1),
        compacts: some(rng, 0.1),
        models: 1 + rng.below(2) as u32,
        patience_ms: vec![0, 5_000, 30_000, 60_000, 600_000],
        leaves: some(rng, 0.1),
        unrepeatable: some(rng, 0.3),
    };
    let mut requests = generate(&shape, rng);
    // What is left out may be what others follow; nothing later is followed by anything earlier.
    requests.truncate(MOST_REQUESTS);
    requests
}

/// Tokens a minute of each account if the load were even.
fn load(requests: &[Request], accounts: u64) -> u64 {
    let tokens: u64 = requests.iter().map(|request| request.input_tokens).sum();
    tokens * 60_000 / SPAN_MS / accounts.max(1)
}

fn style(rng: &mut Rng, per_account: u64) -> AccountSpec {
    let mut maybe =
        |share: f64, low: u64, span: u64| rng.chance(share).then(|| low + rng.below(span.max(1)));
    // From half to twice what comes.
    let tokens_per_minute = maybe(0.5, per_account / 2 + 100, per_account * 3 / 2);
    let requests_per_minute = maybe(0.3, 3, 60);
    let concurrency = maybe(0.3, 1, 6).map(|most| most as u32);
    let quota = maybe(0.2, per_account, per_account * 4);
    let length_ms = [60_000, 18_000_000, 604_800_000][rng.below(3) as usize];
    AccountSpec {
        requests_per_minute,
        tokens_per_minute,
        concurrency,
        windows: quota
            .map(|tokens| WindowSpec { length_ms, tokens })
            .into_iter()
            .collect(),
        counting: if rng.chance(0.5) {
            Counting::Bucket
        } else {
            Counting::Minutes
        },
        cached_tokens_are_free: rng.chance(0.3),
        per_model: rng.chance(0.5),
        says: Says {
            headroom: rng.chance(0.6),
            retry_after: rng.chance(0.7),
            usage: rng.chance(0.8),
            owner: rng.chance(0.3),
            skew_ms: [0, 0, 700, 5000, -700, -5000][rng.below(6) as usize],
        },
    }
}

fn troubles(rng: &mut Rng, accounts: u64) -> Vec<Trouble> {
    let count = rng.below(4);
    let trouble = |rng: &mut Rng| {
        let kinds = [
            (TroubleKind::Overload, 30_000),
            (TroubleKind::Server, 30_000),
            (TroubleKind::Network, 20_000),
            (TroubleKind::Revoked, 10_000_000_000),
            (TroubleKind::Credit, 10_000_000_000),
        ];
        let (kind, longest) = kinds[rng.below(5) as usize];
        let from_ms = rng.below(SPAN_MS);
        let lasting = matches!(kind, TroubleKind::Revoked | TroubleKind::Credit);
        // Troubles of a key or account are that one's.
        let one = lasting || rng.chance(0.5);
        Trouble {
            kind,
            from_ms,
            until_ms: from_ms + 1 + rng.below(longest),
            account: one.then(|| rng.below(accounts) as usize),
            model: (!lasting && rng.chance(0.3)).then_some(0),
            share: if lasting || rng.chance(0.5) { 1.0 } else { 0.4 },
        }
    };
    (0..count).map(|_| trouble(rng)).collect()
}

fn keys(rng: &mut Rng, accounts: u64) -> Vec<KeySpec> {
    let configured = rng.chance(0.3);
    let mut keys = Vec::new();
    for account in 0..accounts as usize {
        let several = rng.chance(0.2);
        for _ in 0..1 + u64::from(several) {
            keys.push(KeySpec {
                account,
                weight: if rng.chance(0.2) { 3 } else { 1 },
                account_is_configured: configured,
            });
        }
    }
    keys
}

fn settings(rng: &mut Rng) -> Settings {
    Settings {
        cooldown: rng
            .chance(0.2)
            .then(|| Duration::from_millis(rng.below(60_000))),
        sessions: if rng.chance(0.2) { 3 } else { 1000 },
        session_ttl: Duration::from_secs(if rng.chance(0.2) { 20 } else { 3600 }),
        max_wait: Duration::from_secs(if rng.chance(0.2) { rng.below(10) } else { 45 }),
        cache_ttl: rng.chance(0.3).then(|| Duration::from_secs(60)),
        split_subagents: [
            SplitSubAgents::Never,
            SplitSubAgents::Auto,
            SplitSubAgents::Always,
        ][rng.below(3) as usize],
        pacing: Pacing {
            drain: rng.chance(0.3),
            reserve: if rng.chance(0.3) { 200 } else { 0 },
        },
    }
}
