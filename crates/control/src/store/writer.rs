//! The thread that writes: what has changed twice a second, what is left when the process ends.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use api_key_lb_core::policy::memory::Memory;
use api_key_lb_core::{KeyId, Moment};
use rusqlite::Connection;

use super::tally::{Counts, SessionCounts, SessionSlot, Slot, Tally};
use super::tidy::Retention;
use super::{Setup, Source, StoreError, by_session, file, rows, tidy, time, usage};

/// Between two transactions: with the time that one takes, a crash loses less than a second.
const EVERY: Duration = Duration::from_millis(500);
/// Rows for which the policy is locked at a time: 10 µs (`bench/deciding`).
const ROWS_AT_A_TIME: usize = 64;
/// Between two times, so that requests which wait for the policy come first.
const GIVE_WAY: Duration = Duration::from_micros(50);
/// Rows of one transaction.
const ROWS: usize = 8_192;
/// After a failure: a full disk is not emptied faster, and a lock lasts no longer.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// Between two rounds of tidying up.
const TIDY_EVERY: Duration = Duration::from_secs(600);
/// How long ending may take: a disk that hangs must not keep the process.
const FINISH: Duration = Duration::from_secs(3);
/// Names of models that are known from before.
const MODELS: usize = 1_000;

/// How the store is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Bytes on disk.
    pub bytes: u64,
    /// What keeps it from being written, since the last time that it could be.
    pub problem: Option<String>,
}

/// A store that is being written.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    tally: Arc<Tally>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Until the thread runs.
    writer: Option<Writer>,
}

#[derive(Debug, Default)]
struct Shared {
    wishes: Mutex<Wishes>,
    /// Told when a wish was made, and when it has come true.
    told: Condvar,
    standing: Mutex<Standing>,
}

#[derive(Debug, Default)]
struct Wishes {
    end: bool,
    /// How often somebody has asked for everything to be written, and how often it was.
    asked: u64,
    done: u64,
    /// What has changed of what it was opened with.
    follow: Option<(Retention, Vec<(KeyId, String)>)>,
    /// From the next time on, only usage is written.
    only_usage: bool,
}

impl Store {
    /// Opens the store and reads what is remembered; nothing if it cannot be used now, which is
    /// then tried again and again. `warn` is told, also later on, of what a person should know.
    pub fn open(setup: Setup, now: Moment, warn: impl Fn(&str) + Send + 'static) -> (Self, Memory) {
        let (path, tally) = (setup.path.clone(), Arc::new(Tally::default()));
        let shared = Arc::new(Shared::default());
        let mut writer = Writer::new(setup, tally.clone(), shared.clone(), Box::new(warn));
        let memory = writer.open_and_read(now);
        let store = Self {
            path,
            tally,
            shared,
            thread: None,
            writer: Some(writer),
        };
        (store, memory)
    }

    /// Begins to write what changes.
    ///
    /// # Errors
    /// If there can be no further thread.
    pub fn start(&mut self, source: impl Source) -> io::Result<()> {
        if let Some(writer) = self.writer.take() {
            let thread = std::thread::Builder::new().name("store".to_owned());
            self.thread = Some(thread.spawn(move || writer.run(&source))?);
        }
        Ok(())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where facts are counted.
    pub const fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// How it is, now and whenever it is asked.
    pub fn standing(&self) -> impl Fn() -> Standing + Send + Sync + 'static {
        let shared = self.shared.clone();
        move || lock(&shared.standing).clone()
    }

    /// Has everything written that has changed until now, and waits for that: not for long. Whether
    /// it was done by then.
    pub fn flush(&self) -> bool {
        if self.thread.is_none() {
            return false;
        }
        let mut wishes = lock(&self.shared.wishes);
        wishes.asked += 1;
        let asked = wishes.asked;
        self.shared.told.notify_all();
        let waited = self
            .shared
            .told
            .wait_timeout_while(wishes, FINISH, |wishes| wishes.done < asked);
        let (wishes, _) = waited.unwrap_or_else(PoisonError::into_inner);
        wishes.done >= asked
    }

    /// From now on keys are called so, and things are kept for so long.
    pub fn follow(&self, retention: Retention, labels: Vec<(KeyId, String)>) {
        lock(&self.shared.wishes).follow = Some((retention, labels));
    }

    /// Another process has the file from now on: writes what is left, and then nothing but usage,
    /// which adds up.
    pub fn leave_to_another(&self) {
        lock(&self.shared.wishes).only_usage = true;
        self.flush();
    }

    /// Writes what is left and ends.
    pub fn finish(mut self) {
        lock(&self.shared.wishes).end = true;
        // A disk that hangs keeps the thread, but not the process.
        if self.flush()
            && let Some(thread) = self.thread.take()
        {
            // If it panicked, it has printed its message.
            let _ = thread.join();
        }
    }
}

/// What is wished for when it is time.
struct Turn {
    asked: u64,
    end: bool,
    only_usage: bool,
    follow: Option<(Retention, Vec<(KeyId, String)>)>,
}

/// Tells a person.
struct Warn(Box<dyn Fn(&str) + Send>);

impl std::fmt::Debug for Warn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Warn")
    }
}

/// What the thread has.
#[derive(Debug)]
pub(super) struct Writer {
    setup: Setup,
    connection: Option<Connection>,
    /// Rows that were taken and could not be written.
    pending: Memory,
    tally: Arc<Tally>,
    shared: Arc<Shared>,
    warn: Warn,
    /// When to try again, after a failure.
    try_again: Option<Instant>,
    tidied: Instant,
    /// Which file the connection is to.
    which: Option<(u64, u64)>,
    /// Whether the file does not say yet what keys are called.
    unnamed: bool,
    /// Whether the file was lost with all that was in it.
    lost: bool,
    only_usage: bool,
}

impl Writer {
    fn new(
        setup: Setup,
        tally: Arc<Tally>,
        shared: Arc<Shared>,
        warn: Box<dyn Fn(&str) + Send>,
    ) -> Self {
        Self {
            setup,
            connection: None,
            pending: Memory::default(),
            tally,
            shared,
            warn: Warn(warn),
            try_again: None,
            tidied: Instant::now(),
            which: None,
            unnamed: true,
            lost: false,
            only_usage: false,
        }
    }

    fn run(mut self, source: &impl Source) {
        loop {
            let Turn {
                asked,
                end,
                only_usage,
                follow,
            } = self.wait();
            if let Some((retention, labels)) = follow {
                (self.setup.retention, self.setup.labels) = (retention, labels);
                self.unnamed = true;
            }
            self.write_all(source, end);
            if only_usage && !self.only_usage {
                self.only_usage = true;
                // It is old by now.
                self.pending = Memory::default();
            }
            let mut wishes = lock(&self.shared.wishes);
            wishes.done = wishes.done.max(asked);
            let stops = end && wishes.asked == asked;
            drop(wishes);
            if stops {
                // The last connection that is closed leaves no log behind.
                self.connection = None;
            }
            self.shared.told.notify_all();
            if stops {
                return;
            }
        }
    }

    /// Until it is time, or somebody asks.
    fn wait(&self) -> Turn {
        let wishes = lock(&self.shared.wishes);
        let (mut wishes, _) = self
            .shared
            .told
            .wait_timeout_while(wishes, EVERY, |wishes| wishes.asked == wishes.done)
            .unwrap_or_else(PoisonError::into_inner);
        Turn {
            asked: wishes.asked,
            end: wishes.end,
            only_usage: wishes.only_usage,
            follow: wishes.follow.take(),
        }
    }

    fn open_and_read(&mut self, now: Moment) -> Memory {
        let retention = self.setup.retention;
        for _ in 0..2 {
            if let Err(error) = self.open(now) {
                self.fails(&error.to_string());
                return Memory::default();
            }
            let Some(connection) = &self.connection else {
                return Memory::default();
            };
            let since = now.unix_millis().saturating_sub(
                u64::try_from(retention.session_ttl.as_millis()).unwrap_or(u64::MAX),
            );
            let since = Moment::from_unix_millis(since);
            let read = rows::read(connection, since, retention.sessions)
                .and_then(|memory| Ok((memory, usage::models(connection, MODELS)?)));
            match read {
                Ok((memory, models)) => {
                    self.tally.know(models);
                    self.lost = false;
                    return memory;
                }
                Err(error) if file::is_damage(&error) => self.replace(&error.to_string(), now),
                Err(source) => {
                    self.connection = None;
                    self.fails(&self.failed(source).to_string());
                    return Memory::default();
                }
            }
        }
        Memory::default()
    }

    fn open(&mut self, now: Moment) -> Result<(), StoreError> {
        let path = &self.setup.path;
        let connection = if self.only_usage {
            file::open_to_add(path)?
        } else {
            let (connection, words) = file::open(path, now)?;
            if let Some(words) = words {
                (self.warn.0)(&words);
            }
            connection
        };
        self.which = file::which(path);
        self.unnamed = true;
        self.connection = Some(connection);
        self.shared.stands(&self.setup.path, None);
        Ok(())
    }

    /// Puts the file aside that turned out to be damaged; another one is made next time.
    fn replace(&mut self, why: &str, now: Moment) {
        self.connection = None;
        self.lost = true;
        match file::set_aside(&self.setup.path, "corrupt", now) {
            Ok(aside) => (self.warn.0)(&format!(
                "the store `{}` is damaged ({why}); it is now `{}`, and an empty one takes its place",
                self.setup.path.display(),
                aside.display()
            )),
            Err(error) => self.fails(&error.to_string()),
        }
    }

    /// Says once that it does not work, and when it is tried again.
    fn fails(&mut self, why: &str) {
        self.try_again = Some(Instant::now() + TRY_AGAIN);
        let said = lock(&self.shared.standing).problem.is_some();
        if !said {
            (self.warn.0)(&format!(
                "{why}; what is learned from now on is kept in memory only, and this is tried again \
                 every {} s",
                TRY_AGAIN.as_secs()
            ));
        }
        self.shared.stands(&self.setup.path, Some(why.to_owned()));
    }

    fn write_all(&mut self, source: &impl Source, is_last: bool) {
        if let Some(at) = self.try_again
            && Instant::now() < at
            && !is_last
        {
            return;
        }
        let mut replaced = false;
        loop {
            let now = source.now();
            // One that somebody has removed would be written to without anybody ever reading it.
            if self.connection.is_some() && self.which != file::which(&self.setup.path) {
                self.connection = None;
                self.lost = true;
            }
            if self.connection.is_none()
                && let Err(error) = self.open(now)
            {
                self.fails(&error.to_string());
                return;
            }
            if std::mem::take(&mut self.lost) && !self.only_usage {
                source.forgotten();
            }
            let full = !self.only_usage && self.take(source);
            let (counts, sessions) = (self.tally.take(), self.tally.take_sessions());
            let unnamed = self.unnamed && !self.only_usage;
            let has_changed = !self.pending.is_empty() || !counts.is_empty() || unnamed;
            if !has_changed && self.try_again.is_none() {
                break;
            }
            match self.write(&counts, &sessions, now) {
                Ok(()) => {
                    self.pending = Memory::default();
                    self.works();
                }
                Err(error) => {
                    self.tally.give_back(counts);
                    self.tally.give_back_sessions(sessions);
                    if file::is_corrupt(&error) && !self.only_usage && !replaced {
                        replaced = true;
                        self.replace(&error.to_string(), now);
                        continue;
                    }
                    self.fails(&self.failed(error).to_string());
                    return;
                }
            }
            if !full {
                break;
            }
        }
        if self.tidied.elapsed() >= TIDY_EVERY
            && !self.only_usage
            && let Some(connection) = &mut self.connection
        {
            self.tidied = Instant::now();
            // Whatever fails here fails at the next write too, and is said then.
            let _ = tidy::tidy(connection, &self.setup.retention, source.now());
            self.shared.stands(&self.setup.path, None);
        }
    }

    /// Takes rows from the policy until there are enough; whether there may be more.
    fn take(&mut self, source: &impl Source) -> bool {
        while self.pending.len() < ROWS {
            let rows = source.changes(ROWS_AT_A_TIME);
            let more = rows.len() >= ROWS_AT_A_TIME;
            self.pending.append(rows);
            if !more {
                return false;
            }
            std::thread::sleep(GIVE_WAY);
        }
        true
    }

    fn write(
        &mut self,
        counts: &HashMap<Slot, Counts>,
        sessions: &HashMap<SessionSlot, SessionCounts>,
        now: Moment,
    ) -> rusqlite::Result<()> {
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        let transaction = connection.transaction()?;
        rows::write(&transaction, &self.pending, now)?;
        usage::add(&transaction, counts)?;
        by_session::add(&transaction, sessions)?;
        if self.unnamed && !self.only_usage {
            usage::name(&transaction, &self.setup.labels, time::stored(now))?;
        }
        transaction.commit()?;
        self.unnamed = false;
        Ok(())
    }

    fn failed(&self, source: rusqlite::Error) -> StoreError {
        StoreError::Sql {
            path: self.setup.path.clone(),
            source,
        }
    }

    fn works(&mut self) {
        if self.try_again.take().is_some() {
            (self.warn.0)(&format!(
                "the store `{}` can be written again",
                self.setup.path.display()
            ));
        }
        self.shared.stands(&self.setup.path, None);
    }
}

impl Shared {
    fn stands(&self, path: &Path, problem: Option<String>) {
        let bytes = file::bytes(path);
        *lock(&self.standing) = Standing { bytes, problem };
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod by_hand;
#[cfg(test)]
pub(super) use by_hand::for_tests;
