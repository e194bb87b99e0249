//! `api-key-lb simulate`: what this proxy, other ways to choose, or another key would have done. Sends nothing.

use std::collections::HashSet;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use api_key_lb_control::config::Contact;
use api_key_lb_control::{Config, Environment, Flags, runtime_file};

use crate::exit::Exit;
use crate::printer::Printer;
use crate::simulate::{self, Marks, STDIN, SimulateArgs, Source, Study};

use super::detach;

/// How many accounts are simulated if neither the command line nor a configuration says it.
const ACCOUNTS: usize = 2;

/// Who waits no longer than this need not be told what is done already.
const PATIENCE: Duration = Duration::from_secs(1);

/// Runs the command.
pub(super) fn run(args: &SimulateArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let env = Environment::of_process();
    let flags = args.place.flags();
    if matches!(&args.log, Some(Some(file)) if file == Path::new(STDIN))
        && io::stdin().is_terminal()
    {
        printer.note("reading the log from the terminal; end it with Ctrl-D");
    }
    let contact = Config::contact_lenient(&flags, &env);
    let source = match Source::of(args, detached_log(&contact, &env)) {
        Ok(source) => source,
        Err(why) => {
            printer.error(why);
            return Ok(Exit::Failure);
        }
    };
    if source.is_of_problems() {
        printer.warn(
            "every request in this log had a problem: it was written with `\"log\": \"problems\"`, \
             and what went well is missing; write it with `\"log\": \"requests\"`",
        );
    }
    let study = match Study::of(args, source, configured(&flags, &env).unwrap_or(ACCOUNTS)) {
        Ok(study) => study,
        Err(why) => {
            printer.error(why);
            return Ok(Exit::Usage);
        }
    };
    let began = Instant::now();
    let findings = study.run(&|done| {
        if began.elapsed() >= PATIENCE {
            printer.progress(format!("simulated: {done}"));
        }
    })?;
    if args.json {
        printer.answer(serde_json::to_string_pretty(&findings)?)?;
    } else {
        let marks = Marks::of(io::stdout().is_terminal(), |name| env.var(name));
        printer.answer(simulate::text(&findings, marks))?;
    }
    Ok(Exit::Success)
}

/// What `start --detach` writes.
fn detached_log(contact: &Contact, env: &Environment) -> Option<PathBuf> {
    let dir = runtime_file::state_dir(env)?;
    Some(dir.join(detach::log_name(contact.port)))
}

/// How many accounts the largest pool of the configuration has, if there is a usable one.
fn configured(flags: &Flags, env: &Environment) -> Option<usize> {
    let config = Config::load(flags, env).ok()?;
    let accounts = config.plan.pools().map(|pool| {
        let accounts: HashSet<_> = pool.keys.iter().map(|key| key.account).collect();
        accounts.len()
    });
    accounts.max().filter(|accounts| *accounts > 0)
}
