//! Configuration of a mock, and its start.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::canned::Canned;
use crate::limits::Account;
use crate::mock::Mock;

/// Most output tokens a request can ask for. Clients routinely allow 32 000; a mock that wrote
/// them all would make every test slow.
const MAX_OUTPUT_TOKENS: u32 = 256;
/// Output tokens of a request that sets no limit.
const OUTPUT_TOKENS: u32 = 32;
/// Life of a cached prompt since its last use, as OpenAI and Anthropic document it.
const CACHE_TTL: Duration = Duration::from_secs(300);
/// Smallest prompt that is cached, in tokens, as both document it for most models.
const CACHE_MIN_TOKENS: u64 = 1_024;
/// Size of a cache block in tokens.
const CACHE_BLOCK_TOKENS: usize = 64;
/// Cached blocks per account: 16 million tokens, some 6 MB.
const CACHE_ENTRIES: usize = 256 * 1024;
/// Bytes kept of a recorded body.
const RECORD_BODY_BYTES: usize = 4 * 1024 * 1024;

/// Everything a mock is told before it starts.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) accounts: Vec<Account>,
    pub(crate) models: Vec<String>,
    pub(crate) record: usize,
    pub(crate) record_body_bytes: usize,
    pub(crate) cache_ttl: Duration,
    pub(crate) cache_min_tokens: u64,
    pub(crate) cache_block_tokens: usize,
    pub(crate) cache_entries: usize,
    pub(crate) head_delay: Duration,
    pub(crate) prefill: Duration,
    pub(crate) event_delay: Duration,
    pub(crate) output_tokens: u32,
    pub(crate) max_output_tokens: u32,
    pub(crate) keeps_objects: bool,
}

/// Builds a [`Mock`]. Every setting has a default; see the methods.
#[derive(Debug, Clone)]
pub struct Builder {
    config: Config,
    bind: SocketAddr,
    threads: usize,
    tls: Option<(Vec<u8>, Vec<u8>)>,
    canned: Option<Canned>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            config: Config {
                accounts: Vec::new(),
                models: vec!["mock-large".to_owned(), "mock-small".to_owned()],
                record: 0,
                record_body_bytes: RECORD_BODY_BYTES,
                cache_ttl: CACHE_TTL,
                cache_min_tokens: CACHE_MIN_TOKENS,
                cache_block_tokens: CACHE_BLOCK_TOKENS,
                cache_entries: CACHE_ENTRIES,
                head_delay: Duration::ZERO,
                prefill: Duration::ZERO,
                event_delay: Duration::ZERO,
                output_tokens: OUTPUT_TOKENS,
                max_output_tokens: MAX_OUTPUT_TOKENS,
                keeps_objects: false,
            },
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            threads: 1,
            tls: None,
            canned: None,
        }
    }
}

impl Builder {
    /// Adds an account. A key given to two accounts belongs to the last.
    #[must_use]
    pub fn account(mut self, account: Account) -> Self {
        self.config.accounts.push(account);
        self
    }

    /// Adds a model to `GET …/models` (default `mock-large`, `mock-small`). Calls may name any
    /// model, listed or not.
    #[must_use]
    pub fn model(mut self, id: impl Into<String>) -> Self {
        self.config.models.push(id.into());
        self
    }

    /// Keeps the last `requests` requests. Default 0.
    #[must_use]
    pub fn record(mut self, requests: usize) -> Self {
        self.config.record = requests;
        self
    }

    /// Keeps at most this many bytes of a recorded body. Default 4 MiB.
    #[must_use]
    pub fn record_body_bytes(mut self, bytes: usize) -> Self {
        self.config.record_body_bytes = bytes;
        self
    }

    /// How long a cached prompt lives after its last use. Default 5 minutes.
    #[must_use]
    pub fn cache_ttl(mut self, ttl: Duration) -> Self {
        self.config.cache_ttl = ttl;
        self
    }

    /// The smallest prompt, and the smallest hit, that is cached, in tokens. Default 1024.
    #[must_use]
    pub fn cache_min_tokens(mut self, tokens: u64) -> Self {
        self.config.cache_min_tokens = tokens;
        self
    }

    /// The size of a cache block in tokens (of 4 bytes); hits are multiples of it. Default 64.
    #[must_use]
    pub fn cache_block_tokens(mut self, tokens: usize) -> Self {
        self.config.cache_block_tokens = tokens.max(1);
        self
    }

    /// Cached blocks per account; the ones unused for longest go first. Default 262 144.
    #[must_use]
    pub fn cache_entries(mut self, entries: usize) -> Self {
        self.config.cache_entries = entries.max(1);
        self
    }

    /// Wait before the head of every answer to a model call. Default none.
    #[must_use]
    pub fn head_delay(mut self, delay: Duration) -> Self {
        self.config.head_delay = delay;
        self
    }

    /// Further wait before the head, per 1000 prompt tokens that are not cached. Default none.
    #[must_use]
    pub fn prefill(mut self, per_1k_tokens: Duration) -> Self {
        self.config.prefill = per_1k_tokens;
        self
    }

    /// Wait between two events of a stream. Default none.
    #[must_use]
    pub fn event_delay(mut self, delay: Duration) -> Self {
        self.config.event_delay = delay;
        self
    }

    /// Length of an answer whose request sets no maximum, in tokens. Default 32.
    #[must_use]
    pub fn output_tokens(mut self, tokens: u32) -> Self {
        self.config.output_tokens = tokens;
        self.config.max_output_tokens = self.config.max_output_tokens.max(tokens);
        self
    }

    /// Longest answer, in tokens, whatever the request allows. Default 256.
    #[must_use]
    pub fn max_output_tokens(mut self, tokens: u32) -> Self {
        self.config.max_output_tokens = tokens;
        self
    }

    /// Keeps files, batches, responses and so on, each for the account that made them; a call that
    /// names what its account does not have is refused. Default off.
    #[must_use]
    pub fn keeps_objects(mut self) -> Self {
        self.config.keeps_objects = true;
        self
    }

    /// Threads, each with its own runtime. Default 1.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Where to listen. Default `127.0.0.1:0`, a free port.
    #[must_use]
    pub fn bind(mut self, address: SocketAddr) -> Self {
        self.bind = address;
        self
    }

    /// Serves TLS with this PEM certificate chain and private key.
    #[must_use]
    pub fn tls(mut self, cert_pem: &[u8], key_pem: &[u8]) -> Self {
        self.tls = Some((cert_pem.to_vec(), key_pem.to_vec()));
        self
    }

    /// Answers everything with prebuilt bytes.
    #[must_use]
    pub fn canned(mut self, canned: Canned) -> Self {
        self.canned = Some(canned);
        self
    }

    /// Starts the mock on its own threads; it is listening when this returns.
    ///
    /// # Errors
    /// The address cannot be bound, a thread cannot be started, or certificate or key are invalid
    /// (`InvalidInput`).
    pub fn start(self) -> io::Result<Mock> {
        Mock::start(
            self.config,
            self.bind,
            self.threads,
            self.tls,
            self.canned.as_ref(),
        )
    }
}
