//! The conversation trace that comes with us, through the real policy: the numbers that it is for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "test code outside of test functions: it fails and prints as they do"
)]

use std::sync::OnceLock;

use api_key_lb_sim::driver::run;
use api_key_lb_sim::invariants::Invariants;
use api_key_lb_sim::outcome::Unobserved;
use api_key_lb_sim::provider::{AccountSpec, Counting, MINUTE_MS, ProviderSpec};
use api_key_lb_sim::report::{Prices, Report, report};
use api_key_lb_sim::request::Request;
use api_key_lb_sim::router::{Contender, PolicyRouter};
use api_key_lb_sim::trace;
use api_key_lb_sim::world::World;

fn rows() -> &'static [Request] {
    static ROWS_READ: OnceLock<Vec<Request>> = OnceLock::new();
    ROWS_READ.get_or_init(|| trace::builtin().unwrap())
}

fn named() -> Vec<Request> {
    let mut rows = rows().to_vec();
    trace::name_branches(&mut rows);
    rows
}

/// Most tokens that come within a minute.
fn busiest_minute(rows: &[Request]) -> u64 {
    let mut minutes = vec![0; 1 + rows.last().map_or(0, |row| row.at_ms / MINUTE_MS) as usize];
    for row in rows {
        minutes[(row.at_ms / MINUTE_MS) as usize] += row.input_tokens + row.output_tokens;
    }
    minutes.into_iter().max().unwrap_or(0)
}

/// A world of `accounts` accounts that are used to `load` percent in the busiest minute.
fn limited(rows: &[Request], accounts: usize, load: Option<u64>, counting: Counting) -> World {
    let limit = load.map(|load| busiest_minute(rows) * 100 / load / accounts as u64);
    let account = AccountSpec {
        tokens_per_minute: limit,
        counting,
        ..AccountSpec::default()
    };
    let provider = ProviderSpec {
        accounts: vec![account; accounts],
        ..ProviderSpec::default()
    };
    World::new(1, provider, rows.to_vec())
}

fn measure(world: &World, contender: Contender) -> Report {
    let mut router = contender.router(world).unwrap();
    let outcomes = run(world, router.as_mut(), &mut Unobserved).unwrap();
    let alone = world.reference();
    let mut one = Contender::RoundRobin.router(&alone).unwrap();
    let reference = run(&alone, one.as_mut(), &mut Unobserved).unwrap();
    report(world, &outcomes, Some(&reference), &Prices::default())
}

/// The real policy, with its invariants checked.
fn checked(world: &World) -> Report {
    let mut router = PolicyRouter::new(world).unwrap();
    let mut invariants = Invariants::of(world);
    run(world, &mut router, &mut invariants).unwrap_or_else(|violation| panic!("{violation}"));
    measure(world, Contender::Policy)
}

fn line(name: &str, report: &Report) -> String {
    format!(
        "{name:<28} cached {:>6.2} % = {:>6.2} % of one account; balance {:.3} requests {:.3} tokens; \
         throttles {} ({} seen); wait p99 {} max {} ms; failed {}; borrows {} moves {}; cost {:.2}",
        report.cached_share * 100.0,
        report.cached_of_reference.unwrap_or(0.0) * 100.0,
        report.request_balance,
        report.token_balance,
        report.throttles,
        report.throttles_seen,
        report.wait.p99_ms,
        report.wait.max_ms,
        report.failed,
        report.borrows,
        report.moves,
        report.cost
    )
}

#[test]
fn without_limits_four_accounts_cache_like_one_and_share_the_load() {
    for (name, rows) in [("anonymous", rows().to_vec()), ("with ids", named())] {
        let world = limited(&rows, 4, None, Counting::Bucket);
        let report = checked(&world);
        println!("{}", line(name, &report));
        assert!(report.cached_of_reference.unwrap() >= 0.995, "{name}");
        assert!(report.token_balance <= 1.05, "{name}");
        assert_eq!(report.served, rows.len() as u64);
    }
}

#[test]
fn sixteen_accounts_cache_like_one_too() {
    for (name, rows) in [("anonymous", rows().to_vec()), ("with ids", named())] {
        let world = limited(&rows, 16, None, Counting::Bucket);
        let report = checked(&world);
        println!("{}", line(name, &report));
        assert!(report.cached_of_reference.unwrap() >= 0.995, "{name}");
        assert!(report.token_balance <= 1.10, "{name}");
    }
}

#[test]
fn at_nine_tenths_of_the_limits_no_throttle_reaches_a_client() {
    for counting in [Counting::Bucket, Counting::Minutes] {
        for (name, rows) in [("anonymous", rows().to_vec()), ("with ids", named())] {
            let name = format!("{name}, 90 %, {counting:?}");
            let world = limited(&rows, 4, Some(90), counting);
            let report = checked(&world);
            println!("{}", line(&name, &report));
            assert_eq!(report.throttles_seen, 0, "{name}");
            assert_eq!(report.served, rows.len() as u64, "{name}");
            assert!(report.cached_of_reference.unwrap() >= 0.99, "{name}");
            assert!(report.throttles * 1000 <= rows.len() as u64, "{name}");
            assert!(report.wait.p99_ms <= 1000, "{name}");
        }
    }
}

#[test]
fn the_others_lose_the_cache_or_the_balance() {
    let rows = rows();
    for load in [None, Some(90)] {
        let world = limited(rows, 4, load, Counting::Bucket);
        let of = |contender: Contender| {
            let report = measure(&world, contender);
            println!("{load:?} {}", line(contender.name(), &report));
            report
        };
        for contender in [Contender::RoundRobin, Contender::LeastLoaded] {
            assert!(of(contender).cached_of_reference.unwrap() < 0.5);
        }
        // By hash nothing is lost on this trace while there is room, but nothing is even.
        assert!(of(Contender::SessionHash).token_balance > 1.1);
        let old = of(Contender::OldPackage);
        match load {
            None => assert!(old.token_balance > 3.9, "all have one system prompt"),
            Some(_) => assert!(old.cached_of_reference.unwrap() < 0.5),
        }
    }
}
