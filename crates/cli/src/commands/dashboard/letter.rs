//! A file that leads the browser on, which only the user who runs the command can read.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use api_key_lb_control::{Environment, create_private, random_hex};

/// What such files are called: this, something that nobody guesses, …
const NAME: &str = "dashboard-";
/// … and this, by which browsers know what it is.
const SUFFIX: &str = ".html";
/// Bytes of what nobody guesses.
const NAME_BYTES: usize = 16;
/// From this age on one was left behind by a command that was killed: none waits for so long.
const LEFT_BEHIND: Duration = Duration::from_secs(120);

/// The file, as long as it is there: it goes with this.
#[derive(Debug)]
pub(super) struct Letter(PathBuf);

impl Letter {
    /// Writes one that leads to `address`, in the directory for what does not outlive a session, or
    /// in `state`.
    ///
    /// # Errors
    /// If it cannot be written, or somebody else could put another one in its place.
    pub(super) fn to(address: &str, env: &Environment, state: &Path) -> io::Result<Self> {
        let runtime = env.var("XDG_RUNTIME_DIR").map(PathBuf::from);
        let runtime = runtime.filter(|dir| dir.is_absolute() && is_ours(dir));
        let dir = runtime.map_or_else(|| state.to_path_buf(), |dir| dir.join("api-key-lb"));
        remove_left_behind(&dir);
        let path = dir.join(format!("{NAME}{}{SUFFIX}", random_hex(NAME_BYTES)?));
        create_private(&path, &page(address))?;
        let letter = Self(path);
        if is_ours(&dir) {
            return Ok(letter);
        }
        Err(io::Error::other(format!(
            "others than its owner may write to `{}`",
            dir.display()
        )))
    }

    /// Where the browser finds it.
    pub(super) fn address(&self) -> String {
        let mut address = "file://".to_owned();
        for byte in self.0.as_os_str().as_encoded_bytes() {
            if byte.is_ascii_alphanumeric() || b"/-._~".contains(byte) {
                address.push(char::from(*byte));
            } else {
                // Writing to a string does not fail.
                let _ = write!(address, "%{byte:02X}");
            }
        }
        address
    }
}

impl Drop for Letter {
    fn drop(&mut self) {
        // It is of no use to anybody once the command has ended.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Leads to `address`, which needs no escaping.
fn page(address: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <meta http-equiv=\"refresh\" content=\"0; url={address}\">\n\
         <title>api-key-lb</title>\n<p><a href=\"{address}\">Open the dashboard</a></p>\n</html>\n"
    )
}

fn remove_left_behind(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_letter = name
            .to_str()
            .is_some_and(|name| name.starts_with(NAME) && name.ends_with(SUFFIX));
        let is_old = || {
            let written = entry.metadata().and_then(|about| about.modified());
            written.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > LEFT_BEHIND))
        };
        if is_letter && is_old() {
            // Another one's next command tries again.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Whether a directory is ours, and nobody else may change what is in it.
#[cfg(unix)]
fn is_ours(dir: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let user = rustix::process::geteuid().as_raw();
    std::fs::metadata(dir)
        .is_ok_and(|about| about.is_dir() && about.uid() == user && about.mode() & 0o022 == 0)
}

/// Cannot be told here.
#[cfg(not(unix))]
fn is_ours(dir: &Path) -> bool {
    dir.is_dir()
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const ADDRESS: &str = "http://127.0.0.1:1/c0de";

    /// A directory with an unusual name, gone with this.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            let name = format!("api-key-lb letter-{}", random_hex(8).unwrap());
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn letter(scratch: &Scratch) -> io::Result<Letter> {
        Letter::to(ADDRESS, &Environment::default(), &scratch.0)
    }

    #[test]
    fn only_its_user_can_read_it_and_it_goes_with_the_command() {
        let scratch = Scratch::new();
        let letter = letter(&scratch).unwrap();
        let path = letter.0.clone();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(fs::read_to_string(&path).unwrap().contains(ADDRESS));
        assert!(letter.address().contains("/api-key-lb%20letter-"));
        drop(letter);
        assert!(!path.exists());
    }

    #[test]
    fn none_is_left_where_others_may_put_another_one_in_its_place() {
        let scratch = Scratch::new();
        fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o777)).unwrap();
        let why = letter(&scratch).unwrap_err().to_string();
        assert!(why.contains("others than its owner may write"), "{why}");
        assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_command_left_behind_goes_with_the_next_one() {
        let scratch = Scratch::new();
        let (old, new) = (
            scratch.0.join("dashboard-old.html"),
            scratch.0.join("dashboard-new.html"),
        );
        for path in [&old, &new] {
            fs::write(path, "").unwrap();
        }
        let long_ago = std::time::SystemTime::now() - LEFT_BEHIND * 2;
        let file = fs::File::options().write(true).open(&old).unwrap();
        file.set_modified(long_ago).unwrap();
        let _letter = letter(&scratch).unwrap();
        assert!(!old.exists() && new.exists());
    }
}
