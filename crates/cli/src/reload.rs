//! Reading the configuration again while the proxy runs: as `start` did, by the same flags and environment.

use std::net::IpAddr;
use std::sync::Arc;

use api_key_lb_control::config::{Changes, Problem, Watch};
use api_key_lb_control::health::Reloading;
use api_key_lb_control::{Config, ConfigError, Environment, Flags};
use tokio::sync::oneshot::{self, error::RecvError};

use crate::desk::Outcome;
use crate::live::{Now, warnings};
use crate::output;
use crate::printer::Printer;
use crate::render::count;
use crate::server::Server;

/// What is read, once it is.
pub(crate) type Reading = oneshot::Receiver<Result<Config, ConfigError>>;

/// Reads it again.
#[derive(Debug)]
pub(crate) struct Reloader {
    flags: Flags,
    env: Environment,
    running: Config,
    watch: Watch,
}

impl Reloader {
    /// For a proxy that runs by `config`, which was loaded with these flags and this environment.
    pub(crate) fn new(config: &Config, flags: Flags, env: Environment) -> Self {
        Self {
            flags,
            env,
            running: config.clone(),
            watch: Watch::new(&config.files),
        }
    }

    /// What it was made for has been adapted to the sockets that were handed over.
    pub(crate) fn runs_by(&mut self, config: &Config) {
        self.running = config.clone();
    }

    /// The port that was found, where any would have done.
    pub(crate) fn listens_on(&mut self, port: u16) {
        if self.running.listen.port == 0 {
            self.running.listen.port = port;
        }
    }

    /// What is in force.
    pub(crate) const fn running(&self) -> &Config {
        &self.running
    }

    /// Looks whether a file of the configuration is another one by now.
    pub(crate) fn has_changed(&mut self) -> bool {
        self.watch.has_changed()
    }

    /// Begins to read everything again, on a thread of its own: a program that tells a key may take
    /// seconds, in which signals and orders must be heard.
    pub(crate) fn begin(&mut self) -> Reading {
        self.watch.note();
        let (flags, env) = (self.flags.clone(), self.env.clone());
        let (sender, reading) = oneshot::channel();
        let load = move || {
            // Nobody waits any more if this fails.
            let _ = sender.send(Config::load(&flags, &env));
        };
        // If there is no thread, the sender is dropped, and the receiver says so.
        let _thread = std::thread::Builder::new()
            .name("reload".into())
            .spawn(load);
        reading
    }

    /// Puts in force what was read, or says why not and leaves all as it is.
    pub(crate) fn finish(
        &mut self,
        loaded: Result<Result<Config, ConfigError>, RecvError>,
        server: &Server,
        printer: &Printer,
    ) -> Outcome {
        let loaded = match loaded.unwrap_or_else(|_| Err(unread())) {
            Ok(config) => {
                self.watch.follow(&config.files);
                self.put_in_force(config, server)
            }
            Err(error) => {
                // What it says may be in files that were not read before, and what was read before
                // may be put right.
                let mut files = error.files.clone();
                files.extend_from_slice(&self.running.files);
                self.watch.follow(&files);
                Err(error.to_string())
            }
        };
        let outcome = match loaded {
            Ok(outcome) => outcome,
            Err(why) => {
                let at = server.state().now();
                server.live().change(|now| {
                    now.reloading = Arc::new(Reloading {
                        error: Some((why.clone(), at)),
                        ..Reloading::clone(&now.reloading)
                    });
                });
                Outcome::failed(why)
            }
        };
        server.observer().reloaded(outcome.error.is_none());
        say(&outcome, printer);
        outcome
    }

    fn put_in_force(&mut self, mut config: Config, server: &Server) -> Result<Outcome, String> {
        let Changes {
            applied,
            needs_restart,
        } = config.continue_from(&self.running);
        let address = server.address();
        let hosts: Vec<IpAddr> = server.addresses().iter().map(|one| one.ip()).collect();
        if let Some(target) = config.plan.target_at_self(address.port(), &hosts) {
            return Err(format!(
                "the target {target} is this proxy itself; write the provider's URL"
            ));
        }
        server
            .reload(config.plan.clone(), config.ca_file.as_deref())
            .map_err(|error| error.to_string())?;
        output::follow(config.log_settings);
        server.live().change(|now| {
            *now = Now {
                reloading: Arc::new(Reloading {
                    error: None,
                    needs_restart: needs_restart.clone(),
                }),
                ..Now::by(&config)
            };
        });
        let outcome = Outcome {
            error: None,
            applied,
            needs_restart,
            warnings: warnings(&config).to_vec(),
        };
        self.running = config;
        Ok(outcome)
    }
}

/// That the thread that reads could not be started, or has failed.
fn unread() -> ConfigError {
    ConfigError {
        problems: vec![Problem {
            place: None,
            text: "it could not be read; is the machine out of memory?".to_owned(),
        }],
        files: Vec::new(),
    }
}

fn say(outcome: &Outcome, printer: &Printer) {
    if let Some(why) = &outcome.error {
        printer.error(format!(
            "the configuration was not reloaded, the one before stays in force: {why}"
        ));
        return;
    }
    for text in &outcome.warnings {
        printer.warn(text);
    }
    // That nobody reads it is no reason not to go on.
    let _said = printer.say(told(outcome));
}

/// What a reload has changed, in words.
pub(crate) fn told(outcome: &Outcome) -> String {
    let mut lines = vec![match outcome.applied.len() {
        0 => "Configuration reloaded; nothing is different.".to_owned(),
        changes => format!("Configuration reloaded, {}:", count(changes, "change")),
    }];
    lines.extend(outcome.applied.iter().map(|change| format!("  {change}")));
    if !outcome.needs_restart.is_empty() {
        lines.push("Needs a restart (`api-key-lb restart`):".to_owned());
        let waits = outcome.needs_restart.iter();
        lines.extend(waits.map(|setting| format!("  {setting}")));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_is_told_with_what_changed_and_what_waits() {
        assert_eq!(
            told(&Outcome::default()),
            "Configuration reloaded; nothing is different."
        );
        let outcome = Outcome {
            applied: vec!["the key a is new".into()],
            needs_restart: vec!["`port` stays 1".into()],
            ..Outcome::default()
        };
        assert_eq!(
            told(&outcome),
            "Configuration reloaded, 1 change:\n  the key a is new\n\
             Needs a restart (`api-key-lb restart`):\n  `port` stays 1"
        );
    }
}
