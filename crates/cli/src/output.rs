//! What a serving proxy prints waits in a bounded queue for a thread that writes it, so that a pipe nobody
//! reads or a disk that hangs keeps nothing else waiting.

mod rotation;

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api_key_lb_control::config::{LogFormat, LogSettings};
use api_key_lb_control::ledger;
use api_key_lb_core::Moment;

use crate::printer::{self, Level};
use crate::priority;

use rotation::LogFile;
pub(crate) use rotation::{numbered, shift};

/// Lines that wait: some 5 MB, minutes of a busy proxy.
const MOST: usize = 16_384;
/// How long the end waits for somebody to read.
const FINISH: Duration = Duration::from_secs(2);
/// Bytes written at once, and after which one looks whether the file is long enough.
const AT_ONCE: usize = 64 << 10;

/// What waits, and how it is written. There is one standard output, and so one of these.
static QUEUE: Queue = Queue {
    waiting: Mutex::new(Waiting {
        items: VecDeque::new(),
        missing: 0,
        settings: LogSettings {
            format: LogFormat::Human,
            bytes: 0,
            files: 0,
        },
        writing: false,
        ending: false,
    }),
    told: Condvar::new(),
};

struct Queue {
    waiting: Mutex<Waiting>,
    /// Told when something has come, and when something was written.
    told: Condvar,
}

struct Waiting {
    items: VecDeque<Item>,
    /// How many were dropped behind them.
    missing: u64,
    settings: LogSettings,
    writing: bool,
    ending: bool,
}

enum Item {
    /// As it is.
    Line(String),
    /// For people, until it is known in which format.
    Message(Level, String, Moment),
}

/// The thread that writes. Dropped, it writes what is left, unless nobody reads it.
#[derive(Debug)]
pub(crate) struct Output(());

impl Output {
    /// Starts it. `file` is where the standard output of a detached process goes.
    ///
    /// # Errors
    /// If there can be no further thread.
    pub(crate) fn start(settings: LogSettings, file: Option<PathBuf>) -> io::Result<Self> {
        follow(settings);
        std::thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || {
                priority::give_way();
                write_until_the_end(file.map(LogFile::new));
            })?;
        Ok(Self(()))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let mut waiting = lock();
        waiting.ending = true;
        QUEUE.told.notify_all();
        let pending = |waiting: &mut Waiting| waiting.writing || !waiting.is_empty();
        // Where nobody reads, the process ends without having said everything.
        let _ = QUEUE.told.wait_timeout_while(waiting, FINISH, pending);
    }
}

/// From now on it is written so.
pub(crate) fn follow(settings: LogSettings) {
    lock().settings = settings;
}

/// Something for people.
pub(crate) fn message(level: Level, text: String) {
    push(std::iter::once(Item::Message(level, text, now())));
}

/// Lines as they are.
pub(crate) fn lines(lines: impl IntoIterator<Item = String>) {
    push(lines.into_iter().map(Item::Line));
}

fn push(items: impl Iterator<Item = Item>) {
    let mut waiting = lock();
    for item in items {
        // Once something is missing, what is written next says so.
        if waiting.items.len() < MOST && waiting.missing == 0 {
            waiting.items.push_back(item);
        } else {
            waiting.missing += 1;
        }
    }
    drop(waiting);
    QUEUE.told.notify_all();
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.items.is_empty() && self.missing == 0
    }
}

fn write_until_the_end(mut file: Option<LogFile>) {
    loop {
        let idle = |waiting: &mut Waiting| waiting.is_empty() && !waiting.ending;
        let waiting = QUEUE.told.wait_while(lock(), idle);
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        if waiting.is_empty() {
            return;
        }
        let items = std::mem::take(&mut waiting.items);
        let missing = std::mem::take(&mut waiting.missing);
        let settings = waiting.settings;
        waiting.writing = true;
        drop(waiting);
        write(items, missing, settings, file.as_mut());
        lock().writing = false;
        QUEUE.told.notify_all();
    }
}

fn write(items: VecDeque<Item>, missing: u64, settings: LogSettings, file: Option<&mut LogFile>) {
    let mut sheet = Sheet {
        text: String::new(),
        settings,
        file,
    };
    for item in items {
        match (item, settings.format) {
            (Item::Line(line), _) => sheet.line(&line),
            (Item::Message(level, text, at), LogFormat::Json) => {
                let plain = anstream::adapter::strip_str(&text).to_string();
                sheet.line(&ledger::json_message(at, level.as_str(), &plain, None));
            }
            (Item::Message(Level::Info, text, _), LogFormat::Human) => sheet.line(&text),
            (Item::Message(level, text, _), LogFormat::Human) => {
                sheet.put();
                printer::problem(level, &text);
            }
        }
    }
    if missing > 0 {
        let words =
            format!("{missing} lines are missing here: nobody has read or taken those before");
        match settings.format {
            LogFormat::Human => sheet.line(&words),
            LogFormat::Json => {
                sheet.line(&ledger::json_message(
                    now(),
                    "warning",
                    &words,
                    Some(missing),
                ));
            }
        }
    }
    sheet.put();
}

/// Lines that are written together.
struct Sheet<'f> {
    text: String,
    settings: LogSettings,
    file: Option<&'f mut LogFile>,
}

impl Sheet<'_> {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
        if self.text.len() >= AT_ONCE {
            self.put();
        }
    }

    fn put(&mut self) {
        if let Some(file) = &mut self.file {
            file.prepare(&self.settings, self.text.len());
        }
        if self.text.is_empty() {
            return;
        }
        let mut out = anstream::stdout().lock();
        // If nobody reads the log any more, the proxy still serves.
        let _ = out
            .write_all(self.text.as_bytes())
            .and_then(|()| out.flush());
        self.text.clear();
    }
}

fn now() -> Moment {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    Moment::default().after(now.unwrap_or_default())
}

fn lock() -> MutexGuard<'static, Waiting> {
    QUEUE.waiting.lock().unwrap_or_else(PoisonError::into_inner)
}
