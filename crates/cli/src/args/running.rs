//! `start`, `stop`, `reload`, `restart`: their flags and examples.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{PlaceArgs, PlanArgs};

const START_EXAMPLES: &str = "\
Examples:
  api-key-lb start
      With the configuration file that `api-key-lb setup` wrote, until Ctrl-C.
  api-key-lb start --detach
      In the background; `api-key-lb status` and `api-key-lb stop` find it.
  API_KEYS=sk-one,sk-two TARGET=https://api.z.ai api-key-lb start --log off
      Without any file.";

const STOP_EXAMPLES: &str = "\
Examples:
  api-key-lb stop
  api-key-lb stop --port 4600";

const RELOAD_EXAMPLES: &str = "\
Examples:
  api-key-lb reload
  api-key-lb reload --port 4600

A running proxy notices by itself when its configuration file changes; this says what came of it. Running
requests keep what they have. If the configuration is wrong, the one before stays in force and this ends with 1.
`port`, `host` and `workers` need `api-key-lb restart`.";

const RESTART_EXAMPLES: &str = "\
Examples:
  api-key-lb restart
      After an update of the program, or of `port`, `host` or `workers`.
  api-key-lb restart --port 4600
      Which port it listens on now, if the configuration says another by now.

The new process takes over the listening sockets: no connection is refused, and running answers finish in the
old process (for up to an hour). If the new one cannot start, the old one goes on and this ends with 1.
In a terminal or a container the old process stays until the new one ends, as what people and programs watch;
a process in the background, or a unit of systemd with `Type=notify`, gives way. Other units and jobs of launchd
are restarted by systemd or launchd, which ends running answers.";

/// What is configured, as far as flags of `start` can say it.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct SettingArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,

    /// Address to listen on instead of 127.0.0.1 and `[::1]`; beyond loopback needs `client_tokens`
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) host: Option<String>,

    /// Worker threads [default: chosen for this machine]
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<usize>,

    /// Which requests are printed
    #[arg(long, value_name = "WHICH")]
    pub(crate) log: Option<LogChoice>,

    /// What they look like
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<FormatChoice>,

    /// Write nothing down: sessions, cooldowns and usage are forgotten when it ends
    #[arg(long)]
    pub(crate) no_store: bool,
}

/// Flags of `start`.
#[derive(Args, Debug)]
#[command(after_help = START_EXAMPLES)]
pub(crate) struct StartArgs {
    #[command(flatten)]
    pub(crate) settings: SettingArgs,

    /// Run in the background; returns once it is ready
    #[arg(short, long)]
    pub(crate) detach: bool,

    /// Set by `--detach` on the process it starts: the file to announce readiness in.
    #[arg(long, hide = true, value_name = "FILE")]
    pub(crate) detached: Option<PathBuf>,

    /// Set by `restart` on the process that takes over: everything else comes on the standard input.
    #[arg(long, hide = true)]
    pub(crate) successor: bool,
}

/// Which requests are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogChoice {
    /// Every request
    Requests,
    /// Only those that were retried, refused or cut
    Problems,
    /// None
    Off,
}

/// What printed requests look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatChoice {
    /// A line for people
    Human,
    /// A JSON object a line
    Json,
}

impl FormatChoice {
    /// As it is written in flags and files.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Json => "json",
        }
    }
}

/// Flags of `stop`.
#[derive(Args, Debug)]
#[command(after_help = STOP_EXAMPLES)]
pub(crate) struct StopArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

/// Flags of `reload`.
#[derive(Args, Debug)]
#[command(after_help = RELOAD_EXAMPLES)]
pub(crate) struct ReloadArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

/// Flags of `restart`.
#[derive(Args, Debug)]
#[command(after_help = RESTART_EXAMPLES)]
pub(crate) struct RestartArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}
