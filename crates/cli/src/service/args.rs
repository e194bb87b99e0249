//! The flags of `service`.

use clap::{Args, Subcommand};

use super::machine::Manager;
use crate::args::PlaceArgs;

const EXAMPLES: &str = "\
Examples:
  api-key-lb service install
      Now and from every login on; again after `port` or `host` has changed, or the program has moved.
  api-key-lb service status
  api-key-lb service logs --follow
  api-key-lb service uninstall

A unit and a socket of the user's own systemd (Linux), or the LaunchAgent com.api-key-lb (macOS), which replaces
the npm package's. `status` ends with 0 if it runs, with 3 if not, with 4 if none is installed.";

/// Flags of `service`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServiceArgs {
    #[command(subcommand)]
    pub(crate) order: ServiceOrder,

    /// Who manages services, instead of what this system has: for tests of one system on another.
    #[arg(long, hide = true, global = true, value_name = "WHO")]
    pub(crate) manager: Option<Manager>,
}

/// What is to be done with the service.
#[derive(Debug, Subcommand)]
pub(crate) enum ServiceOrder {
    /// Install it and start it; or bring it up to date
    Install {
        #[command(flatten)]
        place: PlaceArgs,

        /// Replace files that were not made by this command, or changed since; they are kept as copies
        #[arg(long)]
        force: bool,
    },
    /// Stop it and remove its files
    Uninstall {
        /// Also files that were changed by hand; they are kept as copies
        #[arg(long)]
        force: bool,

        /// Put the npm package's service back that it replaced (macOS)
        #[arg(long)]
        restore: bool,
    },
    /// Say whether it is installed and runs: 0 if it does, 3 if not, 4 if there is none
    Status {
        /// Print the answer for programs
        #[arg(long)]
        json: bool,
    },
    /// Show its log
    Logs {
        /// Go on as it grows, until Ctrl-C
        #[arg(short, long)]
        follow: bool,

        /// How many lines, from the end
        #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
        lines: u32,
    },
}
