//! Accounts and their limits: continuously refilled token buckets and what is told about them.

use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::dialect::Dialect;

/// Rates are per minute, in seconds.
const MINUTE: f64 = 60.0;
/// Slack for the rounding of continuous refills, in units of the bucket.
const ROUNDING: f64 = 1e-6;
/// What a client over its concurrency limit is told to wait: nobody can know, so a round second.
const CONCURRENCY_WAIT: Duration = Duration::from_secs(1);

/// What an account may use. `None` means unlimited; a limit of 0 given to a setter means `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests per minute.
    pub rpm: Option<u64>,
    /// Tokens per minute. OpenAI and Gemini calls are charged prompt + output; Anthropic calls are
    /// charged the input that was not read from the cache.
    pub tpm: Option<u64>,
    /// Output tokens per minute, for Anthropic calls only. Unset: as many as `tpm`.
    pub output_tpm: Option<u64>,
    /// Requests being answered at the same time.
    pub concurrency: Option<u64>,
}

/// One account (organisation) of the mock: a name, its keys, its limits.
///
/// ```
/// use api_key_lb_mock::Account;
/// let account = Account::new("org-one").key("sk-mock-one-1111").rpm(60).tpm(100_000);
/// let same: Account = "org-one:sk-mock-one-1111:rpm=60:tpm=100000".parse().unwrap();
/// assert_eq!(account, same);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The name, also sent as the organisation in answer headers.
    pub name: String,
    /// The keys that belong to it; they share limits and prompt cache.
    pub keys: Vec<String>,
    /// What it may use.
    pub limits: Limits,
}

impl Account {
    /// An account without keys and without limits.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            keys: Vec::new(),
            limits: Limits::default(),
        }
    }

    /// Adds a key. May be repeated.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.keys.push(key.into());
        self
    }

    /// Requests per minute; 0 = unlimited.
    #[must_use]
    pub fn rpm(mut self, limit: u64) -> Self {
        self.limits.rpm = nonzero(limit);
        self
    }

    /// Tokens per minute; 0 = unlimited.
    #[must_use]
    pub fn tpm(mut self, limit: u64) -> Self {
        self.limits.tpm = nonzero(limit);
        self
    }

    /// Output tokens per minute of Anthropic calls; 0 = the same as [`Account::tpm`].
    #[must_use]
    pub fn output_tpm(mut self, limit: u64) -> Self {
        self.limits.output_tpm = nonzero(limit);
        self
    }

    /// Requests answered at the same time; 0 = unlimited.
    #[must_use]
    pub fn concurrency(mut self, limit: u64) -> Self {
        self.limits.concurrency = nonzero(limit);
        self
    }
}

impl FromStr for Account {
    type Err = String;

    /// `NAME:KEY[,KEY…][:rpm=60][:tpm=100000][:output_tpm=8000][:concurrency=4]`
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let keys = parts.next().unwrap_or_default();
        if name.is_empty() || keys.split(',').any(str::is_empty) {
            return Err("expected NAME:KEY[,KEY…][:rpm=N][:tpm=N][:concurrency=N]".to_owned());
        }
        let mut account = Self::new(name);
        account.keys = keys.split(',').map(str::to_owned).collect();
        for part in parts {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| format!("`{part}` is not LIMIT=NUMBER"))?;
            let value: u64 = value
                .parse()
                .map_err(|_| format!("`{value}` is not a number"))?;
            account.limits.set(name, value)?;
        }
        Ok(account)
    }
}

impl Limits {
    /// Sets a limit by its name; 0 = unlimited.
    pub(crate) fn set(&mut self, name: &str, value: u64) -> Result<(), String> {
        let limit = match name {
            "rpm" => &mut self.rpm,
            "tpm" => &mut self.tpm,
            "output_tpm" => &mut self.output_tpm,
            "concurrency" => &mut self.concurrency,
            _ => {
                return Err(format!(
                    "`{name}` is not rpm, tpm, output_tpm or concurrency"
                ));
            }
        };
        *limit = nonzero(value);
        Ok(())
    }
}

pub(crate) fn nonzero(limit: u64) -> Option<u64> {
    (limit > 0).then_some(limit)
}

/// A token bucket that holds at most one minute's worth and refills continuously.
#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) limit: u64,
    level: f64,
    at: Instant,
}

impl Bucket {
    fn full(limit: u64, now: Instant) -> Self {
        Self {
            limit,
            level: limit as f64,
            at: now,
        }
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.level = (self.level + elapsed * self.limit as f64 / MINUTE).min(self.limit as f64);
    }

    fn fits(&self, amount: u64) -> bool {
        self.level + ROUNDING >= amount as f64
    }

    fn take(&mut self, amount: u64) {
        self.level -= amount as f64;
    }

    pub(crate) fn remaining(&self) -> u64 {
        (self.level + ROUNDING).max(0.0) as u64
    }

    fn wait_for(&self, level: f64) -> Duration {
        let seconds = (level - self.level).max(0.0) * MINUTE / self.limit as f64;
        Duration::from_secs_f64(seconds)
    }

    pub(crate) fn until_full(&self) -> Duration {
        self.wait_for(self.limit as f64)
    }
}

/// What a request costs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Charge {
    pub(crate) dialect: Dialect,
    pub(crate) prompt: u64,
    pub(crate) cached: u64,
    pub(crate) output: u64,
}

/// Which limit refused a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Requests,
    Tokens,
    OutputTokens,
    Concurrency,
}

/// Why a request was refused, with the numbers the error text quotes.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) limit: Limit,
    pub(crate) allowed: u64,
    pub(crate) used: u64,
    pub(crate) requested: u64,
    /// Time until the same request would fit; `None` when it never will.
    pub(crate) wait: Option<Duration>,
}

/// The state of one account's limits.
#[derive(Debug)]
pub(crate) struct Meter {
    pub(crate) limits: Limits,
    pub(crate) requests: Option<Bucket>,
    pub(crate) tokens: Option<Bucket>,
    pub(crate) output: Option<Bucket>,
    active: u64,
}

impl Meter {
    pub(crate) fn new(limits: Limits, now: Instant) -> Self {
        let mut meter = Self {
            limits,
            requests: None,
            tokens: None,
            output: None,
            active: 0,
        };
        meter.set(limits, now);
        meter
    }

    /// Replaces the limits; the buckets start full, requests in flight keep their slots.
    pub(crate) fn set(&mut self, limits: Limits, now: Instant) {
        let full = |limit: Option<u64>| limit.map(|limit| Bucket::full(limit, now));
        self.limits = limits;
        self.requests = full(limits.rpm);
        self.tokens = full(limits.tpm);
        self.output = full(limits.output_tpm.or(limits.tpm));
    }

    pub(crate) fn refill(&mut self, now: Instant) {
        let buckets = [&mut self.requests, &mut self.tokens, &mut self.output];
        buckets
            .into_iter()
            .flatten()
            .for_each(|bucket| bucket.refill(now));
    }

    /// Charges a request to every bucket, or to none and says which one refused. An admitted
    /// request holds a concurrency slot until [`Meter::release`].
    pub(crate) fn admit(&mut self, charge: Charge, now: Instant) -> Result<(), Refusal> {
        self.refill(now);
        if let Some(allowed) = self.limits.concurrency
            && self.active >= allowed
        {
            return Err(Refusal {
                limit: Limit::Concurrency,
                allowed,
                used: self.active,
                requested: 1,
                wait: Some(CONCURRENCY_WAIT),
            });
        }
        let anthropic = charge.dialect == Dialect::Anthropic;
        let (tokens, output) = if anthropic {
            (charge.prompt.saturating_sub(charge.cached), charge.output)
        } else {
            (charge.prompt + charge.output, 0)
        };
        let mut wanted = [
            (Limit::Requests, &mut self.requests, 1),
            (Limit::Tokens, &mut self.tokens, tokens),
            (Limit::OutputTokens, &mut self.output, output),
        ];
        for (limit, bucket, amount) in &wanted {
            if let Some(bucket) = bucket
                && !bucket.fits(*amount)
            {
                return Err(Refusal {
                    limit: *limit,
                    allowed: bucket.limit,
                    used: bucket.limit - bucket.remaining(),
                    requested: *amount,
                    wait: (*amount <= bucket.limit).then(|| bucket.wait_for(*amount as f64)),
                });
            }
        }
        for (_, bucket, amount) in &mut wanted {
            if let Some(bucket) = bucket {
                bucket.take(*amount);
            }
        }
        self.active += 1;
        Ok(())
    }

    pub(crate) fn release(&mut self) {
        self.active = self.active.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charge(prompt: u64) -> Charge {
        Charge {
            dialect: Dialect::OpenAi,
            prompt,
            cached: 0,
            output: 0,
        }
    }

    #[test]
    fn a_refusal_waits_exactly_until_the_request_fits() {
        let now = Instant::now();
        let limits = Limits {
            tpm: Some(30_000),
            ..Limits::default()
        };
        let mut meter = Meter::new(limits, now);
        meter.admit(charge(22_999), now).unwrap();
        let refusal = meter.admit(charge(12_528), now).unwrap_err();
        assert_eq!(
            (refusal.used, refusal.requested, refusal.allowed),
            (22_999, 12_528, 30_000)
        );
        let wait = refusal.wait.unwrap();
        assert_eq!(crate::clock::go_duration(wait), "11.054s");
        let early = now + wait - Duration::from_millis(5);
        assert!(meter.admit(charge(12_528), early).is_err());
        assert!(meter.admit(charge(12_528), now + wait).is_ok());
    }

    #[test]
    fn a_request_larger_than_the_bucket_never_fits() {
        let now = Instant::now();
        let mut meter = Meter::new(
            Limits {
                tpm: Some(10),
                ..Limits::default()
            },
            now,
        );
        assert_eq!(meter.admit(charge(11), now).unwrap_err().wait, None);
    }

    #[test]
    fn a_refused_request_costs_nothing() {
        let now = Instant::now();
        let limits = Limits {
            rpm: Some(2),
            tpm: Some(10),
            ..Limits::default()
        };
        let mut meter = Meter::new(limits, now);
        assert!(meter.admit(charge(11), now).is_err());
        assert_eq!(meter.requests.as_ref().unwrap().remaining(), 2);
    }

    #[test]
    fn account_texts_that_make_no_sense_are_refused() {
        for text in [
            "",
            "name",
            "name:",
            "name:a,,b",
            "name:a:rpm",
            "name:a:rpm=x",
            "name:a:foo=1",
        ] {
            assert!(text.parse::<Account>().is_err(), "{text}");
        }
    }
}
