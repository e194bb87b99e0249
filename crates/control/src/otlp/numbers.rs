//! Metrics for OpenTelemetry: two histograms of the conventions for generative AI, and our own metrics.

use std::collections::HashMap;
use std::time::Duration;

use api_key_lb_core::Moment;
use api_key_lb_core::fact::{Ending, Fact};
use serde_json::{Value, json};

use super::json::{Attributes, nanos};
use super::places::Places;
use super::semantics;
use crate::metrics::{Distribution, Family, Kind, Metric, Models, Number, float};

/// Sums since the beginning, not since the last export.
const CUMULATIVE: u8 = 2;
/// As the conventions want them, in tokens …
const TOKENS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];
/// … and in seconds.
const SECONDS: &[f64] = &[
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
];
/// The most distributions of one kind; what comes then is not told apart by model.
const MOST: usize = 2_000;

/// What a distribution is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct About {
    operation: &'static str,
    provider: &'static str,
    model: Option<String>,
    host: String,
    port: u16,
    /// The type of the tokens, or of the error.
    kind: Option<String>,
}

/// The histograms of the conventions.
#[derive(Debug, Default)]
pub(super) struct GenAi {
    models: Models,
    tokens: HashMap<About, Distribution>,
    duration: HashMap<About, Distribution>,
}

impl GenAi {
    pub(super) fn count(&mut self, fact: &Fact, places: &Places) {
        let last = fact.attempts.last();
        let place = last.and_then(|last| places.get(last.key));
        let (Some(operation), Some(place)) = (semantics::operation(fact), place) else {
            return;
        };
        let named = self.models.admit(fact);
        let about = |kind: Option<String>| About {
            operation,
            provider: place.provider,
            model: fact.model.clone().filter(|_| named),
            host: place.host.clone(),
            port: place.port,
            kind,
        };
        if let Some(usage) = fact.usage {
            for (kind, tokens) in [("input", usage.prompt), ("output", usage.output)] {
                let kind = about(Some(kind.to_owned()));
                add(&mut self.tokens, kind, TOKENS, float(tokens));
            }
        }
        if fact.ending != Ending::ClientLeft {
            let kind = about(semantics::error(fact));
            add(&mut self.duration, kind, SECONDS, fact.took.as_secs_f64());
        }
    }

    fn metrics(&self, times: &Times) -> [Value; 2] {
        [
            histogram(
                ("gen_ai.client.token.usage", "{token}"),
                "Number of input and output tokens used.",
                ("gen_ai.token.type", TOKENS, &self.tokens),
                times,
            ),
            histogram(
                ("gen_ai.client.operation.duration", "s"),
                "GenAI operation duration.",
                ("error.type", SECONDS, &self.duration),
                times,
            ),
        ]
    }
}

fn add(
    distributions: &mut HashMap<About, Distribution>,
    mut about: About,
    ends: &[f64],
    value: f64,
) {
    if distributions.len() >= MOST && !distributions.contains_key(&about) {
        about.model = None;
    }
    distributions.entry(about).or_default().add(ends, value);
}

/// From when to when something was counted.
pub(super) struct Times {
    began: String,
    now: String,
}

impl Times {
    pub(super) fn new(began: Moment, now: Moment) -> Self {
        Self {
            began: nanos(began, Duration::ZERO),
            now: nanos(now, Duration::ZERO),
        }
    }
}

/// Everything that is to be sent, and how many metrics that is.
pub(super) fn metrics(gen_ai: &GenAi, families: &[Family], times: &Times) -> Vec<Value> {
    let mut metrics: Vec<Value> = gen_ai.metrics(times).into();
    // What a process uses has a collector of its own.
    let own = families.iter().filter(|family| {
        family.metric.name.starts_with("api_key_lb_") && !family.points.is_empty()
    });
    metrics.extend(own.map(|family| own_metric(family, times)));
    metrics.retain(|metric| {
        let points = ["histogram", "sum", "gauge"];
        let points = points.iter().filter_map(|kind| metric.get(kind));
        points
            .filter_map(|data| data["dataPoints"].as_array())
            .any(|points| !points.is_empty())
    });
    metrics
}

fn histogram(
    (name, unit): (&str, &str),
    description: &str,
    (kind, ends, distributions): (&str, &[f64], &HashMap<About, Distribution>),
    times: &Times,
) -> Value {
    let points: Vec<Value> = distributions
        .iter()
        .map(|(about, distribution)| {
            let mut attributes = Attributes::default();
            attributes.text("gen_ai.operation.name", about.operation);
            attributes.text("gen_ai.provider.name", about.provider);
            if let Some(model) = &about.model {
                attributes.text("gen_ai.request.model", model.clone());
            }
            attributes.text("server.address", about.host.clone());
            attributes.count("server.port", about.port);
            if let Some(value) = &about.kind {
                attributes.text(kind, value.clone());
            }
            distributed(attributes, ends, distribution, times)
        })
        .collect();
    json!({
        "name": name, "unit": unit, "description": description,
        "histogram": {"aggregationTemporality": CUMULATIVE, "dataPoints": points},
    })
}

fn distributed(
    attributes: Attributes,
    ends: &[f64],
    distribution: &Distribution,
    times: &Times,
) -> Value {
    let counts: Vec<String> = distribution.counts.iter().map(u64::to_string).collect();
    json!({
        "attributes": attributes.into_value(),
        "startTimeUnixNano": times.began,
        "timeUnixNano": times.now,
        "count": distribution.counts.iter().sum::<u64>().to_string(),
        "sum": distribution.sum,
        "bucketCounts": counts,
        "explicitBounds": ends,
    })
}

/// One of ours: `api_key_lb_tokens_total` is called `api_key_lb.tokens`.
fn own_metric(family: &Family, times: &Times) -> Value {
    let metric = family.metric;
    let points: Vec<Value> = family
        .points
        .iter()
        .map(|(labels, number)| {
            let mut attributes = Attributes::default();
            for (name, label) in metric.labels.iter().zip(labels) {
                if !label.is_empty() {
                    attributes.text(name, label.clone());
                }
            }
            match (number, metric.kind) {
                (Number::Many(distribution), Kind::Histogram(ends)) => {
                    distributed(attributes, ends, distribution, times)
                }
                (Number::Many(_), _) => Value::Null,
                (Number::One(value), Kind::Counter) => json!({
                    "attributes": attributes.into_value(), "asDouble": value,
                    "startTimeUnixNano": times.began, "timeUnixNano": times.now,
                }),
                (Number::One(value), _) => json!({
                    "attributes": attributes.into_value(), "asDouble": value,
                    "timeUnixNano": times.now,
                }),
            }
        })
        .collect();
    let (kind, data) = match metric.kind {
        Kind::Counter => (
            "sum",
            json!({"aggregationTemporality": CUMULATIVE, "isMonotonic": true, "dataPoints": points}),
        ),
        Kind::Gauge => ("gauge", json!({"dataPoints": points})),
        Kind::Histogram(_) => (
            "histogram",
            json!({"aggregationTemporality": CUMULATIVE, "dataPoints": points}),
        ),
    };
    json!({
        "name": own_name(metric), "unit": unit(metric), "description": metric.help, kind: data,
    })
}

/// Without what Prometheus wants at the end of a name, and OpenTelemetry beside it.
fn own_name(metric: &Metric) -> String {
    let name = metric
        .name
        .strip_prefix("api_key_lb_")
        .unwrap_or(metric.name);
    let name = name.strip_suffix("_total").unwrap_or(name);
    let name = match metric.unit() {
        unit @ ("seconds" | "bytes") => name.strip_suffix(unit).unwrap_or(name),
        _ => name,
    };
    format!("api_key_lb.{}", name.trim_end_matches('_'))
}

fn unit(metric: &Metric) -> &'static str {
    match metric.unit() {
        "seconds" => "s",
        "bytes" => "By",
        _ => "1",
    }
}
