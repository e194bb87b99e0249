//! systemd: a service and a socket of the user's own manager.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use api_key_lb_control::runtime_file::Supervisor;

use super::machine::Machine;
use super::made::{Found, Origin};
use super::port::{self, Occupant};
use super::report::{Report, after, made_by};
use super::wanted::Wanted;
use super::{Change, Installed, Removal, Removed, SOCKET, UNIT, unit};
use crate::exit::Exit;
use crate::printer::Printer;

/// The program that everything goes through.
const SYSTEMCTL: &str = "systemctl";
/// What of a unit is looked at.
const PROPERTIES: &str = "--property=ActiveState,SubState,UnitFileState,MainPID,Result";
/// Lines of the journal that are shown when it does not start.
const TAIL_LINES: &str = "--lines=15";
/// What a file that was not ours is called when it has made room.
const ASIDE: &str = "by-hand";
/// What WSL sets.
const WSL: &str = "WSL_DISTRO_NAME";

/// Why no service can be installed here, and what to do, if none can.
pub(super) fn missing(machine: &Machine) -> Option<String> {
    const INSTEAD: &str = "`api-key-lb start --detach` runs the proxy without a service";
    let said = match machine.run(SYSTEMCTL, &["--user", "show-environment"]) {
        Ok(ran) if ran.succeeded() => return None,
        Ok(ran) => ran.failure(),
        Err(error) => {
            return Some(format!(
                "no service can be installed, because there is no systemd here (`{SYSTEMCTL}`: {error}); {INSTEAD}"
            ));
        }
    };
    let advice = if machine.env.var(WSL).is_some() {
        "in WSL, systemd runs once /etc/wsl.conf has the lines `[boot]` and `systemd=true` and \
         `wsl --shutdown` was typed in Windows"
            .to_owned()
    } else if machine.env.var("XDG_RUNTIME_DIR").is_none() {
        format!(
            "$XDG_RUNTIME_DIR is not set, as after `su` or in a container: log in as this user (also \
             `machinectl shell USER@`), or set it to /run/user/{}",
            machine.uid
        )
    } else {
        "containers usually have none".to_owned()
    };
    Some(format!(
        "no service can be installed, because the user's own systemd cannot be reached; {advice}. {INSTEAD}.\n{said}"
    ))
}

/// The variables that services of this user see.
pub(super) fn environment(machine: &Machine) -> Vec<(String, String)> {
    match machine.run(SYSTEMCTL, &["--user", "show-environment"]) {
        Ok(ran) if ran.succeeded() => variables(&ran.stdout),
        _ => Vec::new(),
    }
}

fn variables(text: &str) -> Vec<(String, String)> {
    let plain = |value: &str| {
        let quoted = value
            .strip_prefix("$'")
            .and_then(|rest| rest.strip_suffix('\''));
        match quoted {
            Some(quoted) => quoted.replace("\\'", "'").replace("\\\\", "\\"),
            None => value.to_owned(),
        }
    };
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), plain(value)))
        .collect()
}

/// The two files.
struct Units {
    service: Found,
    socket: Found,
}

impl Units {
    fn read(machine: &Machine) -> anyhow::Result<Self> {
        let dir = machine.config_home().join("systemd/user");
        Ok(Self {
            service: Found::at(dir.join(UNIT))?,
            socket: Found::at(dir.join(SOCKET))?,
        })
    }

    const fn both(&self) -> [&Found; 2] {
        [&self.service, &self.socket]
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.both().map(|found| found.path.clone()).to_vec()
    }

    /// Refuses to go on if somebody else has written in them.
    fn check(&self, force: bool) -> anyhow::Result<()> {
        match self.both().into_iter().find_map(Found::objection) {
            Some(objection) if !force => anyhow::bail!(objection),
            _ => Ok(()),
        }
    }
}

/// A unit as its manager sees it.
struct State(BTreeMap<String, String>);

impl State {
    fn of(machine: &Machine, unit: &str) -> Self {
        let shown = machine.run(SYSTEMCTL, &["--user", "show", PROPERTIES, "--", unit]);
        Self(shown.map_or_else(
            |_| BTreeMap::new(),
            |ran| variables(&ran.stdout).into_iter().collect(),
        ))
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn is_active(&self) -> bool {
        matches!(self.get("ActiveState"), "active" | "reloading")
    }

    fn is_enabled(&self) -> bool {
        self.get("UnitFileState") == "enabled"
    }

    fn is_up(&self) -> bool {
        self.is_active() && self.is_enabled()
    }
}

/// What has to happen to the units that run.
#[derive(Clone, Copy)]
struct Steps {
    /// Files were written.
    reload: bool,
    /// Both have to stop first: the socket listens elsewhere, or not yet.
    stop: bool,
    /// A proxy in the background has the port.
    detached: bool,
    /// The service runs with what is no longer right.
    restart: bool,
}

pub(super) fn install(wanted: &Wanted, printer: &Printer) -> anyhow::Result<Installed> {
    let (machine, job) = (&wanted.machine, &wanted.job);
    if let Some(objection) = unit::program_objection(&job.program) {
        anyhow::bail!(objection);
    }
    let units = Units::read(machine)?;
    units.check(wanted.force)?;
    let texts = [
        unit::service(job, version(machine)),
        unit::socket(&job.addresses),
    ];
    let [service_text, socket_text] = &texts;
    let (service, socket) = (State::of(machine, UNIT), State::of(machine, SOCKET));
    let same = [
        units.service.says(service_text),
        units.socket.says(socket_text),
    ];
    let is_same = same == [true, true];
    let installed = |change| Installed {
        change,
        files: units.paths(),
        port: wanted.port(),
        predecessor: None,
    };
    if is_same && service.is_up() && socket.is_up() {
        return Ok(installed(Change::None));
    }
    let holds = socket.is_active() && listens(&units.socket, job.addresses.first());
    let occupant = match holds {
        true => Occupant::Service,
        false => port::occupant(
            wanted,
            |noted| is_service(noted.supervisor.as_ref()),
            printer,
        ),
    };
    let detached = match occupant {
        Occupant::Nobody | Occupant::Service => false,
        Occupant::Detached => true,
        Occupant::Predecessor => anyhow::bail!(port::predecessor(wanted.port())),
        Occupant::Other(why) => anyhow::bail!(why),
    };
    if !is_same {
        for (found, text) in units.both().into_iter().zip(&texts) {
            if let Some(kept) = found.keep(ASIDE)? {
                printer.note(format!(
                    "what was changed by hand is kept in {}",
                    kept.display()
                ));
            }
            if let Err(error) = found.write(text) {
                units.both().iter().for_each(|found| found.put_back());
                return Err(error);
            }
        }
    }
    let runs = service.is_active() || socket.is_active();
    let steps = Steps {
        reload: !is_same,
        stop: runs && !(same[1] && socket.is_active()),
        detached,
        restart: service.is_active() && !same[0],
    };
    if let Err(error) = bring_up(wanted, steps, printer) {
        let tail = journal(machine);
        if !is_same {
            take_back(machine, &units, service.is_active());
        }
        let restarted = if detached {
            "; `api-key-lb start --detach` starts the proxy that ran before"
        } else {
            ""
        };
        anyhow::bail!("{error:#}\nWhat was there before is there again{restarted}. {tail}");
    }
    if lingers(machine) == Some(false) {
        printer.note(
            "the service runs while you are logged in; `loginctl enable-linger` has it run from boot on",
        );
    }
    Ok(installed(match (is_same, units.service.origin) {
        (true, _) => Change::Started,
        (_, Origin::Absent) => Change::New,
        _ => Change::Updated,
    }))
}

fn bring_up(wanted: &Wanted, steps: Steps, printer: &Printer) -> anyhow::Result<()> {
    let machine = &wanted.machine;
    if steps.reload {
        user(machine, &["daemon-reload"])?;
    }
    if steps.stop {
        user(machine, &["stop", UNIT, SOCKET])?;
    }
    if steps.detached {
        port::stop(wanted, printer)?;
    }
    user(machine, &["enable", UNIT, SOCKET])?;
    user(machine, &["start", SOCKET])?;
    let verb = if steps.restart && !steps.stop {
        "restart"
    } else {
        "start"
    };
    user(machine, &[verb, UNIT])
}

/// Undoes an installation that has failed; what fails now is of less interest than what failed then.
fn take_back(machine: &Machine, units: &Units, was_active: bool) {
    if units.service.origin == Origin::Absent {
        let _ = user(machine, &["disable", "--now", UNIT, SOCKET]);
    }
    for found in units.both() {
        found.put_back();
    }
    let _ = user(machine, &["daemon-reload"]);
    let _ = user(machine, &["reset-failed", UNIT, SOCKET]);
    if was_active {
        let _ = user(machine, &["restart", UNIT]);
    }
}

pub(super) fn uninstall(
    machine: &Machine,
    removal: Removal,
    printer: &Printer,
) -> anyhow::Result<Removed> {
    let units = Units::read(machine)?;
    units.check(removal.force)?;
    // The socket first, so that nobody who knocks meanwhile starts the service again.
    let there: Vec<&Found> = [&units.socket, &units.service]
        .into_iter()
        .filter(|found| found.text.is_some() || found.path.is_symlink())
        .collect();
    if there.is_empty() {
        return Ok(Removed::default());
    }
    if let Some(why) = missing(machine) {
        anyhow::bail!("the service cannot be stopped, so nothing was removed: {why}");
    }
    let mut order = vec!["disable", "--now"];
    let names = [(&units.socket, SOCKET), (&units.service, UNIT)];
    order.extend(
        names
            .iter()
            .filter(|(found, _)| found.text.is_some())
            .map(|(_, name)| *name),
    );
    user(machine, &order)?;
    for found in &there {
        if let Some(kept) = found.keep(ASIDE)? {
            printer.note(format!(
                "what was changed by hand is kept in {}",
                kept.display()
            ));
        } else {
            found.remove()?;
        }
    }
    user(machine, &["daemon-reload"])?;
    // Says nothing else than that there was nothing to forget.
    let _ = user(machine, &["reset-failed", UNIT, SOCKET]);
    Ok(Removed {
        files: there.iter().map(|found| found.path.clone()).collect(),
        ..Removed::default()
    })
}

pub(super) fn status(machine: &Machine) -> anyhow::Result<Option<Report>> {
    let units = Units::read(machine)?;
    let Some(text) = &units.service.text else {
        return Ok(None);
    };
    let (service, socket) = (State::of(machine, UNIT), State::of(machine, SOCKET));
    let words = unit::command(text).unwrap_or_default();
    let socket_text = units.socket.text.as_deref().unwrap_or_default();
    let mut state = match (service.get("ActiveState"), service.get("SubState")) {
        ("", _) => "unknown: the user's own systemd cannot be reached".to_owned(),
        (active, sub) => format!("{active} ({sub})"),
    };
    if !service.is_active() && socket.is_active() {
        state.push_str(", starts with the next request");
    }
    let origin = match (units.service.origin, units.socket.origin) {
        (Origin::Ours, socket) => socket,
        (service, _) => service,
    };
    let report = Report {
        manager: machine.manager.as_str(),
        made_by: made_by(origin),
        enabled: service.is_enabled(),
        active: service.is_active(),
        state,
        pid: service.get("MainPID").parse().ok().filter(|pid| *pid != 0),
        port: unit::addresses(socket_text).first().map(SocketAddr::port),
        config: after(&words, "--config"),
        program: words.into_iter().next(),
        files: units
            .both()
            .iter()
            .filter(|found| found.text.is_some())
            .map(|found| found.path.display().to_string())
            .collect(),
        log: format!("journalctl --user-unit {UNIT}"),
        ..Report::default()
    };
    Ok(Some(report.dated(machine)))
}

pub(super) fn logs(machine: &Machine, follow: bool, lines: u32) -> anyhow::Result<Exit> {
    let lines = format!("--lines={lines}");
    // Not `--user --unit`: where journals are not kept on disk, users have none of their own.
    let mut args = vec!["--user-unit", UNIT, &lines];
    if follow {
        args.push("--follow");
    }
    machine.show("journalctl", &args)
}

fn user(machine: &Machine, args: &[&str]) -> anyhow::Result<()> {
    let args: Vec<&str> = std::iter::once("--user")
        .chain(args.iter().copied())
        .collect();
    machine.must(SYSTEMCTL, &args).map(|_| ())
}

fn is_service(supervisor: Option<&Supervisor>) -> bool {
    matches!(supervisor, Some(Supervisor::Systemd { unit, user: true, .. }) if unit == UNIT)
}

fn listens(socket: &Found, address: Option<&SocketAddr>) -> bool {
    let text = socket.text.as_deref().unwrap_or_default();
    address.is_some_and(|address| unit::addresses(text).contains(address))
}

/// `systemd 252 (252.38-1)`; 0 if it says anything else.
fn version(machine: &Machine) -> u32 {
    let ran = machine.run(SYSTEMCTL, &["--version"]);
    let said = ran.map(|ran| ran.stdout).unwrap_or_default();
    said.split_whitespace()
        .nth(1)
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

/// Whether the user's services run without anybody logged in; `None` if that cannot be told.
fn lingers(machine: &Machine) -> Option<bool> {
    let uid = machine.uid.to_string();
    let ran = machine.run("loginctl", &["show-user", &uid, "--property=Linger"]);
    let said = ran.ok().filter(super::machine::Ran::succeeded)?.stdout;
    match said.trim() {
        "Linger=yes" => Some(true),
        "Linger=no" => Some(false),
        _ => None,
    }
}

/// What the service has said of late.
fn journal(machine: &Machine) -> String {
    let args = [
        "--user-unit",
        UNIT,
        TAIL_LINES,
        "--output=cat",
        "--no-pager",
    ];
    match machine.run("journalctl", &args) {
        Ok(ran) if ran.succeeded() && !ran.stdout.trim().is_empty() => {
            format!("Its journal:\n{}", ran.stdout.trim_end())
        }
        _ => format!("`journalctl --user-unit {UNIT}` may say more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_as_systemctl_shows_them() {
        let shown = "PATH=/usr/bin:/bin\nA=$'it\\'s \\\\ x'\nEMPTY=\nno line\n";
        let read = variables(shown);
        let read: Vec<(&str, &str)> = read
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            read,
            [("PATH", "/usr/bin:/bin"), ("A", "it's \\ x"), ("EMPTY", "")]
        );
    }
}
