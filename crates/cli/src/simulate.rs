//! `simulate`: requests played through the real policy and others, and what they come to.

mod args;
mod chart;
mod from_log;
mod meaning;
mod source;
mod text;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use api_key_lb_sim::driver;
use api_key_lb_sim::outcome::{Outcome, Unobserved};
use api_key_lb_sim::provider::{AccountSpec, CacheSpec, MINUTE_MS, ProviderSpec, Says};
use api_key_lb_sim::report::{Prices, Report, report};
use api_key_lb_sim::router::Contender;
use api_key_lb_sim::world::{Settings, World};
use serde::Serialize;

pub(crate) use args::{PolicyChoice, SimulateArgs};
pub(crate) use chart::Marks;
pub(crate) use source::{Kind, STDIN, Source};
pub(crate) use text::text;

/// How often a client sends a request that was refused, the first time included: as often as the
/// most patient agents (Claude Code), so that as few requests as possible are missing in what is
/// compared.
const CLIENT_TRIES: u32 = 10;
/// Most runs at the same time: each has tables of its own.
const MOST_AT_ONCE: usize = 8;

/// What is simulated.
#[derive(Debug)]
pub(crate) struct Study {
    source: Source,
    account: AccountSpec,
    cache_ttl: Duration,
    max_wait: Duration,
    seed: u64,
    speed: f64,
    prices: Prices,
    load: Option<u64>,
    accounts: Vec<usize>,
    policies: Vec<PolicyChoice>,
}

/// One run to do.
#[derive(Clone, Copy, Debug)]
struct Job {
    policy: PolicyChoice,
    accounts: usize,
}

/// One run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) policy: &'static str,
    pub(crate) accounts: usize,
    pub(crate) report: Report,
}

/// What is known in the end; what `--json` prints.
#[derive(Debug, Serialize)]
pub(crate) struct Findings {
    pub(crate) requests: Requests,
    /// What each account may use.
    pub(crate) account: AccountSpec,
    pub(crate) settings: SettingsUsed,
    pub(crate) runs: Vec<Run>,
    /// The first policy with one more account, where that says something.
    pub(crate) one_more: Option<Run>,
    /// The same requests with one account that has no limits.
    pub(crate) without_limits: Report,
    /// What it means, in sentences.
    pub(crate) meaning: Vec<String>,
}

/// The requests that were simulated.
#[derive(Debug, Serialize)]
pub(crate) struct Requests {
    pub(crate) from: Kind,
    pub(crate) file: Option<String>,
    pub(crate) count: usize,
    /// From the first to the last of them, with one account that has no limits.
    pub(crate) span_ms: u64,
    pub(crate) prompt_tokens: u64,
    pub(crate) output_tokens: u64,
    /// How much of the log could be used.
    pub(crate) log: Option<from_log::Usable>,
}

/// What else decides the numbers.
#[derive(Debug, Serialize)]
pub(crate) struct SettingsUsed {
    pub(crate) cache_ttl_ms: u64,
    pub(crate) max_wait_ms: u64,
    pub(crate) seed: u64,
    pub(crate) speed: f64,
    pub(crate) prices: Prices,
    pub(crate) load_percent: Option<u64>,
}

impl Study {
    /// What `args` ask for, with the requests of `source`. `configured` is the number of accounts
    /// if none is given. The error is for a person.
    pub(crate) fn of(
        args: &SimulateArgs,
        source: Source,
        configured: usize,
    ) -> Result<Self, String> {
        let mut accounts: Vec<usize> = args.accounts.iter().map(|count| (*count).into()).collect();
        accounts.sort_unstable();
        accounts.dedup();
        if accounts.is_empty() {
            accounts.push(configured);
        }
        let mut policies = args.policy.clone();
        let mut seen = Vec::new();
        policies.retain(|policy| {
            let first = !seen.contains(policy);
            seen.push(*policy);
            first
        });
        if policies.is_empty() {
            policies = match accounts.len() {
                1 => PolicyChoice::ALL.to_vec(),
                _ => vec![PolicyChoice::Ours],
            };
        }
        if accounts.len() > 1 && policies.len() > 1 {
            return Err(
                "several numbers of accounts are compared for one policy; name one with `--policy`, \
                 or one number with `--accounts`"
                    .to_owned(),
            );
        }
        // Ours first, whatever the order in which they were named.
        policies.sort_by_key(|policy| *policy != PolicyChoice::Ours);
        Ok(Self {
            source,
            account: AccountSpec {
                requests_per_minute: args.rpm,
                tokens_per_minute: args.tpm,
                cached_tokens_are_free: args.cached_free,
                concurrency: args.concurrency,
                windows: args.window.clone(),
                says: Says {
                    headroom: !args.no_headroom,
                    ..Says::default()
                },
                ..AccountSpec::default()
            },
            cache_ttl: args.cache_ttl,
            max_wait: args.max_wait.unwrap_or(Settings::default().max_wait),
            seed: args.seed,
            speed: args.speed,
            prices: args.prices,
            load: args.load,
            accounts,
            policies,
        })
    }

    fn world(&self, accounts: usize) -> World {
        let provider = ProviderSpec {
            accounts: vec![self.account.clone(); accounts],
            cache: CacheSpec {
                ttl_ms: millis(self.cache_ttl),
                ..CacheSpec::default()
            },
            ..ProviderSpec::default()
        };
        World {
            settings: Settings {
                max_wait: self.max_wait,
                cache_ttl: Some(self.cache_ttl),
                ..Settings::default()
            },
            client_tries: CLIENT_TRIES,
            ..World::new(self.seed, provider, self.source.requests.clone())
        }
    }

    /// Runs everything; `told` hears of every run that is done.
    pub(crate) fn run(mut self, told: &(dyn Fn(&str) + Sync)) -> anyhow::Result<Findings> {
        let alone = self.world(1).reference();
        let reference = play(&alone, Contender::RoundRobin)?;
        told("the requests with one account that has no limits");
        let without_limits = report(&alone, &reference, None, &self.prices);
        if let (Some(load), Some(accounts)) = (self.load, self.accounts.first()) {
            let busiest = busiest_minute(&reference, self.account.cached_tokens_are_free);
            let limit = busiest * 100 / load / *accounts as u64;
            self.account.tokens_per_minute = Some(limit.max(1));
        }
        let mut jobs: Vec<Job> = Vec::new();
        for &accounts in &self.accounts {
            let job = |&policy: &PolicyChoice| Job { policy, accounts };
            jobs.extend(self.policies.iter().map(job));
        }
        let compared = jobs.len();
        if let ([accounts], Some(&policy), true) =
            (&*self.accounts, self.policies.first(), self.is_limited())
        {
            let accounts = accounts + 1;
            jobs.push(Job { policy, accounts });
        }
        let mut runs = self.run_all(&jobs, &reference, told)?;
        let one_more = runs.split_off(compared).pop();
        let mut findings = Findings {
            requests: self.requests(&reference, &without_limits),
            settings: SettingsUsed {
                cache_ttl_ms: millis(self.cache_ttl),
                max_wait_ms: millis(self.max_wait),
                seed: self.seed,
                speed: self.speed,
                prices: self.prices,
                load_percent: self.load,
            },
            account: self.account,
            runs,
            one_more,
            without_limits,
            meaning: Vec::new(),
        };
        findings.meaning = meaning::sentences(&findings);
        Ok(findings)
    }

    /// Every job, as many at a time as this machine has processors.
    fn run_all(
        &self,
        jobs: &[Job],
        reference: &[Outcome],
        told: &(dyn Fn(&str) + Sync),
    ) -> anyhow::Result<Vec<Run>> {
        let next = AtomicUsize::new(0);
        let done: Mutex<Vec<(usize, anyhow::Result<Run>)>> = Mutex::new(Vec::new());
        let work = || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(job) = jobs.get(at) else { return };
                let run = self.run_one(*job, reference);
                let accounts = crate::render::count(job.accounts, "account");
                told(&format!("{} with {accounts}", job.policy.name()));
                if let Ok(mut done) = done.lock() {
                    done.push((at, run));
                }
            }
        };
        let processors = std::thread::available_parallelism().map_or(1, Into::into);
        let threads = processors.min(MOST_AT_ONCE).min(jobs.len());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(work);
            }
        });
        let mut done = done
            .into_inner()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        done.sort_by_key(|(at, _)| *at);
        done.into_iter().map(|(_, run)| run).collect()
    }

    fn run_one(&self, job: Job, reference: &[Outcome]) -> anyhow::Result<Run> {
        let world = self.world(job.accounts);
        let outcomes = play(&world, job.policy.contender())?;
        Ok(Run {
            policy: job.policy.name(),
            accounts: job.accounts,
            report: report(&world, &outcomes, Some(reference), &self.prices),
        })
    }

    const fn is_limited(&self) -> bool {
        let account = &self.account;
        account.requests_per_minute.is_some()
            || account.tokens_per_minute.is_some()
            || account.concurrency.is_some()
            || !account.windows.is_empty()
    }

    fn requests(&self, reference: &[Outcome], without_limits: &Report) -> Requests {
        let came = || reference.iter().filter_map(|outcome| outcome.came);
        Requests {
            from: self.source.kind,
            file: self.source.file.clone(),
            count: self.source.requests.len(),
            span_ms: came().max().unwrap_or(0) - came().min().unwrap_or(0),
            prompt_tokens: without_limits.prompt_tokens,
            output_tokens: without_limits.output_tokens,
            log: self.source.usable.clone(),
        }
    }
}

fn play(world: &World, contender: Contender) -> anyhow::Result<Vec<Outcome>> {
    let mut router = contender.router(world).context("cannot build a plan")?;
    Ok(driver::run(world, router.as_mut(), &mut Unobserved)?)
}

/// Most tokens that come within a minute of the clock.
fn busiest_minute(outcomes: &[Outcome], cached_are_free: bool) -> u64 {
    let mut minutes = std::collections::HashMap::<u64, u64>::new();
    for outcome in outcomes {
        let used = outcome.used;
        let free = if cached_are_free { used.cached } else { 0 };
        *minutes
            .entry(outcome.came.unwrap_or(0) / MINUTE_MS)
            .or_default() += used.prompt - free + used.output;
    }
    minutes.into_values().max().unwrap_or(0)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
