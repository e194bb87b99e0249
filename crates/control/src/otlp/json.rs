//! How OTLP is written as JSON: attributes, times, ids.

use std::time::Duration;

use api_key_lb_core::Moment;
use serde_json::{Value, json};

/// Attributes, one after the other.
#[derive(Debug, Default)]
pub(super) struct Attributes(Vec<Value>);

impl Attributes {
    pub(super) fn text(&mut self, key: &str, value: impl Into<String>) {
        let value: String = value.into();
        self.0
            .push(json!({"key": key, "value": {"stringValue": value}}));
    }

    pub(super) fn count(&mut self, key: &str, value: impl TryInto<i64>) {
        // 64 bits are a text in this JSON.
        let value = value.try_into().unwrap_or(i64::MAX).to_string();
        self.0
            .push(json!({"key": key, "value": {"intValue": value}}));
    }

    pub(super) fn number(&mut self, key: &str, value: f64) {
        self.0
            .push(json!({"key": key, "value": {"doubleValue": value}}));
    }

    pub(super) fn into_value(self) -> Value {
        Value::Array(self.0)
    }
}

/// Nanoseconds since 1970, as text.
pub(super) fn nanos(moment: Moment, later: Duration) -> String {
    let since = Duration::from_millis(moment.unix_millis()) + later;
    since.as_nanos().to_string()
}

/// Ids that no other process has, most likely.
#[derive(Debug)]
pub(super) struct Ids(u64);

impl Ids {
    /// Beginning anywhere.
    pub(super) fn new() -> Self {
        let mut seed = [0; 8];
        // Without randomness, ids are still different from each other.
        let _ = getrandom::fill(&mut seed);
        Self(u64::from_le_bytes(seed))
    }

    /// The id of a span; not zero.
    pub(super) const fn span(&mut self) -> u64 {
        // SplitMix64: each state once, and none of them twice.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        if mixed == 0 { 1 } else { mixed }
    }

    /// The id of a trace; not zero.
    pub(super) fn trace(&mut self) -> u128 {
        u128::from(self.span()) << 64 | u128::from(self.span())
    }
}
