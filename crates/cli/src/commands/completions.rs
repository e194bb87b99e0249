//! `api-key-lb completions`: prints a completion script.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::Exit;
use crate::printer::Printer;

/// How the bash script calls the program where it says what a command takes …
const IN_DETAILS: &str = "api__subcmd__key__subcmd__lb";
/// … and where it looks which command that is. As clap_complete 4.6 has it, neither finds the other
/// because of the hyphens in our name, and nothing behind a command is completed.
const IN_LOOKUP: &str = "api__key__lb";

/// Runs the command.
pub(crate) fn run(shell: Shell, printer: &Printer) -> anyhow::Result<Exit> {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    if shell == Shell::Bash {
        let text = String::from_utf8_lossy(&script).replace(IN_DETAILS, IN_LOOKUP);
        script = text.into_bytes();
    }
    printer.raw(&script)?;
    Ok(Exit::Success)
}
