//! `api-key-lb completions`: prints a completion script.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::Exit;
use crate::printer::Printer;

/// Runs the command.
pub(crate) fn run(shell: Shell, printer: &Printer) -> anyhow::Result<Exit> {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    printer.raw(&script)?;
    Ok(Exit::Success)
}
