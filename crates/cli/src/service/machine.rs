//! The machine that a service is installed on: whose home it is, who manages services, running programs.

use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::Context as _;
use api_key_lb_control::Environment;
use clap::ValueEnum;

use crate::exit::Exit;

/// Who manages services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Manager {
    /// Linux.
    Systemd,
    /// macOS.
    Launchd,
    /// Nobody that we know.
    None,
}

impl Manager {
    /// What this system has.
    pub(crate) const fn of_system() -> Self {
        if cfg!(target_os = "macos") {
            Self::Launchd
        } else if cfg!(target_os = "linux") {
            Self::Systemd
        } else {
            Self::None
        }
    }

    /// What it is called.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::Launchd => "launchd",
            Self::None => "nobody",
        }
    }
}

/// Where a service is installed, and for whom.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// Who manages services.
    pub(crate) manager: Manager,
    /// The home directory.
    pub(crate) home: PathBuf,
    /// The number of the user.
    pub(crate) uid: u32,
    /// The environment of this process.
    pub(crate) env: Environment,
}

/// What a program said.
#[derive(Debug)]
pub(super) struct Ran {
    /// As it was typed.
    line: String,
    status: ExitStatus,
    /// Its standard output.
    pub(super) stdout: String,
    stderr: String,
}

impl Machine {
    /// This one, for the user of this process.
    ///
    /// # Errors
    /// Without a home directory.
    pub(crate) fn of_process(env: &Environment, manager: Manager) -> anyhow::Result<Self> {
        let home = env.home.clone();
        Ok(Self {
            manager,
            home: home.context("there is no home directory ($HOME) to install a service in")?,
            uid: uid(),
            env: env.clone(),
        })
    }

    /// Where programs have their configuration.
    pub(super) fn config_home(&self) -> PathBuf {
        self.env
            .var("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            // The specification says that a relative one is to be ignored.
            .filter(|path| path.is_absolute())
            .unwrap_or_else(|| self.home.join(".config"))
    }

    /// Runs a program to its end.
    pub(super) fn run(&self, program: &str, args: &[&str]) -> io::Result<Ran> {
        let output = Command::new(program)
            .args(args)
            .env("HOME", &self.home)
            .stdin(Stdio::null())
            .output()?;
        Ok(Ran {
            line: line(program, args),
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// The same for one that must succeed.
    pub(super) fn must(&self, program: &str, args: &[&str]) -> anyhow::Result<Ran> {
        let ran = self
            .run(program, args)
            .with_context(|| format!("cannot run `{}`", line(program, args)))?;
        if ran.succeeded() {
            Ok(ran)
        } else {
            anyhow::bail!("{}", ran.failure())
        }
    }

    /// Whether it could be run and succeeded.
    pub(super) fn does(&self, program: &str, args: &[&str]) -> bool {
        self.run(program, args).is_ok_and(|ran| ran.succeeded())
    }

    /// Has a program say on our own output what it has to say.
    pub(super) fn show(&self, program: &str, args: &[&str]) -> anyhow::Result<Exit> {
        let status = Command::new(program).args(args).status();
        let status = status.with_context(|| format!("cannot run `{}`", line(program, args)))?;
        Ok(status.into())
    }
}

impl Ran {
    /// Whether it ended with 0.
    pub(super) fn succeeded(&self) -> bool {
        self.status.success()
    }

    /// What failed, in its own words.
    pub(super) fn failure(&self) -> String {
        let said = match (self.stderr.trim(), self.stdout.trim()) {
            ("", "") => "it said nothing",
            ("", said) | (said, _) => said,
        };
        format!("`{}` failed ({}): {said}", self.line, self.status)
    }
}

fn line(program: &str, args: &[&str]) -> String {
    std::iter::once(program)
        .chain(args.iter().copied())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(unix)]
fn uid() -> u32 {
    rustix::process::getuid().as_raw()
}

#[cfg(not(unix))]
fn uid() -> u32 {
    0
}
