//! Writes a file that only its owner can read, in one step: there is the old text or the new, never half.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// How many symbolic links are followed before it must be a circle.
const MOST_LINKS: usize = 40;
/// Bytes of the random part of the temporary file's name.
const RANDOM_BYTES: usize = 8;

/// Writes `text` to `path`: mode 0600, in directories that are made 0700 if they are missing,
/// through a temporary file beside it. A symbolic link stays one; what it leads to is replaced, and stays
/// its owner's if this user can have it so.
///
/// # Errors
/// As the file system has them; then what was at `path` is untouched.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let path = follow(path)?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_private_directory(directory)?;
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let mut temporary = name.to_os_string();
    temporary.push(format!(".{}.tmp", random_hex(RANDOM_BYTES)?));
    let temporary = directory.join(temporary);
    let written = write_new(&temporary, text, fs::metadata(&path).ok().as_ref())
        .and_then(|()| fs::rename(&temporary, &path));
    if written.is_err() {
        // What went wrong first is what the person must hear of.
        drop(fs::remove_file(&temporary));
        return written;
    }
    sync_directory(directory)
}

/// Writes `text` to `path`, where nothing must be yet: mode 0600, in directories that are made 0700
/// if they are missing.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if there is something, be it a link that leads nowhere; else as
/// the file system has them, and then nothing is left there.
pub fn create_private(path: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        create_private_directory(parent)?;
    }
    write_new(path, text, None).inspect_err(|error| {
        if error.kind() != io::ErrorKind::AlreadyExists {
            // What went wrong first is what the person must hear of.
            drop(fs::remove_file(path));
        }
    })
}

/// `bytes` random bytes in hexadecimal.
///
/// # Errors
/// If the system has no random numbers.
pub fn random_hex(bytes: usize) -> io::Result<String> {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random)
        .map_err(|error| io::Error::other(format!("no random numbers: {error}")))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Makes a directory and its missing parents, for its owner only.
pub(crate) fn create_private_directory(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// Where `path` leads, even if nothing is there yet.
pub(crate) fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&path) {
            Ok(next) => path = path.parent().unwrap_or(Path::new("")).join(next),
            // No link, or nothing there.
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("symbolic links lead round in circles"))
}

/// `like` is the file that it takes the place of.
fn write_new(path: &Path, text: &str, like: Option<&fs::Metadata>) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    if let Some(like) = like {
        keep_owner(&file, like)?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Root changes what belongs to others, who must still be able to read it.
#[cfg(unix)]
fn keep_owner(file: &fs::File, like: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, fchown};
    let ours = file.metadata()?;
    if (ours.uid(), ours.gid()) == (like.uid(), like.gid()) {
        return Ok(());
    }
    match fchown(file, Some(like.uid()), Some(like.gid())) {
        // Nobody but root gives files away: then it becomes this user's.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        done => done,
    }
}

#[cfg(not(unix))]
const fn keep_owner(_file: &fs::File, _like: &fs::Metadata) -> io::Result<()> {
    Ok(())
}

/// So that the new name survives a power cut as the content does.
#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_directory: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(crate) mod scratch {
    //! A directory of one test, removed with it.

    use std::path::{Path, PathBuf};

    pub(crate) struct Scratch(PathBuf);

    impl Scratch {
        pub(crate) fn new() -> Self {
            let name = format!("api-key-lb-test-{}", super::random_hex(8).unwrap());
            let path = std::env::temp_dir().join(name);
            super::create_private_directory(&path).unwrap();
            // Without links, so that paths in messages can be compared.
            Self(path.canonicalize().unwrap())
        }

        pub(crate) fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::scratch::Scratch;
    use super::*;

    #[test]
    fn missing_directories_are_made_and_nothing_else_is_left_behind() {
        let scratch = Scratch::new();
        let path = scratch.path().join("a/b/c.json");
        write_private(&path, "one").unwrap();
        write_private(&path, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_private_even_if_it_was_not() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = Scratch::new();
        let path = scratch.path().join("d/c.json");
        write_private(&path, "one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write_private(&path, "two").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    }

    #[cfg(unix)]
    #[test]
    fn a_users_file_stays_the_users_when_root_writes_it() {
        use std::os::unix::fs::{MetadataExt as _, chown};
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let scratch = Scratch::new();
        let path = scratch.path().join("c.json");
        write_private(&path, "one").unwrap();
        chown(&path, Some(54_321), Some(54_322)).unwrap();
        write_private(&path, "two").unwrap();
        let data = fs::metadata(&path).unwrap();
        assert_eq!((data.uid(), data.gid()), (54_321, 54_322));
        assert_eq!(data.mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_there_is_never_replaced_by_a_new_file() {
        let scratch = Scratch::new();
        let path = scratch.path().join("d/c.json");
        create_private(&path, "one").unwrap();
        let error = create_private(&path, "two").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
    }

    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_stays_one_and_its_end_is_written_even_if_it_dangled() {
        let scratch = Scratch::new();
        let link = scratch.path().join("link.json");
        std::os::unix::fs::symlink("dotfiles/real.json", &link).unwrap();
        for text in ["one", "two"] {
            write_private(&link, text).unwrap();
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            let real = scratch.path().join("dotfiles/real.json");
            assert_eq!(fs::read_to_string(real).unwrap(), text);
        }
        let circle = scratch.path().join("circle");
        std::os::unix::fs::symlink("circle", &circle).unwrap();
        assert!(write_private(&circle, "x").is_err());
    }

    #[test]
    fn a_failed_write_leaves_no_temporary_file() {
        let scratch = Scratch::new();
        let path = scratch.path().join("is-a-directory");
        fs::create_dir(&path).unwrap();
        assert!(write_private(&path, "x").is_err());
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }
}
