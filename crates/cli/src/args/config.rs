//! `config`: its orders, their flags and examples.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::SettingArgs;

const EXAMPLES: &str = "\
Examples:
  api-key-lb config init
      Writes a file with every setting, its default and what it is for, commented out.
  api-key-lb config show
  api-key-lb config check
  api-key-lb config schema > ~/.config/api-key-lb/schema.json
      With \"$schema\": \"./schema.json\" in the file an editor completes and checks it.

The file is the first of --config, $API_KEY_LB_CONFIG, ./api-key-lb.json and
~/.config/api-key-lb/config.json. Nothing is sent, and a running proxy is neither asked nor changed.";

const SHOW_EXAMPLES: &str = "\
Examples:
  api-key-lb config show
  PORT=4600 api-key-lb config show --log off
      What `start` would go by with the same flags and variables.
  api-key-lb config show --json | jq '.settings.port'

Keys are masked. What is wrong is said as well, and then this ends with 1.";

const CHECK_EXAMPLES: &str = "\
Examples:
  api-key-lb config check
  api-key-lb config check ./api-key-lb.json --strict
  api-key-lb config check --json | jq -r '.problems[].text'

Reads what a start would read, variables and the files and programs that secrets are in included, and sends
nothing. Ends with 0 if all is well, with 1 if something is wrong, each with its line and column, and with 2 if
the command line is.";

const SCHEMA_EXAMPLES: &str = "\
Examples:
  api-key-lb config schema > ~/.config/api-key-lb/schema.json
      Then write \"$schema\": \"./schema.json\" into the configuration file beside it.";

const INIT_EXAMPLES: &str = "\
Examples:
  api-key-lb config init
  api-key-lb config init --print
  api-key-lb config init --config ./api-key-lb.json
  api-key-lb config init --force
      What was there is kept beside it, with the date in its name.";

/// Flags of `config`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) order: ConfigOrder,
}

/// What is to be done with the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigOrder {
    /// Show every value and where it came from: flag, variable, line of the file, or default
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        #[command(flatten)]
        settings: Box<SettingArgs>,

        /// Print the answer for programs
        #[arg(long)]
        json: bool,
    },
    /// Say everything that is wrong with it, without starting anything
    #[command(after_help = CHECK_EXAMPLES)]
    Check {
        /// The file to check [default: the one that would be used]
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "config")]
        file: Option<PathBuf>,

        /// The same as FILE
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        config: Option<PathBuf>,

        /// Also end with 1 if there are warnings only
        #[arg(long)]
        strict: bool,

        /// Print the answer for programs
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of the file, for editors
    #[command(after_help = SCHEMA_EXAMPLES)]
    Schema,
    /// Write a file in which everything is explained and commented out
    #[command(after_help = INIT_EXAMPLES)]
    Init(InitArgs),
}

/// Flags of `config init`.
#[derive(Args, Debug)]
pub(crate) struct InitArgs {
    /// The file to write; `-` prints it [default: `~/.config/api-key-lb/config.json`]
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "config")]
    pub(crate) file: Option<PathBuf>,

    /// The same as FILE
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,

    /// Print it instead of writing it
    #[arg(long, conflicts_with = "force")]
    pub(crate) print: bool,

    /// Replace a file that is there; it is kept beside the new one
    #[arg(long)]
    pub(crate) force: bool,
}
