//! Every metric there is: its name, its kind, its labels, and what it says. The documentation is made from this.

/// Upper ends of the durations of whole answers, in seconds: from a small model's word to a long
/// chain of reasoning.
const DURATION: &[f64] = &[
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0,
];
/// Upper ends of the times until the first byte, in seconds.
const FIRST_BYTE: &[f64] = &[
    0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0,
];
/// Upper ends of the waits for an account, in seconds: 45 s is the longest by default, and what is in
/// the first bucket has not waited.
const WAIT: &[f64] = &[0.01, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 45.0];
/// Upper ends of the time that is our own, in seconds: some tens of microseconds where all is well, more
/// while a body is still being received.
const ADDED: &[f64] = &[
    0.000_02, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25,
];

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only grows, from zero at the start of the process.
    Counter,
    /// As it is now.
    Gauge,
    /// How many were at most so large, for each of these ends.
    Histogram(&'static [f64]),
}

impl Kind {
    /// As Prometheus calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// A metric.
#[derive(Debug)]
pub struct Metric {
    /// Its whole name.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says, in one sentence without quotation marks and line breaks.
    pub help: &'static str,
}

impl Metric {
    /// What it is measured in; empty if it only counts.
    pub fn unit(&self) -> &'static str {
        let name = self.name.strip_suffix("_total").unwrap_or(self.name);
        ["seconds", "bytes", "ratio"]
            .into_iter()
            .find(|unit| name.ends_with(unit))
            .unwrap_or_default()
    }
}

macro_rules! metrics {
    ($($id:ident = $name:literal, $kind:expr, [$($label:literal),*], $help:literal;)*) => {
        $(
            pub(super) static $id: Metric =
                Metric { name: $name, kind: $kind, labels: &[$($label),*], help: $help };
        )*
        /// All of them, in the order in which they are shown.
        pub static ALL: &[&Metric] = &[$(&$id),*];
    };
}

metrics! {
    REQUESTS = "api_key_lb_requests_total", Kind::Counter,
        ["pool", "key", "model", "status_class", "outcome"],
        "Requests that clients made and that have ended; one that was tried with two keys counts once, for the last of them.";
    OWN_ANSWERS = "api_key_lb_own_answers_total", Kind::Counter, ["pool", "code"],
        "Requests that the proxy answered itself, by the code in x-lb-error.";
    ATTEMPTS = "api_key_lb_attempts_total", Kind::Counter, ["pool", "key", "outcome"],
        "Attempts with a key; a request may need several.";
    THROTTLES = "api_key_lb_throttles_total", Kind::Counter, ["pool", "key"],
        "Attempts that the provider throttled (429).";
    HIDDEN = "api_key_lb_throttles_hidden_total", Kind::Counter, ["pool"],
        "Throttled attempts of requests that were served after all.";
    RESCUED = "api_key_lb_requests_rescued_total", Kind::Counter, ["pool"],
        "Requests that were served after an attempt with another key, or an earlier one, had failed.";
    TOKENS = "api_key_lb_tokens_total", Kind::Counter, ["pool", "key", "model", "kind"],
        "Tokens as the provider counted them; prompt includes cached and written ones.";
    COST = "api_key_lb_cost_usd_total", Kind::Counter, ["pool", "key", "model"],
        "What the counted tokens cost in US dollars, of models whose price is known.";
    SAVED = "api_key_lb_saved_usd_total", Kind::Counter, ["pool"],
        "What the provider's prompt cache has saved, in US dollars, of models whose price is known; requests whose writing to it cost more than they read count as 0.";
    AFFINITY = "api_key_lb_affinity_total", Kind::Counter, ["pool", "affinity"],
        "Requests by how the serving key relates to the conversation.";
    DURATION_SECONDS = "api_key_lb_request_duration_seconds", Kind::Histogram(DURATION), ["pool", "model"],
        "From the head of a request until its answer has ended, of requests that were sent to a provider.";
    FIRST_BYTE_SECONDS = "api_key_lb_first_byte_seconds", Kind::Histogram(FIRST_BYTE), ["pool", "model"],
        "From the head of a request until the first byte of its answer was handed on, of requests that a provider answered.";
    WAIT_SECONDS = "api_key_lb_wait_seconds", Kind::Histogram(WAIT), ["pool"],
        "How long requests were kept waiting for an account; the first bucket has hardly waited, or not at all.";
    ADDED_SECONDS = "api_key_lb_added_latency_seconds", Kind::Histogram(ADDED), ["pool"],
        "From the head of a request until it was first sent to a provider, without waiting for an account; receiving its body is part of it.";
    KEY_STATE = "api_key_lb_key_state", Kind::Gauge, ["pool", "key", "state"],
        "1 for the state that the key is in, 0 for the others.";
    KEY_COOLDOWN = "api_key_lb_key_cooldown_seconds", Kind::Gauge, ["pool", "key"],
        "Until the key is used again; 0 if it can be used now.";
    KEY_HEADROOM = "api_key_lb_key_headroom_ratio", Kind::Gauge, ["pool", "key", "what"],
        "What is left of a limit, of 1, as the provider last reported it.";
    IN_FLIGHT = "api_key_lb_in_flight", Kind::Gauge, ["pool", "key"],
        "Attempts running now.";
    SESSIONS = "api_key_lb_sessions", Kind::Gauge, [],
        "Conversations remembered.";
    WAITING = "api_key_lb_waiting", Kind::Gauge, [],
        "Requests that wait for an account now.";
    FACTS_DROPPED = "api_key_lb_facts_dropped_total", Kind::Counter, [],
        "Requests that are missing in every other metric, in the log and in the usage, because there were more than could be counted.";
    STORE_UP = "api_key_lb_store_up", Kind::Gauge, [],
        "1 if what outlives the process can be written, 0 if not; absent without a store.";
    STORE_BYTES = "api_key_lb_store_size_bytes", Kind::Gauge, [],
        "The size of the store; absent without one.";
    RELOADS = "api_key_lb_config_reloads_total", Kind::Counter, ["result"],
        "Times that the configuration was read again.";
    RELOAD_OK = "api_key_lb_config_reload_last_successful", Kind::Gauge, [],
        "1 if the configuration as it is now is in force, 0 if it has an error and the one before is.";
    NEEDS_RESTART = "api_key_lb_config_needs_restart", Kind::Gauge, [],
        "Settings that were changed but wait for a restart.";
    OTLP_ITEMS = "api_key_lb_otlp_items_total", Kind::Counter, ["signal", "result"],
        "Spans and metrics for OpenTelemetry that were sent, dropped because there were too many, or refused by the receiver.";
    BUILD_INFO = "api_key_lb_build_info", Kind::Gauge, ["version"],
        "1; the version of the program.";
    PROCESS_START = "process_start_time_seconds", Kind::Gauge, [],
        "When the process began to serve, in seconds since 1970.";
    PROCESS_CPU = "process_cpu_seconds_total", Kind::Counter, [],
        "CPU time used, by user and system together (Linux).";
    PROCESS_RESIDENT = "process_resident_memory_bytes", Kind::Gauge, [],
        "Memory in use (Linux).";
    PROCESS_VIRTUAL = "process_virtual_memory_bytes", Kind::Gauge, [],
        "Memory mapped (Linux).";
    PROCESS_FDS = "process_open_fds", Kind::Gauge, [],
        "Files and sockets that are open (Linux).";
    PROCESS_MAX_FDS = "process_max_fds", Kind::Gauge, [],
        "How many may be open (Linux).";
    PROCESS_THREADS = "process_threads", Kind::Gauge, [],
        "Threads (Linux).";
}
