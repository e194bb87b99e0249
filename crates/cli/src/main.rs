//! The program `api-key-lb`: reads the command line, runs one command, turns its end into an exit code.

mod admin;
mod args;
mod check;
mod commands;
mod desk;
mod duties;
mod estate;
mod exit;
mod export;
#[cfg_attr(not(unix), path = "handover_elsewhere.rs")]
mod handover;
mod instance;
mod keys;
mod listen;
mod live;
mod local_client;
mod log;
mod management;
mod memory;
mod notify;
mod output;
mod overview;
mod pasted;
mod printer;
mod priority;
mod prompt;
mod reload;
mod render;
mod server;
mod service;
mod setup;
mod signals;
mod simulate;
mod supervisor;
mod why;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Cli;
use crate::exit::Exit;
use crate::printer::Printer;

// The data plane frees on other threads than it allocates on, in sizes of all kinds, for weeks:
// the system allocators of both platforms fragment under that.
#[cfg(any(target_os = "linux", target_os = "macos"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return printer::usage(&error).into(),
    };
    let printer = Printer::new(cli.quiet);
    let exit = commands::run(cli.command, &printer).unwrap_or_else(|error| {
        // Whoever read us has seen enough (`status | head -1`): that is no failure.
        if printer::is_closed(&error) {
            return Exit::Success;
        }
        printer.failure(&error);
        Exit::Failure
    });
    exit.into()
}
