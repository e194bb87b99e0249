//! `start --detach`: starts the proxy as a process of its own and returns once it is ready.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use api_key_lb_control::runtime_file::{self, Instance};
use api_key_lb_control::{Config, Environment};

use crate::args::{LogChoice, StartArgs};
use crate::exit::Exit;
use crate::instance::{self, Resident};
use crate::output;
use crate::printer::{self, Printer};

/// How long the new process may take until it serves: programs that tell keys have 10 s of it.
const READY_DEADLINE: Duration = Duration::from_secs(20);
/// How often one looks whether it does.
const POLL: Duration = Duration::from_millis(20);
/// Lines of its log shown when it does not.
const TAIL_LINES: usize = 20;

/// Makes this process independent of the terminal it was started from.
pub(super) fn leave_session() {
    #[cfg(unix)]
    {
        // Fails only if this process leads a group already, and then it is independent.
        let _ = rustix::process::setsid();
    }
}

/// Starts the process and waits until it serves.
pub(super) fn run(
    args: &StartArgs,
    config: &Config,
    env: &Environment,
    printer: &Printer,
) -> anyhow::Result<Exit> {
    let Some(dir) = runtime_file::state_dir(env) else {
        printer.error(
            "there is no home directory ($HOME) for the log; set it, or start without `--detach`",
        );
        return Ok(Exit::Failure);
    };
    let log = dir.join(log_name(config.listen.port));
    let output = new_log(&log, config.log_settings.files)
        .with_context(|| format!("cannot write the log {}", log.display()))?;
    let mut child = spawn(args, &log, output).context("cannot start the process")?;
    let deadline = Instant::now() + READY_DEADLINE;
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for the process")? {
            let tail = tail(&log);
            if status.success() {
                // Somebody else was faster: its status is what there is to say.
                printer.answer(tail)?;
                return Ok(Exit::Success);
            }
            printer.error(format!(
                "the proxy did not start ({status}); it said ({}):\n{tail}",
                log.display()
            ));
            return Ok(Exit::Failure);
        }
        if let Some(ready) = ready(&child, &dir, config) {
            let address = instance::address(&config.listen.hosts, ready.port);
            printer.say(format!(
                "{} in the background: http://{address}, process {}, log {}\n\
                 Stop it with `{}`.",
                printer::good("Running"),
                ready.pid,
                log.display(),
                stop_command(args, ready.port)
            ))?;
            return Ok(Exit::Success);
        }
        if Instant::now() >= deadline {
            // Its failure to end would change nothing about what is said.
            let _ = child.kill();
            let _ = child.wait();
            printer.error(format!(
                "the proxy was not ready after {} s and was ended; it said ({}):\n{}",
                READY_DEADLINE.as_secs(),
                log.display(),
                tail(&log)
            ));
            return Ok(Exit::Failure);
        }
        std::thread::sleep(POLL);
    }
}

/// The name of the log of the proxy on `port`, in the state directory.
pub(super) fn log_name(port: u16) -> String {
    match port {
        // The port is not known yet, and two such instances need two logs.
        0 => format!("start-{}.log", std::process::id()),
        port => format!("{port}.log"),
    }
}

fn stop_command(args: &StartArgs, port: u16) -> String {
    let mut command = "api-key-lb stop".to_owned();
    match &args.settings.plan.place.config {
        Some(file) => command.push_str(&format!(" --config {}", file.display())),
        None if args.settings.plan.place.port.is_some() => {
            command.push_str(&format!(" --port {port}"))
        }
        None => {}
    }
    command
}

/// An empty log for its owner only; those of before are kept beside it.
fn new_log(path: &Path, files: u32) -> io::Result<File> {
    if let Some(dir) = path.parent() {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(dir)?;
    }
    output::shift(path, files)?;
    let mut options = OpenOptions::new();
    options.append(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn spawn(args: &StartArgs, log: &Path, output: File) -> io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("start").arg("--detached").arg(log);
    let plan = &args.settings.plan;
    let mut flag = |name: &str, value: Option<PathBuf>| {
        if let Some(value) = value {
            command.arg(name).arg(value);
        }
    };
    flag("--config", plan.place.config.clone());
    flag(
        "--port",
        plan.place.port.map(|port| port.to_string().into()),
    );
    flag("--target", plan.target.clone().map(Into::into));
    flag("--host", args.settings.host.clone().map(Into::into));
    flag(
        "--workers",
        args.settings
            .workers
            .map(|workers| workers.to_string().into()),
    );
    flag(
        "--log",
        args.settings.log.map(|log| LogChoice::as_str(log).into()),
    );
    flag(
        "--log-format",
        args.settings
            .log_format
            .map(|format| format.as_str().into()),
    );
    if args.settings.no_store {
        command.arg("--no-store");
    }
    // Not as a flag: every user of the machine could read it for as long as the process runs.
    if let Some(keys) = &plan.keys {
        command.env("API_KEYS", keys);
    }
    #[cfg(windows)]
    {
        /// DETACHED_PROCESS: without the console it was started from.
        const DETACHED: u32 = 0x0000_0008;
        std::os::windows::process::CommandExt::creation_flags(&mut command, DETACHED);
    }
    command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
}

/// The instance the child runs, if it has noted itself and answers.
fn ready(child: &Child, dir: &Path, config: &Config) -> Option<Instance> {
    let noted = noted_by(child.id(), dir, config.listen.port)?;
    let address = instance::address(&config.listen.hosts, noted.port);
    match instance::ask(address, config.plan.guard.client_tokens.first()) {
        Resident::Ours(told) if told.health.pid == Some(child.id()) => Some(noted),
        _ => None,
    }
}

fn noted_by(pid: u32, dir: &Path, port: u16) -> Option<Instance> {
    let noted = match port {
        0 => Instance::all(dir),
        port => Vec::from_iter(Instance::read(dir, port).ok().flatten()),
    };
    noted.into_iter().find(|noted| noted.pid == pid)
}

/// The last lines of a log.
fn tail(path: &Path) -> String {
    let text = fs::read(path).unwrap_or_default();
    last_lines(&String::from_utf8_lossy(&text), TAIL_LINES)
}

fn last_lines(text: &str, most: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(most);
    lines.get(from..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_last_lines() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("a\n", 2), "a");
        assert_eq!(last_lines("", 2), "");
    }
}
