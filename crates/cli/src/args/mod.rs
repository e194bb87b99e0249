//! The command line: commands here, their flags and help texts in a file each.

mod asking;
mod config;
mod dashboard;
mod demo;
#[cfg(test)]
mod documented;
mod logs;
mod pages;
mod running;
mod setup;
mod usage;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueHint};

use crate::keys::KeysArgs;
use crate::service::ServiceArgs;
use crate::simulate::SimulateArgs;

pub(crate) use asking::{CheckArgs, StatusArgs, WhyArgs};
pub(crate) use config::{ConfigArgs, ConfigOrder, InitArgs};
pub(crate) use dashboard::DashboardArgs;
pub(crate) use demo::DemoArgs;
pub(crate) use logs::LogsArgs;
pub(crate) use pages::{CompletionsArgs, ManArgs};
pub(crate) use running::{LogChoice, ReloadArgs, RestartArgs, SettingArgs, StartArgs, StopArgs};
pub(crate) use setup::SetupArgs;
pub(crate) use usage::{ByChoice, UsageArgs};

const ABOUT: &str = "\
Makes several API keys of one LLM provider behave like one key with all their quota, \
and keeps each conversation on one key.";

const EXAMPLES: &str = "\
Examples:
  api-key-lb demo
      See it work, offline and without any key.
  api-key-lb setup --keys sk-one,sk-two --target https://api.openai.com
  api-key-lb start
      Then point your agent at http://127.0.0.1:4577/v1 instead of the provider.

Settings come from the flags, then the environment, then the configuration file
(--config, $API_KEY_LB_CONFIG, ./api-key-lb.json, ~/.config/api-key-lb/config.json):
  API_KEYS=key1,key2       the keys               TARGET=https://…       the provider
  PORT=4577                the port               COOLDOWN_MS=60000      pause after a 429
  SESSION_TTL_MS=3600000   when an unused session is forgotten";

/// Everything that can be typed.
#[derive(Debug, Parser)]
#[command(name = "api-key-lb", version, about = ABOUT, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    /// Print only what was asked for and problems
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// From nothing to agents that work through the pool: keys, agents, service; `--undo` takes it back
    Setup(Box<SetupArgs>),
    /// Run the proxy (or show its status if it already runs)
    Start(StartArgs),
    /// Stop the proxy
    Stop(StopArgs),
    /// Read the configuration again, without a restart
    Reload(ReloadArgs),
    /// Replace the running process by a new one, losing no request
    Restart(RestartArgs),
    /// Have systemd or launchd run the proxy, from login on
    Service(ServiceArgs),
    /// Show how the proxy and its keys are doing
    Status(StatusArgs),
    /// Show, add, remove, disable and label the keys of the configuration file
    Keys(KeysArgs),
    /// Print the address of the dashboard, or open it in the browser
    Dashboard(DashboardArgs),
    /// Ask the providers whether the keys are valid, whose they are, and what is left
    Check(CheckArgs),
    /// Explain how a request is recognised, and which key it gets
    Why(WhyArgs),
    /// Play recorded requests through this proxy's choice and others; what would another key buy?
    Simulate(Box<SimulateArgs>),
    /// Show what was used, by day, key and model
    Usage(UsageArgs),
    /// Show the log, and what comes
    Logs(LogsArgs),
    /// See it work: a pretended provider, three keys, a few conversations
    Demo(DemoArgs),
    /// Show, check, describe and begin the configuration file
    Config(ConfigArgs),
    /// Print a completion script for your shell
    Completions(CompletionsArgs),
    /// Write the manual pages
    Man(ManArgs),
}

/// What is configured, as far as flags can say it.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct PlanArgs {
    /// API keys, separated by commas (other users can see them while the command runs)
    #[arg(short, long, value_name = "KEY,KEY…")]
    pub(crate) keys: Option<String>,

    /// Base URL of the provider [default: `https://api.openai.com`]
    #[arg(short, long, value_name = "URL")]
    pub(crate) target: Option<String>,

    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

/// Which instance is meant.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct PlaceArgs {
    /// Port of the proxy [default: 4577]
    #[arg(short, long, value_name = "PORT")]
    pub(crate) port: Option<u16>,

    /// The configuration file to use
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_flags_of_the_package_it_replaces_are_understood() {
        let cli = Cli::try_parse_from([
            "api-key-lb",
            "setup",
            "-k",
            "a,b",
            "-t",
            "https://h",
            "-p",
            "4600",
            "--yes",
            "--no-service",
        ]);
        let Some(Command::Setup(setup)) = cli.unwrap().command else {
            panic!("not setup");
        };
        assert_eq!(setup.plan.keys.as_deref(), Some("a,b"));
        assert_eq!(setup.plan.target.as_deref(), Some("https://h"));
        assert_eq!(setup.plan.place.port, Some(4600));
        assert!(setup.yes && setup.no_service);
    }

    #[test]
    fn no_command_is_no_error() {
        assert!(
            Cli::try_parse_from(["api-key-lb"])
                .unwrap()
                .command
                .is_none()
        );
    }

    #[test]
    fn an_unknown_command_or_a_port_out_of_range_is_wrong_usage() {
        for line in [
            &["api-key-lb", "strat"][..],
            &["api-key-lb", "start", "-p", "70000"],
        ] {
            let error = Cli::try_parse_from(line).unwrap_err();
            assert!(error.use_stderr(), "{line:?}");
        }
    }
}
