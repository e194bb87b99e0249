//! Files of other programs: read as they are, replaced in one step, with mode, owner and links kept.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// The longest file that is read. Configuration is shorter; what is longer is something else.
const LONGEST: u64 = 16 << 20;
/// How many temporary names are tried before somebody must be making fun of us.
const MOST_NAMES: u32 = 100;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// It is a directory, a device, …
    #[error("it is no regular file")]
    NotAFile,
    /// It is longer than configuration is.
    #[error("it is longer than {} MB", LONGEST >> 20)]
    TooLong,
    /// It is no text.
    #[error("it is not UTF-8 text")]
    NotText,
    /// The system refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What a file says, to the byte; `None` if there is none.
///
/// # Errors
/// If there is something that cannot be read, or that cannot be configuration.
pub(crate) fn read(path: &Path) -> Result<Option<String>, ReadError> {
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        // A link that leads nowhere is not the same as nothing: writing there would make a file elsewhere.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {
            return Ok(None);
        }
        // Where a directory should be is a file: nothing can be there.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // Before opening: opening a pipe would wait for its other end.
    if !meta.is_file() {
        return Err(ReadError::NotAFile);
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(LONGEST + 1)
        .read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LONGEST) {
        return Err(ReadError::TooLong);
    }
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| ReadError::NotText)
}

/// Whether two paths lead to the same file.
pub(crate) fn same_file(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

/// Replaces what a file says; its mode and owner stay, links to it stay links.
///
/// There is the old text or the new, never half, unless the directory cannot be written, the owner cannot be
/// kept, or the file has a second name: then it is written in place, after which all of this still holds.
///
/// # Errors
/// As the file system has them; then the file is untouched, unless it had to be written in place.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let meta = fs::metadata(&path)?;
    if has_another_name(&meta) {
        return in_place(&path, text);
    }
    match beside(&path, text, &meta) {
        Ok(temporary) => {
            fs::rename(&temporary, &path).inspect_err(|_| drop(fs::remove_file(&temporary)))?;
            sync_directory(&path)
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => in_place(&path, text),
        Err(error) => Err(error),
    }
}

/// Makes a file where there is none, readable by its owner only, with the directories it needs. Returns
/// those that were made, the outermost first.
///
/// # Errors
/// As the file system has them, also if there is something by now. What was made is removed again.
pub(crate) fn create(path: &Path, text: &str) -> io::Result<Vec<PathBuf>> {
    let mut made = Vec::new();
    let result = missing_directories(path)
        .into_iter()
        .try_for_each(|directory| {
            private_directory(&directory)?;
            made.push(directory);
            Ok(())
        })
        .and_then(|()| write_new(path, text));
    match result {
        Ok(()) => Ok(made),
        Err(error) => {
            remove_empty(&made);
            Err(error)
        }
    }
}

/// Removes a file and those of `directories` that are empty then.
///
/// # Errors
/// If the file cannot be removed; that it is gone already is none.
pub(crate) fn remove(path: &Path, directories: &[PathBuf]) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    remove_empty(directories);
    Ok(())
}

/// The innermost first; those with something in them stay.
fn remove_empty(directories: &[PathBuf]) {
    for directory in directories.iter().rev() {
        drop(fs::remove_dir(directory));
    }
}

/// The directories of `path` that are not there, the outermost first.
fn missing_directories(path: &Path) -> Vec<PathBuf> {
    let mut missing: Vec<PathBuf> = path
        .ancestors()
        .skip(1)
        .take_while(|directory| !directory.as_os_str().is_empty() && !directory.exists())
        .map(Path::to_path_buf)
        .collect();
    missing.reverse();
    missing
}

fn private_directory(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = private_options().open(path)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    if written.is_err() {
        drop(fs::remove_file(path));
    }
    written
}

/// A new file beside `path` with `text`, and with the mode and the owner that `meta` names.
fn beside(path: &Path, text: &str, meta: &fs::Metadata) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default();
    for number in 0..MOST_NAMES {
        let mut temporary = name.to_os_string();
        temporary.push(format!(".{}-{number}.tmp", std::process::id()));
        let temporary = path.with_file_name(temporary);
        match write_new(&temporary, text) {
            Ok(()) => {
                return like(&temporary, meta)
                    .inspect_err(|_| drop(fs::remove_file(&temporary)))
                    .map(|()| temporary);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Gives a file the owner, then the mode that `meta` names: giving it away may clear bits of the mode.
#[cfg(unix)]
fn like(path: &Path, meta: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let ours = fs::metadata(path)?;
    if (ours.uid(), ours.gid()) != (meta.uid(), meta.gid()) {
        std::os::unix::fs::chown(path, Some(meta.uid()), Some(meta.gid()))?;
    }
    fs::set_permissions(path, meta.permissions())
}

#[cfg(not(unix))]
fn like(path: &Path, meta: &fs::Metadata) -> io::Result<()> {
    fs::set_permissions(path, meta.permissions())
}

#[cfg(unix)]
fn has_another_name(meta: &fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(meta) > 1
}

#[cfg(not(unix))]
const fn has_another_name(_meta: &fs::Metadata) -> bool {
    false
}

fn in_place(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).truncate(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// So that the new name survives a power cut as the content does.
#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(not(unix))]
fn sync_directory(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::scratch::Scratch;

    #[test]
    fn nothing_there_is_no_error_and_what_is_no_text_is() {
        let scratch = Scratch::new();
        assert!(matches!(read(&scratch.path().join("none")), Ok(None)));
        let file = scratch.path().join("file");
        fs::write(&file, b"\xff\xfe").unwrap();
        assert!(matches!(read(&file), Err(ReadError::NotText)));
        assert!(matches!(read(&file.join("below")), Ok(None)));
        assert!(matches!(read(scratch.path()), Err(ReadError::NotAFile)));
    }

    #[test]
    fn what_was_made_for_a_file_vanishes_with_it_and_what_others_put_there_stays() {
        let scratch = Scratch::new();
        let path = scratch.path().join("a/b/c.json");
        let made = create(&path, "{}").unwrap();
        assert_eq!(made, [scratch.path().join("a"), scratch.path().join("a/b")]);
        fs::write(scratch.path().join("a/other"), "").unwrap();
        remove(&path, &made).unwrap();
        assert!(!scratch.path().join("a/b").exists() && scratch.path().join("a/other").exists());
        remove(&path, &made).unwrap();
    }

    #[test]
    fn a_file_that_has_appeared_meanwhile_is_not_overwritten() {
        let scratch = Scratch::new();
        let path = scratch.path().join("c.json");
        fs::write(&path, "theirs").unwrap();
        assert!(create(&path, "ours").is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
    }

    #[cfg(unix)]
    mod unix {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

        use super::*;

        #[test]
        fn mode_and_links_stay_and_no_temporary_file_is_left() {
            let scratch = Scratch::new();
            let real = scratch.path().join("dotfiles/real.json");
            fs::create_dir(scratch.path().join("dotfiles")).unwrap();
            fs::write(&real, "old").unwrap();
            fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
            let link = scratch.path().join("link.json");
            symlink("dotfiles/real.json", &link).unwrap();
            replace(&link, "new").unwrap();
            assert!(link.is_symlink());
            assert_eq!(fs::read_to_string(&real).unwrap(), "new");
            assert_eq!(fs::metadata(&real).unwrap().mode() & 0o7777, 0o640);
            assert_eq!(fs::read_dir(real.parent().unwrap()).unwrap().count(), 1);
        }

        #[test]
        fn a_second_name_of_the_file_says_the_same_afterwards() {
            let scratch = Scratch::new();
            let (one, other) = (scratch.path().join("one"), scratch.path().join("other"));
            fs::write(&one, "old").unwrap();
            fs::hard_link(&one, &other).unwrap();
            replace(&one, "new").unwrap();
            assert_eq!(fs::read_to_string(&other).unwrap(), "new");
        }

        #[test]
        fn a_link_that_leads_nowhere_is_an_error_and_not_an_absent_file() {
            let scratch = Scratch::new();
            let link = scratch.path().join("link.json");
            symlink("nowhere.json", &link).unwrap();
            assert!(matches!(read(&link), Err(ReadError::Io(_))));
        }
    }
}
