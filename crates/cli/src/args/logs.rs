//! `logs`: its flags and examples.

use api_key_lb_control::ledger::{Filter, Statuses};
use clap::Args;

use super::PlaceArgs;

const LOGS_EXAMPLES: &str = "\
Examples:
  api-key-lb logs
      The last lines, and at a terminal those to come, until Ctrl-C.
  api-key-lb logs --problems -n 20
  api-key-lb logs --session 1a2b3c4d --status 4xx
  api-key-lb logs --no-follow -n 100000 | grep claude

Of a proxy that `start --detach` or a service runs; one that runs in a terminal has its log there. A filter shows
requests only, in whichever format they are logged; `--problems` also warnings and errors.";

/// Flags of `logs`.
#[derive(Args, Debug)]
#[command(after_help = LOGS_EXAMPLES)]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,

    /// Go on as it grows, until Ctrl-C [default: at a terminal]
    #[arg(short, long, conflicts_with = "no_follow")]
    pub(crate) follow: bool,

    /// End with the last line
    #[arg(long)]
    pub(crate) no_follow: bool,

    /// How many lines, from the end
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    pub(crate) lines: usize,

    /// Only requests of this session, by its first digits
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,

    /// Only requests for which this key was tried, by its label
    #[arg(long, value_name = "LABEL")]
    pub(crate) key: Option<String>,

    /// Only requests that were answered so, by a key or to the client: 429, 4xx; several with commas
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    pub(crate) status: Vec<Statuses>,

    /// Only what was retried, refused, cut or answered by the proxy itself, and warnings
    #[arg(long)]
    pub(crate) problems: bool,
}

impl LogsArgs {
    /// Which lines are wanted.
    pub(crate) fn filter(&self) -> Filter {
        Filter {
            session: self.session.clone(),
            key: self.key.clone(),
            status: self.status.clone(),
            problems: self.problems,
        }
    }
}
