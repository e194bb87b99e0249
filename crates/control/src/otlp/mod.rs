//! Requests and metrics for OpenTelemetry: OTLP as JSON, with the semantic conventions for generative AI.
//! What is sent is made here, in memory; who sends it, and when, is decided elsewhere.

mod json;
mod numbers;
mod places;
mod semantics;
mod spans;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api_key_lb_core::fact::Fact;
use api_key_lb_core::{Moment, Plan};
use serde_json::{Value, json};

use crate::metrics::{Family, Metrics, Models};
use json::{Attributes, Ids};
use numbers::{GenAi, Times};
use places::Places;

/// Requests that wait to be sent; some MB, minutes of a busy machine whose receiver is away.
const MOST: usize = 4_096;
/// Spans sent at once, about: a body of some hundred KB.
const BATCH: usize = 256;

/// Traces, as metrics about the export call them.
pub const TRACES: &str = "traces";
/// Metrics, likewise.
pub const METRICS: &str = "metrics";

/// Who exports.
#[derive(Clone, Debug)]
pub struct About {
    /// `service.name`.
    pub service: String,
    /// `service.version`.
    pub version: String,
    /// `service.instance.id`.
    pub instance: String,
    /// Since when is counted.
    pub started: Moment,
    /// Whether each request becomes a span.
    pub traces: bool,
}

/// What is to be sent.
#[derive(Debug)]
pub struct Outbox {
    about: About,
    contents: Mutex<Contents>,
    arrived: Condvar,
}

#[derive(Debug)]
struct Contents {
    facts: VecDeque<Fact>,
    places: Places,
    gen_ai: GenAi,
    models: Models,
    ids: Ids,
}

/// A body to send, and how much is in it.
#[derive(Debug)]
pub struct Parcel {
    /// JSON.
    pub body: Vec<u8>,
    /// Spans or metrics.
    pub items: u64,
}

impl Outbox {
    /// Empty.
    pub fn new(about: About) -> Self {
        Self {
            about,
            contents: Mutex::new(Contents {
                facts: VecDeque::new(),
                places: Places::default(),
                gen_ai: GenAi::default(),
                models: Models::default(),
                ids: Ids::new(),
            }),
            arrived: Condvar::new(),
        }
    }

    /// Names keys as `plan` does from now on.
    pub fn learn(&self, plan: &Plan) {
        self.contents().places.learn(plan);
    }

    /// Counts `facts`, and keeps them until they are sent; drops and counts those for which there is
    /// no room. Never waits for whoever sends.
    pub fn observe(&self, facts: &[Fact], metrics: &Metrics) {
        if facts.is_empty() {
            return;
        }
        let mut contents = self.contents();
        let Contents {
            gen_ai,
            places,
            facts: waiting,
            ..
        } = &mut *contents;
        for fact in facts {
            gen_ai.count(fact, places);
        }
        if !self.about.traces {
            return;
        }
        let room = MOST - waiting.len().min(MOST);
        waiting.extend(facts.iter().take(room).cloned());
        let is_batch = waiting.len() >= BATCH;
        drop(contents);
        if is_batch {
            self.arrived.notify_one();
        }
        let dropped = facts.len().saturating_sub(room) as u64;
        if dropped > 0 {
            metrics.exported(TRACES, "dropped", dropped);
        }
    }

    /// Waits until so much is there that it should be sent, or somebody calls [`Self::wake`], but no
    /// longer than `most`.
    pub fn wait(&self, most: Duration) {
        let contents = self.contents();
        if contents.facts.len() < BATCH {
            // Woken for nothing, one looks once more than is needed.
            let _ = self.arrived.wait_timeout(contents, most);
        }
    }

    /// Ends [`Self::wait`].
    pub fn wake(&self) {
        self.arrived.notify_all();
    }

    /// The oldest requests as spans; `None` if there are none.
    pub fn traces(&self) -> Option<Parcel> {
        let mut contents = self.contents();
        let Contents {
            facts,
            places,
            models,
            ids,
            ..
        } = &mut *contents;
        let mut all = Vec::new();
        // Those that their clients do not record leave nothing.
        while all.len() < BATCH
            && let Some(fact) = facts.pop_front()
        {
            spans::spans(&fact, places, models, ids, &mut all);
        }
        drop(contents);
        if all.is_empty() {
            return None;
        }
        let items = all.len() as u64;
        let body = json!({"resourceSpans": [{
            "resource": self.resource(),
            "scopeSpans": [{"scope": self.scope(), "spans": all}],
        }]});
        Some(parcel(&body, items))
    }

    /// All metrics as they are now; `None` if there are none.
    pub fn metrics(&self, families: &[Family], now: Moment) -> Option<Parcel> {
        let times = Times::new(self.about.started, now);
        let all = numbers::metrics(&self.contents().gen_ai, families, &times);
        if all.is_empty() {
            return None;
        }
        let items = all.len() as u64;
        let body = json!({"resourceMetrics": [{
            "resource": self.resource(),
            "scopeMetrics": [{"scope": self.scope(), "metrics": all}],
        }]});
        Some(parcel(&body, items))
    }

    fn resource(&self) -> Value {
        let mut attributes = Attributes::default();
        attributes.text("service.name", self.about.service.clone());
        attributes.text("service.version", self.about.version.clone());
        attributes.text("service.instance.id", self.about.instance.clone());
        attributes.text("telemetry.sdk.name", "api-key-lb");
        attributes.text("telemetry.sdk.language", "rust");
        attributes.text("telemetry.sdk.version", self.about.version.clone());
        json!({"attributes": attributes.into_value()})
    }

    fn scope(&self) -> Value {
        json!({"name": "api-key-lb", "version": self.about.version})
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parcel(body: &Value, items: u64) -> Parcel {
    Parcel {
        body: body.to_string().into_bytes(),
        items,
    }
}

/// How many items the answer of a receiver says it has refused, though it took the rest.
pub fn refused(answer: &[u8]) -> u64 {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let partial = &answer["partialSuccess"];
    let of = |name: &str| match &partial[name] {
        Value::String(text) => text.parse().unwrap_or(0),
        number => number.as_u64().unwrap_or(0),
    };
    of("rejectedSpans").max(of("rejectedDataPoints"))
}
