//! The command line: commands, flags, help texts.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use crate::service::{Manager, ServiceArgs};
use crate::simulate::SimulateArgs;

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

const SETUP_EXAMPLES: &str = "\
Examples:
  api-key-lb setup --keys sk-one,sk-two --target https://api.openai.com
  api-key-lb setup --target https://openrouter.ai/api/v1
      Changes only the target; the keys stay as they are.
  api-key-lb setup --dry-run
      Which agents are here, and what would change in their files.
  api-key-lb setup --only codex,opencode --no-service
  api-key-lb setup -k sk-one,sk-two -t https://api.z.ai -p 4600 --config ./zai.json
  api-key-lb setup --undo
      Agents and services as they were; keys and configuration stay (`--purge`: not).

At a terminal, without keys or target, it asks for them. With both, with `--yes`, or without a terminal, it asks
nothing. In agents' files only URLs that lead to the provider change (and what makes an agent send its session id);
everything else stays to the byte, and what was there is kept beside the log. Keys are better typed than given on
the command line, where the shell's history and other users see them.";

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

const STATUS_EXAMPLES: &str = "\
Examples:
  api-key-lb status
  api-key-lb status --json | jq '.keys[].requests'";

const CHECK_EXAMPLES: &str = "\
Examples:
  api-key-lb check
      Which keys are valid, whose they are, and what is left of their quota or credit.
  api-key-lb check --pool zai --timeout 30
  API_KEYS=sk-one,sk-two TARGET=https://api.z.ai api-key-lb check
      Without any file.
  api-key-lb check --paid --model glm-4.6
      Has the model generate one token with each key: the only proof that it serves. It costs.
  api-key-lb check --json | jq '.keys[] | select(.usable | not) | .label'

Each key is shown to its own provider only, by a free request (the provider's own page about the
key, else its list of models). Ends with 0 if every key serves, now or when its limit is over; with
1 if one does not or nothing is known of it; with 2 if the command line or the configuration is wrong.";

const WHY_EXAMPLES: &str = "\
Examples:
  api-key-lb why --request request.txt
      Raw HTTP, a curl command line, JSON with headers and body, or a JSON body alone.
  pbpaste | api-key-lb why -r -
      What a browser or an agent copied as cURL.
  api-key-lb why -r request.json --json | jq -r .session.id

Nothing is sent and nothing is noted. A running proxy is asked, since its sessions and
cooldowns decide; otherwise a freshly started one is imagined. Credentials are not printed.";

const USAGE_EXAMPLES: &str = "\
Examples:
  api-key-lb usage
      Requests, errors, throttles and tokens by day, key and model.
  api-key-lb usage --by day --since 7d
  api-key-lb usage --by key,model --json | jq '.total.prompt'
  api-key-lb usage --prune --before 2026-01-01

Read from the store of the proxy on that port, whether it runs or not; the latest second may be
missing. Days and hours are in UTC, as in the log.";

const DEMO_EXAMPLES: &str = "\
Examples:
  api-key-lb demo
      Tells the story, then leaves the proxy running for your own requests until Ctrl-C.
  api-key-lb demo --once
      Tells the story and exits: 0 if it came true, 1 if not.";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  api-key-lb completions bash > ~/.local/share/bash-completion/completions/api-key-lb
  api-key-lb completions fish > ~/.config/fish/completions/api-key-lb.fish
  api-key-lb completions zsh  > \"${fpath[1]}/_api-key-lb\"";

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
    /// Ask the providers whether the keys are valid, whose they are, and what is left
    Check(CheckArgs),
    /// Explain how a request is recognised, and which key it gets
    Why(WhyArgs),
    /// Play recorded requests through this proxy's choice and others; what would another key buy?
    Simulate(Box<SimulateArgs>),
    /// Show what was used, by day, key and model
    Usage(UsageArgs),
    /// See it work: a pretended provider, three keys, a few conversations
    Demo(DemoArgs),
    /// Print a completion script for your shell
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell to complete in
        shell: clap_complete::Shell,
    },
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
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Flags of `setup`.
#[derive(Args, Debug)]
#[command(after_help = SETUP_EXAMPLES)]
pub(crate) struct SetupArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,

    /// Ask nothing
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// Point only these agents at the proxy (`codex,opencode`; see `--dry-run` for those that are here)
    #[arg(long, value_name = "AGENT,…", value_delimiter = ',')]
    pub(crate) only: Vec<String>,

    /// Leave these agents alone
    #[arg(long, value_name = "AGENT,…", value_delimiter = ',')]
    pub(crate) except: Vec<String>,

    /// Leave all agents alone
    #[arg(long, conflicts_with_all = ["only", "except"])]
    pub(crate) no_agents: bool,

    /// Do not install a service
    #[arg(long)]
    pub(crate) no_service: bool,

    /// Do not try the keys at their provider
    #[arg(long)]
    pub(crate) no_check: bool,

    /// Show what would be changed, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Take back what setup has done to agents and services; keys and configuration stay
    #[arg(long, conflicts_with_all = ["keys", "target", "only", "except", "no_agents", "no_check"])]
    pub(crate) undo: bool,

    /// With `--undo`: also remove the configuration with its keys, and everything that was stored
    #[arg(long, requires = "undo")]
    pub(crate) purge: bool,

    /// Who manages services, instead of what this system has: for tests of one system on another.
    #[arg(long, hide = true, value_name = "WHO")]
    pub(crate) manager: Option<Manager>,
}

/// Flags of `start`.
#[derive(Args, Debug)]
#[command(after_help = START_EXAMPLES)]
pub(crate) struct StartArgs {
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

    /// Write nothing down: sessions, cooldowns and usage are forgotten when it ends
    #[arg(long)]
    pub(crate) no_store: bool,

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

/// Flags of `status`.
#[derive(Args, Debug)]
#[command(after_help = STATUS_EXAMPLES)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,

    /// Print what `GET /health` answers
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of `check`.
#[derive(Args, Debug)]
#[command(after_help = CHECK_EXAMPLES)]
pub(crate) struct CheckArgs {
    /// The configuration file to use
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Only the keys of this pool (`default` is the one without a name)
    #[arg(long, value_name = "NAME")]
    pub(crate) pool: Option<String>,

    /// Seconds that one key may take
    #[arg(long, value_name = "SECONDS", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) timeout: u64,

    /// Also generate one token with each key; this costs
    #[arg(long, requires = "model")]
    pub(crate) paid: bool,

    /// The model that `--paid` uses
    #[arg(long, value_name = "MODEL", requires = "paid")]
    pub(crate) model: Option<String>,

    /// Print the answer for programs
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of `why`.
#[derive(Args, Debug)]
#[command(after_help = WHY_EXAMPLES)]
pub(crate) struct WhyArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,

    /// The file with the request; `-` reads the standard input
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) request: PathBuf,

    /// Print the answer for programs
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of `usage`.
#[derive(Args, Debug)]
#[command(after_help = USAGE_EXAMPLES)]
pub(crate) struct UsageArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,

    /// What each line stands for; several with commas
    #[arg(long, value_name = "WHAT", value_delimiter = ',',
          default_values = ["day", "key", "model"])]
    pub(crate) by: Vec<ByChoice>,

    /// Only what is not older: 7d, 12h, or a date such as 2026-07-01
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,

    /// Print the answer for programs
    #[arg(long)]
    pub(crate) json: bool,

    /// Remove what is older than `usage_days`, and give its space back
    #[arg(long, conflicts_with_all = ["by", "since"])]
    pub(crate) prune: bool,

    /// With `--prune`: remove what is older than this date instead
    #[arg(long, value_name = "DATE", requires = "prune")]
    pub(crate) before: Option<String>,
}

/// What a line of `usage` stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ByChoice {
    /// One hour, in UTC
    Hour,
    /// One day, in UTC
    Day,
    /// One key
    Key,
    /// One model
    Model,
}

/// Flags of `demo`.
#[derive(Args, Debug)]
#[command(after_help = DEMO_EXAMPLES)]
pub(crate) struct DemoArgs {
    /// Tell the story and exit, non-zero if it did not come true
    #[arg(long)]
    pub(crate) once: bool,

    /// Port of the proxy [default: 4577, or a free one]
    #[arg(short, long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
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
