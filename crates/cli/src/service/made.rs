//! Files of ours in directories of others: how they are told from those that people wrote or changed, and
//! how they are replaced and put back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use api_key_lb_control::setup_file::write_private;
use jiff::Timestamp;

/// What stands in a comment of every file that we have made.
pub(super) const MARK: &str = "Made by `api-key-lb service install` (checksum 0000000000000000)";
/// What stands before the checksum.
const BEFORE: &str = "Made by `api-key-lb service install` (checksum ";
/// Digits of the checksum.
const DIGITS: usize = 16;

/// Who wrote what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// There is nothing.
    Absent,
    /// We did, and nobody has changed it.
    Ours,
    /// We did, and somebody has changed it.
    Edited,
    /// Somebody else.
    Foreign,
}

/// The text with the checksum in its [`MARK`].
pub(super) fn seal(text: &str) -> String {
    let sum = checksum(text);
    text.replacen(
        MARK,
        &MARK.replace(&"0".repeat(DIGITS), &format!("{sum:016x}")),
        1,
    )
}

/// A file as it is.
#[derive(Debug)]
pub(super) struct Found {
    /// Where.
    pub(super) path: PathBuf,
    /// What it says.
    pub(super) text: Option<String>,
    /// Who wrote it.
    pub(super) origin: Origin,
}

impl Found {
    /// What is at `path`. A link is never ours: we write files.
    pub(super) fn at(path: PathBuf) -> anyhow::Result<Self> {
        let text = match fs::read(&path) {
            Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        let origin = match &text {
            _ if path.is_symlink() => Origin::Foreign,
            None => Origin::Absent,
            Some(text) => origin(text),
        };
        Ok(Self { path, text, origin })
    }

    /// Whether it says just this.
    pub(super) fn says(&self, text: &str) -> bool {
        self.origin == Origin::Ours && self.text.as_deref() == Some(text)
    }

    /// Why it must not be replaced or removed, if it must not.
    pub(super) fn objection(&self) -> Option<String> {
        let path = self.path.display();
        match self.origin {
            Origin::Absent | Origin::Ours => None,
            Origin::Edited => Some(format!(
                "{path} was changed by hand since it was installed; nothing was done. `--force` goes on and \
                 keeps it as a copy beside it"
            )),
            Origin::Foreign => Some(format!(
                "{path} was not made by `api-key-lb service install`; nothing was done. `--force` goes on and \
                 keeps it as a copy beside it"
            )),
        }
    }

    /// Moves it aside under a dated name, if somebody else has written in it, and says where to.
    pub(super) fn keep(&self, word: &str) -> anyhow::Result<Option<PathBuf>> {
        if matches!(self.origin, Origin::Absent | Origin::Ours) {
            return Ok(None);
        }
        self.set_aside(word).map(Some)
    }

    /// Moves it aside under a dated name and says where to.
    pub(super) fn set_aside(&self, word: &str) -> anyhow::Result<PathBuf> {
        let mut aside = self.path.clone().into_os_string();
        aside.push(format!(".{word}-{}", now()));
        let aside = PathBuf::from(aside);
        fs::rename(&self.path, &aside)
            .with_context(|| format!("cannot move {} aside", self.path.display()))?;
        Ok(aside)
    }

    /// Writes it.
    pub(super) fn write(&self, text: &str) -> anyhow::Result<()> {
        write_private(&self.path, text)
            .with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Makes it what it was, after a failure that is worth more words than another one here.
    pub(super) fn put_back(&self) {
        let _ = match &self.text {
            Some(text) => write_private(&self.path, text),
            None => fs::remove_file(&self.path),
        };
    }

    /// Removes it.
    pub(super) fn remove(&self) -> anyhow::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.path.display()))
            }
            _ => Ok(()),
        }
    }
}

/// The newest of the files that were set aside under this name.
pub(super) fn set_aside(path: &Path, word: &str) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let start = format!("{name}.{word}-");
    let entries = fs::read_dir(path.parent()?).ok()?.flatten();
    entries
        .filter(|entry| {
            let name = entry.file_name();
            name.to_str().is_some_and(|name| name.starts_with(&start))
        })
        .map(|entry| entry.path())
        // Dates as they are written sort as they follow each other.
        .max()
}

fn origin(text: &str) -> Origin {
    let Some((before, after)) = text.split_once(BEFORE) else {
        return Origin::Foreign;
    };
    let Some((sum, rest)) = after.split_at_checked(DIGITS) else {
        return Origin::Foreign;
    };
    let bare = format!("{before}{BEFORE}{}{rest}", "0".repeat(DIGITS));
    if u64::from_str_radix(sum, 16) == Ok(checksum(&bare)) {
        Origin::Ours
    } else {
        Origin::Edited
    }
}

fn checksum(text: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(text.as_bytes())
}

/// `20260722-143000`, in UTC.
fn now() -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .map_or_else(
            || seconds.to_string(),
            |time| time.strftime("%Y%m%d-%H%M%S").to_string(),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_by_hand_is_noticed_wherever_it_is() {
        let made = seal(&format!("# {MARK}.\n[Unit]\nDescription=x\n"));
        assert!(!made.contains("0000000000000000"), "{made}");
        assert_eq!(origin(&made), Origin::Ours);
        for edited in [
            made.replace("x\n", "y\n"),
            format!("{made}\n"),
            format!(" {made}"),
            made.replace("checksum ", "checksum x"),
        ] {
            assert_eq!(origin(&edited), Origin::Edited, "{edited}");
        }
        let without = made.lines().skip(1).collect::<String>();
        assert_eq!(origin(&without), Origin::Foreign);
        assert_eq!(origin(""), Origin::Foreign);
        assert_eq!(origin(&format!("# {BEFORE}12")), Origin::Foreign);
    }
}
