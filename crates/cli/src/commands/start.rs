//! `api-key-lb start`: runs the proxy, in the foreground or (`--detach`) in the background.

use std::net::{SocketAddr, TcpListener};

use anyhow::Context as _;
use api_key_lb_control::runtime_file;
use api_key_lb_control::{Config, Environment, Flags};

use crate::args::{LogChoice, StartArgs};
use crate::exit::Exit;
use crate::instance::{self, Resident};
use crate::listen::{self, ListenError};
use crate::log::Log;
use crate::memory::StoreSetup;
use crate::printer::{self, Printer};
use crate::render::{self, count, path_of};
use crate::server::{Announce, Ending, Host, Server, ServerSetup};

use super::detach;
use super::status::STOP_PREDECESSOR;

/// Runs the command.
pub(super) fn run(args: &StartArgs, printer: &Printer) -> anyhow::Result<Exit> {
    if args.detached.is_some() {
        detach::leave_session();
    }
    let env = Environment::of_process();
    let config = match Config::load(&flags(args), &env) {
        Ok(config) => config,
        Err(error) => {
            printer.error(error);
            return Ok(Exit::Failure);
        }
    };
    // Asking first, because some systems let two programs bind the port of one address.
    let port = config.listen.port;
    if port != 0 {
        let address = instance::address(&config.listen.hosts, port);
        match instance::ask(address, config.plan.guard.client_tokens.first()) {
            Resident::Nobody => {}
            resident => return occupied(&resident, address, printer),
        }
    }
    super::print_notes(&config, printer);
    if args.detach {
        return detach::run(args, &config, &env, printer);
    }
    match listen::bind(&config.listen.hosts, port, config.listen.explicit_hosts) {
        Ok(listeners) => serve(args, config, listeners, &env, printer),
        Err(ListenError::Taken(address)) => {
            let token = config.plan.guard.client_tokens.first();
            occupied(&instance::ask(address, token), address, printer)
        }
        Err(error) => {
            printer.error(error);
            Ok(Exit::Failure)
        }
    }
}

fn flags(args: &StartArgs) -> Flags {
    Flags {
        host: args.host.clone(),
        workers: args.workers,
        no_store: args.no_store,
        log: args.log.map(|log| LogChoice::as_str(log).to_owned()),
        ..args.plan.flags()
    }
}

/// Somebody is there already: fine if it is us, a failure if not.
fn occupied(resident: &Resident, address: SocketAddr, printer: &Printer) -> anyhow::Result<Exit> {
    let port = address.port();
    match resident {
        Resident::Ours(told) => {
            printer.say(format!(
                "{} on port {port}\n",
                printer::good("Already running")
            ))?;
            printer.answer(render::status(&told.health))?;
        }
        Resident::Predecessor(told) => {
            printer.say(format!(
                "{} on port {port}\n",
                printer::striking("Already running")
            ))?;
            printer.answer(render::status(&told.health))?;
            printer.note(format!("{STOP_PREDECESSOR}, then start this one"));
        }
        Resident::Guarded(reason) => {
            printer.error(format!(
                "an api-key-lb runs on port {port} already, but does not answer us: {reason}; \
                 use the configuration it was started with (`--config FILE`), or another port (`--port PORT`)"
            ));
            return Ok(Exit::Failure);
        }
        Resident::Stranger | Resident::Nobody => {
            printer.error(format!(
                "port {port} is taken by another program ({address}); stop that one \
                 (`lsof -i :{port}` names it), or choose another port with `--port PORT`"
            ));
            return Ok(Exit::Failure);
        }
    }
    Ok(Exit::Success)
}

fn serve(
    args: &StartArgs,
    config: Config,
    listeners: Vec<TcpListener>,
    env: &Environment,
    printer: &Printer,
) -> anyhow::Result<Exit> {
    // Before anybody knows of us, so that no signal finds us unprepared.
    let host = Host::prepare().context("cannot wait for signals")?;
    let described = describe(&config);
    let level = config.log;
    let reached = config.listen.hosts.clone();
    let dir = runtime_file::state_dir(env);
    let setup = ServerSetup {
        store: StoreSetup::of(&config, dir.clone()),
        plan: config.plan,
        listeners,
        workers: config.workers,
        ca_file: config.ca_file,
        accounts: config.accounts,
        log: args.detached.clone(),
        announce: Announce::In(dir),
    };
    let mut server = Server::start(setup, printer)?;
    let places: Vec<String> = server
        .addresses()
        .iter()
        .map(|address| format!("http://{address}"))
        .collect();
    // First what people and scripts wait for. That nobody reads it is no reason not to serve.
    let _said = printer.say(format!(
        "{} {} listens on {}\n{described}\n  Health   http://{}/health",
        printer::strong("api-key-lb"),
        env!("CARGO_PKG_VERSION"),
        places.join(" and "),
        instance::address(&reached, server.address().port())
    ));
    let store = server.take_store();
    let tally = store.as_ref().map(|store| store.tally().clone());
    let log = Log::start(server.state().clone(), level, tally, *printer)
        .context("cannot start the log")?;
    let at_end = || {
        // In this order: the log counts what the store writes.
        log.finish();
        if let Some(store) = store {
            store.finish();
        }
    };
    let ending = host.serve(server, at_end, printer)?;
    Ok(match ending {
        Ending::Stopped => Exit::Success,
        Ending::Interrupted(signal) => Exit::Signal(signal),
    })
}

/// Keys, targets and where that was configured.
fn describe(config: &Config) -> String {
    let several = config.plan.pools().count() > 1;
    let mut lines: Vec<String> = Vec::new();
    for pool in config.plan.pools() {
        let path = if several {
            format!(", path {}", path_of(&pool.name))
        } else {
            String::new()
        };
        lines.push(format!(
            "  Keys     {}{path}",
            count(pool.keys.len(), "key")
        ));
        lines.push(format!("  Target   {}", pool.target));
    }
    lines.push(match &config.file {
        Some(file) => format!("  Config   {}", file.display()),
        None => "  Config   no file: flags and environment".to_owned(),
    });
    lines.join("\n")
}
