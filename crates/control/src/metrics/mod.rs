//! Metrics: counted from facts on the thread that observes, rendered for whoever scrapes. Labels are bounded:
//! no session, models only once they were served.

mod gauges;
mod models;
mod observe;
mod process;
mod series;
mod table;
mod text;

#[cfg(test)]
mod tests;

use std::sync::{Mutex, MutexGuard, PoisonError};

use api_key_lb_core::KeyId;
use api_key_lb_core::fact::Fact;

pub(crate) use models::Models;
pub(crate) use observe::{float, pool_name};

pub use gauges::{Gauges, KeyGauges, STATES, StoreGauges};
pub use series::{Distribution, Family, Number};
pub use table::{ALL, Kind, Metric};
pub use text::Format;

use crate::prices::Prices;
use observe::{Batch, Counted};

/// What was counted since the process began, whatever configuration was in force.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Counted>);

/// A page of metrics.
#[derive(Debug)]
pub struct Rendered {
    /// For `Content-Type`.
    pub content_type: &'static str,
    /// The page.
    pub body: String,
}

impl Metrics {
    /// Counts what `facts` say. `label_of` is what people call a key.
    pub fn observe(&self, facts: &[Fact], prices: &Prices, label_of: &dyn Fn(KeyId) -> String) {
        if facts.is_empty() {
            return;
        }
        let mut batch = Batch::new(prices, label_of);
        let mut counted = self.counted();
        for fact in facts {
            counted.count(fact, &mut batch);
        }
    }

    /// The configuration was read again.
    pub fn reloaded(&self, successfully: bool) {
        let result = if successfully { "ok" } else { "failed" };
        self.counted().reloaded(result, 1);
    }

    /// So many spans or metrics (`signal`) were `sent`, `dropped` or `refused`.
    pub fn exported(&self, signal: &str, result: &str, items: u64) {
        self.counted().otlp(signal, result, items);
    }

    /// Everything as text, in the format that `accept`, the header, asks for.
    pub fn render(&self, gauges: &Gauges, accept: Option<&str>) -> Rendered {
        let format = Format::accepted(accept);
        Rendered {
            content_type: format.content_type(),
            body: text::render(&self.families(gauges), format),
        }
    }

    /// Everything as numbers, in the order of [`ALL`].
    pub fn families(&self, gauges: &Gauges) -> Vec<Family> {
        let mut families = {
            let counted = self.counted();
            let symbols = &counted.symbols;
            let count = |metric, counter| Family::counted(metric, counter, symbols);
            let distribution = |metric, histogram| Family::distributed(metric, histogram, symbols);
            vec![
                count(&table::REQUESTS, &counted.requests),
                count(&table::OWN_ANSWERS, &counted.own_answers),
                count(&table::ATTEMPTS, &counted.attempts),
                count(&table::THROTTLES, &counted.throttles),
                count(&table::HIDDEN, &counted.hidden),
                count(&table::RESCUED, &counted.rescued),
                count(&table::TOKENS, &counted.tokens),
                count(&table::COST, &counted.cost),
                count(&table::SAVED, &counted.saved),
                count(&table::AFFINITY, &counted.affinity),
                distribution(&table::DURATION_SECONDS, &counted.duration),
                distribution(&table::FIRST_BYTE_SECONDS, &counted.first_byte),
                distribution(&table::WAIT_SECONDS, &counted.wait),
                distribution(&table::ADDED_SECONDS, &counted.added),
                count(&table::RELOADS, &counted.reloads),
                count(&table::OTLP_ITEMS, &counted.otlp),
            ]
        };
        families.extend(gauges.families());
        families.sort_by_key(|family| {
            ALL.iter()
                .position(|metric| metric.name == family.metric.name)
        });
        families
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
