//! `completions` and `man`: their flags and examples.

use std::path::PathBuf;

use clap::{Args, ValueHint};

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  api-key-lb completions bash > ~/.local/share/bash-completion/completions/api-key-lb
  api-key-lb completions fish > ~/.config/fish/completions/api-key-lb.fish
  api-key-lb completions zsh  > \"${fpath[1]}/_api-key-lb\"

The directory has to be there. Shells that are open already learn of it when they are started anew.";

const MAN_EXAMPLES: &str = "\
Examples:
  api-key-lb man ~/.cargo/share/man/man1
      Writes a page for each command; then `man api-key-lb`, `man api-key-lb-config-show`.
  api-key-lb man | man -l -
      Only looks at the first page, where `man` is of man-db (Linux).";

/// Flags of `completions`.
#[derive(Args, Debug)]
#[command(after_help = COMPLETIONS_EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// The shell to complete in
    pub(crate) shell: clap_complete::Shell,
}

/// Flags of `man`.
#[derive(Args, Debug)]
#[command(after_help = MAN_EXAMPLES)]
pub(crate) struct ManArgs {
    /// Write the pages of all commands into this directory, which is made if it is missing
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) directory: Option<PathBuf>,
}
