//! What the person configured, validated and immutable: pools, keys, accounts, limits, guards.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ladder::Ladder;
use crate::provider::OwnErrorRule;
use crate::secret::Secret;
use crate::target::Target;

/// Mixed into every key identity, so that it is not the plain SHA-256 of a key that another
/// tool might also have computed. Constant, because instances that share no state must agree.
const KEY_ID_SALT: &[u8] = b"api-key-lb key identity 1";
/// Mixed into the identity of an account that the configuration names.
const ACCOUNT_ID_SALT: &[u8] = b"api-key-lb account identity 1";

/// First path segments that a pool must not take: they are ours, or every client begins with them.
pub const RESERVED_POOL_NAMES: &[&str] = &["health", "_lb", "v1", "v1beta", "api"];

/// Identity of a key: a salted hash of the secret and its base URL. Survives reordering and
/// renaming; two entries with the same identity are one key.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyId(u64);

/// Identity of an account: of its configured name, else of its only key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AccountId(u64);

impl KeyId {
    /// The identity of `secret` at `target`.
    pub fn of(secret: &Secret, target: &Target) -> Self {
        Self(salted(
            KEY_ID_SALT,
            &[target.to_string().as_bytes(), secret.expose().as_bytes()],
        ))
    }

    /// The number itself, for hashing, for remembering it and for tests.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The one with this number, which was remembered.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The one that is shown so: 16 hexadecimal digits.
    pub fn shown(digits: &str) -> Option<Self> {
        let all = digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = u64::from_str_radix(digits, 16).ok()?;
        all.then_some(Self(number))
    }
}

impl AccountId {
    /// The number itself, for remembering it.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The one with this number, which was remembered.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The identity of the account called `name` in the pool called `pool`.
    pub fn named(pool: &str, name: &str) -> Self {
        Self(salted(ACCOUNT_ID_SALT, &[pool.as_bytes(), name.as_bytes()]))
    }

    /// The identity of the account that a provider calls `owner` (an organisation, a team).
    pub fn discovered(provider: &str, owner: &[u8]) -> Self {
        Self(salted(
            ACCOUNT_ID_SALT,
            &[b"discovered", provider.as_bytes(), owner],
        ))
    }

    /// The identity of an account of which nothing is known but one key.
    pub const fn of_key(key: KeyId) -> Self {
        Self(key.0)
    }
}

/// The first eight bytes of SHA-256 over the salt and the length-prefixed parts.
fn salted(salt: &[u8], parts: &[&[u8]]) -> u64 {
    let mut hash = Sha256::new();
    hash.update(salt);
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hash.finalize()[..8]);
    u64::from_le_bytes(first)
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountId({:016x})", self.0)
    }
}

/// One credential of a pool.
#[derive(Clone, Debug)]
pub struct Key {
    /// Who it is, whatever its position and label.
    pub id: KeyId,
    /// What people call it: in `status`, the log and `x-lb-key`. Visible ASCII.
    pub label: String,
    /// The credential.
    pub secret: Secret,
    /// Where it is sent: the pool's target unless it has one of its own.
    pub target: Arc<Target>,
    /// The outgoing HTTP proxy on the way to that target, if the environment names one.
    pub via: Option<Arc<Via>>,
    /// What its limits are counted against.
    pub account: AccountId,
    /// Its share of the sessions relative to the others; at least 1.
    pub weight: u32,
}

impl Key {
    /// Whether nobody has said which account it belongs to.
    pub fn account_is_unknown(&self) -> bool {
        self.account == AccountId::of_key(self.id)
    }
}

/// An outgoing HTTP proxy (`HTTPS_PROXY`) between us and a target.
#[derive(Clone, Debug)]
pub struct Via {
    /// Its host, without brackets round an IPv6 address.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// The value of `Proxy-Authorization`, if it wants one.
    pub authorization: Option<Secret>,
}

/// Keys that may serve the same requests.
#[derive(Clone, Debug)]
pub struct Pool {
    /// The first path segment that chooses it; empty for the default pool.
    pub name: String,
    /// Where its requests go.
    pub target: Arc<Target>,
    /// Its keys, in the order of the configuration; never empty.
    pub keys: Vec<Key>,
    /// Whose lists (of files, batches …) are shown.
    pub lists: Lists,
}

/// Whose lists are shown to a request that names nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lists {
    /// Those of the first key's account.
    #[default]
    First,
    /// Those of this key's account.
    Of(KeyId),
    /// Those of all accounts, as one.
    All,
}

/// What is allowed to talk to us.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// Host names (without port, lower case) besides the loopback ones.
    pub allowed_hosts: Vec<String>,
    /// Origins such as `http://localhost:3000` whose pages may use the proxy.
    pub allowed_origins: Vec<String>,
    /// If not empty, every request must carry one of these as its credential.
    pub client_tokens: Vec<Secret>,
    /// Whether the proxy listens beyond loopback: then a Host that is an IP address is
    /// accepted, since DNS rebinding needs a name.
    pub beyond_loopback: bool,
}

/// Waiting times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Cooldown after a 429 without a time. `None`: backoff from 1 s to 60 s.
    pub cooldown: Option<Duration>,
    /// A session unused for this long is forgotten.
    pub session_ttl: Duration,
    /// How long a request may be kept waiting for an account, at most: its client's own patience
    /// counts too. Zero: never.
    pub max_wait: Duration,
    /// How long an unused prefix stays in the provider's cache, until cached tokens say otherwise.
    /// `None`: as the provider documents it.
    pub cache_ttl: Option<Duration>,
    /// TCP and, separately, TLS handshake with an upstream.
    pub connect_timeout: Duration,
    /// From the request sent to the first byte of the answer; then 504, not resent.
    pub first_byte_timeout: Duration,
    /// Silence within a body, either way; then the exchange is aborted.
    pub idle_timeout: Duration,
    /// Silence on a WebSocket, both ways; then it is closed.
    pub websocket_idle_timeout: Duration,
    /// After a stop signal, how long running answers may take to finish.
    pub drain_timeout: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            cooldown: None,
            session_ttl: Duration::from_secs(3600),
            // The least patient of the known agents waits 60 s for the first byte.
            max_wait: Duration::from_secs(45),
            cache_ttl: None,
            connect_timeout: Duration::from_secs(5),
            // Reasoning models think for minutes before the first byte; SDKs wait 600 s.
            first_byte_timeout: Duration::from_secs(600),
            // Claude Code and Codex give a silent stream 300 s.
            idle_timeout: Duration::from_secs(300),
            // OpenAI ends its own after 60 minutes.
            websocket_idle_timeout: Duration::from_secs(3600),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// Sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request body kept so that it can be sent again; beyond, it streams through once.
    pub replay_bytes: u64,
    /// Bytes of a request body accepted at all (413).
    pub body_bytes: u64,
    /// Bytes of a request head (431).
    pub head_bytes: usize,
    /// Bytes of a request target (414).
    pub target_bytes: usize,
    /// Sessions remembered; the least recently used goes first.
    pub sessions: usize,
    /// WebSockets that are open at once; further ones are answered with 426, on which agents use
    /// plain HTTP.
    pub websockets: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Above any chat body seen (100 k tokens are about 0.5 MB, images a few MB).
            replay_bytes: 32 << 20,
            // Above the largest upload a provider takes in one request (512 MB files).
            body_bytes: 1 << 30,
            head_bytes: 64 << 10,
            target_bytes: 8 << 10,
            sessions: 100_000,
            // Each takes four buffers and two sockets; agents have one per conversation.
            websockets: 1000,
        }
    }
}

/// Whether a sub-agent's requests may be placed apart from the rest of their session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SplitSubAgents {
    /// The session decides.
    #[default]
    Never,
    /// A sub-agent whose session's home is near its limit gets a home of its own.
    Auto,
    /// Every sub-agent has a home of its own.
    Always,
}

impl SplitSubAgents {
    /// As written in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Auto => "auto",
            Self::Always => "always",
        }
    }
}

/// How conversations are told apart.
#[derive(Clone, Debug, Default)]
pub struct Recognition {
    /// Where their ids stand.
    pub ladder: Ladder,
    /// What becomes of sub-agents.
    pub split_subagents: SplitSubAgents,
}

/// How quotas of subscriptions that are counted in windows (5 h, a week) are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pacing {
    /// Whether new sessions go to the account whose window is over first: what is left of it then
    /// is lost.
    pub drain: bool,
    /// What is kept of each window for conversations that are there already, in thousandths.
    pub reserve: u16,
}

impl Pacing {
    /// Whether windows matter at all.
    pub const fn is_on(&self) -> bool {
        self.drain || self.reserve > 0
    }
}

/// Everything the engine needs to know to serve; swapped as a whole when the configuration changes.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The pool for paths that name none.
    pub default_pool: Option<Pool>,
    /// Pools chosen by the first path segment.
    pub named_pools: Vec<Pool>,
    /// Who may talk to us.
    pub guard: Guard,
    /// Waiting times.
    pub timing: Timing,
    /// Sizes.
    pub limits: Limits,
    /// How conversations are told apart.
    pub recognition: Recognition,
    /// How the windows of subscriptions are used.
    pub pacing: Pacing,
    /// Whether relayed answers carry `x-lb-key`, `x-lb-affinity` and `x-lb-attempts`.
    pub answer_headers: bool,
    /// Whether streaming chat requests are made to ask for token counts.
    pub include_usage: bool,
    /// What errors mean that the person knows better, in their order.
    pub error_rules: Vec<OwnErrorRule>,
}

impl Plan {
    /// All pools, the default one first.
    pub fn pools(&self) -> impl Iterator<Item = &Pool> {
        self.default_pool.iter().chain(&self.named_pools)
    }

    /// The pool for a request path, and the path without the segment that chose it.
    pub fn route<'p>(&self, path: &'p str) -> Option<(&Pool, &'p str)> {
        if !self.named_pools.is_empty() {
            let rest = path.strip_prefix('/').unwrap_or(path);
            let (first, tail) = rest
                .find('/')
                .map_or((rest, ""), |at| (&rest[..at], &rest[at..]));
            if let Some(pool) = self.named_pools.iter().find(|pool| pool.name == first) {
                return Some((pool, if tail.is_empty() { "/" } else { tail }));
            }
        }
        self.default_pool.as_ref().map(|pool| (pool, path))
    }

    /// A target that is this proxy itself when it listens on `port`, if there is one.
    pub fn target_at_self(&self, port: u16, bound: &[IpAddr]) -> Option<&Target> {
        self.pools()
            .flat_map(|pool| &pool.keys)
            .map(|key| &*key.target)
            .find(|target| target.port() == port && names_this_machine(target.host(), bound))
    }
}

/// Whether `host` certainly is this machine: a loopback name or address, the unspecified
/// address, or one that the proxy is bound to. A name that resolves to us is caught when connecting.
fn names_this_machine(host: &str, bound: &[IpAddr]) -> bool {
    match host.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback() || ip.is_unspecified() || bound.contains(&ip),
        Err(_) => {
            host.eq_ignore_ascii_case("localhost")
                || host.to_ascii_lowercase().ends_with(".localhost")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Arc<Target> {
        Arc::new(Target::parse(url).unwrap())
    }

    fn pool(name: &str, url: &str) -> Pool {
        let target = target(url);
        let secret = Secret::new(format!("sk-{name}"));
        let id = KeyId::of(&secret, &target);
        Pool {
            lists: Lists::First,
            name: name.into(),
            target: target.clone(),
            keys: vec![Key {
                id,
                label: "key-1".into(),
                secret,
                target,
                via: None,
                account: AccountId::of_key(id),
                weight: 1,
            }],
        }
    }

    fn plan(default: Option<Pool>, named: Vec<Pool>) -> Plan {
        Plan {
            default_pool: default,
            named_pools: named,
            guard: Guard::default(),
            timing: Timing::default(),
            limits: Limits::default(),
            recognition: Recognition::default(),
            pacing: Pacing::default(),
            answer_headers: true,
            include_usage: false,
            error_rules: Vec::new(),
        }
    }

    #[test]
    fn a_key_is_its_secret_and_base_url_and_nothing_else() {
        let secret = |text: &str| Secret::new(text.into());
        let one = target("https://one.example/v1");
        let two = target("https://two.example/v1");
        assert_eq!(KeyId::of(&secret("a"), &one), KeyId::of(&secret("a"), &one));
        assert_ne!(KeyId::of(&secret("a"), &one), KeyId::of(&secret("b"), &one));
        assert_ne!(KeyId::of(&secret("a"), &one), KeyId::of(&secret("a"), &two));
    }

    #[test]
    fn the_first_path_segment_chooses_a_named_pool() {
        let plan = plan(
            Some(pool("", "https://default.example")),
            vec![pool("zai", "https://api.z.ai")],
        );
        let route = |path: &'static str| {
            plan.route(path)
                .map(|(pool, rest)| (pool.name.as_str(), rest))
        };
        assert_eq!(route("/zai/v1/models"), Some(("zai", "/v1/models")));
        assert_eq!(route("/zai"), Some(("zai", "/")));
        assert_eq!(route("/zaire/v1"), Some(("", "/zaire/v1")));
        assert_eq!(route("/v1/models"), Some(("", "/v1/models")));
    }

    #[test]
    fn without_a_default_pool_an_unknown_segment_routes_nowhere() {
        let plan = plan(None, vec![pool("zai", "https://api.z.ai")]);
        assert!(plan.route("/v1/models").is_none());
        assert!(plan.route("/zai/v1/models").is_some());
    }

    #[test]
    fn a_target_that_is_the_proxy_itself_is_found() {
        for url in [
            "http://127.0.0.1:4577/v1",
            "http://localhost:4577",
            "http://[::1]:4577",
            "http://0.0.0.0:4577",
        ] {
            let plan = plan(Some(pool("", url)), Vec::new());
            assert!(plan.target_at_self(4577, &[]).is_some(), "{url}");
            assert!(plan.target_at_self(4578, &[]).is_none(), "{url}");
        }
        let plan = plan(Some(pool("", "http://10.0.0.7:4577")), Vec::new());
        assert!(plan.target_at_self(4577, &[]).is_none());
        assert!(
            plan.target_at_self(4577, &["10.0.0.7".parse().unwrap()])
                .is_some()
        );
    }
}
