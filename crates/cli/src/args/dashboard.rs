//! `dashboard`: its flags and examples.

use clap::Args;

use super::PlaceArgs;

const EXAMPLES: &str = "\
Examples:
  api-key-lb dashboard
      Prints the address of the page, with the token that its actions need.
  api-key-lb dashboard --open
      Opens it in the browser.
  ssh -t -L 4577:127.0.0.1:4577 server 'api-key-lb dashboard; exec sh'
      The proxy of another machine: the address works here as long as this shell is open.

Everybody who reaches the proxy may look at http://127.0.0.1:4577/_lb/. Disabling a key, forgetting a
cooldown, unpinning a session and reloading need the token, which is new at each start and stands
behind the #, so that no server and no log sees it.";

/// Flags of `dashboard`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DashboardArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,

    /// Open it in the browser
    #[arg(long)]
    pub(crate) open: bool,

    /// Print the token too where no terminal is: into a file or another program
    #[arg(long, conflicts_with = "open")]
    pub(crate) print: bool,
}
