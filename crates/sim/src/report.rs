//! What a run came to: cache, throttles, waits, balance, cost.

use serde::{Deserialize, Serialize};

use api_key_lb_core::fact::Affinity;

use crate::outcome::{Ending, Outcome};
use crate::world::World;

/// Prices of a million tokens, in any currency.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prices {
    /// Of prompts that were read anew.
    pub input: f64,
    /// Of prompts that came from the cache.
    pub cached: f64,
    /// Of answers.
    pub output: f64,
}

impl Default for Prices {
    fn default() -> Self {
        // The middle class of the large providers in dollars; a cached token costs a tenth.
        Self {
            input: 3.0,
            cached: 0.3,
            output: 15.0,
        }
    }
}

/// A distribution of milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// Half are at most this.
    pub p50_ms: u64,
    /// 99 of 100 are at most this.
    pub p99_ms: u64,
    /// The largest.
    pub max_ms: u64,
}

impl Spread {
    fn of(mut values: Vec<u64>) -> Self {
        values.sort_unstable();
        let at = |share: usize| {
            let rank = (values.len() * share).div_ceil(100).max(1);
            values.get(rank - 1).copied().unwrap_or(0)
        };
        Self {
            p50_ms: at(50),
            p99_ms: at(99),
            max_ms: at(100),
        }
    }
}

/// What one account did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountReport {
    /// Requests that it served.
    pub requests: u64,
    /// Their tokens of prompts.
    pub prompt_tokens: u64,
    /// Those of them that came from its cache.
    pub cached_tokens: u64,
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Requests that came.
    pub requests: u64,
    /// Those that were answered, at the first or a later try of their client.
    pub served: u64,
    /// Those that were given up after their client's last try.
    pub failed: u64,
    /// Those whose client lost interest.
    pub left: u64,
    /// Tokens of the prompts that were served.
    pub prompt_tokens: u64,
    /// Those of them that came from a cache.
    pub cached_tokens: u64,
    /// Tokens of the answers.
    pub output_tokens: u64,
    /// `cached_tokens` as a share of `prompt_tokens`.
    pub cached_share: f64,
    /// `cached_tokens` as a share of what one account without limits would have had for the same
    /// requests, if that is known.
    pub cached_of_reference: Option<f64>,
    /// Tokens read anew that one account without limits would have had in its cache.
    pub reread_tokens: Option<u64>,
    /// Attempts that a limit of the provider refused.
    pub throttles: u64,
    /// Refusals that reached a client.
    pub throttles_seen: u64,
    /// Attempts made.
    pub attempts: u64,
    /// From when a request came until the attempt that was served was sent.
    pub wait: Spread,
    /// From when a request came until its client had the first byte.
    pub first_byte: Spread,
    /// Sum of the waits, in milliseconds.
    pub waited_ms: u64,
    /// The account with the most requests, relative to the mean.
    pub request_balance: f64,
    /// The account with the most tokens of prompts, relative to the mean.
    pub token_balance: f64,
    /// Requests served by a new home because the old one was gone.
    pub moves: u64,
    /// Requests served by another account than the home.
    pub borrows: u64,
    /// What it cost.
    pub cost: f64,
    /// When the last answer was over, in milliseconds since the start.
    pub ended_ms: u64,
    /// Account by account.
    pub accounts: Vec<AccountReport>,
}

/// What the run of `world` that had these outcomes came to. `reference` are the outcomes of
/// [`World::reference`].
pub fn report(
    world: &World,
    outcomes: &[Outcome],
    reference: Option<&[Outcome]>,
    prices: &Prices,
) -> Report {
    let mut report = Report {
        accounts: vec![AccountReport::default(); world.provider.accounts.len()],
        ..Report::default()
    };
    let (mut waits, mut first_bytes) = (Vec::new(), Vec::new());
    let mut cached_there = 0;
    for (row, outcome) in outcomes.iter().enumerate() {
        report.requests += u64::from(outcome.came.is_some());
        report.throttles += u64::from(outcome.throttles);
        report.throttles_seen += u64::from(outcome.throttles_seen);
        report.attempts += u64::from(outcome.attempts);
        match outcome.ending {
            Some(Ending::Served) => {}
            Some(Ending::Left) => report.left += 1,
            Some(_) => report.failed += 1,
            None => {}
        }
        let Some(key) = outcome.key else { continue };
        report.served += 1;
        waits.push(outcome.wait_ms);
        first_bytes.push(outcome.first_byte_ms);
        report.waited_ms += outcome.wait_ms;
        report.moves += u64::from(outcome.affinity == Some(Affinity::Moved));
        report.borrows += u64::from(outcome.affinity == Some(Affinity::Borrowed));
        let (used, account) = (outcome.used, world.keys[key].account);
        report.prompt_tokens += used.prompt;
        report.cached_tokens += used.cached;
        report.output_tokens += used.output;
        let of_account = &mut report.accounts[account];
        of_account.requests += 1;
        of_account.prompt_tokens += used.prompt;
        of_account.cached_tokens += used.cached;
        let began = outcome.came.unwrap_or(0) + outcome.first_byte_ms;
        let output = used.output * 1000 / world.provider.latency.output_per_s.max(1);
        report.ended_ms = report.ended_ms.max(began + output);
        if let Some(there) = reference.and_then(|reference| reference.get(row)) {
            cached_there += there.used.cached;
            let anew = there.used.cached.saturating_sub(used.cached);
            *report.reread_tokens.get_or_insert(0) += anew;
        }
    }
    report.wait = Spread::of(waits);
    report.first_byte = Spread::of(first_bytes);
    report.cached_share = share(report.cached_tokens, report.prompt_tokens);
    report.cached_of_reference = reference
        .filter(|_| cached_there > 0)
        .map(|_| share(report.cached_tokens, cached_there));
    report.request_balance = balance(report.accounts.iter().map(|account| account.requests));
    report.token_balance = balance(report.accounts.iter().map(|account| account.prompt_tokens));
    let million = |tokens: u64, price: f64| tokens as f64 / 1e6 * price;
    report.cost = million(report.prompt_tokens - report.cached_tokens, prices.input)
        + million(report.cached_tokens, prices.cached)
        + million(report.output_tokens, prices.output);
    report
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    part as f64 / whole as f64
}

/// The largest relative to the mean; 1 if there is nothing.
fn balance(values: impl Iterator<Item = u64> + Clone) -> f64 {
    let (count, sum) = (values.clone().count() as u64, values.clone().sum::<u64>());
    let largest = values.max().unwrap_or(0);
    if sum == 0 {
        return 1.0;
    }
    share(largest * count, sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_names_ranks() {
        let spread = Spread::of((1..=200).collect());
        assert_eq!(
            (spread.p50_ms, spread.p99_ms, spread.max_ms),
            (100, 198, 200)
        );
        assert_eq!(Spread::of(Vec::new()), Spread::default());
        assert_eq!(Spread::of(vec![7]).p50_ms, 7);
    }

    #[test]
    fn balance_is_the_largest_against_the_mean() {
        assert!((balance([3, 1].into_iter()) - 1.5).abs() < 1e-9);
        assert!((balance([0, 0].into_iter()) - 1.0).abs() < 1e-9);
    }
}
