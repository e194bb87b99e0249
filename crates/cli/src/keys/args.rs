//! The flags of `keys`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use crate::args::PlaceArgs;

const EXAMPLES: &str = "\
Examples:
  api-key-lb keys list
  api-key-lb keys add --label work
      Asks for the key without showing it, and tries it at its provider.
  api-key-lb keys disable work
  api-key-lb keys test

A KEY is named by its label, its number in `keys list`, what is seen of it there
(`sk-proj-...0123`, or `0123` alone), or its place in the file (`keys[0]`, `pools.zai.keys[1]`);
never by its value. The configuration file is changed at these places only: comments, order and
line ends stay. A running proxy follows at once.";

const ADD_EXAMPLES: &str = "\
Examples:
  api-key-lb keys add
      Asks; several can be typed, one after the other.
  pass show openai/work | api-key-lb keys add --stdin --label work
  api-key-lb keys add --command 'pass show openai/work' --label work
      The file holds the command, not the key: `cmd:pass show openai/work`.
  api-key-lb keys add --keychain openai-work
      Asks for the key and puts it into the system's keychain; the file holds its name there.
  api-key-lb keys add --file ~/.keys/zai --pool zai --account acme
  api-key-lb keys add --file keys.txt --copy
      Takes the keys out of a file, one in each line.

A key is tried for up to 5 s by a free request, which only warns. A key given on the command
line works, but the shell's history has it then.";

/// Flags of `keys`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    pub(crate) order: KeysOrder,
}

/// What is to be done with the keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysOrder {
    /// Show which keys the configuration file has, and how they are doing
    List {
        #[command(flatten)]
        at: AtArgs,

        /// Print the answer for programs
        #[arg(long)]
        json: bool,
    },
    /// Add a key: typed, from the standard input, or where it is to be found
    Add(Box<AddArgs>),
    /// Remove keys
    Remove {
        #[command(flatten)]
        keys: NamedArgs,

        /// Do not ask
        #[arg(short, long)]
        yes: bool,

        /// Also the last one that serves in its pool: then `start` refuses the file until there is another
        #[arg(long)]
        force: bool,
    },
    /// Keep keys from serving; they keep their place, label and account
    Disable {
        #[command(flatten)]
        keys: NamedArgs,

        /// Also the last one that serves in its pool: then `start` refuses the file until there is another
        #[arg(long)]
        force: bool,
    },
    /// Let disabled keys serve again
    Enable {
        #[command(flatten)]
        keys: NamedArgs,
    },
    /// Call a key something else
    Label {
        #[command(flatten)]
        at: AtArgs,

        /// The key: its label, number, last characters or place
        key: String,

        /// What it shall be called: 1 to 64 ASCII letters, digits and signs
        #[arg(required_unless_present = "none", conflicts_with = "none")]
        label: Option<String>,

        /// Call it by its place in the list again
        #[arg(long)]
        none: bool,
    },
    /// Give a key a share of the sessions, relative to the others
    Weight {
        #[command(flatten)]
        at: AtArgs,

        /// The key: its label, number, last characters or place
        key: String,

        /// Its share: 1 is the usual one
        #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
        weight: u32,
    },
    /// Say which account a key belongs to: keys of one account share its limits
    Account {
        #[command(flatten)]
        at: AtArgs,

        /// The key: its label, number, last characters or place
        key: String,

        /// A name for the account, the same for all its keys
        #[arg(required_unless_present = "none", conflicts_with = "none")]
        account: Option<String>,

        /// An account of its own, until the provider's answers show another
        #[arg(long)]
        none: bool,
    },
    /// Ask the provider, for free, how keys stand; ends as `check` does
    Test(TestArgs),
}

/// Which configuration is meant, and which proxy is to follow.
#[derive(Args, Clone, Debug)]
pub(crate) struct AtArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,

    /// Only the keys of this pool (`default` is the one without a name)
    #[arg(long, value_name = "NAME")]
    pub(crate) pool: Option<String>,
}

/// Which keys are meant.
#[derive(Args, Debug)]
pub(crate) struct NamedArgs {
    #[command(flatten)]
    pub(crate) at: AtArgs,

    /// The keys: their labels, numbers, last characters or places
    #[arg(required = true, value_name = "KEY")]
    pub(crate) keys: Vec<String>,
}

/// Flags of `keys add`.
#[derive(Args, Debug)]
#[command(after_help = ADD_EXAMPLES)]
pub(crate) struct AddArgs {
    #[command(flatten)]
    pub(crate) at: AtArgs,

    /// Keys, or where they are (`env:NAME`, …); `-` reads the standard input. Better none: then it asks
    #[arg(value_name = "KEY")]
    pub(crate) keys: Vec<String>,

    /// Read keys from the standard input, one in each line or separated by commas
    #[arg(long, conflicts_with_all = ["keys", "file", "env", "command"])]
    pub(crate) stdin: bool,

    /// The key is all that is in this file, now and after it changes: `file:PATH`
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath,
          conflicts_with_all = ["keys", "env", "command"])]
    pub(crate) file: Option<PathBuf>,

    /// With `--file`: take the keys out of it now, one in each line
    #[arg(long, requires = "file")]
    pub(crate) copy: bool,

    /// The key is in this environment variable of the proxy: `env:NAME`
    #[arg(long, value_name = "NAME", conflicts_with_all = ["keys", "command", "keychain"])]
    pub(crate) env: Option<String>,

    /// The key is what this command prints first, whenever the configuration is read: `cmd:COMMAND`
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["keys", "keychain"])]
    pub(crate) command: Option<String>,

    /// Keep the key in the system's keychain under this name: `keychain:NAME`
    #[arg(long, value_name = "NAME")]
    pub(crate) keychain: Option<String>,

    /// What it shall be called in `status`, the log and `x-lb-key` [default: by its place, such as key-2]
    #[arg(long)]
    pub(crate) label: Option<String>,

    /// Its share of the sessions, relative to the other keys [default: 1]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) weight: Option<u32>,

    /// Whose it is: keys of one account share its limits
    #[arg(long, value_name = "NAME")]
    pub(crate) account: Option<String>,

    /// Do not look whether there is such a key, nor try it at its provider
    #[arg(long)]
    pub(crate) no_check: bool,
}

/// Flags of `keys test`.
#[derive(Args, Debug)]
pub(crate) struct TestArgs {
    #[command(flatten)]
    pub(crate) at: AtArgs,

    /// The keys: their labels, numbers, last characters or places; disabled ones too [default: all]
    #[arg(value_name = "KEY")]
    pub(crate) keys: Vec<String>,

    /// Seconds that one key may take
    #[arg(long, value_name = "SECONDS", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) timeout: u64,

    /// Print the answer for programs
    #[arg(long)]
    pub(crate) json: bool,
}
