//! One writer of a file at a time: whoever reads it to write it again keeps the others waiting meanwhile.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::private_file::{create_private_directory, follow, write_private};

/// How long one waits for somebody else: reading and writing take milliseconds, and nobody waits for a person.
const LIMIT: Duration = Duration::from_secs(10);
/// How often one looks whether it is free.
const POLL: Duration = Duration::from_millis(10);
/// The most bytes of the number of a process.
const MOST_DIGITS: u64 = 20;

/// The right to replace a file, until it is dropped.
#[derive(Debug)]
pub struct FileLock {
    /// Locked. A file beside the one it is about, which is replaced by another and cannot be locked itself.
    _file: File,
    path: PathBuf,
}

/// Why a file cannot be replaced now.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has the lock.
    #[error(
        "{who} is changing `{path}` and has not finished within {seconds} s (it holds `{lock}`); nothing was \
         changed, do it again once it has ended"
    )]
    Held {
        /// Who, as far as it says.
        who: String,
        /// The file that was to be changed.
        path: String,
        /// What is locked.
        lock: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The file system refuses.
    #[error("cannot lock `{lock}`, so nothing was changed: {source}")]
    Io {
        /// What is locked.
        lock: String,
        /// What failed.
        source: io::Error,
    },
    /// It says something else than it did.
    #[error("`{0}` was changed by somebody else meanwhile; nothing was changed here, do it again")]
    Changed(String),
    /// It cannot be read or written.
    #[error("cannot {what} `{path}`; nothing was changed: {source}")]
    File {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: String,
        /// What failed.
        source: io::Error,
    },
}

impl FileLock {
    /// Waits, for so long, until nobody else changes the file at `path`, which need not be there yet.
    ///
    /// # Errors
    /// In words for a person.
    pub fn of(path: &Path) -> Result<Self, LockError> {
        Self::within(path, LIMIT)
    }

    fn within(path: &Path, limit: Duration) -> Result<Self, LockError> {
        let lock = beside(path).map_err(|source| LockError::Io {
            lock: path.display().to_string(),
            source,
        })?;
        let failed = |source| LockError::Io {
            lock: lock.display().to_string(),
            source,
        };
        if let Some(parent) = lock.parent() {
            create_private_directory(parent).map_err(failed)?;
        }
        let deadline = Instant::now() + limit;
        loop {
            if let Some(file) = attempt(&lock).map_err(failed)? {
                return Ok(Self {
                    _file: file,
                    path: lock,
                });
            }
            if Instant::now() >= deadline {
                return Err(LockError::Held {
                    who: holder(&lock),
                    path: path.display().to_string(),
                    lock: lock.display().to_string(),
                    seconds: limit.as_secs(),
                });
            }
            thread::sleep(POLL);
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // While it is still locked: whoever has opened it sees that it is another one's by then. Elsewhere that
        // could not be told, and it stays.
        #[cfg(unix)]
        drop(std::fs::remove_file(&self.path));
    }
}

/// Writes `text` to `path`, for its owner only, if the file still says `before` (nothing: is not there).
///
/// # Errors
/// In words for a person; then nothing was changed.
pub fn replace_private(path: &Path, before: Option<&str>, text: &str) -> Result<(), LockError> {
    let _lock = FileLock::of(path)?;
    let failed = |what| {
        move |source| LockError::File {
            what,
            path: path.display().to_string(),
            source,
        }
    };
    let now = match std::fs::read_to_string(path) {
        Ok(now) => Some(now),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed("read")(error)),
    };
    if now.as_deref() != before {
        return Err(LockError::Changed(path.display().to_string()));
    }
    write_private(path, text).map_err(failed("write"))
}

/// What is locked for the file that `path` leads to.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(follow(path)?)?;
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".lock");
    Ok(path.with_file_name(hidden))
}

/// The locked file; `None` if somebody else has it.
fn attempt(lock: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        // Not through a link that somebody else has put there.
        let no_link = rustix::fs::OFlags::NOFOLLOW.bits();
        options
            .mode(0o600)
            .custom_flags(i32::try_from(no_link).unwrap_or(0));
    }
    let mut file = match options.open(lock) {
        Ok(file) => file,
        // Another user's, who will remove it.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && lock.exists() => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    if !is_at(&file, lock) {
        return Ok(None);
    }
    // For whoever waits in vain; that it cannot be said is no reason not to go on.
    let _said = file
        .set_len(0)
        .and_then(|()| write!(file, "{}", std::process::id()));
    Ok(Some(file))
}

/// Whether this is still what is at the path: whoever had it before has removed it.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let (Ok(held), Ok(there)) = (file.metadata(), std::fs::symlink_metadata(path)) else {
        return false;
    };
    (held.dev(), held.ino()) == (there.dev(), there.ino())
}

#[cfg(not(unix))]
const fn is_at(_file: &File, _path: &Path) -> bool {
    true
}

fn holder(lock: &Path) -> String {
    let mut text = String::new();
    let read = File::open(lock).and_then(|file| file.take(MOST_DIGITS).read_to_string(&mut text));
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(pid)) => format!("process {pid}"),
        _ => "somebody else".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::private_file::scratch::Scratch;

    #[test]
    fn there_is_one_at_a_time_and_nothing_is_left_behind() {
        let scratch = Scratch::new();
        let path = scratch.path().join("c.json");
        write_private(&path, "0").unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let _lock = FileLock::of(&path).unwrap();
                        let number: u32 = std::fs::read_to_string(&path).unwrap().parse().unwrap();
                        write_private(&path, &(number + 1).to_string()).unwrap();
                    }
                });
            }
        });
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "80");
        #[cfg(unix)]
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn who_waits_in_vain_is_told_for_whom() {
        let scratch = Scratch::new();
        let path = scratch.path().join("c.json");
        let held = FileLock::of(&path).unwrap();
        let error = FileLock::within(&path, Duration::from_millis(30)).unwrap_err();
        let said = error.to_string();
        assert!(matches!(error, LockError::Held { .. }), "{said}");
        #[cfg(unix)]
        assert!(
            said.contains(&format!("process {} is changing", std::process::id())),
            "{said}"
        );
        drop(held);
        FileLock::of(&path).unwrap();
    }

    #[test]
    fn what_somebody_else_has_changed_meanwhile_is_not_replaced() {
        let scratch = Scratch::new();
        let path = scratch.path().join("d/c.json");
        replace_private(&path, None, "one").unwrap();
        for before in [None, Some("other")] {
            let error = replace_private(&path, before, "two").unwrap_err();
            assert!(matches!(error, LockError::Changed(_)), "{error}");
        }
        replace_private(&path, Some("one"), "two").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
    }

    #[cfg(unix)]
    #[test]
    fn one_file_has_one_lock_by_whatever_link_it_is_reached() {
        let scratch = Scratch::new();
        let (path, link) = (scratch.path().join("c.json"), scratch.path().join("l.json"));
        std::os::unix::fs::symlink("c.json", &link).unwrap();
        assert_eq!(beside(&path).unwrap(), beside(&link).unwrap());
    }
}
