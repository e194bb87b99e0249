//! `usage`: its flags and examples.

use clap::{Args, ValueEnum};

use super::PlaceArgs;

const USAGE_EXAMPLES: &str = "\
Examples:
  api-key-lb usage
      Requests, errors, throttles and tokens by day, key and model.
  api-key-lb usage --by day --since 7d
  api-key-lb usage --by session --since 12h
      The sessions of the last half day, each with all that it ever used.
  api-key-lb usage --by key,model --json | jq '.total.prompt'
  api-key-lb usage --prune --before 2026-01-01

Read from the store of the proxy on that port, whether it runs or not; the latest second may be
missing. Days and hours are in UTC, as in the log. Cost, and what the provider's cache saved, are estimates at list
prices; `prices` in the configuration are your own.";

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
    /// One session; days and hours are not told apart then
    Session,
}
