//! The proxy as a service: systemd or launchd starts it at login, and again when it fails.
//!
//! Which of them it is, is a value and no `cfg`: what is written for one system is compiled and tested
//! on all of them.

mod args;
mod elsewhere;
mod launchd;
mod machine;
mod made;
mod plist;
mod port;
mod program;
mod report;
mod systemd;
mod unit;
mod wanted;

use std::path::PathBuf;

use crate::exit::Exit;
use crate::printer::Printer;

pub(crate) use args::{ServiceArgs, ServiceOrder};
pub(crate) use machine::{Machine, Manager};
pub(crate) use report::Report;
pub(crate) use wanted::Wanted;

/// The unit of systemd that runs the proxy.
pub(crate) const UNIT: &str = "api-key-lb.service";
/// The unit of systemd that keeps the port open, whether the proxy runs or not.
pub(crate) const SOCKET: &str = "api-key-lb.socket";
/// The job of launchd; the npm package's has the same name.
pub(crate) const LABEL: &str = "com.api-key-lb";

/// Whether a service can be installed here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Availability {
    /// By this manager.
    By(Manager),
    /// Not: why, and what to do instead.
    No(String),
}

/// What came of an installation.
#[derive(Debug)]
pub(crate) struct Installed {
    /// What was done.
    pub(crate) change: Change,
    /// The files of the service.
    pub(crate) files: Vec<PathBuf>,
    /// The port it listens on.
    pub(crate) port: u16,
    /// Where the job of the npm package is kept, if it was replaced now.
    pub(crate) predecessor: Option<PathBuf>,
}

/// What an installation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// There was no service.
    New,
    /// There was one, which differed.
    Updated,
    /// The same was there, but was not running or not started at login.
    Started,
    /// Nothing was to be done.
    None,
}

/// What came of its removal.
#[derive(Debug, Default)]
pub(crate) struct Removed {
    /// The files that were removed; none if nothing was installed.
    pub(crate) files: Vec<PathBuf>,
    /// The job of the npm package that was put back.
    pub(crate) restored: Option<PathBuf>,
    /// Where the job of the npm package is still kept.
    pub(crate) kept: Option<PathBuf>,
}

/// How a service is removed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Removal {
    /// Even if its files were changed by hand; then they are kept under another name.
    pub(crate) force: bool,
    /// The job of the npm package that it replaced runs again.
    pub(crate) restore: bool,
}

/// Whether [`install`] can do anything on this machine.
pub(crate) fn is_available(machine: &Machine) -> Availability {
    if machine.uid == 0 && machine.env.var("SUDO_USER").is_some() {
        return Availability::No(
            "the service would be root's, not yours; run this again without `sudo`".to_owned(),
        );
    }
    let missing = match machine.manager {
        Manager::Systemd => systemd::missing(machine),
        Manager::Launchd => launchd::missing(machine),
        Manager::None => Some(elsewhere::instead(machine)),
    };
    missing.map_or(Availability::By(machine.manager), Availability::No)
}

/// Installs the service and starts it; brings one that is there up to date.
///
/// # Errors
/// In words: what is in the way, and what to do. Then nothing has changed, or it has been taken back.
pub(crate) fn install(wanted: &Wanted, printer: &Printer) -> anyhow::Result<Installed> {
    if let Availability::No(why) = is_available(&wanted.machine) {
        anyhow::bail!(why);
    }
    match wanted.machine.manager {
        Manager::Systemd => systemd::install(wanted, printer),
        Manager::Launchd => launchd::install(wanted, printer),
        Manager::None => anyhow::bail!(elsewhere::instead(&wanted.machine)),
    }
}

/// Stops the service and removes its files, and nothing else. No service is no error.
///
/// # Errors
/// In words: what is in the way, and what to do.
pub(crate) fn uninstall(
    machine: &Machine,
    removal: Removal,
    printer: &Printer,
) -> anyhow::Result<Removed> {
    match machine.manager {
        Manager::Systemd => systemd::uninstall(machine, removal, printer),
        Manager::Launchd => launchd::uninstall(machine, removal, printer),
        Manager::None => Ok(Removed::default()),
    }
}

/// How the service is doing; `None` if none is installed.
///
/// # Errors
/// If its files cannot be read.
pub(crate) fn status(machine: &Machine) -> anyhow::Result<Option<Report>> {
    match machine.manager {
        Manager::Systemd => systemd::status(machine),
        Manager::Launchd => launchd::status(machine),
        Manager::None => Ok(None),
    }
}

/// Shows its log, as it grows if `follow`.
///
/// # Errors
/// If the program that shows it cannot be run.
pub(crate) fn logs(machine: &Machine, follow: bool, lines: u32) -> anyhow::Result<Exit> {
    match machine.manager {
        Manager::Systemd => systemd::logs(machine, follow, lines),
        Manager::Launchd => launchd::logs(machine, follow, lines),
        Manager::None => anyhow::bail!(elsewhere::instead(machine)),
    }
}
