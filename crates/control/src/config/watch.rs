//! Whether a file that the configuration came from has changed.
//!
//! The files are looked at, not listened to: that sees a file that is replaced by renaming, one behind a
//! symbolic link that now leads elsewhere, one that did not exist, and one on a network or a mounted
//! file system, of which the kernel tells nothing; and it costs a system call per file and look.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What a file was like; `None` if it was not there.
type Stamp = Option<(SystemTime, u64, u64)>;

/// The files, and what they were like when they were last read.
#[derive(Debug)]
pub struct Watch {
    files: Vec<(PathBuf, Stamp)>,
    /// What they were like at the last look, if that was something else.
    seen: Option<Vec<Stamp>>,
}

impl Watch {
    /// Watches these files, which have just been read.
    pub fn new(files: &[PathBuf]) -> Self {
        let mut watch = Self {
            files: Vec::new(),
            seen: None,
        };
        watch.follow(files);
        watch
    }

    /// Looks. True once they differ from what was read and have not changed since the last look:
    /// a file that is being written is not complete.
    pub fn has_changed(&mut self) -> bool {
        let now: Vec<Stamp> = self.files.iter().map(|(path, _)| stamp(path)).collect();
        let is_known = self.files.iter().map(|(_, known)| known).eq(&now);
        if is_known {
            self.seen = None;
            return false;
        }
        if self.seen.as_ref() != Some(&now) {
            self.seen = Some(now);
            return false;
        }
        self.note();
        true
    }

    /// They are about to be read.
    pub fn note(&mut self) {
        self.seen = None;
        for (path, known) in &mut self.files {
            *known = stamp(path);
        }
    }

    /// These are the files from now on. What those that were watched before were like when they
    /// were read stays.
    pub fn follow(&mut self, files: &[PathBuf]) {
        let mut followed: Vec<(PathBuf, Stamp)> = Vec::with_capacity(files.len());
        for path in files {
            if followed.iter().any(|(known, _)| known == path) {
                continue;
            }
            let known = self.files.iter().find(|(known, _)| known == path);
            let stamp = known.map_or_else(|| stamp(path), |(_, stamp)| *stamp);
            followed.push((path.clone(), stamp));
        }
        self.files = followed;
        self.seen = None;
    }
}

fn stamp(path: &Path) -> Stamp {
    let data = std::fs::metadata(path).ok()?;
    let modified = data.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    Some((modified, data.len(), identity(&data)))
}

/// Tells a file from one that has taken its place.
#[cfg(unix)]
fn identity(data: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(data)
}

#[cfg(not(unix))]
fn identity(_data: &std::fs::Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::private_file::scratch::Scratch;

    #[test]
    fn a_change_is_told_once_when_it_is_complete() {
        let scratch = Scratch::new();
        let path = scratch.path().join("c.json");
        fs::write(&path, "one").unwrap();
        let mut watch = Watch::new(std::slice::from_ref(&path));
        assert!(!watch.has_changed());
        fs::write(&path, "half").unwrap();
        assert!(!watch.has_changed(), "it may not be complete");
        fs::write(&path, "a whole one").unwrap();
        assert!(!watch.has_changed(), "indeed it was not");
        assert!(watch.has_changed());
        assert!(!watch.has_changed());
    }

    #[test]
    fn a_file_that_is_replaced_by_renaming_goes_or_comes_is_noticed() {
        let scratch = Scratch::new();
        let path = scratch.path().join("c.json");
        fs::write(&path, "one").unwrap();
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        let mut watch = Watch::new(std::slice::from_ref(&path));
        let told = |watch: &mut Watch| {
            watch.has_changed();
            watch.has_changed()
        };
        let other = scratch.path().join("c.json.tmp");
        let file = fs::File::create(&other).unwrap();
        fs::write(&other, "two").unwrap();
        file.set_modified(modified).unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(told(&mut watch), cfg!(unix));
        fs::remove_file(&path).unwrap();
        assert!(told(&mut watch));
        fs::write(&path, "three").unwrap();
        assert!(told(&mut watch));
    }

    #[test]
    fn what_was_read_before_it_was_followed_again_is_not_forgotten() {
        let scratch = Scratch::new();
        let path = scratch.path().join("c.json");
        fs::write(&path, "one").unwrap();
        let mut watch = Watch::new(std::slice::from_ref(&path));
        watch.note();
        fs::write(&path, "changed while the rest was read").unwrap();
        watch.follow(&[path.clone(), scratch.path().join("secret")]);
        assert!(!watch.has_changed());
        assert!(watch.has_changed());
    }
}
