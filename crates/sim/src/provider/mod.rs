//! A simulated provider: accounts with limits and prompt caches, which answer, refuse and break.

mod cache;
mod limit;
mod spec;

use std::collections::HashMap;

use api_key_lb_core::fact::Usage;
use api_key_lb_core::headroom::{Axis, Bucket};
use api_key_lb_core::verdict::{Matter, Verdict};

use crate::request::Request;
use crate::rng::Rng;
use crate::time;
use cache::Cache;
use limit::{Left, Rate, Window};

pub use cache::CacheSpec;
pub use limit::{Counting, MINUTE_MS};
pub use spec::{AccountSpec, Latency, ProviderSpec, Says, Trouble, TroubleKind, WindowSpec};

/// What verdicts of the simulated provider name as their rule.
const RULE: &str = "simulated";

/// What becomes of one request that was sent.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What it means.
    pub verdict: Verdict,
    /// What its headers say is left of the limits.
    pub buckets: Vec<Bucket>,
    /// Whether it names the account that it came from.
    pub names_owner: bool,
    /// Tokens as the answer states them.
    pub told: Option<Usage>,
    /// Tokens as they were.
    pub used: Usage,
    /// When its first byte comes.
    pub head_at: u64,
    /// When it is over.
    pub end_at: u64,
}

/// The provider.
#[derive(Debug)]
pub struct Provider {
    spec: ProviderSpec,
    accounts: Vec<Account>,
    rng: Rng,
}

#[derive(Debug)]
struct Account {
    spec: AccountSpec,
    /// By model, or all under model 0.
    rates: HashMap<u32, Rates>,
    windows: Vec<Window>,
    running: u32,
    caches: HashMap<u32, Cache>,
}

#[derive(Debug)]
struct Rates {
    requests: Option<Rate>,
    tokens: Option<Rate>,
}

impl Rates {
    const fn new(spec: &AccountSpec) -> Self {
        // `Option::map` is not const, and a struct update would need a default.
        Self {
            requests: match spec.requests_per_minute {
                Some(limit) => Some(Rate::new(limit, spec.counting)),
                None => None,
            },
            tokens: match spec.tokens_per_minute {
                Some(limit) => Some(Rate::new(limit, spec.counting)),
                None => None,
            },
        }
    }
}

impl Provider {
    /// The provider that `spec` describes; `rng` decides whom partial troubles hit.
    pub fn new(spec: ProviderSpec, rng: Rng) -> Self {
        let accounts = spec.accounts.iter().map(|account| Account {
            rates: HashMap::new(),
            windows: account
                .windows
                .iter()
                .map(|window| Window::new(window.length_ms, window.tokens))
                .collect(),
            running: 0,
            caches: HashMap::new(),
            spec: account.clone(),
        });
        Self {
            accounts: accounts.collect(),
            spec,
            rng,
        }
    }

    /// What becomes of `request`, sent to `account` at `now`. What is served runs until
    /// [`Provider::over`] is called.
    pub fn send(&mut self, account: usize, request: &Request, now: u64) -> Answer {
        if let Some(kind) = self.trouble(account, request.model, now) {
            return self.fail(account, kind, request, now);
        }
        let Self { accounts, spec, .. } = self;
        let account = &mut accounts[account];
        let cached = account.cached(request, &spec.cache, now);
        let used = Usage {
            prompt: request.input_tokens,
            cached,
            written: 0,
            output: request.output_tokens,
        };
        if let Some((matter, until)) = account.refuses(request, used, now) {
            return account.refusal(matter, Some(until), request, &spec.latency, now);
        }
        account.take(request, used, now);
        let latency = &spec.latency;
        let reading = (used.prompt - cached) * 1000 / latency.prefill_per_s.max(1);
        let head_at = now + latency.base_ms + reading;
        let cache = account.cache(request.model, &spec.cache);
        cache.write(&request.blocks, now, head_at);
        Answer {
            verdict: Verdict::SERVED,
            buckets: account.headroom(request.model, now),
            names_owner: account.spec.says.owner,
            told: account.spec.says.usage.then_some(used),
            used,
            head_at,
            end_at: head_at + used.output * 1000 / latency.output_per_s.max(1),
        }
    }

    /// An answer that `account` served is over, or nobody listens to it any more.
    pub fn over(&mut self, account: usize) {
        let account = &mut self.accounts[account];
        account.running = account.running.saturating_sub(1);
    }

    fn trouble(&mut self, account: usize, model: u32, now: u64) -> Option<TroubleKind> {
        let Self { spec, rng, .. } = self;
        let mut hits = spec.troubles.iter().filter(|trouble| {
            (trouble.from_ms..trouble.until_ms).contains(&now)
                && trouble.account.is_none_or(|of| of == account)
                && trouble.model.is_none_or(|of| of == model)
                && rng.chance(trouble.share)
        });
        hits.next().map(|trouble| trouble.kind)
    }

    fn fail(&mut self, account: usize, kind: TroubleKind, request: &Request, now: u64) -> Answer {
        let matter = match kind {
            TroubleKind::Overload => Matter::Overload,
            TroubleKind::Server => Matter::Server,
            TroubleKind::Network => Matter::Network,
            TroubleKind::Revoked => Matter::Key,
            TroubleKind::Credit => Matter::Credit,
        };
        let latency = &self.spec.latency;
        self.accounts[account].refusal(matter, None, request, latency, now)
    }
}

impl Account {
    fn cache(&mut self, model: u32, spec: &CacheSpec) -> &mut Cache {
        self.caches.entry(model).or_insert_with(|| Cache::new(spec))
    }

    /// Tokens of the prompt that can be read from the cache.
    fn cached(&mut self, request: &Request, spec: &CacheSpec, now: u64) -> u64 {
        let warm = self.cache(request.model, spec).warm(&request.blocks, now);
        let tokens = request.tokens_of(warm);
        if tokens < spec.minimum_tokens {
            return 0;
        }
        // The last token is always read, since the answer goes on from it.
        tokens.min(request.input_tokens.saturating_sub(1))
    }

    fn rates(&mut self, model: u32) -> &mut Rates {
        let Self { spec, rates, .. } = self;
        let model = if spec.per_model { model } else { 0 };
        rates.entry(model).or_insert_with(|| Rates::new(spec))
    }

    const fn cost(&self, used: Usage) -> u64 {
        if self.spec.cached_tokens_are_free {
            used.prompt - used.cached + used.output
        } else {
            used.prompt + used.output
        }
    }

    /// Which limit refuses the request, and until when.
    fn refuses(&mut self, request: &Request, used: Usage, now: u64) -> Option<(Matter, u64)> {
        let window = self.windows.iter_mut().map(|window| window.ready_at(now));
        if let Some(until) = window.max().filter(|until| *until > now) {
            return Some((Matter::AccountQuota, until));
        }
        if self
            .spec
            .concurrency
            .is_some_and(|most| self.running >= most)
        {
            // Nobody knows when one of those that run is over; providers name no time.
            return Some((Matter::Concurrency, now));
        }
        let (cost, per_model) = (self.cost(used), self.spec.per_model);
        let rates = self.rates(request.model);
        let requests = rates.requests.as_mut().map(|rate| rate.ready_at(1, now));
        let tokens = rates.tokens.as_mut().map(|rate| rate.ready_at(cost, now));
        let until = requests.max(tokens).filter(|until| *until > now)?;
        let matter = if per_model {
            Matter::ModelRate
        } else {
            Matter::AccountRate
        };
        Some((matter, until))
    }

    fn take(&mut self, request: &Request, used: Usage, now: u64) {
        self.running += 1;
        let cost = self.cost(used);
        let rates = self.rates(request.model);
        if let Some(rate) = &mut rates.requests {
            rate.take(1, now);
        }
        if let Some(rate) = &mut rates.tokens {
            rate.take(cost, now);
        }
        for window in &mut self.windows {
            window.take(cost, now);
        }
    }

    fn refusal(
        &mut self,
        matter: Matter,
        until: Option<u64>,
        request: &Request,
        latency: &Latency,
        now: u64,
    ) -> Answer {
        let says = self.spec.says;
        let head_at = now + latency.refusal_ms;
        let until = until.filter(|until| says.retry_after && *until > now);
        let limited = !matches!(matter, Matter::Overload | Matter::Server | Matter::Network);
        Answer {
            verdict: Verdict {
                until: until.map(|until| stated(until, says)),
                ..Verdict::new(matter, RULE)
            },
            buckets: if limited {
                self.headroom(request.model, now)
            } else {
                Vec::new()
            },
            names_owner: says.owner && limited,
            told: None,
            used: Usage::default(),
            head_at,
            end_at: head_at,
        }
    }

    /// What the headers of an answer to a request for `model` say.
    fn headroom(&mut self, model: u32, now: u64) -> Vec<Bucket> {
        let says = self.spec.says;
        if !says.headroom {
            return Vec::new();
        }
        let whole_account = !self.spec.per_model;
        let bucket = |axis, whole_account, left: Left| Bucket {
            axis,
            whole_account,
            limit: Some(left.limit),
            remaining: left.remaining,
            reset: Some(stated(left.reset, says)),
        };
        let mut buckets = Vec::new();
        let rates = self.rates(model);
        if let Some(rate) = &mut rates.requests {
            buckets.push(bucket(Axis::Requests, whole_account, rate.left(now)));
        }
        if let Some(rate) = &mut rates.tokens {
            buckets.push(bucket(Axis::Tokens, whole_account, rate.left(now)));
        }
        for window in &mut self.windows {
            buckets.push(bucket(Axis::Window, true, window.left(now)));
        }
        buckets
    }
}

/// A time as the provider's clock shows it.
fn stated(at: u64, says: Says) -> api_key_lb_core::Moment {
    time::moment(at.saturating_add_signed(says.skew_ms))
}

#[cfg(test)]
mod tests;
