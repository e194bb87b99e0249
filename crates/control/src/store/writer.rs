//! The thread that writes: what has changed twice a second, what is left when the process ends.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use api_key_lb_core::Moment;
use api_key_lb_core::policy::memory::Memory;
use rusqlite::Connection;

use super::tally::{Counts, Slot, Tally};
use super::{Setup, Source, StoreError, file, rows, tidy, time, usage};

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
        }
    }

    fn run(mut self, source: &impl Source) {
        loop {
            let (asked, end) = self.wait();
            self.write_all(source, end);
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

    /// Until it is time, or somebody asks; how often they have, and whether it is the end.
    fn wait(&self) -> (u64, bool) {
        let wishes = lock(&self.shared.wishes);
        let (wishes, _) = self
            .shared
            .told
            .wait_timeout_while(wishes, EVERY, |wishes| wishes.asked == wishes.done)
            .unwrap_or_else(PoisonError::into_inner);
        (wishes.asked, wishes.end)
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
                    return memory;
                }
                // What cannot be read any more can only be damaged: tables of our version are ours.
                Err(error) => self.replace(&error.to_string(), now),
            }
        }
        Memory::default()
    }

    fn open(&mut self, now: Moment) -> Result<(), StoreError> {
        let (mut connection, words) = file::open(&self.setup.path, now)?;
        if let Some(words) = words {
            (self.warn.0)(&words);
        }
        let labels = &self.setup.labels;
        let noted = (|| {
            let transaction = connection.transaction()?;
            usage::name(&transaction, labels, time::stored(now))?;
            transaction.commit()
        })();
        noted.map_err(|source| StoreError::Sql {
            path: self.setup.path.clone(),
            source,
        })?;
        self.connection = Some(connection);
        self.shared.stands(&self.setup.path, None);
        Ok(())
    }

    /// Puts the file aside that turned out to be damaged; another one is made next time.
    fn replace(&mut self, why: &str, now: Moment) {
        self.connection = None;
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
        loop {
            let now = source.now();
            // One that somebody has removed would be written to without anybody ever reading it.
            if self.connection.is_some() && !self.setup.path.exists() {
                self.connection = None;
            }
            if self.connection.is_none()
                && let Err(error) = self.open(now)
            {
                self.fails(&error.to_string());
                return;
            }
            let full = self.take(source);
            let counts = self.tally.take();
            if self.pending.is_empty() && counts.is_empty() && self.try_again.is_none() {
                break;
            }
            match self.write(&counts, now) {
                Ok(()) => {
                    self.pending = Memory::default();
                    self.works();
                }
                Err(error) => {
                    self.tally.give_back(counts);
                    if file::is_corrupt(&error) {
                        self.replace(&error.to_string(), now);
                    } else {
                        let path = self.setup.path.clone();
                        let error = StoreError::Sql {
                            path,
                            source: error,
                        };
                        self.fails(&error.to_string());
                    }
                    return;
                }
            }
            if !full {
                break;
            }
        }
        if self.tidied.elapsed() >= TIDY_EVERY
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

    fn write(&mut self, counts: &HashMap<Slot, Counts>, now: Moment) -> rusqlite::Result<()> {
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        let transaction = connection.transaction()?;
        rows::write(&transaction, &self.pending, now)?;
        usage::add(&transaction, counts)?;
        transaction.commit()
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

/// A writer without a thread, for tests of a disk that is full.
#[cfg(test)]
pub(super) fn for_tests(
    setup: Setup,
    warn: impl Fn(&str) + Send + 'static,
) -> (Writer, impl Fn() -> Standing) {
    let shared = Arc::new(Shared::default());
    let mut writer = Writer::new(setup, Arc::default(), shared.clone(), Box::new(warn));
    writer.open_and_read(Moment::default());
    (writer, move || lock(&shared.standing).clone())
}

#[cfg(test)]
impl Writer {
    /// The file may have so many pages: what a full disk is to SQLite.
    pub(super) fn limits_pages(&self, pages: Option<u32>) {
        let pages = pages.unwrap_or(1_000_000);
        let limit = format!("PRAGMA max_page_count = {pages}");
        if let Some(connection) = &self.connection {
            connection.query_row(&limit, [], |_| Ok(())).unwrap();
        }
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// As the thread does when it is time.
    pub(super) fn turn(&mut self, source: &impl Source) {
        self.write_all(source, true);
    }
}
