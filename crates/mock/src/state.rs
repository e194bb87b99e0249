//! What all connections share: accounts, faults, counters, recordings, behind one lock that is
//! held for short computations only and never across I/O.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::answer::Headers;
use crate::builder::Config;
use crate::cache::PromptCache;
use crate::call::Call;
use crate::clock::unix_seconds;
use crate::counters::{Counters, KeyCounters, Recorded};
use crate::dialect::words::mix;
use crate::dialect::{Dialect, Usage, error};
use crate::fault::{FaultKind, FaultTable};
use crate::head::{Credential, Head};
use crate::limits::{Charge, Limits, Meter, Refusal};
use crate::objects::Objects;
use crate::stub::Stub;

/// Unknown keys counted one by one; later ones are counted under [`OTHER_KEYS`], so that a fuzzer
/// cannot fill the memory.
const MAX_UNKNOWN_KEYS: usize = 1_024;
const OTHER_KEYS: &str = "(other unknown keys)";

#[derive(Debug)]
pub(crate) struct AccountState {
    pub(crate) name: String,
    pub(crate) meter: Meter,
    cache: PromptCache,
    objects: Objects,
    counters: KeyCounters,
}

/// Everything behind the lock.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) accounts: Vec<AccountState>,
    owners: HashMap<String, usize>,
    keys: HashMap<String, KeyCounters>,
    pub(crate) faults: FaultTable,
    pub(crate) stubs: Arc<[Stub]>,
    pub(crate) records: VecDeque<Recorded>,
    requests: u64,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) config: Config,
    inner: Mutex<Inner>,
    pub(crate) started: Instant,
    id_seed: u64,
    ids: AtomicU64,
    accepted: AtomicU64,
    closed: AtomicU64,
    canned: AtomicU64,
}

/// An admitted call: what it reads from the cache, and what the account has left.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) usage: Usage,
    pub(crate) headers: Headers,
}

/// A call over a limit.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) refusal: Refusal,
    pub(crate) headers: Headers,
}

impl State {
    pub(crate) fn new(config: Config) -> Self {
        let started = Instant::now();
        let mut inner = Inner {
            accounts: Vec::new(),
            owners: HashMap::new(),
            keys: HashMap::new(),
            faults: FaultTable::default(),
            stubs: Arc::default(),
            records: VecDeque::new(),
            requests: 0,
        };
        for (index, account) in config.accounts.iter().enumerate() {
            inner.accounts.push(AccountState {
                name: account.name.clone(),
                meter: Meter::new(account.limits, started),
                cache: PromptCache::default(),
                objects: Objects::default(),
                counters: KeyCounters::default(),
            });
            for key in &account.keys {
                inner.owners.insert(key.clone(), index);
                inner.keys.insert(key.clone(), KeyCounters::default());
            }
        }
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            config,
            inner: Mutex::new(inner),
            started,
            id_seed: since.as_nanos() as u64,
            ids: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            canned: AtomicU64::new(0),
        }
    }

    /// A panic elsewhere cannot leave the state half-changed in a way that matters to a test, so a
    /// poisoned lock is used on.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// 24 hex digits, unique in this mock and unlikely to repeat in another.
    pub(crate) fn next_id(&self) -> String {
        let number = self.ids.fetch_add(1, Ordering::Relaxed);
        format!(
            "{:016x}{:08x}",
            mix(self.id_seed ^ number),
            number & 0xffff_ffff
        )
    }

    /// The number of a new connection, from 1.
    pub(crate) fn connection_opened(&self) -> u64 {
        self.accepted.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn connection_closed(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn canned_answered(&self, count: u64) {
        self.canned.fetch_add(count, Ordering::Relaxed);
    }

    /// Takes note of a request whose head has been read, and picks the fault that strikes it.
    pub(crate) fn arrive(
        self: &Arc<Self>,
        head: &Head,
        connection: u64,
        keys_seen: &mut Vec<String>,
    ) -> (Ticket, Option<FaultKind>) {
        let credentials = head.credentials();
        let key = credentials.first().map(|credential| credential.key.clone());
        let name = key.clone().unwrap_or_default();
        let mut inner = self.lock();
        inner.requests += 1;
        let number = inner.requests;
        let account = inner.owners.get(&name).copied();
        let crowded = !inner.keys.contains_key(&name) && inner.keys.len() >= MAX_UNKNOWN_KEYS;
        let name = if crowded { OTHER_KEYS.to_owned() } else { name };
        let new_account = !keys_seen
            .iter()
            .any(|seen| account.is_some() && inner.owners.get(seen).copied() == account);
        let new_key = !keys_seen.contains(&name);
        if new_key {
            keys_seen.push(name.clone());
        }
        let counters = inner.keys.entry(name.clone()).or_default();
        counters.requests += 1;
        counters.in_flight += 1;
        counters.connections += u64::from(new_key);
        if let Some(account) = account.and_then(|index| inner.accounts.get_mut(index)) {
            account.counters.requests += 1;
            account.counters.in_flight += 1;
            account.counters.connections += u64::from(new_account);
        }
        let fault = inner
            .faults
            .strike(key.as_deref().unwrap_or_default(), &head.target);
        drop(inner);
        let ticket = Ticket {
            state: Arc::clone(self),
            arrived: Instant::now(),
            number,
            connection,
            credentials,
            key,
            counted_as: name,
            account,
            holds_slot: false,
            open: true,
        };
        (ticket, fault)
    }

    /// Replaces the limits of an account; false if there is none of that name.
    pub(crate) fn set_limits(&self, name: &str, limits: Limits) -> bool {
        let mut inner = self.lock();
        let found = inner
            .accounts
            .iter_mut()
            .find(|account| account.name == name);
        found
            .map(|account| account.meter.set(limits, Instant::now()))
            .is_some()
    }

    /// The limits of an account.
    pub(crate) fn limits(&self, name: &str) -> Option<Limits> {
        let inner = self.lock();
        inner
            .accounts
            .iter()
            .find(|account| account.name == name)
            .map(|found| found.meter.limits)
    }

    /// Forgets counters, caches, faults, stubs and recordings, and refills every bucket.
    pub(crate) fn reset(&self) {
        let now = Instant::now();
        let mut inner = self.lock();
        inner.faults.clear();
        inner.stubs = Arc::default();
        inner.records.clear();
        inner.keys.values_mut().for_each(KeyCounters::reset);
        for account in &mut inner.accounts {
            account.counters.reset();
            account.cache.clear();
            account.objects.clear();
            account.meter.set(account.meter.limits, now);
        }
        self.canned.store(0, Ordering::Relaxed);
    }

    pub(crate) fn counters(&self) -> Counters {
        let inner = self.lock();
        let mut total = KeyCounters::default();
        for counters in inner.keys.values() {
            total.requests += counters.requests;
            for (status, count) in &counters.by_status {
                *total.by_status.entry(*status).or_default() += count;
            }
            total.prompt_tokens += counters.prompt_tokens;
            total.cached_tokens += counters.cached_tokens;
            total.output_tokens += counters.output_tokens;
            total.refused += counters.refused;
            total.in_flight += counters.in_flight;
            total.client_gone += counters.client_gone;
        }
        total.requests += self.canned.load(Ordering::Relaxed);
        // Closed first: read the other way round, a connection could count as closed but never
        // opened.
        let closed = self.closed.load(Ordering::Relaxed);
        let connections = self.accepted.load(Ordering::Relaxed);
        total.connections = connections;
        Counters {
            total,
            keys: inner
                .keys
                .iter()
                .map(|(key, counters)| (key.clone(), counters.clone()))
                .collect(),
            accounts: inner
                .accounts
                .iter()
                .map(|account| (account.name.clone(), account.counters.clone()))
                .collect(),
            connections,
            open_connections: connections.saturating_sub(closed),
        }
    }
}

/// A request from the reading of its head to the end of its answer. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Ticket {
    state: Arc<State>,
    pub(crate) arrived: Instant,
    number: u64,
    connection: u64,
    credentials: Vec<Credential>,
    pub(crate) key: Option<String>,
    counted_as: String,
    account: Option<usize>,
    holds_slot: bool,
    open: bool,
}

impl Ticket {
    pub(crate) fn has_account(&self) -> bool {
        self.account.is_some()
    }

    pub(crate) fn account_name(&self) -> Option<&str> {
        Some(self.state.config.accounts.get(self.account?)?.name.as_str())
    }

    fn count(&self, inner: &mut Inner, change: impl Fn(&mut KeyCounters)) {
        if let Some(counters) = inner.keys.get_mut(&self.counted_as) {
            change(counters);
        }
        if let Some(account) = self.account.and_then(|index| inner.accounts.get_mut(index)) {
            change(&mut account.counters);
        }
    }

    /// Records the request, if requests are recorded.
    pub(crate) fn record(&self, head: &Head, body: &crate::connection::RequestBody) {
        let config = &self.state.config;
        if config.record == 0 {
            return;
        }
        let kept = body.bytes.len().min(config.record_body_bytes);
        let whole = kept == body.bytes.len();
        let recorded = Recorded {
            number: self.number,
            connection: self.connection,
            arrived_ms: (self.arrived - self.state.started).as_millis() as u64,
            method: head.method.clone(),
            target: head.target.clone(),
            headers: head.headers.clone(),
            head: head.raw.clone(),
            // A slice would keep the whole body in memory.
            body: if whole {
                body.bytes.clone()
            } else {
                bytes::Bytes::copy_from_slice(&body.bytes[..kept])
            },
            body_bytes: body.bytes.len() as u64,
            body_xxh3: xxhash_rust::xxh3::xxh3_64(&body.bytes),
            body_complete: body.complete,
            trailers: body.trailers.clone(),
            key: self.key.clone(),
            account: self.account_name().map(str::to_owned),
            credentials: self.credentials.clone(),
        };
        let mut inner = self.state.lock();
        while inner.records.len() >= config.record {
            inner.records.pop_front();
        }
        inner.records.push_back(recorded);
    }

    /// Charges a call to its account and looks its prompt up in the cache.
    pub(crate) fn admit(&mut self, dialect: Dialect, call: &Call) -> Result<Admission, Refused> {
        let config = &self.state.config;
        let mut inner = self.state.lock();
        let Some(account) = self.account.and_then(|index| inner.accounts.get_mut(index)) else {
            return Ok(Admission {
                usage: Usage::default(),
                headers: Headers::default(),
            });
        };
        let cacheable = call.prompt.tokens >= config.cache_min_tokens;
        let blocks = if cacheable {
            call.prompt.blocks.as_slice()
        } else {
            &[]
        };
        let block_tokens = config.cache_block_tokens as u64;
        let hit = account.cache.prefix(blocks, self.arrived, config.cache_ttl) as u64;
        let whole = blocks.len() as u64 * block_tokens;
        let hit = hit * block_tokens;
        let cached = if hit >= config.cache_min_tokens {
            hit
        } else {
            0
        };
        let usage = Usage {
            prompt: call.prompt.tokens,
            cached,
            written: whole - cached,
            output: call.output_tokens,
        };
        let charge = Charge {
            dialect,
            prompt: usage.prompt,
            cached,
            output: usage.output,
        };
        let admitted = account.meter.admit(charge, Instant::now());
        let headers = error::limit_headers(dialect, &account.meter, SystemTime::now());
        match admitted {
            Ok(()) => {
                self.holds_slot = true;
                Ok(Admission { usage, headers })
            }
            Err(refusal) => Err(Refused { refusal, headers }),
        }
    }

    /// What its account keeps.
    pub(crate) fn objects<R>(&self, ask: impl FnOnce(&mut Objects) -> R) -> Option<R> {
        let mut inner = self.state.lock();
        let account = inner.accounts.get_mut(self.account?)?;
        Some(ask(&mut account.objects))
    }

    /// Its account has made this credential for a client.
    pub(crate) fn issue(&self, credential: String) {
        if let Some(account) = self.account {
            self.state.lock().owners.insert(credential, account);
        }
    }

    /// A call's answer begins: from here on its prompt is cached.
    pub(crate) fn begin(&self, call: &Call, usage: Usage) {
        let config = &self.state.config;
        let mut inner = self.state.lock();
        if call.prompt.tokens >= config.cache_min_tokens
            && let Some(account) = self.account.and_then(|index| inner.accounts.get_mut(index))
        {
            let blocks = &call.prompt.blocks;
            account
                .cache
                .touch(blocks, self.arrived, config.cache_ttl, config.cache_entries);
        }
        self.count(&mut inner, |counters| {
            counters.prompt_tokens += usage.prompt;
            counters.cached_tokens += usage.cached;
            counters.output_tokens += usage.output;
        });
    }

    /// An answer with this status begins.
    pub(crate) fn status(&self, status: u16) {
        self.count(&mut self.state.lock(), |counters| {
            *counters.by_status.entry(status).or_default() += 1;
            counters.refused += u64::from(status == 429);
        });
    }

    /// The client left before the end of the answer.
    pub(crate) fn client_gone(&self) {
        self.count(&mut self.state.lock(), |counters| counters.client_gone += 1);
    }

    /// The answer is complete but for its last write. Called before that write, so that a client
    /// which has read the answer never finds its own request in flight.
    pub(crate) fn finish(&mut self) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        let mut inner = self.state.lock();
        self.count(&mut inner, |counters| {
            counters.in_flight = counters.in_flight.saturating_sub(1);
        });
        if self.holds_slot
            && let Some(account) = self.account.and_then(|index| inner.accounts.get_mut(index))
        {
            account.meter.release();
        }
    }

    /// Time since the request arrived.
    pub(crate) fn elapsed(&self) -> Duration {
        self.arrived.elapsed()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Seconds since the Unix epoch.
pub(crate) fn now_seconds() -> u64 {
    unix_seconds(SystemTime::now())
}
