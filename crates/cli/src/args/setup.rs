//! `setup`: its flags and examples.

use clap::Args;

use super::PlanArgs;
use crate::service::Manager;

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
