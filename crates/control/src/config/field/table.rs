//! Every field of the file: what it holds, what overrides it, what it is for, and what counts without it.

use super::{BODY, Field, HEADER, Kind, field};

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

/// Which requests may be logged.
const LOG: &[&str] = &["requests", "problems", "off"];
/// What their lines may look like.
const FORMAT: &[&str] = &["human", "json"];
/// What may become of sub-agents.
const SPLIT: &[&str] = &["never", "auto", "always"];

/// The fields at the top of the file, in the order in which a person meets them.
pub(crate) const FIELDS: &[Field] = &[
    field("$schema", Kind::Ignored, "\"./schema.json\"")
        .means("A file that tells an editor what may stand here, written by `api-key-lb config schema`; not read")
        .otherwise("none"),
    field("target", Kind::Text, "\"https://api.openai.com\"")
        .flag("--target")
        .variable("TARGET")
        .means("Where the keys are valid: base URL of the provider; a path in it is honoured and never doubled")
        .usually("\"https://api.openai.com\""),
    field("keys", Kind::Keys, "[\"KEY1\", \"KEY2\"]")
        .flag("--keys")
        .variable("API_KEYS")
        .means("The keys: a list of texts or objects, or one text with commas; a secret may be \"env:NAME\", \"file:PATH\", \"cmd:COMMAND\" or \"keychain:NAME\"")
        .otherwise("none"),
    field("provider", Kind::Provider, "\"zai\"")
        .means("Whose rules apply where `target` is a gateway")
        .otherwise("by the host of the target"),
    field(
        "pools",
        Kind::Pools,
        "{\"zai\": {\"target\": \"https://api.z.ai\", \"keys\": [\"KEY\"]}}",
    )
    .means("More providers on the same port, each below its name, as http://127.0.0.1:4577/zai/v1")
    .usually("{}"),
    field("port", Kind::Whole(0, 65_535), "4577")
        .flag("--port")
        .variable("PORT")
        .means("The TCP port; 0 takes any free one")
        .usually("4577"),
    field("host", Kind::Texts, "\"127.0.0.1\"")
        .flag("--host")
        .variable("AKLB_HOST")
        .means("Addresses to listen on; those that other machines reach only together with `client_tokens`")
        .otherwise("127.0.0.1, and [::1] where there is one"),
    field("client_tokens", Kind::Texts, "[\"a-long-random-text\"]")
        .means("If there are any, every request must bring one of them as its API key; each may be \"env:NAME\", \"file:PATH\", \"cmd:COMMAND\" or \"keychain:NAME\"")
        .usually("[]"),
    field("allowed_hosts", Kind::Texts, "[\"my-machine.local\"]")
        .means("Names that requests may give this machine in `Host`, besides the loopback ones")
        .usually("[]"),
    field(
        "allowed_origins",
        Kind::Texts,
        "[\"http://localhost:3000\"]",
    )
    .means("Origins of web pages that may use the proxy")
    .usually("[]"),
    field("cooldown_ms", Kind::Whole(0, MOST_MS), "60000")
        .variable("COOLDOWN_MS")
        .means("Milliseconds that a key rests after a 429 that names no time")
        .otherwise("backoff from 1 s to 60 s"),
    field("session_ttl_ms", Kind::Whole(1, MOST_MS), "3600000")
        .variable("SESSION_TTL_MS")
        .means("Milliseconds after which an unused session is forgotten")
        .usually("3600000"),
    field("max_wait_ms", Kind::Whole(0, MOST_MS), "45000")
        .variable("AKLB_MAX_WAIT_MS")
        .means("The most milliseconds that a request is held for an account that comes back soon; 0: never")
        .usually("45000"),
    field("cache_ttl_ms", Kind::Whole(1, MOST_MS), "300000")
        .variable("AKLB_CACHE_TTL_MS")
        .means("Milliseconds that an unused prefix stays in the provider's cache, until its cached tokens say otherwise")
        .otherwise("by the provider"),
    field("drain_windows", Kind::Switch, "true")
        .variable("AKLB_DRAIN_WINDOWS")
        .means("Whether new sessions go to the account whose 5 h or weekly window ends first")
        .usually("false"),
    field("window_reserve_percent", Kind::Whole(0, 90), "10")
        .variable("AKLB_WINDOW_RESERVE_PERCENT")
        .means("The last part of a window, in percent, that is kept for conversations that are there already")
        .usually("0"),
    field("list_account", Kind::Text, "\"work\"")
        .variable("AKLB_LIST_ACCOUNT")
        .means("Whose files, batches and so on are listed: the label of a key, the name of an account, or \"all\" for those of all as one list")
        .otherwise("the first key's"),
    field("split_subagents", Kind::Choice(SPLIT), "\"auto\"")
        .variable("AKLB_SPLIT_SUBAGENTS")
        .means("Sub-agents apart from their session: \"auto\" when its key nears its limit, \"always\", \"never\"")
        .usually("\"never\""),
    field(
        "session_rules",
        Kind::Rules,
        "[{\"header\": \"x-my-chat\"}, {\"body\": \"metadata.chat.id\"}]",
    )
    .means("Where a session id of your own stands, looked at before all others")
    .usually("[]"),
    field(
        "error_rules",
        Kind::Errors,
        "[{\"status\": 429, \"code\": \"busy*\", \"means\": \"overload\"}]",
    )
    .means("What an error of a provider means, before all that is known of it")
    .usually("[]"),
    field("include_usage", Kind::Switch, "true")
        .variable("AKLB_INCLUDE_USAGE")
        .means("Whether token counts are asked for where a streaming chat request does not say whether it wants them")
        .usually("false"),
    field("answer_headers", Kind::Switch, "true")
        .means("Whether answers carry x-lb-key, x-lb-affinity, x-lb-attempts, x-lb-why and x-lb-waited-ms")
        .usually("true"),
    field("log", Kind::Words(LOG), "\"requests\"")
        .flag("--log")
        .variable("AKLB_LOG")
        .means("Which requests leave a line: all \"requests\", only \"problems\" (retried, refused, cut), \"off\"")
        .usually("\"requests\""),
    field("log_format", Kind::Words(FORMAT), "\"json\"")
        .flag("--log-format")
        .variable("AKLB_LOG_FORMAT")
        .means("What the lines look like: \"human\", or \"json\", an object in each line")
        .usually("\"human\""),
    field("log_bytes", Kind::Whole(0, MOST_LOG_BYTES), "10000000")
        .variable("AKLB_LOG_BYTES")
        .means("Bytes of the log file of a detached proxy after which the next one is begun; 0: never")
        .usually("10000000"),
    field("log_files", Kind::Whole(0, MOST_LOG_FILES), "5")
        .variable("AKLB_LOG_FILES")
        .means("How many log files are kept besides the one that is written")
        .usually("5"),
    field(
        "prices",
        Kind::Prices,
        "{\"glm-4.6\": {\"input\": 0.6, \"cached\": 0.11, \"output\": 2.2}}",
    )
    .means("What tokens of a model cost, in US dollars for a million, instead of the list that comes along")
    .usually("{}"),
    field("otlp", Kind::Otlp, "{\"endpoint\": \"http://127.0.0.1:4318\"}")
        .variable("AKLB_OTLP")
        .means("Where requests and metrics are sent as OpenTelemetry (OTLP over HTTP)")
        .otherwise("nowhere"),
    field("store", Kind::Switch, "false")
        .flag("--no-store")
        .variable("AKLB_STORE")
        .means("Whether sessions, cooldowns and usage outlive the process")
        .usually("true"),
    field("usage_days", Kind::Whole(1, MOST_DAYS), "400")
        .variable("AKLB_USAGE_DAYS")
        .means("For how many days usage is kept")
        .usually("400"),
    field("ca_file", Kind::Text, "\"company-ca.pem\"")
        .variable("AKLB_CA_FILE")
        .means("A PEM file with certificate authorities to trust besides the system's")
        .otherwise("none"),
    field("workers", Kind::Whole(1, MOST_WORKERS), "4")
        .flag("--workers")
        .variable("AKLB_WORKERS")
        .means("Worker threads")
        .otherwise("one for each core, at most 4"),
    field("connect_timeout_ms", Kind::Whole(1, MOST_MS), "5000")
        .means("Milliseconds for connecting to a provider, and again for TLS")
        .usually("5000"),
    field("first_byte_timeout_ms", Kind::Whole(1, MOST_MS), "600000")
        .means("Milliseconds until an answer begins; then 504, and the request is not sent again")
        .usually("600000"),
    field("idle_timeout_ms", Kind::Whole(1, MOST_MS), "300000")
        .means("Milliseconds of silence within a stream; then it is cut")
        .usually("300000"),
    field(
        "websocket_idle_timeout_ms",
        Kind::Whole(1, MOST_MS),
        "3600000",
    )
    .means("Milliseconds of silence on a WebSocket; then it is closed")
    .usually("3600000"),
    field("drain_timeout_ms", Kind::Whole(0, MOST_MS), "10000")
        .means("Milliseconds that running answers have to finish after `stop`")
        .usually("10000"),
    field("replay_bytes", Kind::Whole(0, MOST_BYTES), "33554432")
        .means("A request body of more bytes is sent once only, without failover")
        .usually("33554432"),
    field("body_bytes", Kind::Whole(1, MOST_BYTES), "1073741824")
        .means("A request body of more bytes is refused")
        .usually("1073741824"),
    field("max_sessions", Kind::Whole(1, MOST_SESSIONS), "100000")
        .means("Sessions remembered; the least recently used goes first")
        .usually("100000"),
    field("max_websockets", Kind::Whole(0, MOST_WEBSOCKETS), "1000")
        .means("WebSockets open at once; further ones are refused so that agents use plain HTTP; 0 refuses all")
        .usually("1000"),
];

/// The fields of a key written as an object.
pub(crate) const KEY_FIELDS: &[Field] = &[
    field("key", Kind::Text, "\"KEY\"")
        .means("The key itself, or where it is: \"env:NAME\", \"file:PATH\", \"cmd:COMMAND\" or \"keychain:NAME\""),
    field("label", Kind::Text, "\"work\"")
        .means("What it is called in `status`, the log and x-lb-key: 1 to 64 letters, digits and signs without spaces")
        .otherwise("its number: key-1"),
    field("weight", Kind::Whole(1, 1000), "1")
        .means("Its share of the sessions, relative to the other keys")
        .usually("1"),
    field("account", Kind::Text, "\"my-organisation\"")
        .means("Whose it is: keys of one account share its limits")
        .otherwise("an account of its own, until the provider's answers show another"),
    field("disabled", Kind::Switch, "true")
        .means("Whether it must not serve; it keeps its place, its label and its account")
        .usually("false"),
    field("target", Kind::Text, "\"https://api.openai.com\"")
        .means("Where it is valid")
        .otherwise("the pool's target"),
    field("provider", Kind::Provider, "\"zai\"")
        .means("Whose rules apply where the target is a gateway")
        .otherwise("the pool's"),
];

/// The fields of a pool.
pub(crate) const POOL_FIELDS: &[Field] = &[
    field("target", Kind::Text, "\"https://api.z.ai\"").means("Where its keys are valid"),
    field("provider", Kind::Provider, "\"zai\"")
        .means("Whose rules apply where `target` is a gateway")
        .otherwise("by the host of the target"),
    field("keys", Kind::Keys, "[\"KEY1\", \"KEY2\"]")
        .means("Its keys: a list of texts or objects, or one text with commas"),
];

/// The fields of a session rule, of which each rule has one.
pub(crate) const RULE_FIELDS: &[Field] = &[
    field(HEADER, Kind::Text, "\"x-my-chat\"").means("The name of the header that holds the id"),
    field(BODY, Kind::Text, "\"metadata.chat.id\"")
        .means("The path to the id in the body: \"metadata.chat.id\", \"messages[].metadata.id\""),
];

/// The fields of a rule about errors.
pub(crate) const ERROR_FIELDS: &[Field] = &[
    field("provider", Kind::Provider, "\"zai\"")
        .means("Whose errors it is about")
        .otherwise("every provider's"),
    field("status", Kind::Whole(400, 599), "429")
        .or_list()
        .means("The status, or a list of them")
        .otherwise("any"),
    field("code", Kind::Codes, "\"rate_limit*\"")
        .means(
            "The code, type or reason, or a list of them; a * may stand first or last for the rest",
        )
        .otherwise("any"),
    field("text", Kind::Texts, "\"too many requests\"")
        .means("A part of the message, or a list of them")
        .otherwise("any"),
    field("means", Kind::Matter, "\"account_rate\"").means("What the error means"),
    field("for_ms", Kind::Whole(1, MOST_MS), "60000")
        .means("Milliseconds that it counts if the answer names no time")
        .otherwise("as for every error of its meaning"),
];

/// The fields of a price, in US dollars for a million tokens.
pub(crate) const PRICE_FIELDS: &[Field] = &[
    field("input", Kind::Number, "0.6").means("Tokens of a prompt that are read anew"),
    field("cached", Kind::Number, "0.11")
        .means("Tokens of a prompt that come from the provider's cache")
        .otherwise("as `input`"),
    field("written", Kind::Number, "0.6")
        .means("Tokens of a prompt that are written to that cache")
        .otherwise("as `input`"),
    field("output", Kind::Number, "2.2").means("Tokens that are generated"),
];

/// The fields of `otlp`.
pub(crate) const OTLP_FIELDS: &[Field] = &[
    field("endpoint", Kind::Text, "\"http://127.0.0.1:4318\"")
        .means("The receiver's base URL; /v1/traces and /v1/metrics are put behind it"),
    field(
        "headers",
        Kind::Headers,
        "{\"authorization\": \"Bearer env:OTLP_TOKEN\"}",
    )
    .means("Headers that the receiver wants; a word may be \"env:NAME\" or \"file:PATH\"")
    .usually("{}"),
    field("interval_ms", Kind::Whole(100, MOST_MS), "10000")
        .means("Milliseconds between two exports")
        .usually("10000"),
    field("export", Kind::Texts, "[\"traces\", \"metrics\"]")
        .means("What is exported")
        .usually("[\"traces\", \"metrics\"]"),
    field("service", Kind::Text, "\"api-key-lb\"")
        .means("What the service is called")
        .usually("\"api-key-lb\""),
];
