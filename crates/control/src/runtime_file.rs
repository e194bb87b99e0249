//! How `stop` and `status` find the right process: a small private file per port, written by `start`.

use std::io;
use std::path::{Path, PathBuf};

use api_key_lb_core::{Moment, Secret};
use serde::{Deserialize, Serialize};

use crate::config::Environment;
use crate::private_file::{create_private_directory, random_hex, write_private};

/// Bytes of the id that tells one start of the program from the next.
const INSTANCE_BYTES: usize = 8;
/// Bytes of the token that allows to stop it.
const TOKEN_BYTES: usize = 32;

/// A running proxy.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Its process.
    pub pid: u32,
    /// The TCP port it listens on.
    pub port: u16,
    /// Random, different for each start. Not a secret: `/health` says it.
    pub instance: String,
    /// Whoever has it may stop this instance: `POST /_lb/stop`.
    pub token: Secret,
    /// When it started.
    pub started: Moment,
    /// The file its log goes to, if it runs detached.
    pub log: Option<PathBuf>,
    /// What starts it again when it ends, if anything does.
    pub supervisor: Option<Supervisor>,
    /// The instance whose sockets it took over.
    pub predecessor: Option<String>,
}

/// What starts a process again when it ends: it is what has to be asked to stop it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Supervisor {
    /// systemd: the unit, and whether it is one of the user's own manager.
    Systemd {
        /// Its name.
        unit: String,
        /// Whether the user's own manager runs it.
        user: bool,
        /// Whether it can be told that another process goes on.
        notify: bool,
    },
    /// launchd: the label of the job.
    Launchd {
        /// Its name.
        label: String,
    },
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeFileError {
    /// The file system or the random numbers failed.
    #[error("cannot use `{}`: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// It was not written by us, or by another version.
    #[error("`{}` is damaged; remove it if no proxy runs on that port", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// The file as it is. The only place where the token is written out, into a file of mode 0600.
#[derive(Serialize, Deserialize)]
struct Record {
    pid: u32,
    port: u16,
    instance: String,
    token: String,
    started_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    supervisor: Option<Supervisor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    predecessor: Option<String>,
}

/// Where these files are: `$XDG_STATE_HOME/api-key-lb`, else `~/.local/state/api-key-lb`; `None`
/// without a home directory.
pub fn state_dir(env: &Environment) -> Option<PathBuf> {
    env.var("XDG_STATE_HOME")
        .map(PathBuf::from)
        // The specification says that a relative one is to be ignored.
        .filter(|path| path.is_absolute())
        .or_else(|| env.home.as_ref().map(|home| home.join(".local/state")))
        .map(|base| base.join("api-key-lb"))
}

/// The file for the instance on `port`.
pub fn path(dir: &Path, port: u16) -> PathBuf {
    dir.join(format!("{port}.json"))
}

impl Instance {
    /// An instance with a new id and token.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn new(pid: u32, port: u16, started: Moment, log: Option<PathBuf>) -> io::Result<Self> {
        Ok(Self {
            pid,
            port,
            instance: random_hex(INSTANCE_BYTES)?,
            token: Secret::new(random_hex(TOKEN_BYTES)?),
            started,
            log,
            supervisor: None,
            predecessor: None,
        })
    }

    /// Whether `offered` is the token.
    pub fn matches(&self, offered: &[u8]) -> bool {
        self.token.matches(offered)
    }

    /// Writes its file into `dir`, which is made (0700) if it is missing. One that is there
    /// already, of an instance that has ended, is replaced.
    ///
    /// # Errors
    /// As the file system has them.
    pub fn write(&self, dir: &Path) -> Result<(), RuntimeFileError> {
        let path = path(dir, self.port);
        let failed = |source| RuntimeFileError::Io {
            path: path.clone(),
            source,
        };
        let record = Record {
            pid: self.pid,
            port: self.port,
            instance: self.instance.clone(),
            token: self.token.expose().to_owned(),
            started_ms: self.started.unix_millis(),
            log: self.log.clone(),
            supervisor: self.supervisor.clone(),
            predecessor: self.predecessor.clone(),
        };
        let text = serde_json::to_string(&record).map_err(|error| failed(error.into()))?;
        create_private_directory(dir).map_err(failed)?;
        write_private(&path, &text).map_err(failed)
    }

    /// The instance that said it listens on `port`; `None` if none did. It may have ended since:
    /// ask it for its `instance` before believing it.
    ///
    /// # Errors
    /// If there is a file that cannot be read or understood.
    pub fn read(dir: &Path, port: u16) -> Result<Option<Self>, RuntimeFileError> {
        let path = path(dir, port);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(RuntimeFileError::Io { path, source }),
        };
        match serde_json::from_str::<Record>(&text) {
            // An empty token would match an empty header.
            Ok(record) if record.port == port && !record.token.is_empty() => Ok(Some(Self {
                pid: record.pid,
                port,
                instance: record.instance,
                token: Secret::new(record.token),
                started: Moment::from_unix_millis(record.started_ms),
                log: record.log,
                supervisor: record.supervisor,
                predecessor: record.predecessor,
            })),
            _ => Err(RuntimeFileError::Damaged { path }),
        }
    }

    /// Every instance that is noted in `dir`. A damaged file of another one is left out.
    pub fn all(dir: &Path) -> Vec<Self> {
        std::fs::read_dir(dir)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name();
                let port = name.to_str()?.strip_suffix(".json")?.parse().ok()?;
                Self::read(dir, port).ok().flatten()
            })
            .collect()
    }

    /// Removes its file from `dir`, unless another instance has taken the port since. Says
    /// whether it was there.
    ///
    /// # Errors
    /// As the file system has them.
    pub fn remove(&self, dir: &Path) -> Result<bool, RuntimeFileError> {
        match Self::read(dir, self.port) {
            Ok(Some(found)) if found.instance == self.instance => {
                let path = path(dir, self.port);
                match std::fs::remove_file(&path) {
                    Ok(()) => Ok(true),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                    Err(source) => Err(RuntimeFileError::Io { path, source }),
                }
            }
            Ok(_) | Err(RuntimeFileError::Damaged { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::private_file::scratch::Scratch;

    fn instance(port: u16) -> Instance {
        Instance::new(
            42,
            port,
            Moment::from_unix_millis(1000),
            Some("/var/log/lb.log".into()),
        )
        .unwrap()
    }

    #[test]
    fn what_was_written_is_read_back_and_no_two_starts_are_alike() {
        let scratch = Scratch::new();
        let dir = scratch.path().join("state/api-key-lb");
        assert!(Instance::read(&dir, 4577).unwrap().is_none());
        let mut one = instance(4577);
        one.supervisor = Some(Supervisor::Systemd {
            unit: "lb.service".into(),
            user: true,
            notify: false,
        });
        one.predecessor = Some("before".into());
        one.write(&dir).unwrap();
        let read = Instance::read(&dir, 4577).unwrap().unwrap();
        assert_eq!(
            (read.pid, read.port, &read.instance),
            (42, 4577, &one.instance)
        );
        assert_eq!((read.started, read.log), (one.started, one.log.clone()));
        assert_eq!(
            (read.supervisor, read.predecessor),
            (one.supervisor.clone(), one.predecessor.clone())
        );
        assert_eq!(Instance::all(&dir).len(), 1);
        assert!(read.token.matches(one.token.expose().as_bytes()));
        let other = instance(4577);
        assert!(!other.matches(one.token.expose().as_bytes()));
        assert_ne!(other.instance, one.instance);
        assert_eq!((one.token.expose().len(), one.instance.len()), (64, 16));
        assert!(!format!("{one:?}").contains(one.token.expose()));
    }

    #[test]
    fn an_instance_removes_its_own_file_only() {
        let scratch = Scratch::new();
        let (one, two) = (instance(1), instance(1));
        one.write(scratch.path()).unwrap();
        two.write(scratch.path()).unwrap();
        assert!(!one.remove(scratch.path()).unwrap());
        assert!(two.remove(scratch.path()).unwrap());
        assert!(!two.remove(scratch.path()).unwrap());
        assert!(Instance::read(scratch.path(), 1).unwrap().is_none());
    }

    #[test]
    fn a_damaged_file_is_named_and_does_not_let_anybody_in() {
        let scratch = Scratch::new();
        for text in [
            "",
            "{}",
            r#"{"pid":1,"port":7,"instance":"a","token":"","started_ms":1}"#,
            r#"{"pid":1,"port":8,"instance":"a","token":"t","started_ms":1}"#,
        ] {
            std::fs::write(path(scratch.path(), 7), text).unwrap();
            let error = Instance::read(scratch.path(), 7).unwrap_err();
            assert!(error.to_string().contains("7.json` is damaged"), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_can_read_the_file_and_its_directory() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = Scratch::new();
        let dir = scratch.path().join("state");
        instance(9).write(&dir).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&dir), mode(&path(&dir, 9))), (0o700, 0o600));
    }

    #[test]
    fn the_directory_follows_xdg_only_if_it_is_absolute() {
        let env = |xdg: &str| Environment {
            vars: [("XDG_STATE_HOME".into(), xdg.into())].into(),
            home: Some("/home/me".into()),
            ..Environment::default()
        };
        let usual = Some(PathBuf::from("/home/me/.local/state/api-key-lb"));
        assert_eq!(
            state_dir(&env("/var/me")),
            Some("/var/me/api-key-lb".into())
        );
        assert_eq!(state_dir(&env("relative")), usual);
        assert_eq!(state_dir(&env("")), usual);
        assert_eq!(state_dir(&Environment::default()), None);
    }
}
