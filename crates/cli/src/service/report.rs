//! How a service is doing.

use api_key_lb_control::runtime_file::{self, Instance};
use serde::Serialize;

use super::machine::Machine;
use super::made::Origin;

/// What `service status` tells.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// `systemd` or `launchd`.
    pub(crate) manager: &'static str,
    /// Whether `service install` made it: `us`, `changed` (by hand since), `npm` or `other`.
    pub(crate) made_by: &'static str,
    /// Whether it starts at login.
    pub(crate) enabled: bool,
    /// Whether it runs.
    pub(crate) active: bool,
    /// The same in the words of its manager.
    pub(crate) state: String,
    /// When the process started, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since_ms: Option<u64>,
    /// The process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pid: Option<u32>,
    /// Where it listens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<u16>,
    /// The program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) program: Option<String>,
    /// Its configuration file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) config: Option<String>,
    /// The files that make the service.
    pub(crate) files: Vec<String>,
    /// How to read its log.
    pub(crate) log: String,
}

impl Report {
    /// With the start of its process, if that has noted it.
    pub(super) fn dated(mut self, machine: &Machine) -> Self {
        let noted = self.port.filter(|_| self.active).and_then(|port| {
            let dir = runtime_file::state_dir(&machine.env)?;
            Instance::read(&dir, port).ok().flatten()
        });
        if let Some(noted) = noted.filter(|noted| self.pid.is_none_or(|pid| pid == noted.pid)) {
            self.since_ms = Some(noted.started.unix_millis());
            self.pid = Some(noted.pid);
        }
        self
    }
}

/// The word for whoever made a file.
pub(super) const fn made_by(origin: Origin) -> &'static str {
    match origin {
        Origin::Ours | Origin::Absent => "us",
        Origin::Edited => "changed",
        Origin::Foreign => "other",
    }
}

/// What follows `flag` among the words of a command.
pub(super) fn after(words: &[String], flag: &str) -> Option<String> {
    let at = words.iter().position(|word| word == flag)?;
    words.get(at + 1).cloned()
}
