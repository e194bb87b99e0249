//! The file of a detached proxy: how it becomes the first of those before, and what if somebody else moves it.
//!
//! The standard output leads to the file, and what is said on the way to a crash goes there too; so it is
//! the standard output that is led to another file. Two processes may write to one file, while one takes
//! over from the other.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use api_key_lb_control::config::LogSettings;

/// The most files of before that are looked for to be removed.
const MOST: u32 = 100;

/// The file that the standard output leads to.
#[derive(Debug)]
pub(super) struct LogFile {
    #[cfg_attr(
        not(unix),
        expect(dead_code, reason = "there, files that are open cannot be moved")
    )]
    path: PathBuf,
}

impl LogFile {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// To be called before so many bytes are written: begins another file if this one is long enough,
    /// or is no longer where it was. What fails is tried again before the next ones are.
    #[cfg(unix)]
    pub(super) fn prepare(&mut self, settings: &LogSettings, more: usize) {
        let Ok(ours) = standard_output() else {
            return;
        };
        let is_ours = |there: &fs::Metadata| is_same(there, &ours);
        if !fs::metadata(&self.path).is_ok_and(|there| is_ours(&there)) {
            let _ = self.reopen();
            return;
        }
        let size = ours.len();
        if settings.bytes == 0 || size == 0 || size.saturating_add(more as u64) <= settings.bytes {
            return;
        }
        // The other process of a restart may be at the same point: one of them moves the file, and
        // the other finds that it is gone. The lock is that of this description of the file, which the
        // other process does not share.
        let Ok(held) = File::open(&self.path) else {
            return;
        };
        if held.lock().is_err() {
            return;
        }
        if fs::metadata(&self.path).is_ok_and(|there| is_ours(&there))
            && shift(&self.path, settings.files).is_err()
        {
            return;
        }
        let _ = self.reopen();
    }

    #[cfg(not(unix))]
    pub(super) fn prepare(&mut self, _settings: &LogSettings, _more: usize) {}

    /// Leads the outputs of this process to the file at the path, whichever that is.
    #[cfg(unix)]
    fn reopen(&self) -> io::Result<()> {
        let file = open(&self.path)?;
        rustix::stdio::dup2_stdout(&file)?;
        rustix::stdio::dup2_stderr(&file)?;
        Ok(())
    }
}

#[cfg(unix)]
fn is_same(there: &fs::Metadata, ours: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (there.dev(), there.ino()) == (ours.dev(), ours.ino())
}

/// What the standard output leads to.
#[cfg(unix)]
fn standard_output() -> io::Result<fs::Metadata> {
    use std::os::fd::AsFd as _;
    File::from(io::stdout().as_fd().try_clone_to_owned()?).metadata()
}

/// The file at `path`, for its owner only, to be written at its end.
#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes room at `path`: what is there becomes the first of the `files` of before, and the last goes.
///
/// # Errors
/// If a file cannot be renamed or removed.
pub(crate) fn shift(path: &Path, files: u32) -> io::Result<()> {
    let removed = |result: io::Result<()>| match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    // Also those that a larger number has left.
    let surplus = (files.max(1)..=MOST).map(|number| numbered(path, number));
    for path in surplus.filter(|path| path.exists()) {
        removed(fs::remove_file(path))?;
    }
    if files == 0 {
        return removed(fs::remove_file(path));
    }
    for number in (1..files).rev() {
        removed(fs::rename(
            numbered(path, number),
            numbered(path, number + 1),
        ))?;
    }
    removed(fs::rename(path, numbered(path, 1)))
}

/// `4577.log.1`
pub(crate) fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_move_up_and_the_last_ones_go() {
        let dir = std::env::temp_dir().join(format!("api-key-lb-shift-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("1.log");
        let there = || {
            let names = fs::read_dir(&dir).unwrap().flatten();
            let mut names: Vec<String> = names
                .map(|entry| {
                    let text = fs::read_to_string(entry.path()).unwrap();
                    format!("{}={text}", entry.file_name().into_string().unwrap())
                })
                .collect();
            names.sort();
            names.join(" ")
        };
        for text in ["a", "b", "c", "d"] {
            fs::write(&path, text).unwrap();
            shift(&path, 3).unwrap();
        }
        assert_eq!(there(), "1.log.1=d 1.log.2=c 1.log.3=b");
        shift(&path, 3).unwrap();
        fs::write(&path, "e").unwrap();
        shift(&path, 1).unwrap();
        assert_eq!(there(), "1.log.1=e");
        fs::write(&path, "f").unwrap();
        shift(&path, 0).unwrap();
        assert_eq!(there(), "");
        fs::remove_dir_all(&dir).unwrap();
    }
}
