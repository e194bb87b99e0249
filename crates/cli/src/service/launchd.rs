//! launchd: a job of the user, under the name that the npm package's had.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use api_key_lb_control::runtime_file::{Instance, Supervisor};
use api_key_lb_control::{Config, Environment, Flags};

use super::machine::Machine;
use super::made::{Found, Origin, set_aside};
use super::port::{self, Occupant};
use super::report::{Report, after, made_by};
use super::wanted::Wanted;
use super::{Change, Installed, LABEL, Removal, Removed, plist};
use crate::exit::Exit;
use crate::printer::Printer;

/// The program that everything goes through.
const LAUNCHCTL: &str = "launchctl";
/// How long a job may take to end: running answers finish.
const END_PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take until it serves; launchd waits 10 s before it starts a program again.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// Lines of the log that are shown when it does not.
const TAIL_LINES: usize = 15;
/// What the job of the npm package is called when it has made room …
const NPM: &str = "npm";
/// … and any other file.
const ASIDE: &str = "by-hand";

/// Why no service can be installed here, and what to do, if none can.
pub(super) fn missing(machine: &Machine) -> Option<String> {
    let error = machine.run(LAUNCHCTL, &["version"]).err()?;
    Some(format!(
        "no service can be installed, because `{LAUNCHCTL}` cannot be run: {error}; `api-key-lb start \
         --detach` runs the proxy without a service"
    ))
}

fn file(machine: &Machine) -> PathBuf {
    let agents = machine.home.join("Library/LaunchAgents");
    agents.join(format!("{LABEL}.plist"))
}

fn log(machine: &Machine) -> PathBuf {
    machine.home.join(".config/api-key-lb/proxy.log")
}

/// Whose jobs it is one of.
fn domain(machine: &Machine) -> String {
    match machine.uid {
        0 => "system".to_owned(),
        uid => format!("gui/{uid}"),
    }
}

fn target(machine: &Machine) -> String {
    format!("{}/{LABEL}", domain(machine))
}

/// A job that launchd knows.
#[derive(Debug, Default)]
struct Loaded {
    pid: Option<u32>,
}

/// The job, if it is loaded.
fn loaded(machine: &Machine) -> Option<Loaded> {
    let number = |text: &str, before: &str| {
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(before));
        line.and_then(|rest| rest.trim_end_matches(';').trim().parse().ok())
    };
    if let Ok(ran) = machine.run(LAUNCHCTL, &["print", &target(machine)])
        && ran.succeeded()
    {
        let pid = number(&ran.stdout, "pid = ");
        return Some(Loaded { pid });
    }
    // Older than `print`, or a session that has no domain.
    let ran = machine.run(LAUNCHCTL, &["list", LABEL]).ok()?;
    ran.succeeded().then(|| Loaded {
        pid: number(&ran.stdout, "\"PID\" = "),
    })
}

/// Stops the job and has launchd forget it; the file stays.
fn unload(machine: &Machine, path: &Path) -> anyhow::Result<()> {
    if loaded(machine).is_none() {
        return Ok(());
    }
    if !machine.does(LAUNCHCTL, &["bootout", &target(machine)]) {
        let path = path.display().to_string();
        machine.must(LAUNCHCTL, &["unload", &path])?;
    }
    anyhow::ensure!(
        port::wait(END_PATIENCE, || loaded(machine).is_none()),
        "launchd has not ended {LABEL} within {} s",
        END_PATIENCE.as_secs()
    );
    Ok(())
}

/// Has launchd read the file and start the job, now and at login.
fn load(machine: &Machine, path: &Path) -> anyhow::Result<()> {
    // A person may have disabled it some day; installing it says the opposite.
    let _ = machine.does(LAUNCHCTL, &["enable", &target(machine)]);
    let path = path.display().to_string();
    let tried = machine.must(LAUNCHCTL, &["bootstrap", &domain(machine), &path]);
    if tried.is_err() {
        // Where nobody is logged in at the screen there is nothing to bootstrap into. Its exit code says nothing.
        let _ = machine.does(LAUNCHCTL, &["load", "-w", &path]);
    }
    match (loaded(machine), tried) {
        (None, Err(error)) => Err(error),
        (None, Ok(_)) => anyhow::bail!("launchd took {path}, but does not know {LABEL}"),
        (Some(_), _) => Ok(()),
    }
}

pub(super) fn install(wanted: &Wanted, printer: &Printer) -> anyhow::Result<Installed> {
    let machine = &wanted.machine;
    let found = Found::at(file(machine))?;
    let is_npm = found.origin == Origin::Foreign
        && !found.path.is_symlink()
        && found.text.as_deref().is_some_and(plist::is_predecessor);
    if let Some(objection) = found.objection().filter(|_| !wanted.force && !is_npm) {
        anyhow::bail!(objection);
    }
    let text = plist::job(&wanted.job, &log(machine));
    let job = loaded(machine);
    let is_same = found.says(&text);
    let installed = |change, predecessor| Installed {
        change,
        files: vec![found.path.clone()],
        port: wanted.port(),
        predecessor,
    };
    let pid = job.as_ref().and_then(|job| job.pid);
    if is_same && pid.is_some() && is_enabled(machine) {
        return Ok(installed(Change::None, None));
    }
    let is_service = |noted: &Instance| pid == Some(noted.pid) || is_job(noted.supervisor.as_ref());
    let detached = match port::occupant(wanted, is_service, printer) {
        Occupant::Nobody | Occupant::Service => false,
        Occupant::Detached => true,
        // It is what launchd runs, so it ends with the job.
        Occupant::Predecessor if job.is_some() && is_npm => false,
        Occupant::Predecessor => anyhow::bail!(port::predecessor(wanted.port())),
        Occupant::Other(why) => anyhow::bail!(why),
    };
    unload(machine, &found.path)?;
    // Not before nobody else is in the way, so that what ran before runs again if this fails.
    let mut aside = None;
    let result = (|| {
        if detached {
            port::stop(wanted, printer)?;
        }
        anyhow::ensure!(
            port::is_free(wanted.address(), START_PATIENCE),
            "port {} is still taken although launchd has ended {LABEL}; {}",
            wanted.port(),
            port::predecessor(wanted.port())
        );
        if !is_same {
            if is_npm {
                aside = Some(found.set_aside(NPM)?);
            } else {
                aside = found.keep(ASIDE)?;
            }
            found.write(&text)?;
        }
        prepare_log(&log(machine))?;
        load(machine, &found.path)?;
        anyhow::ensure!(
            port::serves(wanted, START_PATIENCE),
            "launchd runs it, but nothing serves on port {} after {} s. {}",
            wanted.port(),
            START_PATIENCE.as_secs(),
            tail(&log(machine))
        );
        Ok(())
    })();
    if let Err(error) = result {
        take_back(machine, &found, aside.as_deref(), job.is_some());
        return Err(error.context("not installed; what was there before is there again"));
    }
    let change = match (is_same, found.origin) {
        (true, _) => Change::Started,
        (_, Origin::Absent) => Change::New,
        _ => Change::Updated,
    };
    match aside {
        Some(path) if is_npm => Ok(installed(change, Some(path))),
        Some(path) => {
            printer.note(format!("what was there is kept in {}", path.display()));
            Ok(installed(change, None))
        }
        None => Ok(installed(change, None)),
    }
}

/// Undoes an installation that has failed; what fails now is of less interest than what failed then.
fn take_back(machine: &Machine, found: &Found, aside: Option<&Path>, was_loaded: bool) {
    let _ = unload(machine, &found.path);
    match aside {
        Some(aside) => drop(fs::rename(aside, &found.path)),
        None => found.put_back(),
    }
    if was_loaded {
        let _ = load(machine, &found.path);
    }
}

pub(super) fn uninstall(
    machine: &Machine,
    removal: Removal,
    printer: &Printer,
) -> anyhow::Result<Removed> {
    let found = Found::at(file(machine))?;
    let kept = set_aside(&found.path, NPM);
    let is_there = found.origin != Origin::Absent;
    let is_npm = found.text.as_deref().is_some_and(plist::is_predecessor);
    if is_npm && !removal.force {
        anyhow::bail!(
            "{} is the npm package's, which `api-key-lb service install` replaces; nothing was done. `--force` \
             removes it and keeps a copy beside it",
            found.path.display()
        );
    }
    if let Some(objection) = found.objection().filter(|_| !removal.force) {
        anyhow::bail!(objection);
    }
    unload(machine, &found.path)?;
    let mut removed = Removed::default();
    if is_there {
        if let Some(aside) = found.keep(ASIDE)? {
            printer.note(format!("what was there is kept in {}", aside.display()));
        } else {
            found.remove()?;
        }
        removed.files.push(found.path.clone());
    }
    match kept {
        Some(kept) if removal.restore => {
            fs::rename(&kept, &found.path)
                .with_context(|| format!("cannot put {} back", kept.display()))?;
            load(machine, &found.path)?;
            removed.restored = Some(found.path.clone());
        }
        kept => removed.kept = kept,
    }
    Ok(removed)
}

pub(super) fn status(machine: &Machine) -> anyhow::Result<Option<Report>> {
    let found = Found::at(file(machine))?;
    let Some(text) = &found.text else {
        return Ok(None);
    };
    let job = loaded(machine);
    let words = plist::command(text).unwrap_or_default();
    let config = after(&words, "--config");
    let flags = Flags {
        config: config.clone().map(PathBuf::from),
        port: after(&words, "--port").and_then(|port| port.parse().ok()),
        ..Flags::default()
    };
    // Not with the variables of this shell, which it does not see.
    let seen = Environment {
        home: Some(machine.home.clone()),
        ..Environment::default()
    };
    let pid = job.as_ref().and_then(|job| job.pid);
    let report = Report {
        manager: machine.manager.as_str(),
        made_by: match plist::is_predecessor(text) {
            true => "npm",
            false => made_by(found.origin),
        },
        enabled: is_enabled(machine),
        active: pid.is_some(),
        state: match (&job, pid) {
            (None, _) => "not loaded",
            (Some(_), None) => "loaded, not running",
            (Some(_), Some(_)) => "running",
        }
        .to_owned(),
        pid,
        port: Some(Config::listen_port_lenient(&flags, &seen)),
        config,
        program: words.into_iter().next(),
        files: vec![found.path.display().to_string()],
        log: log(machine).display().to_string(),
        ..Report::default()
    };
    Ok(Some(report.dated(machine)))
}

pub(super) fn logs(machine: &Machine, follow: bool, lines: u32) -> anyhow::Result<Exit> {
    let path = log(machine);
    anyhow::ensure!(
        path.exists(),
        "there is no log yet ({}); is the service installed? `api-key-lb service status` says it",
        path.display()
    );
    let (lines, path) = (lines.to_string(), path.display().to_string());
    let mut args = vec!["-n", &lines];
    if follow {
        args.push("-F");
    }
    args.push(&path);
    machine.show("tail", &args)
}

fn is_job(supervisor: Option<&Supervisor>) -> bool {
    matches!(supervisor, Some(Supervisor::Launchd { label }) if label == LABEL)
}

/// Whether it starts at login: nobody has disabled it.
fn is_enabled(machine: &Machine) -> bool {
    let Ok(ran) = machine.run(LAUNCHCTL, &["print-disabled", &domain(machine)]) else {
        return true;
    };
    let label = format!("\"{LABEL}\" =>");
    let line = ran.stdout.lines().find(|line| line.contains(&label));
    // `true` or `disabled`, by version.
    !line.is_some_and(|line| line.ends_with("true") || line.ends_with("disabled"))
}

/// Makes the log, for its owner only, before launchd makes it for all.
fn prepare_log(path: &Path) -> anyhow::Result<()> {
    let made = || {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let mut options = fs::OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path).map(|_| ())
    };
    made().with_context(|| format!("cannot write the log {}", path.display()))
}

fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL_LINES);
    let last = lines.get(from..).unwrap_or_default().join("\n");
    format!("Its log ({}):\n{last}", log.display())
}
