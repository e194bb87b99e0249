//! The fields of the file: their names, their kinds, what overrides them, and what a misspelt one meant.

/// The most a time may be, in ms: 30 days. More is surely a wrong unit.
const MOST_MS: u64 = 30 * 24 * 3_600_000;
/// The most worker threads.
const MOST_WORKERS: u64 = 256;
/// The most sessions remembered: about 1 GB of table.
const MOST_SESSIONS: u64 = 10_000_000;
/// The most WebSockets at once: two sockets each are more than any process may have.
const MOST_WEBSOCKETS: u64 = 100_000;
/// The most bytes of a body: 64 GB.
const MOST_BYTES: u64 = 64 << 30;

/// The most bytes of one file of the log: 1 GB.
const MOST_LOG_BYTES: u64 = 1 << 30;
/// The most files of the log that are kept.
const MOST_LOG_FILES: u64 = 100;
/// The most days that usage is kept: ten years.
const MOST_DAYS: u64 = 3_660;

/// The field of a session rule that names a header …
pub(crate) const HEADER: &str = "header";
/// … and the one that is a path into the body.
pub(crate) const BODY: &str = "body";

/// What a field holds.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Text,
    /// A whole number, or a text that is one, from the first to the second.
    Whole(u64, u64),
    /// A number, or a text that is one.
    Number,
    Switch,
    /// One of some words, or true or false where those say the same.
    Choice,
    /// A text with commas, or a list of texts.
    Texts,
    Keys,
    Pools,
    /// Rules for where a session id stands.
    Rules,
    /// Rules for what an error means.
    Errors,
    /// Prices of models.
    Prices,
    /// Where OpenTelemetry goes.
    Otlp,
    /// An object of texts.
    Headers,
    /// Known and of no concern to us.
    Ignored,
}

/// A field.
#[derive(Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// As one would write its value, for messages.
    pub(crate) example: &'static str,
    /// The flag that overrides it.
    pub(crate) flag: Option<&'static str>,
    /// The environment variable that overrides it.
    pub(crate) variable: Option<&'static str>,
}

const fn field(name: &'static str, kind: Kind, example: &'static str) -> Field {
    Field {
        name,
        kind,
        example,
        flag: None,
        variable: None,
    }
}

impl Field {
    const fn flag(mut self, flag: &'static str) -> Self {
        self.flag = Some(flag);
        self
    }

    const fn variable(mut self, variable: &'static str) -> Self {
        self.variable = Some(variable);
        self
    }
}

/// The fields at the top of the file.
pub(crate) const FIELDS: &[Field] = &[
    field("target", Kind::Text, "\"https://api.openai.com\"")
        .flag("--target")
        .variable("TARGET"),
    field("keys", Kind::Keys, "[\"KEY1\", \"KEY2\"]")
        .flag("--keys")
        .variable("API_KEYS"),
    field("port", Kind::Whole(0, 65_535), "4577")
        .flag("--port")
        .variable("PORT"),
    field("cooldown_ms", Kind::Whole(0, MOST_MS), "60000").variable("COOLDOWN_MS"),
    field("session_ttl_ms", Kind::Whole(1, MOST_MS), "3600000").variable("SESSION_TTL_MS"),
    field("max_wait_ms", Kind::Whole(0, MOST_MS), "45000").variable("AKLB_MAX_WAIT_MS"),
    field("cache_ttl_ms", Kind::Whole(1, MOST_MS), "300000").variable("AKLB_CACHE_TTL_MS"),
    field("drain_windows", Kind::Switch, "true").variable("AKLB_DRAIN_WINDOWS"),
    field("window_reserve_percent", Kind::Whole(0, 90), "10")
        .variable("AKLB_WINDOW_RESERVE_PERCENT"),
    field("list_account", Kind::Text, "\"work\"").variable("AKLB_LIST_ACCOUNT"),
    field("host", Kind::Texts, "\"127.0.0.1\"")
        .flag("--host")
        .variable("AKLB_HOST"),
    field("workers", Kind::Whole(1, MOST_WORKERS), "4")
        .flag("--workers")
        .variable("AKLB_WORKERS"),
    field(
        "pools",
        Kind::Pools,
        "{\"zai\": {\"target\": \"https://api.z.ai\", \"keys\": [\"KEY\"]}}",
    ),
    field("client_tokens", Kind::Texts, "[\"a-long-random-text\"]"),
    field("allowed_hosts", Kind::Texts, "[\"my-machine.local\"]"),
    field(
        "allowed_origins",
        Kind::Texts,
        "[\"http://localhost:3000\"]",
    ),
    field("ca_file", Kind::Text, "\"company-ca.pem\"").variable("AKLB_CA_FILE"),
    field("first_byte_timeout_ms", Kind::Whole(1, MOST_MS), "600000"),
    field("idle_timeout_ms", Kind::Whole(1, MOST_MS), "300000"),
    field(
        "websocket_idle_timeout_ms",
        Kind::Whole(1, MOST_MS),
        "3600000",
    ),
    field("connect_timeout_ms", Kind::Whole(1, MOST_MS), "5000"),
    field("drain_timeout_ms", Kind::Whole(0, MOST_MS), "10000"),
    field("replay_bytes", Kind::Whole(0, MOST_BYTES), "33554432"),
    field("body_bytes", Kind::Whole(1, MOST_BYTES), "1073741824"),
    field("max_sessions", Kind::Whole(1, MOST_SESSIONS), "100000"),
    field("max_websockets", Kind::Whole(0, MOST_WEBSOCKETS), "1000"),
    field("answer_headers", Kind::Switch, "true"),
    field("include_usage", Kind::Switch, "true").variable("AKLB_INCLUDE_USAGE"),
    field("log", Kind::Text, "\"requests\"")
        .flag("--log")
        .variable("AKLB_LOG"),
    field("log_format", Kind::Text, "\"json\"")
        .flag("--log-format")
        .variable("AKLB_LOG_FORMAT"),
    field("log_bytes", Kind::Whole(0, MOST_LOG_BYTES), "10000000").variable("AKLB_LOG_BYTES"),
    field("log_files", Kind::Whole(0, MOST_LOG_FILES), "5").variable("AKLB_LOG_FILES"),
    field(
        "prices",
        Kind::Prices,
        "{\"glm-4.6\": {\"input\": 0.6, \"cached\": 0.11, \"output\": 2.2}}",
    ),
    field(
        "session_rules",
        Kind::Rules,
        "[{\"header\": \"x-my-chat\"}, {\"body\": \"metadata.chat.id\"}]",
    ),
    field(
        "error_rules",
        Kind::Errors,
        "[{\"status\": 429, \"code\": \"busy*\", \"means\": \"overload\"}]",
    ),
    field("store", Kind::Switch, "false")
        .flag("--no-store")
        .variable("AKLB_STORE"),
    field("usage_days", Kind::Whole(1, MOST_DAYS), "400").variable("AKLB_USAGE_DAYS"),
    field(
        "otlp",
        Kind::Otlp,
        "{\"endpoint\": \"http://127.0.0.1:4318\"}",
    )
    .variable("AKLB_OTLP"),
    field("provider", Kind::Text, "\"zai\""),
    field("split_subagents", Kind::Choice, "\"auto\"").variable("AKLB_SPLIT_SUBAGENTS"),
    field("$schema", Kind::Ignored, ""),
];

/// The fields of a key written as an object.
pub(crate) const KEY_FIELDS: &[Field] = &[
    field("key", Kind::Text, "\"KEY\""),
    field("label", Kind::Text, "\"work\""),
    field("weight", Kind::Whole(1, 1000), "1"),
    field("account", Kind::Text, "\"my-organisation\""),
    field("target", Kind::Text, "\"https://api.openai.com\""),
    field("provider", Kind::Text, "\"zai\""),
];

/// The fields of a pool.
pub(crate) const POOL_FIELDS: &[Field] = &[
    field("target", Kind::Text, "\"https://api.z.ai\""),
    field("provider", Kind::Text, "\"zai\""),
    field("keys", Kind::Keys, "[\"KEY1\", \"KEY2\"]"),
];

/// The fields of a session rule, of which each rule has one.
pub(crate) const RULE_FIELDS: &[Field] = &[
    field(HEADER, Kind::Text, "\"x-my-chat\""),
    field(BODY, Kind::Text, "\"metadata.chat.id\""),
];

/// The fields of a rule about errors.
pub(crate) const ERROR_FIELDS: &[Field] = &[
    field("provider", Kind::Text, "\"zai\""),
    field("status", Kind::Whole(400, 599), "429"),
    field("code", Kind::Texts, "\"rate_limit*\""),
    field("text", Kind::Texts, "\"too many requests\""),
    field("means", Kind::Text, "\"account_rate\""),
    field("for_ms", Kind::Whole(1, MOST_MS), "60000"),
];

/// The fields of a price, in US dollars for a million tokens.
pub(crate) const PRICE_FIELDS: &[Field] = &[
    field("input", Kind::Number, "0.6"),
    field("cached", Kind::Number, "0.11"),
    field("written", Kind::Number, "0.6"),
    field("output", Kind::Number, "2.2"),
];

/// The fields of `otlp`.
pub(crate) const OTLP_FIELDS: &[Field] = &[
    field("endpoint", Kind::Text, "\"http://127.0.0.1:4318\""),
    field(
        "headers",
        Kind::Headers,
        "{\"authorization\": \"Bearer env:OTLP_TOKEN\"}",
    ),
    field("interval_ms", Kind::Whole(100, MOST_MS), "10000"),
    field("export", Kind::Texts, "[\"traces\", \"metrics\"]"),
    field("service", Kind::Text, "\"api-key-lb\""),
];

/// What people write who know other programs.
const ALIASES: &[(&str, &str)] = &[
    ("apikey", "key"),
    ("apikey", "keys"),
    ("apikeys", "keys"),
    ("secret", "key"),
    ("value", "key"),
    ("name", "label"),
    ("baseurl", "target"),
    ("url", "target"),
    ("endpoint", "target"),
    ("upstream", "target"),
    ("listen", "host"),
    ("bind", "host"),
    ("tokens", "client_tokens"),
    ("threads", "workers"),
    ("loglevel", "log"),
    ("format", "log_format"),
    ("price", "prices"),
    ("costs", "prices"),
    ("prompt", "input"),
    ("completion", "output"),
    ("cachedinput", "cached"),
    ("cacheread", "cached"),
    ("cachewrite", "written"),
    ("opentelemetry", "otlp"),
    ("otel", "otlp"),
    ("telemetry", "otlp"),
    ("servicename", "service"),
    ("signals", "export"),
    ("ca", "ca_file"),
    ("rules", "session_rules"),
    ("sessionheader", "session_rules"),
    ("sessionheaders", "session_rules"),
    ("sessionid", "session_rules"),
    ("errors", "error_rules"),
    ("message", "text"),
    ("phrase", "text"),
    ("type", "code"),
    ("matter", "means"),
    ("subagents", "split_subagents"),
    ("wait", "max_wait_ms"),
    ("holdms", "max_wait_ms"),
    ("cachettl", "cache_ttl_ms"),
    ("drain", "drain_windows"),
    ("reserve", "window_reserve_percent"),
    ("usage", "include_usage"),
    ("streamoptions", "include_usage"),
    ("database", "store"),
    ("persist", "store"),
    ("retention", "usage_days"),
    ("retentiondays", "usage_days"),
    ("headername", "header"),
    ("path", "body"),
    ("bodypath", "body"),
    ("jsonpath", "body"),
];

/// The field of `fields` that is called `name`.
pub(crate) fn named<'f>(fields: &'f [Field], name: &str) -> Option<&'f Field> {
    fields.iter().find(|field| field.name == name)
}

/// The field that the unknown `name` most likely meant, if one is close.
pub(crate) fn meant(fields: &[Field], name: &str) -> Option<&'static str> {
    let plain = plain(name);
    let known = || fields.iter().map(|field| field.name);
    known()
        .find(|known| self::plain(known) == plain)
        .or_else(|| {
            ALIASES
                .iter()
                .filter(|(alias, _)| *alias == plain)
                .find_map(|(_, field)| known().find(|known| known == field))
        })
        // Swapped letters are two edits, too many for a short name.
        .or_else(|| known().find(|known| letters(known) == letters(name)))
        .or_else(|| {
            known()
                .map(|known| (distance(known, name), known))
                .filter(|(distance, known)| *distance <= (known.len() / 3).clamp(1, 3))
                .min_by_key(|(distance, _)| *distance)
                .map(|(_, known)| known)
        })
}

/// Lower case letters and digits only, so that `cooldownMs` is `cooldown_ms`.
fn plain(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|letter| letter.to_ascii_lowercase())
        .collect()
}

/// The letters of a name, sorted.
fn letters(name: &str) -> Vec<char> {
    let mut letters: Vec<char> = name.chars().collect();
    letters.sort_unstable();
    letters
}

/// The least number of characters to insert, remove or replace to turn `from` into `to`.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(&to) {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = *cell;
            left = replaced.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_single_character_edits() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("target", "taregt"), 2);
        assert_eq!(distance("port", "port"), 0);
    }

    #[test]
    fn a_misspelt_field_is_recognised_and_a_strange_one_is_not() {
        for (name, expected) in [
            ("cooldownMs", Some("cooldown_ms")),
            ("taget", Some("target")),
            ("key", Some("keys")),
            ("baseURL", Some("target")),
            ("api_keys", Some("keys")),
            ("hots", Some("host")),
            ("hosts", Some("host")),
            ("prot", Some("port")),
            ("sessionRules", Some("session_rules")),
            ("split_sub_agents", Some("split_subagents")),
            ("includeUsage", Some("include_usage")),
            ("max_session", Some("max_sessions")),
            ("colour", None),
        ] {
            assert_eq!(meant(FIELDS, name), expected, "{name}");
        }
        assert_eq!(meant(KEY_FIELDS, "apiKey"), Some("key"));
        assert_eq!(meant(RULE_FIELDS, "haeder"), Some("header"));
        assert_eq!(meant(RULE_FIELDS, "path"), Some("body"));
    }
}
