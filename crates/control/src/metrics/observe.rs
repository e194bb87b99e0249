//! What a request adds to the metrics.

use api_key_lb_core::KeyId;
use api_key_lb_core::fact::{Attempt, Ending, Fact};
use api_key_lb_core::verdict::Matter;

use super::models::Models;
use super::series::{Counter, Histogram, Symbol, Symbols};
use super::table;
use crate::prices::{Price, Prices};

/// What the pool without a name is called: an empty label is no label.
const DEFAULT_POOL: &str = "default";
/// The answer of a provider that throttles.
const TOO_MANY_REQUESTS: u16 = 429;

/// Everything that is counted.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) symbols: Symbols,
    models: Models,
    pub(super) requests: Counter,
    pub(super) own_answers: Counter,
    pub(super) attempts: Counter,
    pub(super) throttles: Counter,
    pub(super) hidden: Counter,
    pub(super) rescued: Counter,
    pub(super) tokens: Counter,
    pub(super) cost: Counter,
    pub(super) saved: Counter,
    pub(super) affinity: Counter,
    pub(super) reloads: Counter,
    pub(super) otlp: Counter,
    pub(super) duration: Histogram,
    pub(super) first_byte: Histogram,
    pub(super) wait: Histogram,
    pub(super) added: Histogram,
}

impl Default for Counted {
    fn default() -> Self {
        let mut counted = Self {
            symbols: Symbols::default(),
            models: Models::default(),
            requests: Counter::default(),
            own_answers: Counter::default(),
            attempts: Counter::default(),
            throttles: Counter::default(),
            hidden: Counter::default(),
            rescued: Counter::default(),
            tokens: Counter::default(),
            cost: Counter::default(),
            saved: Counter::default(),
            affinity: Counter::default(),
            reloads: Counter::default(),
            otlp: Counter::default(),
            duration: Histogram::new(&table::DURATION_SECONDS),
            first_byte: Histogram::new(&table::FIRST_BYTE_SECONDS),
            wait: Histogram::new(&table::WAIT_SECONDS),
            added: Histogram::new(&table::ADDED_SECONDS),
        };
        for result in ["ok", "failed"] {
            counted.reloaded(result, 0);
        }
        counted
    }
}

/// What is looked up once for all facts that come together.
pub(super) struct Batch<'b> {
    labels: Vec<(KeyId, Symbol)>,
    label_of: &'b dyn Fn(KeyId) -> String,
    known: Vec<(Symbol, Option<Price>)>,
    prices: &'b Prices,
}

impl<'b> Batch<'b> {
    pub(super) const fn new(prices: &'b Prices, label_of: &'b dyn Fn(KeyId) -> String) -> Self {
        Self {
            labels: Vec::new(),
            label_of,
            known: Vec::new(),
            prices,
        }
    }

    fn label(&mut self, key: KeyId, symbols: &mut Symbols) -> Symbol {
        if let Some((_, label)) = self.labels.iter().find(|(known, _)| *known == key) {
            return *label;
        }
        let label = symbols.of(&(self.label_of)(key));
        self.labels.push((key, label));
        label
    }

    fn price(&mut self, symbol: Symbol, model: &str) -> Option<Price> {
        if let Some((_, price)) = self.known.iter().find(|(known, _)| *known == symbol) {
            return *price;
        }
        let price = self.prices.of(model);
        self.known.push((symbol, price));
        price
    }
}

impl Counted {
    pub(super) fn reloaded(&mut self, result: &str, more: u64) {
        let result = self.symbols.of(result);
        self.reloads.add([result], float(more));
    }

    pub(super) fn otlp(&mut self, signal: &str, result: &str, more: u64) {
        let labels = [self.symbols.of(signal), self.symbols.of(result)];
        self.otlp.add(labels, float(more));
    }

    pub(super) fn count(&mut self, fact: &Fact, batch: &mut Batch<'_>) {
        let pool = self.symbols.of(pool_name(&fact.pool));
        let model = match fact.model.as_deref() {
            None => Symbol::default(),
            Some(model) if self.models.admit(fact) => self.symbols.of(model),
            Some(_) => self.symbols.other(),
        };
        let key = self.attempts(fact, pool, batch);
        let class = self.symbols.of(status_class(fact.status));
        let outcome = self.symbols.of(outcome(fact.ending));
        self.requests.add([pool, key, model, class, outcome], 1.0);
        if let Ending::Own(code) = fact.ending {
            let code = self.symbols.of(code);
            self.own_answers.add([pool, code], 1.0);
        }
        self.wait.add([pool], fact.waited.as_secs_f64());
        self.tokens(fact, [pool, key, model], batch);
        if fact.attempts.is_empty() {
            return;
        }
        let affinity = self.symbols.of(fact.affinity.as_str());
        self.affinity.add([pool, affinity], 1.0);
        if let Some(added) = fact.added {
            self.added.add([pool], added.as_secs_f64());
        }
        self.duration.add([pool, model], fact.took.as_secs_f64());
        if fact.status != 0 && !matches!(fact.ending, Ending::Own(_)) {
            self.first_byte
                .add([pool, model], fact.first_byte.as_secs_f64());
        }
    }

    /// Counts the attempts; the key of the last one.
    fn attempts(&mut self, fact: &Fact, pool: Symbol, batch: &mut Batch<'_>) -> Symbol {
        let mut key = Symbol::default();
        let mut throttles = 0;
        for (at, attempt) in fact.attempts.iter().enumerate() {
            let is_last = at + 1 == fact.attempts.len();
            key = batch.label(attempt.key, &mut self.symbols);
            let outcome = attempt_outcome(attempt, is_last.then_some(fact.ending));
            let outcome = self.symbols.of(outcome);
            self.attempts.add([pool, key, outcome], 1.0);
            if attempt.status == Some(TOO_MANY_REQUESTS) {
                self.throttles.add([pool, key], 1.0);
                throttles += 1;
            }
        }
        let served = (200..300).contains(&fact.status);
        if served && throttles > 0 {
            self.hidden.add([pool], float(throttles));
        }
        if served && fact.attempts.len() > 1 {
            self.rescued.add([pool], 1.0);
        }
        key
    }

    fn tokens(&mut self, fact: &Fact, [pool, key, model]: [Symbol; 3], batch: &mut Batch<'_>) {
        let Some(usage) = fact.usage else {
            return;
        };
        for (kind, tokens) in [
            ("prompt", usage.prompt),
            ("cached", usage.cached),
            ("written", usage.written),
            ("output", usage.output),
        ] {
            let kind = self.symbols.of(kind);
            self.tokens.add([pool, key, model, kind], float(tokens));
        }
        let Some(name) = fact.model.as_deref() else {
            return;
        };
        if model == self.symbols.other() {
            return;
        }
        if let Some(price) = batch.price(model, name) {
            let cost = price.cost(&usage);
            self.cost.add([pool, key, model], cost.cost_usd);
            self.saved.add([pool], cost.saved_usd().max(0.0));
        }
    }
}

/// What a pool is called here.
pub(crate) const fn pool_name(name: &str) -> &str {
    if name.is_empty() { DEFAULT_POOL } else { name }
}

/// The first digit of a status, as people write it.
const fn status_class(status: u16) -> &'static str {
    match status {
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        500..600 => "5xx",
        _ => "none",
    }
}

/// How a request ended.
const fn outcome(ending: Ending) -> &'static str {
    match ending {
        Ending::Complete => "complete",
        Ending::ClientLeft => "client_left",
        Ending::Cut => "cut",
        Ending::Own(_) => "own_answer",
    }
}

/// What became of an attempt; with how its request ended, if it was the last one.
const fn attempt_outcome(attempt: &Attempt, ending: Option<Ending>) -> &'static str {
    let matter = match attempt.verdict {
        Some((matter, _)) => matter,
        None => match (attempt.status, ending) {
            (None, Some(Ending::ClientLeft)) => return "client_left",
            (None, _) => Matter::Network,
            (Some(TOO_MANY_REQUESTS), _) => Matter::AccountRate,
            (Some(401..=403), _) => Matter::Key,
            (Some(400..500), _) => Matter::Request,
            (Some(500..), _) => Matter::Server,
            (Some(_), _) => Matter::Served,
        },
    };
    match (matter, ending) {
        (Matter::Served, Some(Ending::Cut)) => "cut",
        (Matter::Served, _) => "served",
        (Matter::Request | Matter::State, _) => "client_error",
        (Matter::Key | Matter::Suspicion | Matter::Entitlement, _) => "refused",
        (Matter::AccountRate | Matter::ModelRate | Matter::Concurrency | Matter::FairUse, _) => {
            "throttled"
        }
        (Matter::AccountQuota | Matter::ModelQuota | Matter::Credit, _) => "quota",
        (Matter::Overload, _) => "overloaded",
        (Matter::Server, _) => "server_error",
        (Matter::Network, _) => "no_answer",
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "Prometheus has nothing but floats; exact below 2^53"
)]
pub(crate) const fn float(count: u64) -> f64 {
    count as f64
}
