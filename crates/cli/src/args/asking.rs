//! `status`, `check`, `why`: their flags and examples.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueHint};

use super::PlaceArgs;

const STATUS_EXAMPLES: &str = "\
Examples:
  api-key-lb status
  api-key-lb status --watch
  api-key-lb status --json | jq '.state.keys[] | {label, state}'";

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
  api-key-lb why 0f3kq9x2m7ab
      What became of a request that has ended; its id is in `x-lb-request-id` and in the log.

Nothing is sent and nothing is noted. A running proxy is asked, since its sessions and
cooldowns decide; otherwise a freshly started one is imagined. Credentials are not printed.";

/// Flags of `status`.
#[derive(Args, Debug)]
#[command(after_help = STATUS_EXAMPLES)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,

    /// Print the answer for programs: what `GET /health` says, and more
    #[arg(long, conflicts_with = "watch")]
    pub(crate) json: bool,

    /// Show it until Ctrl-C, anew each second
    #[arg(short, long)]
    pub(crate) watch: bool,
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
#[command(after_help = WHY_EXAMPLES,
          group = ArgGroup::new("which").required(true).args(["id", "request"]))]
pub(crate) struct WhyArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,

    /// The id of a request that has ended: from `x-lb-request-id`, the log, or its whole line
    #[arg(value_name = "ID")]
    pub(crate) id: Option<String>,

    /// The file with a request to come; `-` reads the standard input
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) request: Option<PathBuf>,

    /// Print the answer for programs
    #[arg(long)]
    pub(crate) json: bool,
}
