//! What a person gave besides the file: command line flags and the process environment, as arguments.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Command line flags that take part in the configuration. Each wins over everything else.
#[derive(Clone, Default)]
pub struct Flags {
    /// `--keys`: comma-separated keys of the default pool.
    pub keys: Option<String>,
    /// `--target`: base URL of the default pool.
    pub target: Option<String>,
    /// `--port`: the TCP port to listen on; 0 takes any free one.
    pub port: Option<u16>,
    /// `--config`: the file to read, which then must exist.
    pub config: Option<PathBuf>,
    /// Whether nobody has named that file: it was found in the current directory, and runs no commands.
    pub found: bool,
    /// `--host`: comma-separated IP addresses to listen on.
    pub host: Option<String>,
    /// `--workers`: number of worker threads.
    pub workers: Option<usize>,
    /// `--log`: `requests`, `problems` or `off`.
    pub log: Option<String>,
    /// `--log-format`: `human` or `json`.
    pub log_format: Option<String>,
    /// `--no-store`: nothing is written down.
    pub no_store: bool,
}

impl Flags {
    /// The value of the flag that overrides the file's field `name`.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        match name {
            "keys" => self.keys.clone(),
            "target" => self.target.clone(),
            "port" => self.port.map(|port| port.to_string()),
            "host" => self.host.clone(),
            "workers" => self.workers.map(|workers| workers.to_string()),
            "log" => self.log.clone(),
            "log_format" => self.log_format.clone(),
            "store" => self.no_store.then(|| false.to_string()),
            _ => None,
        }
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flags")
            .field("keys", &self.keys.as_ref().map(|_| "…"))
            .field("port", &self.port)
            .field("config", &self.config)
            .field("host", &self.host)
            .field("workers", &self.workers)
            .field("log", &self.log)
            .field("log_format", &self.log_format)
            .field("no_store", &self.no_store)
            .finish_non_exhaustive()
    }
}

/// The process environment, handed in so that a configuration can be loaded in a test without one.
#[derive(Clone, Default)]
pub struct Environment {
    /// The environment variables; those that are not UTF-8 are left out.
    pub vars: BTreeMap<String, String>,
    /// The current directory.
    pub cwd: PathBuf,
    /// The person's home directory, if there is one.
    pub home: Option<PathBuf>,
}

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Self {
        let vars: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let home = ["HOME", "USERPROFILE"]
            .iter()
            .filter_map(|name| vars.get(*name))
            .find(|home| !home.is_empty())
            .map(PathBuf::from);
        Self {
            vars,
            cwd: std::env::current_dir().unwrap_or_default(),
            home,
        }
    }

    /// The value of a variable; one that is set but empty counts as not set, as it always did.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.vars
            .get(name)
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
    }

    /// `text` as a path: `~/` is the home directory, a relative one starts at `base`.
    pub fn path(&self, text: &str, base: &Path) -> PathBuf {
        match (text.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => base.join(text),
        }
    }
}

impl fmt::Debug for Environment {
    /// Without the variables: some of them are keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("cwd", &self.cwd)
            .field("home", &self.home)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        let env = Environment {
            vars: [("A".into(), " ".into()), ("B".into(), " x ".into())].into(),
            ..Environment::default()
        };
        assert_eq!(
            (env.var("A"), env.var("B"), env.var("C")),
            (None, Some("x"), None)
        );
    }

    #[test]
    fn a_tilde_is_the_home_directory_and_a_relative_path_starts_at_its_base() {
        let env = Environment {
            home: Some("/home/me".into()),
            ..Environment::default()
        };
        let path = |text| env.path(text, Path::new("/base"));
        assert_eq!(path("~/k"), Path::new("/home/me/k"));
        assert_eq!(path("k"), Path::new("/base/k"));
        assert_eq!(path("/k"), Path::new("/k"));
    }

    #[test]
    fn debug_output_of_flags_and_environment_holds_no_key() {
        let flags = Flags {
            keys: Some("sk-planted".into()),
            target: Some("https://me:sk-planted@h".into()),
            ..Flags::default()
        };
        let env = Environment {
            vars: [("API_KEYS".into(), "sk-planted".into())].into(),
            ..Environment::default()
        };
        assert!(!format!("{flags:?}{env:?}").contains("sk-planted"));
    }
}
