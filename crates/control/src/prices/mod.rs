//! What tokens cost: list prices by model, shipped with the program and overridden in the configuration.
//!
//! An estimate for people: nothing is decided by it. A model without a price has no cost, never a
//! cost of nothing.

mod name;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::LazyLock;

use api_key_lb_core::fact::Usage;
use serde::Deserialize;

use name::{ends, is_free, is_variant, normal};

/// The shipped table.
const TABLE: &str = include_str!("table.json");
/// Prices are for so many tokens.
const PER: f64 = 1_000_000.0;

/// What a million tokens cost, in US dollars.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Of a prompt.
    pub input: f64,
    /// Of a prompt, read from the provider's cache.
    pub cached: f64,
    /// Of a prompt, written to the provider's cache.
    pub written: f64,
    /// Generated.
    pub output: f64,
}

/// What a request cost, or many of one model, in US dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// With what the cache spared, and what writing to it cost.
    pub cost_usd: f64,
    /// Had there been no cache.
    pub without_cache_usd: f64,
}

impl Price {
    const NOTHING: Self = Self {
        input: 0.0,
        cached: 0.0,
        written: 0.0,
        output: 0.0,
    };

    /// What `usage` costs.
    pub fn cost(&self, usage: &Usage) -> Cost {
        // A provider may state any numbers; parts are never more than the whole.
        let cached = usage.cached.min(usage.prompt);
        let written = usage.written.min(usage.prompt - cached);
        let fresh = usage.prompt - cached - written;
        let part = |tokens: u64, price: f64| tokens as f64 * price / PER;
        let output = part(usage.output, self.output);
        Cost {
            cost_usd: part(fresh, self.input)
                + part(cached, self.cached)
                + part(written, self.written)
                + output,
            without_cache_usd: part(usage.prompt, self.input) + output,
        }
    }
}

impl Cost {
    /// What the cache has saved; below zero if more was written to it than was read from it.
    pub fn saved_usd(&self) -> f64 {
        self.without_cache_usd - self.cost_usd
    }

    /// Adds `other`.
    pub fn add(&mut self, other: &Self) {
        self.cost_usd += other.cost_usd;
        self.without_cache_usd += other.without_cache_usd;
    }
}

/// All prices that are known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prices {
    /// Of the configuration, by normal name.
    own: HashMap<String, Price>,
    /// The same for all models whose names begin so.
    own_beginnings: Vec<(String, Price)>,
}

impl Prices {
    /// The shipped ones, and before them those of `own`; a name that ends with `*` stands for all
    /// that begin so.
    pub fn new(own: impl IntoIterator<Item = (String, Price)>) -> Self {
        let mut prices = Self::default();
        for (name, price) in own {
            match name.trim().strip_suffix('*') {
                Some(beginning) => prices.own_beginnings.push((normal(beginning), price)),
                None => {
                    prices.own.insert(normal(&name), price);
                }
            }
        }
        // The longest comes first.
        prices
            .own_beginnings
            .sort_by_key(|(beginning, _)| std::cmp::Reverse(beginning.len()));
        prices
    }

    /// How many prices the configuration has.
    pub fn own(&self) -> usize {
        self.own.len() + self.own_beginnings.len()
    }

    /// When the oldest part of the shipped table was collected: `2026-07`.
    pub fn as_of() -> &'static str {
        &SHIPPED.as_of
    }

    /// The price of `model`, by whatever name a client calls it; `None` if it is not known.
    pub fn of(&self, model: &str) -> Option<Price> {
        let name = normal(model);
        if name.is_empty() {
            return None;
        }
        longest(&self.own, &name)
            .or_else(|| {
                let mut beginnings = self.own_beginnings.iter();
                let found = beginnings.find(|(beginning, _)| name.starts_with(beginning.as_str()));
                found.map(|(_, price)| *price)
            })
            .or_else(|| is_free(&name).then_some(Price::NOTHING))
            .or_else(|| longest(&SHIPPED.prices, &name))
    }

    /// What `usage` of `model` costs; `None` if its price is not known.
    pub fn cost(&self, model: &str, usage: &Usage) -> Option<Cost> {
        Some(self.of(model)?.cost(usage))
    }
}

/// The price of the longest name in `prices` that `name` is, or is a variant of.
fn longest(prices: &HashMap<String, Price>, name: &str) -> Option<Price> {
    let (price, rest) = ends(name).find_map(|end| {
        let (known, rest) = name.split_at(end);
        Some((prices.get(known)?, rest))
    })?;
    is_variant(rest).then_some(*price)
}

/// The shipped table as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(rename = "about")]
    _about: String,
    makers: Vec<Maker>,
}

/// A section of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(test), expect(dead_code, reason = "it says where prices are from"))]
struct Maker {
    maker: String,
    source: String,
    as_of: String,
    models: std::collections::BTreeMap<String, Price>,
}

/// The table as it is looked up.
#[derive(Debug, Default)]
struct Shipped {
    prices: HashMap<String, Price>,
    as_of: String,
}

static SHIPPED: LazyLock<Shipped> = LazyLock::new(|| {
    // A test reads it, too: it is never anything else than right.
    let table: Table = serde_json::from_str(TABLE).unwrap_or_default();
    // The oldest: nobody shall take the others for newer than they are.
    let oldest = table.makers.iter().map(|maker| &maker.as_of).min();
    let as_of = oldest.cloned().unwrap_or_default();
    let models = table.makers.into_iter().flat_map(|maker| maker.models);
    Shipped {
        prices: models.map(|(name, price)| (normal(&name), price)).collect(),
        as_of,
    }
});
