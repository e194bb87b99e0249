//! Coding agents at work, through the real policy and through what others do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "test code outside of test functions: it fails and prints as they do"
)]

use api_key_lb_sim::driver::run;
use api_key_lb_sim::invariants::Invariants;
use api_key_lb_sim::outcome::{Outcome, Unobserved};
use api_key_lb_sim::provider::{AccountSpec, MINUTE_MS, ProviderSpec};
use api_key_lb_sim::report::{Prices, Report, report};
use api_key_lb_sim::request::Request;
use api_key_lb_sim::rng::Rng;
use api_key_lb_sim::router::{Contender, PolicyRouter};
use api_key_lb_sim::workload::{Shape, generate};
use api_key_lb_sim::world::World;

/// Accounts that the sessions share.
const ACCOUNTS: usize = 3;
/// How often an agent sends a request that was refused: Claude Code's default.
const CLIENT_TRIES: u32 = 10;

fn reference(requests: &[Request]) -> Vec<Outcome> {
    let provider = ProviderSpec {
        accounts: vec![AccountSpec::default()],
        ..ProviderSpec::default()
    };
    let world = World::new(1, provider, requests.to_vec());
    let mut one = Contender::RoundRobin.router(&world).unwrap();
    run(&world, one.as_mut(), &mut Unobserved).unwrap()
}

/// Accounts whose limits are used to `load` percent in the busiest five minutes.
fn world(seed: u64, requests: Vec<Request>, alone: &[Outcome], load: u64) -> World {
    let mut slots = std::collections::HashMap::new();
    for (request, outcome) in requests.iter().zip(alone) {
        let slot = outcome.came.unwrap() / (5 * MINUTE_MS);
        *slots.entry(slot).or_insert(0) += request.input_tokens + request.output_tokens;
    }
    let busiest: u64 = slots.into_values().max().unwrap() / 5;
    let account = AccountSpec {
        tokens_per_minute: Some(busiest * 100 / load / ACCOUNTS as u64),
        ..AccountSpec::default()
    };
    let provider = ProviderSpec {
        accounts: vec![account; ACCOUNTS],
        ..ProviderSpec::default()
    };
    World {
        client_tries: CLIENT_TRIES,
        ..World::new(seed, provider, requests)
    }
}

fn line(name: &str, report: &Report) -> String {
    format!(
        "{name:<14} served {:>4} of {:>4}; cached {:>5.2} % = {:>6.2} % of one account, {:>8} tokens read again; \
         throttles {:>3} ({:>3} seen); wait p50 {} p99 {} max {} ms; first byte p99 {} ms; balance {:.2}; \
         borrows {} moves {}; cost {:.2}; done after {} s",
        report.served,
        report.requests,
        report.cached_share * 100.0,
        report.cached_of_reference.unwrap_or(0.0) * 100.0,
        report.reread_tokens.unwrap_or(0),
        report.throttles,
        report.throttles_seen,
        report.wait.p50_ms,
        report.wait.p99_ms,
        report.wait.max_ms,
        report.first_byte.p99_ms,
        report.token_balance,
        report.borrows,
        report.moves,
        report.cost,
        report.ended_ms / 1000
    )
}

#[test]
fn the_policy_is_cheaper_than_every_other() {
    for seed in [1, 2, 3] {
        let requests = generate(&Shape::coding(), &mut Rng::seeded(seed));
        let alone = reference(&requests);
        let world = world(seed, requests, &alone, 85);
        let mut router = PolicyRouter::new(&world).unwrap();
        let mut invariants = Invariants::of(&world);
        run(&world, &mut router, &mut invariants).unwrap_or_else(|violation| panic!("{violation}"));
        let mut reports = Vec::new();
        for contender in Contender::ALL {
            let mut router = contender.router(&world).unwrap();
            let outcomes = run(&world, router.as_mut(), &mut Unobserved).unwrap();
            let report = report(&world, &outcomes, Some(&alone), &Prices::default());
            println!("seed {seed}: {}", line(contender.name(), &report));
            reports.push(report);
        }
        let ours = &reports[0];
        for (other, contender) in reports[1..].iter().zip(&Contender::ALL[1..]) {
            assert!(ours.cost < other.cost, "seed {seed}: {}", contender.name());
        }
    }
}
