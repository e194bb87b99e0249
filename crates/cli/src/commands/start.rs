//! `api-key-lb start`: runs the proxy, in the foreground or (`--detach`) in the background.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::Context as _;
use api_key_lb_control::runtime_file;
use api_key_lb_control::{Config, Environment};
use api_key_lb_core::Secret;

use crate::args::StartArgs;
use crate::duties::Duties;
use crate::exit::Exit;
use crate::handover::{Predecessor, Recipe, Word};
use crate::instance::{self, Resident};
use crate::listen::{self, ListenError};
use crate::live::Now;
use crate::log::Log;
use crate::memory::StoreSetup;
use crate::notify::Notifier;
use crate::output::Output;
use crate::printer::{self, Printer};
use crate::reload::Reloader;
use crate::render::{self, count, path_of};
use crate::server::{Announce, Host, Server, ServerSetup};
use crate::supervisor;

use super::detach;
use super::status::STOP_PREDECESSOR;

/// How often one looks whether a proxy that is in the way has ended.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Runs the command.
pub(super) fn run(args: &StartArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let mut predecessor = None;
    if args.successor {
        let received = Predecessor::receive();
        predecessor = Some(received.context("`--successor` is for `api-key-lb restart` only")?);
    }
    let exit = start(args, &mut predecessor, printer);
    if let (Err(error), Some(predecessor)) = (&exit, &mut predecessor) {
        predecessor.tell(&Word::Failed(format!("{error:#}")));
    }
    exit
}

/// Says why it does not start, to the process that waits for it as well.
fn refuse(
    why: impl ToString,
    predecessor: &mut Option<Predecessor>,
    printer: &Printer,
) -> anyhow::Result<Exit> {
    let why = why.to_string();
    printer.error(&why);
    if let Some(predecessor) = predecessor {
        predecessor.tell(&Word::Failed(why));
    }
    Ok(Exit::Failure)
}

fn start(
    args: &StartArgs,
    predecessor: &mut Option<Predecessor>,
    printer: &Printer,
) -> anyhow::Result<Exit> {
    if args.detached.is_some() {
        detach::leave_session();
    }
    let env = Environment::of_process();
    // Before anything is run for a key, which must not inherit them: taken, they are closed there.
    let opened = if predecessor.is_none() && !args.detach {
        listen::activated()
    } else {
        Ok(None)
    };
    let mut config = match Config::load(&args.settings.flags(), &env) {
        Ok(config) => config,
        Err(error) => return refuse(error, predecessor, printer),
    };
    // What changes from here on is noticed, however long it takes until it serves.
    let reloader = Reloader::new(&config, args.settings.flags(), env.clone());
    let mut activated = false;
    let handed = match &mut *predecessor {
        Some(predecessor) if predecessor.letter.activated => {
            activated = true;
            let sockets = std::mem::take(&mut predecessor.sockets);
            Some(adopt(&mut config, sockets, printer))
        }
        Some(predecessor) => Some(listen::take_over(
            std::mem::take(&mut predecessor.sockets),
            &config.listen.hosts,
            config.listen.port,
            config.listen.explicit_hosts,
        )),
        None => match opened {
            Ok(Some(sockets)) => {
                activated = true;
                Some(adopt(&mut config, sockets, printer))
            }
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        },
    };
    match handed {
        Some(Ok(listeners)) => {
            super::print_notes(&config, printer);
            let start = Start {
                config,
                listeners,
                activated,
                reloader,
                env,
            };
            return serve(args, start, predecessor, printer);
        }
        Some(Err(error)) => return refuse(error, predecessor, printer),
        None => {}
    }
    // Asking first, because some systems let two programs bind the port of one address.
    let port = config.listen.port;
    if port != 0 {
        let address = instance::address(&config.listen.hosts, port);
        let token = config.plan.guard.client_tokens.first();
        let resident = instance::ask(address, token);
        let supervisor = supervisor::of_process(&env);
        match (resident, supervisor) {
            (Resident::Nobody, _) => {}
            (
                Resident::Ours(_) | Resident::Predecessor(_) | Resident::Guarded(_),
                Some(supervisor),
            ) => {
                let supervisor = supervisor::name(&supervisor);
                outwait(address, token, (&supervisor, &env), printer);
                // The configuration may be another one by now.
                return start(args, predecessor, printer);
            }
            (resident, _) => return occupied(&resident, address, printer),
        }
    }
    super::print_notes(&config, printer);
    if args.detach {
        return detach::run(args, &config, &env, printer);
    }
    match listen::bind(&config.listen.hosts, port, config.listen.explicit_hosts) {
        Ok(listeners) => {
            let start = Start {
                config,
                listeners,
                activated,
                reloader,
                env,
            };
            serve(args, start, predecessor, printer)
        }
        Err(ListenError::Taken(address)) => {
            let token = config.plan.guard.client_tokens.first();
            occupied(&instance::ask(address, token), address, printer)
        }
        Err(error) => refuse(error, predecessor, printer),
    }
}

/// Waits until the proxy in the way has ended: a supervisor would only start us again and again.
fn outwait(
    address: SocketAddr,
    token: Option<&Secret>,
    (supervisor, env): (&str, &Environment),
    printer: &Printer,
) {
    let notifier = Notifier::of(env);
    let port = address.port();
    printer.warn(format!(
        "an api-key-lb that {supervisor} did not start runs on port {port} already; waiting until it \
         ends (`api-key-lb stop --port {port}`), because {supervisor} would only start this one again"
    ));
    // One that is too busy to answer has not ended.
    while !matches!(instance::ask(address, token), Resident::Nobody) {
        notifier.waiting("Waiting for the port", LOOK_AGAIN * 5);
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Makes a configuration fit for sockets that systemd has opened: they say where it listens.
fn adopt(
    config: &mut Config,
    sockets: Vec<TcpListener>,
    printer: &Printer,
) -> Result<Vec<TcpListener>, ListenError> {
    let addresses: Vec<SocketAddr> = sockets
        .iter()
        .map(TcpListener::local_addr)
        .collect::<Result<_, _>>()
        .map_err(ListenError::Handed)?;
    let guard = &mut config.plan.guard;
    let reachable = addresses
        .iter()
        .find(|address| !address.ip().to_canonical().is_loopback());
    if let Some(address) = reachable {
        if guard.client_tokens.is_empty() {
            return Err(ListenError::Unguarded(*address));
        }
        guard.beyond_loopback = true;
    }
    let port = config.listen.port;
    if let Some(other) = addresses.iter().find(|address| address.port() != port) {
        printer.warn(format!(
            "listening on {other}, the socket that systemd has opened, although `port` is {port}; make \
             `ListenStream` of the socket unit and `port` the same, or tell the other commands \
             `--port {}`",
            other.port()
        ));
    }
    Ok(sockets)
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

/// What it serves with.
struct Start {
    config: Config,
    listeners: Vec<TcpListener>,
    /// Whether systemd has opened them.
    activated: bool,
    reloader: Reloader,
    env: Environment,
}

fn serve(
    args: &StartArgs,
    start: Start,
    predecessor: &mut Option<Predecessor>,
    printer: &Printer,
) -> anyhow::Result<Exit> {
    let Start {
        config,
        listeners,
        activated,
        mut reloader,
        env,
    } = start;
    // Before anybody knows of us, so that no signal finds us unprepared.
    let host = Host::prepare().context("cannot wait for signals")?;
    let described = describe(&config);
    let reached = config.listen.hosts.clone();
    let dir = runtime_file::state_dir(&env);
    let notifier = Notifier::of(&env);
    let supervisor = match &predecessor {
        Some(predecessor) => predecessor.letter.supervisor.clone(),
        None => supervisor::of_process(&env),
    };
    // Whoever watches this process, and cannot be told of another one, must see it stay.
    let is_followed = args.detached.is_some() || (supervisor.is_some() && notifier.is_heard());
    reloader.runs_by(&config);
    let log_settings = config.log_settings;
    // Dropped last: what ends before it may have something to say.
    let _output = Output::start(log_settings, args.detached.clone())
        .context("cannot start the thread that prints")?;
    let printer = &printer.queued();
    let setup = ServerSetup {
        store: StoreSetup::of(&config, dir.clone()),
        now: Now::by(&config),
        otlp: config.otlp,
        plan: config.plan,
        listeners,
        workers: config.workers,
        ca_file: config.ca_file,
        log: args.detached.clone(),
        supervisor,
        predecessor: predecessor
            .as_ref()
            .map(|predecessor| predecessor.letter.instance.clone()),
        // A successor has to serve first: until then, the one before is who can be found.
        announce: match predecessor {
            Some(_) => Announce::Later,
            None => Announce::In(dir.clone()),
        },
    };
    let mut server = Server::start(setup, printer)?;
    if let Some(predecessor) = predecessor {
        if !server.has_read(predecessor.letter.store.as_deref()) {
            predecessor.tell(&Word::Uninformed);
        }
        predecessor.tell(&Word::Ready);
        let state = server.state().clone();
        predecessor.wait(|rows| state.merge(rows));
        predecessor.listen(state);
        server.open();
        server.announce(dir, printer);
    }
    reloader.listens_on(server.address().port());
    notifier.ready("Serving");
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
    let log = Log::start(
        server.state().clone(),
        server.live().clone(),
        tally,
        server.observer().clone(),
        *printer,
    )
    .context("cannot start the log")?;
    let duties = Duties {
        reloader: Some(reloader),
        recipe: Recipe::of_process(!is_followed, activated).ok(),
        notifier,
        predecessor: predecessor.take(),
        log: Some(log),
        store,
        export: server.take_export(),
    };
    let ending = host.serve(server, duties, printer)?;
    Ok(ending.into())
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
