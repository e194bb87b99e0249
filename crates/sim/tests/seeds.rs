//! A thousand small worlds through the real policy, with every invariant checked after every step.
//!
//! `SIM_SEED=17 cargo test -p api-key-lb-sim --test seeds -- --nocapture` replays one of them and
//! tells its story; `SIM_SEEDS=100000` tries more.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "test code outside of test functions: it fails and prints as they do"
)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use api_key_lb_sim::driver::run;
use api_key_lb_sim::invariants::Invariants;
use api_key_lb_sim::outcome::{Observer, Outcome, Step};
use api_key_lb_sim::random;
use api_key_lb_sim::router::{PolicyRouter, Router};
use api_key_lb_sim::world::World;

/// Worlds that are tried unless more are asked for.
const SEEDS: u64 = 1_000;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

fn check(seed: u64) -> Result<(), String> {
    let world = random::world(seed);
    let mut router = PolicyRouter::new(&world).unwrap();
    let mut invariants = Invariants::of(&world);
    run(&world, &mut router, &mut invariants)
        .map(drop)
        .map_err(|violation| violation.to_string())
}

/// Tells what happens, and checks it.
struct Story(Invariants);

impl Observer for Story {
    fn step(
        &mut self,
        world: &World,
        router: &mut dyn Router,
        row: usize,
        step: &Step<'_>,
        now: u64,
    ) -> Result<(), String> {
        let request = &world.requests[row];
        match step {
            Step::Came => println!(
                "{now:>8} {row:>3} came: session {:?}, model {}, {} tokens, waits {} ms",
                request.session, request.model, request.input_tokens, request.patience_ms
            ),
            Step::Sent { .. } | Step::Held { .. } | Step::Refused => {
                println!("{now:>8} {row:>3} {}", router.reason());
            }
            Step::Answered { key, answer, again } => println!(
                "{now:>8} {row:>3} key {key} answered {:?}, until {:?}, again {again}, {:?}",
                answer.verdict.matter,
                answer.verdict.until.map(api_key_lb_sim::time::ms),
                answer.buckets
            ),
            Step::Ended { key } => println!("{now:>8} {row:>3} key {key} is done"),
            Step::Over(ending) => println!("{now:>8} {row:>3} {ending:?}"),
        }
        self.0.step(world, router, row, step, now)
    }

    fn finished(
        &mut self,
        world: &World,
        router: &mut dyn Router,
        outcomes: &[Outcome],
        now: u64,
    ) -> Result<(), String> {
        self.0.finished(world, router, outcomes, now)
    }
}

#[test]
fn every_invariant_holds_in_every_world() {
    if let Some(seed) = number("SIM_SEED") {
        let world = random::world(seed);
        println!(
            "{:#?}\n{:#?}\n{:#?}",
            world.provider, world.keys, world.settings
        );
        let mut router = PolicyRouter::new(&world).unwrap().explaining();
        let mut story = Story(Invariants::of(&world));
        run(&world, &mut router, &mut story).unwrap_or_else(|violation| panic!("{violation}"));
        return;
    }
    let seeds = number("SIM_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(0);
    let failures = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        break;
                    }
                    let result = std::panic::catch_unwind(|| check(seed));
                    let failure = match result {
                        Ok(Ok(())) => continue,
                        Ok(Err(violation)) => violation,
                        Err(_) => format!("seed {seed} panicked"),
                    };
                    let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
                    failures.push(failure);
                }
            });
        }
    });
    let mut failures = failures
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    failures.sort();
    assert!(
        failures.is_empty(),
        "{} of {seeds} worlds; SIM_SEED=… replays one\n{}",
        failures.len(),
        failures[..failures.len().min(20)].join("\n")
    );
}
