//! What a service is to run: which program, with which configuration, on which addresses, checked with what the
//! service will see instead of this shell.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use api_key_lb_control::config::find_file;
use api_key_lb_control::{Config, Environment, Flags};
use api_key_lb_core::Secret;

use super::machine::{Machine, Manager};
use super::{program, systemd};
use crate::args::PlaceArgs;
use crate::listen;

/// Where commands look for a running proxy: a service that had another would not be found.
const STATE_HOME: &str = "XDG_STATE_HOME";
/// What a service sees of the variables of the person who installs it, if nobody says more.
const ALWAYS: &[&str] = &["HOME", "USER", "LOGNAME", "TMPDIR"];
/// Variables that mean something to us, and that people set in shells.
const OURS: &[&str] = &[
    "API_KEYS",
    "TARGET",
    "PORT",
    "COOLDOWN_MS",
    "SESSION_TTL_MS",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "https_proxy",
    "http_proxy",
    "no_proxy",
];
/// What further ones begin with.
const OUR_PREFIX: &str = "AKLB_";

/// A service that is to be.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Where.
    pub(crate) machine: Machine,
    /// What it runs.
    pub(crate) job: Job,
    /// Whether files that were changed by hand are replaced.
    pub(crate) force: bool,
    /// What to say about it in any case.
    pub(crate) warnings: Vec<String>,
    /// What the running proxy wants from its clients.
    pub(super) client_token: Option<Secret>,
}

/// What a service runs.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// The program.
    pub(super) program: String,
    /// The configuration file.
    pub(super) config: String,
    /// The port, if it is not the one of the configuration.
    pub(super) port: Option<u16>,
    /// Where it listens; all on one port.
    pub(super) addresses: Vec<SocketAddr>,
    /// What it needs besides its manager's environment.
    pub(super) variables: Vec<(String, String)>,
    /// How long running answers have when it ends.
    pub(super) drain: Duration,
}

impl Wanted {
    /// The service for this place. Reads the configuration as the service will.
    ///
    /// # Errors
    /// If there is no configuration file, or the service would not start with it.
    pub(crate) fn of(place: &PlaceArgs, force: bool, machine: Machine) -> anyhow::Result<Self> {
        let env = &machine.env;
        let flags = Flags {
            port: place.port,
            config: place.config.clone(),
            ..Flags::default()
        };
        let found = find_file(&flags, env).map_err(|problem| anyhow::anyhow!(problem.text))?;
        let found = found.context(
            "there is no configuration file, and a service has nothing else to know its keys from; write one \
             with `api-key-lb setup`",
        )?;
        let file = std::path::absolute(&found.path)
            .with_context(|| format!("cannot tell where {} is", found.path.display()))?;
        let flags = Flags {
            config: Some(file.clone()),
            found: found.is_of_current_directory(env),
            ..flags
        };
        let seen = environment(&machine);
        let config = match Config::load(&flags, &seen) {
            Ok(config) => config,
            Err(error) => anyhow::bail!(
                "nothing was installed, because the service would not start: {error}\n{}",
                unseen(env, &seen)
            ),
        };
        let port = config.listen.port;
        anyhow::ensure!(
            port != 0,
            "a service needs a port that stays the same, and `port` is 0; name one with `--port` or in {}",
            file.display()
        );
        let program = program::path(env).context("cannot tell where this program is")?;
        let mut warnings = Vec::from_iter(program::warning(&program));
        let ignored = unseen(env, &seen);
        if !ignored.is_empty() {
            warnings.push(ignored);
        }
        let hosts = &config.listen.hosts;
        let state = env
            .var(STATE_HOME)
            .filter(|dir| Path::new(dir).is_absolute());
        Ok(Self {
            job: Job {
                program: written(&program)?,
                config: written(&file)?,
                port: place.port,
                addresses: addresses(hosts, port, config.listen.explicit_hosts),
                variables: Vec::from_iter(state.map(|dir| (STATE_HOME.to_owned(), dir.to_owned()))),
                drain: config.plan.timing.drain_timeout,
            },
            force,
            warnings,
            client_token: config.plan.guard.client_tokens.first().cloned(),
            machine,
        })
    }

    /// The port it listens on.
    pub(super) fn port(&self) -> u16 {
        self.job.addresses.first().map_or(0, SocketAddr::port)
    }

    /// Where it can be asked.
    pub(super) fn address(&self) -> SocketAddr {
        let hosts: Vec<IpAddr> = self.job.addresses.iter().map(SocketAddr::ip).collect();
        crate::instance::address(&hosts, self.port())
    }

    /// As commands name it.
    pub(super) fn place(&self) -> PlaceArgs {
        PlaceArgs {
            port: Some(self.port()),
            config: Some(PathBuf::from(&self.job.config)),
        }
    }
}

impl Job {
    /// The arguments that start it.
    pub(super) fn start(&self) -> Vec<String> {
        self.order("start")
    }

    /// The arguments that have it read its configuration again.
    pub(super) fn reload(&self) -> Vec<String> {
        self.order("reload")
    }

    fn order(&self, order: &str) -> Vec<String> {
        let mut words = vec![order.to_owned(), "--config".to_owned(), self.config.clone()];
        if let Some(port) = self.port {
            words.extend(["--port".to_owned(), port.to_string()]);
        }
        words
    }
}

/// What the service will see.
fn environment(machine: &Machine) -> Environment {
    let mut seen = Environment {
        vars: machine
            .env
            .vars
            .iter()
            .filter(|(name, _)| ALWAYS.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        cwd: machine.home.clone(),
        home: Some(machine.home.clone()),
    };
    if machine.manager == Manager::Systemd {
        seen.vars.extend(systemd::environment(machine));
    }
    seen
}

/// Which variables of this shell the service will not see, by name only; empty if none matters.
fn unseen(env: &Environment, seen: &Environment) -> String {
    let names: Vec<&str> = env
        .vars
        .keys()
        .map(String::as_str)
        .filter(|name| OURS.contains(name) || name.starts_with(OUR_PREFIX))
        .filter(|name| env.var(name) != seen.var(name))
        .collect();
    if names.is_empty() {
        return String::new();
    }
    format!(
        "set in this shell, but the service does not see it: {}; what is to count there belongs into the \
         configuration file",
        names.join(", ")
    )
}

fn addresses(hosts: &[IpAddr], port: u16, explicit: bool) -> Vec<SocketAddr> {
    let has_ipv6 = || listen::bind(&[Ipv6Addr::LOCALHOST.into()], 0, true).is_ok();
    hosts
        .iter()
        .filter(|host| explicit || host.is_ipv4() || has_ipv6())
        .map(|host| SocketAddr::new(*host, port))
        .collect()
}

/// A path as it can stand in files of text.
fn written(path: &Path) -> anyhow::Result<String> {
    let text = path
        .to_str()
        .filter(|text| !text.contains(char::is_control));
    let text = text.with_context(|| {
        format!(
            "the path {} is not plain text and cannot be written into the files of a service; rename it",
            path.display()
        )
    })?;
    Ok(text.to_owned())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A job with something to escape.
    pub(in super::super) fn job() -> Job {
        Job {
            program: "/home/me/my programs/100% $x/api-key-lb".into(),
            config: "/home/me/.config/api-key-lb/é \"<&\\>' ${HOME}.json".into(),
            port: Some(4600),
            addresses: vec![
                "127.0.0.1:4600".parse().unwrap(),
                "[::1]:4600".parse().unwrap(),
            ],
            variables: vec![("XDG_STATE_HOME".into(), "/var/lib/a b".into())],
            drain: Duration::from_secs(10),
        }
    }

    /// Compares with the file of that name; writes it with `UPDATE_DOCS=1`.
    #[track_caller]
    pub(in super::super) fn snapshot(name: &str, text: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("src/service/snapshots")
            .join(name);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, text).unwrap();
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            there, text,
            "{name} differs; look at it, then run this test with UPDATE_DOCS=1"
        );
    }

    #[test]
    fn variables_that_only_the_shell_has_are_named_without_their_values() {
        let env = |vars: &[(&str, &str)]| Environment {
            vars: vars
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..Environment::default()
        };
        let shell = env(&[
            ("API_KEYS", "sk-planted"),
            ("AKLB_HOST", "::"),
            ("PORT", "1"),
            ("EDITOR", "vi"),
        ]);
        let said = unseen(&shell, &env(&[("PORT", "1")]));
        assert!(said.contains("AKLB_HOST, API_KEYS;"), "{said}");
        assert!(
            !said.contains("planted") && !said.contains("PORT"),
            "{said}"
        );
        assert_eq!(unseen(&shell, &shell), "");
    }

    #[test]
    fn a_path_that_is_no_line_of_text_is_refused() {
        assert!(written(Path::new("/a\nb")).is_err());
        assert_eq!(written(Path::new("/a 'é'")).unwrap(), "/a 'é'");
    }
}
